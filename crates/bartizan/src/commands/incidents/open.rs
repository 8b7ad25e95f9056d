//! `bartizan incidents open`.

use model::Severity;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::super::Outcome;
use super::super::output::{Format, json as print_json, text};
use super::list::severity;
use super::{Common, path};

/// Label and title prefix of a drill incident.
const DRILL: &str = "drill";

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan incidents open 'Suspicious mail reported by phone' --severity Medium\n  bartizan incidents open 'Does the night shift wake up?' --severity High --drill\n\nA drill pages like any other incident of its severity; its title begins with DRILL and it carries the label `drill`."
)]
pub struct Args {
    #[arg(value_name = "TITLE")]
    title: String,
    /// High, Medium, Low or Informational.
    #[arg(long, value_name = "SEVERITY", default_value = "Medium", value_parser = severity)]
    severity: Severity,
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Labels to find it by; may be given several times.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// An exercise: say so in the title and in a label.
    #[arg(long)]
    drill: bool,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let client = args.common.service.client()?;
    let title = if args.drill { format!("DRILL: {}", args.title) } else { args.title };
    let labels: Vec<_> = args
        .labels
        .iter()
        .map(String::as_str)
        .chain(args.drill.then_some(DRILL))
        .map(|label| json!({ "labelName": label, "labelType": "User" }))
        .collect();
    let body = json!({ "properties": {
        "title": title, "description": args.description, "severity": args.severity.name(), "status": "New", "labels": labels,
    } });
    let opened = client.security_insights(Method::PUT, &path(&Uuid::new_v4().to_string()), &[], Some(&body)).await?;
    match args.common.format {
        Format::Json => print_json(&opened)?,
        Format::Table => println!("incident {} is open", text(&opened["properties"], "incidentNumber")),
    }
    Ok(())
}
