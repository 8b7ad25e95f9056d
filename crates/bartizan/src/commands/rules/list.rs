//! `bartizan rules list` — the analytics rules of the running service.

use reqwest::Method;
use serde_json::Value;

use super::super::client::ServiceArgs;
use super::super::output::{Format, json, list, table, text};
use super::super::{Failure, Outcome};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan rules list\n  bartizan rules list --format json")]
pub struct Args {
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn run(args: Args) -> Outcome {
    let client = args.service.client()?;
    let answer = client.security_insights(Method::GET, "/alertRules", &[], None).await?;
    if args.format == Format::Json {
        return json(&answer["value"]).map_err(Failure::from);
    }
    let rows: Vec<Vec<String>> = list(&answer, "value").iter().map(row).collect();
    table(&["name", "kind", "severity", "enabled", "every", "looks back", "id"], &rows)?;
    Ok(())
}

fn row(rule: &Value) -> Vec<String> {
    let properties = &rule["properties"];
    let enabled = if properties["enabled"].as_bool() == Some(false) { "no" } else { "yes" };
    vec![
        text(properties, "displayName"),
        text(rule, "kind"),
        text(properties, "severity"),
        enabled.to_owned(),
        text(properties, "queryFrequency"),
        text(properties, "queryPeriod"),
        text(rule, "name"),
    ]
}
