//! `bartizan oncall heartbeat` — sends a heartbeat, from a script.

use super::super::Outcome;
use super::api::{Api, Body, Common, segment};
use super::output::{Format, json, text, time};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  backup.sh && bartizan oncall heartbeat nightly-backup")]
pub struct Args {
    /// A heartbeat of the directory.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let api = Api::connect(&args.common).await?;
    let answer = api.post(&format!("heartbeats/{}", segment(&args.name)), &[], Body::None).await?;
    match args.common.format {
        Format::Json => json(&answer)?,
        Format::Table => println!("{} was heard at {} UTC.", text(&answer, "heartbeat"), time(&answer, "heard", "UTC")),
    }
    Ok(())
}
