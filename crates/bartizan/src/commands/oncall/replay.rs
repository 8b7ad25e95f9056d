//! `bartizan oncall replay` — whom each step would have notified, and why.

use super::super::Outcome;
use super::api::{Api, Body, Common};
use super::documents;
use super::output::{Format, json, text};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall replay --from -7d --to now\n  bartizan oncall replay --from 2026-11-01 --to 2026-12-01 --file next-month.yaml"
)]
pub struct Args {
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, default_value = "now")]
    to: String,
    /// As if this document had been the directory. Default: what is applied.
    #[arg(long = "file", value_name = "F")]
    files: Vec<std::path::PathBuf>,
    /// Where times without a zone belong to.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let (from, to) = (documents::when(&args.from, &args.zone)?, documents::when(&args.to, &args.zone)?);
    let body = if args.files.is_empty() { Body::None } else { Body::Json(serde_json::to_value(documents::read(&args.files)?)?) };
    let api = Api::connect(&args.common).await?;
    let answer = api.post("replay", &[("from", &from.to_string()), ("to", &to.to_string())], body).await?;
    match args.common.format {
        Format::Json => json(&answer)?,
        Format::Table => print!("{}", text(&answer, "text")),
    }
    Ok(())
}
