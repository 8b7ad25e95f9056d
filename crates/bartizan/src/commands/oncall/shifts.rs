//! `bartizan oncall shifts` — the turns of a schedule, gaps included.

use std::path::PathBuf;

use oncall::schedule;
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::api::{Api, Common};
use super::output::{Format, json as print_json, list, table, text, time};
use super::{documents, who};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall shifts weekdays\n  bartizan oncall shifts weekdays --from 2026-12-01 --to 2027-01-01 --file examples/oncall\n\nTimes without a zone belong to the schedule's."
)]
pub struct Args {
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
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
        let query = [("schedule", args.schedule.as_str()), ("from", args.from.as_str()), ("to", args.to.as_str())];
        Api::connect(&args.common).await?.get("shifts", &query).await?
    } else {
        computed(&args)?
    };
    if args.common.format == Format::Json {
        print_json(&answer)?;
        return Ok(());
    }
    let zone = text(&answer, "time_zone");
    let rows: Vec<Vec<String>> = list(&answer, "shifts")
        .iter()
        .map(|shift| vec![time(shift, "from", &zone), time(shift, "to", &zone), text(shift, "user"), text(shift, "because")])
        .collect();
    println!("Times in {zone}.");
    table(&["from", "to", "user", "because"], &rows).map_err(Failure::from)
}

fn computed(args: &Args) -> Result<Value, Failure> {
    let directory = documents::read(&args.files)?;
    let plan = directory.schedules.get(&args.schedule).ok_or_else(|| who::unknown(&args.schedule, directory.schedules.keys()))?;
    let (from, to) = (documents::when(&args.from, &plan.time_zone)?, documents::when(&args.to, &plan.time_zone)?);
    let shifts = schedule::shifts(plan, &args.schedule, &directory.overrides, from, to)
        .map_err(|error| Failure::Wrong(format!("schedules.{}{}: {error}", args.schedule, who::place(error.path()))))?;
    Ok(json!({ "schedule": args.schedule, "time_zone": plan.time_zone, "shifts": shifts }))
}
