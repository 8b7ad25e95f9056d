//! `bartizan oncall shifts` — the shifts of a schedule, or of a user on all schedules.

use std::path::PathBuf;

use oncall::schedule;
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::api::{Api, Common};
use super::output::{Format, json as print_json, list, table, text, time};
use super::{documents, who};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall shifts weekdays\n  bartizan oncall shifts --user ann --zone America/New_York\n  bartizan oncall shifts weekdays --from 2026-12-01 --to 2027-01-01 --file examples/oncall\n\nTimes without a zone belong to --zone, else to the schedule's zone."
)]
pub struct Args {
    /// Default, with --user: all schedules.
    #[arg(value_name = "SCHEDULE", required_unless_present = "user")]
    schedule: Option<String>,
    /// Only this user's turns.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// In which times are read and shown. Default: the schedule's zone; without a schedule the user's.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "now")]
    from: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "+14d")]
    to: String,
    /// As these documents say, without a service. Default: what is applied.
    #[arg(long = "file", value_name = "F")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let answer = if args.files.is_empty() {
        let given = [
            ("schedule", args.schedule.as_deref()),
            ("user", args.user.as_deref()),
            ("zone", args.zone.as_deref()),
            ("from", Some(args.from.as_str())),
            ("to", Some(args.to.as_str())),
        ];
        let query: Vec<(&str, &str)> = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Api::connect(&args.common).await?.get("shifts", &query).await?
    } else {
        computed(&args)?
    };
    if args.common.format == Format::Json {
        print_json(&answer)?;
        return Ok(());
    }
    let zone = text(&answer, "time_zone");
    let shifts = list(&answer, "shifts").iter();
    println!("Times in {zone}.");
    if args.schedule.is_some() {
        let rows: Vec<Vec<String>> = shifts
            .map(|shift| vec![time(shift, "from", &zone), time(shift, "to", &zone), text(shift, "user"), text(shift, "because")])
            .collect();
        return table(&["from", "to", "user", "because"], &rows).map_err(Failure::from);
    }
    let rows: Vec<Vec<String>> = shifts
        .map(|shift| vec![time(shift, "from", &zone), time(shift, "to", &zone), text(shift, "schedule"), text(shift, "because")])
        .collect();
    table(&["from", "to", "schedule", "because"], &rows).map_err(Failure::from)
}

fn computed(args: &Args) -> Result<Value, Failure> {
    let directory = documents::read(&args.files)?;
    let user = match &args.user {
        Some(name) => Some(directory.users.get(name).ok_or_else(|| Failure::Wrong(format!("there is no user `{name}`")))?),
        None => None,
    };
    let plans: Vec<_> = match &args.schedule {
        Some(name) => vec![directory.schedules.get_key_value(name).ok_or_else(|| who::unknown(name, directory.schedules.keys()))?],
        None => directory.schedules.iter().collect(),
    };
    let zone = match (&args.zone, plans.as_slice(), user) {
        (Some(zone), ..) => zone.clone(),
        (None, [(_, plan)], _) if args.schedule.is_some() => plan.time_zone.clone(),
        (None, _, user) => user.and_then(|user| user.time_zone.clone()).unwrap_or_else(|| "UTC".to_owned()),
    };
    let (from, to) = (documents::when(&args.from, &zone)?, documents::when(&args.to, &zone)?);
    let mut shifts = Vec::new();
    for (name, plan) in plans {
        let found = schedule::shifts(plan, name, &directory.overrides, from, to)
            .map_err(|error| Failure::Wrong(format!("schedules.{name}{}: {error}", who::place(error.path()))))?;
        for shift in found.into_iter().filter(|shift| args.user.as_ref().is_none_or(|user| *user == shift.user)) {
            let mut value = serde_json::to_value(&shift)?;
            value["schedule"] = json!(name);
            shifts.push((shift.from, value));
        }
    }
    shifts.sort_by_key(|(from, _)| *from);
    let shifts: Vec<Value> = shifts.into_iter().map(|(_, value)| value).collect();
    Ok(json!({ "schedule": args.schedule, "time_zone": zone, "shifts": shifts }))
}
