//! `bartizan rules list` — the analytics rules of the running service, with their runs, problems and files.

use reqwest::Method;
use serde_json::Value;

use super::super::client::ServiceArgs;
use super::super::output::{Format, json, list, table, text, time};
use super::super::{Failure, Outcome};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan rules list\n  bartizan rules list --format json")]
pub struct Args {
    #[command(flatten)]
    service: ServiceArgs,
    /// The time zone of the times shown.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

const HEADER: [&str; 11] = ["name", "kind", "severity", "enabled", "every", "looks back", "last run", "next run", "file", "id", "problem"];

pub async fn run(args: Args) -> Outcome {
    let client = args.service.client()?;
    let answer = client.ours(Method::GET, "/api/v1/rules", None).await?;
    if args.format == Format::Json {
        return json(&answer).map_err(Failure::from);
    }
    let rows: Vec<Vec<String>> = list(&answer, "rules").iter().map(|rule| row(rule, &args.zone)).collect();
    table(&HEADER, &rows)?;
    for problem in list(&answer, "broken_files") {
        eprintln!("warning: {}", sentence(problem));
    }
    Ok(())
}

fn row(rule: &Value, zone: &str) -> Vec<String> {
    let enabled = if rule["enabled"].as_bool() == Some(false) { "no" } else { "yes" };
    let file = match rule["source"].as_str() {
        Some("changed") => format!("{} (changed since)", text(rule, "file")),
        _ => text(rule, "file"),
    };
    vec![
        text(rule, "name"),
        text(rule, "kind"),
        text(rule, "severity"),
        enabled.to_owned(),
        text(rule, "query_frequency"),
        text(rule, "query_period"),
        time(rule, "last_run", zone),
        time(rule, "next_run", zone),
        file,
        text(rule, "id"),
        problem(rule),
    ]
}

/// What is wrong with a rule: its conditions, or else its last failed run. Empty if it runs well.
fn problem(rule: &Value) -> String {
    let conditions: Vec<String> = list(rule, "problems").iter().map(sentence).collect();
    if !conditions.is_empty() {
        return conditions.join("; ");
    }
    let failed = rule["failures"].as_u64().unwrap_or(0) > 0;
    if failed { text(rule, "last_error") } else { String::new() }
}

fn sentence(problem: &Value) -> String {
    let (summary, detail) = (text(problem, "summary"), text(problem, "detail"));
    let sentence = if detail.is_empty() { summary } else { format!("{summary}: {detail}") };
    sentence.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_shows_its_runs_its_file_and_its_problems() {
        // The members of GET /api/v1/rules (crates/server/src/api/rules.rs).
        let mut rule = json!({
            "id": "daily", "name": "Daily", "kind": "Scheduled", "severity": "High", "query_frequency": "P1D", "query_period": "P2D",
            "enabled": true, "file": "daily.yaml", "source": "changed", "last_run": "2026-01-01T00:00:00.0000000Z",
            "next_run": "2026-01-02T00:00:00.0000000Z", "failures": 0, "last_error": "old", "problems": [],
        });
        let shown = row(&rule, "UTC");
        assert_eq!(shown.len(), HEADER.len());
        assert_eq!(shown[..6], ["Daily", "Scheduled", "High", "yes", "P1D", "P2D"]);
        assert!(shown[6].contains("2026-01-01") && shown[7].contains("2026-01-02"), "{shown:?}");
        assert_eq!(shown[8..], ["daily.yaml (changed since)", "daily", ""]);
        rule["failures"] = json!(2);
        assert_eq!(problem(&rule), "old");
        rule["problems"] = json!([{"summary": "the rule `Daily` fails", "detail": "`T` is\nunknown"}]);
        assert_eq!(problem(&rule), "the rule `Daily` fails: `T` is unknown");
        let near_real_time = json!({"name": "x", "kind": "NRT", "enabled": false, "source": "api", "file": null, "next_run": null});
        assert_eq!(row(&near_real_time, "UTC")[3..9], ["no", "", "", "", "", ""]);
    }
}
