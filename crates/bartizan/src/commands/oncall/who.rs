//! `bartizan oncall who` — who is on call.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use oncall::schedule;
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::api::{Api, Common};
use super::documents;
use super::output::{Format, json as print_json, list, table, text, time};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall who\n  bartizan oncall who --schedule weekdays --at '2026-12-24 08:00'\n  bartizan oncall who --at 2026-12-24T08:00+01:00 --file examples/oncall\n\nTimes without a zone belong to the schedule's."
)]
pub struct Args {
    /// Only this schedule. Default: all.
    #[arg(long, value_name = "S")]
    schedule: Option<String>,
    /// When. Default: now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "now")]
    at: String,
    /// As these documents say, without a service. Default: what is applied.
    #[arg(long = "file", value_name = "F")]
    files: Vec<PathBuf>,
    /// Answer one schedule with instants a line of standard input, one line each.
    #[arg(long, hide = true)]
    jsonl: bool,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    if args.jsonl {
        return bulk();
    }
    let answer = if args.files.is_empty() { asked(&args).await? } else { computed(&args)? };
    match args.common.format {
        Format::Json => print_json(&answer)?,
        Format::Table => table(&["schedule", "user", "until", "zone", "because"], &rows(&answer))?,
    }
    Ok(())
}

async fn asked(args: &Args) -> Result<Value, Failure> {
    // The service determines the zone, since it has the schedules.
    let mut query = vec![("at", args.at.as_str())];
    if let Some(schedule) = &args.schedule {
        query.push(("schedule", schedule));
    }
    Api::connect(&args.common).await?.get("who", &query).await
}

fn computed(args: &Args) -> Result<Value, Failure> {
    let directory = documents::read(&args.files)?;
    if let Some(name) = args.schedule.as_ref().filter(|name| !directory.schedules.contains_key(*name)) {
        return Err(unknown(name, directory.schedules.keys()));
    }
    let mut schedules = Vec::new();
    for (name, plan) in directory.schedules.iter().filter(|(name, _)| args.schedule.as_ref().is_none_or(|wanted| wanted == *name)) {
        let at = documents::when(&args.at, &plan.time_zone)?;
        let on_call = schedule::who(plan, name, &directory.overrides, at)
            .map_err(|error| Failure::Wrong(format!("schedules.{name}{}: {error}", place(error.path()))))?;
        schedules.push(json!({ "schedule": name, "time_zone": plan.time_zone, "at": at, "on_call": on_call }));
    }
    Ok(json!({ "schedules": schedules }))
}

/// `.layers[0]` from `layers[0]`, and an empty text from an empty one.
pub fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(".{path}") }
}

pub fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> Failure {
    let near = oncall::document::did_you_mean(name, names.map(String::as_str)).map(|name| format!("; did you mean `{name}`?"));
    Failure::Wrong(format!("there is no schedule `{name}`{}", near.unwrap_or_default()))
}

/// A schedule without on-call users gets a row too, so that gaps are visible.
fn rows(answer: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for schedule in list(answer, "schedules") {
        let (name, zone) = (text(schedule, "schedule"), text(schedule, "time_zone"));
        let on_call = list(schedule, "on_call");
        if on_call.is_empty() {
            rows.push(vec![name.clone(), "(nobody)".to_owned(), String::new(), zone.clone(), String::new()]);
        }
        for duty in on_call {
            rows.push(vec![name.clone(), text(duty, "user"), time(duty, "until", &zone), zone.clone(), text(duty, "because")]);
        }
    }
    rows
}

fn bulk() -> Outcome {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(out, "{}", schedule::answer_line(&line))?;
        }
    }
    out.flush()?;
    Ok(())
}
