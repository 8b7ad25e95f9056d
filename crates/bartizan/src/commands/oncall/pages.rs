//! `bartizan oncall pages` — every page there was, and what became of it.

use super::super::Outcome;
use super::api::{Api, Common};
use super::output::{Format, json, list, table, text, time};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall pages --incident 12\n  bartizan oncall pages --status doubtful,failed\n  bartizan oncall pages --zone Europe/Oslo"
)]
pub struct Args {
    /// Only those of this incident: its number, or its id.
    #[arg(long, value_name = "N")]
    incident: Option<String>,
    /// Only in these states: planned, claimed, sent, delivered, seen, doubtful, failed, dropped.
    #[arg(long, value_name = "STATES")]
    status: Option<String>,
    /// In which times are shown.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let query: Vec<(&str, &str)> = [("incident", args.incident.as_deref()), ("status", args.status.as_deref())]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let answer = Api::connect(&args.common).await?.get("pages", &query).await?;
    if args.common.format == Format::Json {
        json(&answer)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = list(&answer, "value")
        .iter()
        .map(|page| {
            vec![
                text(page, "number"),
                time(page, "due", &args.zone),
                (page["step"].as_u64().unwrap_or(0) + 1).to_string(),
                text(page, "user"),
                format!("{} ({})", text(page, "contact"), text(page, "channel")),
                text(page, "state"),
                time(page, "at", &args.zone),
                [text(page, "reason"), text(page, "because")].into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
            ]
        })
        .collect();
    table(&["incident", "due", "step", "user", "contact", "state", "since", "why"], &rows)?;
    Ok(())
}
