//! `bartizan oncall apply` — files become the directory, all of it or nothing.

use std::path::PathBuf;

use super::super::Outcome;
use super::api::{Api, Body, Common};
use super::output::{Format, json};
use super::{diff, documents};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall apply team.yaml\n  bartizan oncall apply --prune examples/oncall")]
pub struct Args {
    /// Documents, or folders of them.
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// Delete what is not in the files.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let document = documents::read(&args.files)?;
    let prune = if args.prune { "true" } else { "false" };
    let answer = Api::connect(&args.common).await?.post("apply", &[("prune", prune)], Body::Json(serde_json::to_value(document)?)).await?;
    match args.common.format {
        Format::Json => json(&answer)?,
        Format::Table => print!("{}", diff::describe(&answer, "Nothing changed.")),
    }
    Ok(())
}
