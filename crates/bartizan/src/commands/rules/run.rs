//! `bartizan rules run` — runs one rule once: the alerts that it would create now, or at another time. Stores nothing.

use std::path::PathBuf;
use std::time::SystemTime;

use engine::Options;
use model::Timestamp;
use serde_json::{Value, json};

use super::super::output::{Format, json as print_json, table};
use super::super::query::{Reads, Sources, explain};
use super::super::{Failure, Outcome};
use super::evaluate::{evaluate, run_at};
use super::files::read;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan rules run rules/brute-force.yaml                          over the running service's workspace\n  bartizan rules run rules/brute-force.yaml --file SigninLogs.csv --at 2026-11-30T22:00:00Z"
)]
pub struct Args {
    /// The rule's file.
    #[arg(value_name = "RULE")]
    rule: PathBuf,
    /// When the rule runs. Default: now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
    #[command(flatten)]
    reads: Reads,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_iso(text).ok_or_else(|| "a time such as 2026-11-30T22:00:00Z".to_owned())
}

pub async fn run(args: Args) -> Outcome {
    let loaded = detection::yaml::parse(&args.rule.display().to_string(), &read(&args.rule)?)
        .map_err(|error| Failure::Wrong(format!("error: {}", model::chain(&error))))?;
    let rule = loaded.rule;
    let at = args.at.unwrap_or_else(|| Timestamp::from_system(SystemTime::now()));
    let seen = run_at(&rule, at).sees;
    let sources = Sources { seen: Some(seen), ..args.reads.sources() };
    let opened = sources.open(Options::default(), &engine::Progress::default()).await?;
    let (alerts, rows) = evaluate(opened.engine.as_ref(), &rule, &[], at, Some(seen))
        .await
        .map_err(|error| Failure::Wrong(explain(&rule.properties.query, &error)))?;
    if args.format == Format::Json {
        let alerts: Vec<Value> = alerts.iter().map(|alert| json!(alert)).collect();
        return print_json(&json!({ "rows": rows, "alerts": alerts })).map_err(Failure::from);
    }
    let shown: Vec<Vec<String>> = alerts
        .iter()
        .map(|alert| {
            let entities: Vec<&str> = alert.entities.iter().map(|entity| entity.friendly_name()).collect();
            vec![alert.severity.name().to_owned(), alert.display_name.clone(), alert.result_rows.to_string(), entities.join(", ")]
        })
        .collect();
    table(&["severity", "alert", "rows", "entities"], &shown)?;
    let one = if alerts.len() == 1 { "alert" } else { "alerts" };
    eprintln!("{rows} rows, {} {one}", alerts.len());
    Ok(())
}
