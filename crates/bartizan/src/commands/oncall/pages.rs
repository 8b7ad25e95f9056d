//! `bartizan oncall pages` — all pages with their status.

use super::super::Outcome;
use super::api::{Api, Common};
use super::documents;
use super::output::{Format, json, list, table, text, time};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall pages --incident 12\n  bartizan oncall pages --status doubtful,failed\n  bartizan oncall pages --from -7d --zone Europe/Oslo\n  bartizan oncall pages --from 2026-12-01 --to 2027-01-01 --format json\n\nTimes without a zone belong to --zone."
)]
pub struct Args {
    /// Only those of this incident: its number, or its id.
    #[arg(long, value_name = "N")]
    incident: Option<String>,
    /// Only in these states: planned, claimed, sent, delivered, seen, doubtful, failed, dropped.
    #[arg(long, value_name = "STATES")]
    status: Option<String>,
    /// Only what was due at this time or later.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only what was due before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// At most so many, newest first.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// In which times are read and shown.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    documents::check_zone(&args.zone)?;
    let time_of = |text: &Option<String>| text.as_deref().map(|text| documents::when(text, &args.zone)).transpose();
    let (from, to) = (time_of(&args.from)?.map(|at| at.to_string()), time_of(&args.to)?.map(|at| at.to_string()));
    let limit = args.limit.to_string();
    let query: Vec<(&str, &str)> = [
        ("incident", args.incident.as_deref()),
        ("status", args.status.as_deref()),
        ("from", from.as_deref()),
        ("to", to.as_deref()),
        ("limit", Some(limit.as_str())),
    ]
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
                shortened(&text(page, "title")),
                time(page, "due", &args.zone),
                (page["step"].as_u64().unwrap_or(0) + 1).to_string(),
                text(page, "user"),
                format!("{} ({})", text(page, "contact"), text(page, "channel")),
                text(page, "state"),
                time(page, "at", &args.zone),
                acknowledged(page),
                [text(page, "reason"), text(page, "because")].into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
            ]
        })
        .collect();
    println!("Times in {}.", args.zone);
    table(&["incident", "title", "due", "step", "user", "contact", "state", "since", "acknowledged", "why"], &rows)?;
    Ok(())
}

/// Titles are truncated to this length; `--format json` has full titles.
const TITLE: usize = 40;

fn shortened(title: &str) -> String {
    match title.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title.to_owned(),
    }
}

/// `after 00:04:10 by Ann Berg`.
fn acknowledged(page: &serde_json::Value) -> String {
    let after = page["time_to_acknowledge"].as_str().and_then(|span| span.parse::<model::Span>().ok());
    after.map_or_else(String::new, |after| format!("after {} by {}", whole_seconds(after), text(page, "acknowledged_by")))
}

fn whole_seconds(span: model::Span) -> model::Span {
    model::Span(span.ticks() - span.ticks() % model::TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_to_acknowledge_is_shown_in_seconds() {
        let page = json!({ "time_to_acknowledge": "PT4M10.5S", "acknowledged_by": "Ann Berg" });
        assert_eq!(acknowledged(&page), "after 00:04:10 by Ann Berg");
        assert_eq!(acknowledged(&json!({})), "");
        assert_eq!(shortened(&"ø".repeat(50)), format!("{}…", "ø".repeat(40)));
    }
}
