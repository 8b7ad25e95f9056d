//! `bartizan diff` — what applying would change.

use super::super::Outcome;
use super::super::oncall::diff::describe;
use super::super::output::{Format, json};
use super::files::Wanted;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan diff sentinel/\n  bartizan diff --prune --kind tables,functions sentinel/")]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
}

pub async fn run(args: Args) -> Outcome {
    let (answer, _) = args.wanted.post("diff").await?;
    match args.wanted.common.format {
        Format::Json => json(&answer)?,
        Format::Table => print!("{}", describe(&answer, "Nothing would change.")),
    }
    Ok(())
}
