//! `bartizan oncall check` — is the document right, and is anybody on call? Exit code 1 where it is wrong; gaps only warn.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Span;
use oncall::directory::Directory;
use oncall::schedule::Health;
use oncall::{check, schedule, when};
use serde_json::json;

use super::super::{Failure, Outcome};
use super::documents;
use super::output::{Format, json as print_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall check examples/oncall\n  bartizan oncall check team.yaml --days 90")]
pub struct Args {
    /// Documents, or folders of them; together they are the whole directory.
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// How many days of each schedule are looked at, from now on.
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
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
            let found = schedule::health(plan, name, &directory.overrides, from, to);
            health.insert(name, found.map_err(|error| Failure::Wrong(format!("`schedules.{name}`: {error}")))?);
        }
    }
    match args.format {
        Format::Json => print_json(&json!({ "problems": problems, "health": health }))?,
        Format::Table => {
            for (name, found) in &health {
                print!("{}", describe(name, &directory.schedules[*name].time_zone, found, args.days));
            }
        }
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

/// Gaps that are listed one by one; more are counted.
const LISTED: usize = 5;

/// What a schedule's people should know before it counts.
fn describe(name: &str, zone: &str, found: &Health, days: u16) -> String {
    let mut text = format!(
        "schedules/{name} ({zone}), the next {days} days: {:.0} % covered, shares {:.0} % even, quality {:.0} %\n",
        found.coverage, found.balance, found.quality
    );
    for gap in found.gaps.iter().take(LISTED) {
        text += &format!("  nobody is on call from {} to {}\n", when::local(gap.from, zone), when::local(gap.to, zone));
    }
    if found.gaps.len() > LISTED {
        text += &format!("  and {} more gaps\n", found.gaps.len() - LISTED);
    }
    for twice in found.doubled.iter().take(LISTED) {
        let (from, to) = (when::local(twice.from, zone), when::local(twice.to, zone));
        text +=
            &format!("  {} are on call together from {from} to {to}, and nothing says that they should be\n", twice.users.join(" and "));
    }
    for share in &found.shares {
        text += &format!("  {}: {:.0} % of the time\n", share.user, share.percent);
    }
    text
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
