//! `bartizan oncall apply` — applies files as the directory, atomically.

use super::super::Outcome;
use super::output::{Format, json};
use super::{diff, documents};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall apply team.yaml\n  bartizan oncall apply --prune examples/oncall")]
pub struct Args {
    #[command(flatten)]
    wanted: documents::Wanted,
}

pub async fn run(args: Args) -> Outcome {
    let answer = args.wanted.post("apply").await?;
    match args.wanted.common.format {
        Format::Json => json(&answer)?,
        Format::Table => print!("{}", diff::describe(&answer, "Nothing changed.")),
    }
    Ok(())
}
