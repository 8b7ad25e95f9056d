//! `bartizan oncall check` — validates a document and reports gaps. Exit code 1 if it is invalid; gaps and similar problems are warnings,
//! unless `--strict` is given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Span;
use oncall::check::Problem;
use oncall::directory::Directory;
use oncall::schedule::Health;
use oncall::{check, schedule, when};
use serde_json::json;

use super::super::{Failure, Outcome};
use super::documents;
use super::output::{Format, json as print_json};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall check examples/oncall\n  bartizan oncall check team.yaml --days 90\n  bartizan oncall check --strict oncall/ || exit 1\n\nExit code 0: right; 1: something is wrong; 2: the files cannot be read."
)]
pub struct Args {
    /// Documents, or folders of them; together they are the whole directory.
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// How many days of each schedule are looked at, from now on.
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Warnings count as mistakes: gaps, unplanned double cover, incidents that no alert policy matches.
    #[arg(long)]
    strict: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn run(args: Args) -> Outcome {
    let directory = documents::read(&args.files)?;
    let problems = check::check(&directory);
    let from = documents::now();
    let to = model::Timestamp::clamp_ticks(from.ticks() + Span::DAY.ticks() * i64::from(args.days));
    let mut health = BTreeMap::new();
    if problems.is_empty() {
        for (name, plan) in &directory.schedules {
            let found = schedule::health(plan, name, &directory.overrides, &directory.users, from, to);
            health.insert(name, found.map_err(|error| Failure::Wrong(format!("`schedules.{name}`: {error}")))?);
        }
    }
    let mut warnings = check::warnings(&directory);
    warnings.extend(health.iter().flat_map(|(name, found)| warned(name, &directory.schedules[*name].time_zone, found)));
    match args.format {
        Format::Json => print_json(&json!({ "problems": problems, "warnings": warnings, "health": health }))?,
        Format::Table => {
            for (name, found) in &health {
                print!("{}", describe(name, &directory.schedules[*name].time_zone, found, args.days));
            }
            for warning in &warnings {
                println!("warning: {warning}");
            }
        }
    }
    if problems.is_empty() && args.strict && !warnings.is_empty() {
        let says = format!("--strict: warnings count as mistakes (here: {})", warnings.len());
        return Err(Failure::Wrong(if args.format == Format::Json { String::new() } else { says }));
    }
    if problems.is_empty() {
        if args.format == Format::Table {
            println!("{}", summary(&directory));
        }
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(Failure::Wrong(if args.format == Format::Json { String::new() } else { lines.join("\n") }))
}

/// Maximum gaps listed; more are counted.
const LISTED: usize = 5;

/// A summary of a schedule's quality.
fn describe(name: &str, zone: &str, found: &Health, days: u16) -> String {
    let mut text = format!(
        "schedules/{name} ({zone}), the next {days} days: {:.0} % covered, shares {:.0} % even, quality {:.0} %\n",
        found.coverage, found.balance, found.quality
    );
    for share in &found.shares {
        text += &format!("  {}: {:.0} % of the time\n", share.user, share.percent);
    }
    text
}

/// Gaps and unplanned double coverage.
fn warned(name: &str, zone: &str, found: &Health) -> Vec<Problem> {
    let warning = |problem: String, help: &str| Problem { path: format!("schedules.{name}"), problem, help: help.to_owned() };
    let mut all = Vec::new();
    for gap in found.gaps.iter().take(LISTED) {
        let (from, to) = (when::local(gap.from, zone), when::local(gap.to, zone));
        all.push(warning(format!("nobody is on call from {from} to {to}"), ""));
    }
    if found.gaps.len() > LISTED {
        all.push(warning(format!("{} more gaps", found.gaps.len() - LISTED), ""));
    }
    for twice in found.doubled.iter().take(LISTED) {
        let (from, to) = (when::local(twice.from, zone), when::local(twice.to, zone));
        let problem =
            format!("{} are on call together from {from} to {to}, and nothing says that they should be", twice.users.join(" and "));
        all.push(warning(problem, ""));
    }
    if found.doubled.len() > LISTED {
        all.push(warning(format!("{} more times of unplanned double cover", found.doubled.len() - LISTED), ""));
    }
    all
}

fn summary(directory: &Directory) -> String {
    let counts = [
        (directory.users.len(), "users"),
        (directory.schedules.len(), "schedules"),
        (directory.overrides.len(), "overrides"),
        (directory.escalation_policies.len(), "escalation policies"),
        (directory.alert_policies.len(), "alert policies"),
        (directory.maintenance_windows.len(), "maintenance windows"),
        (directory.heartbeats.len(), "heartbeats"),
    ];
    let counts: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("Nothing is wrong: {}.", if counts.is_empty() { "nothing is there".to_owned() } else { counts.join(", ") })
}
