//! `bartizan oncall swap` — exchanges shifts of two users with two overrides, applied together.

use oncall::directory::Override;

use super::super::Outcome;
use super::api::{Api, Common};
use super::{documents, overrides};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall swap --schedule weekdays --user ann --from 2026-12-24T08:00 --to 2026-12-25T08:00 --with bo --their-from 2026-12-31T08:00 --their-to 2027-01-01T08:00\n\nTimes without a zone belong to the schedule's."
)]
pub struct Args {
    #[arg(long, value_name = "S")]
    schedule: String,
    /// Who gives the first turn and takes the second.
    #[arg(long, value_name = "USER")]
    user: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// Who takes the first turn and gives the second.
    #[arg(long = "with", value_name = "USER")]
    other: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    their_from: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    their_to: String,
    #[arg(long, value_name = "TEXT", default_value = "swap")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let api = Api::connect(&args.common).await?;
    let zone = overrides::zone_of(&api, &args.schedule).await?;
    let turn = |from: &str, to: &str, gives: &str, takes: &str| -> Result<(String, Override), super::super::Failure> {
        let plan = Override {
            schedule: args.schedule.clone(),
            from: documents::when(from, &zone)?.into(),
            to: documents::when(to, &zone)?.into(),
            remove: Some(gives.to_owned()),
            add: Some(takes.to_owned()),
            requested: false,
            reason: args.reason.clone(),
        };
        Ok((overrides::name(&plan), plan))
    };
    let plans =
        vec![turn(&args.from, &args.to, &args.user, &args.other)?, turn(&args.their_from, &args.their_to, &args.other, &args.user)?];
    overrides::put(&api, plans, args.common.format).await
}
