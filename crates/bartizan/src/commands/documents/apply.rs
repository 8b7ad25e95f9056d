//! `bartizan apply` — files become the configuration, all of it or nothing.

use super::super::Outcome;
use super::super::oncall::diff::describe;
use super::super::output::{Format, json};
use super::files::Wanted;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan apply sentinel/\n  bartizan apply rules.yaml tables.yaml\n  bartizan apply --prune --kind analytics_rules sentinel/\n\nExit code 0: applied; 1: something is wrong and nothing was changed; 2: it could not run."
)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
}

pub async fn run(args: Args) -> Outcome {
    let (answer, _) = args.wanted.post("apply").await?;
    match args.wanted.common.format {
        Format::Json => json(&answer)?,
        Format::Table => print!("{}", describe(&answer, "Nothing changed.")),
    }
    Ok(())
}
