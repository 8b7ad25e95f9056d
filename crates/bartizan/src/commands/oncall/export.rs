//! `bartizan oncall export` — the applied directory as a document.

use reqwest::Method;

use super::super::Outcome;
use super::api::{Api, Body, Common};
use super::output::Format;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall export > team.yaml\n  bartizan oncall export --kind schedules")]
pub struct Args {
    /// Only this kind: users, schedules, overrides, escalation_policies, alert_policies, maintenance_windows or heartbeats.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// YAML, unless JSON is requested; the output can be applied again.
pub async fn run(args: Args) -> Outcome {
    let format = if args.common.format == Format::Json { "json" } else { "yaml" };
    let mut query = vec![("format", format)];
    if let Some(kind) = &args.kind {
        query.push(("kind", kind));
    }
    let text = Api::connect(&args.common).await?.send(Method::GET, "export", &query, Body::None).await?;
    print!("{}{}", text, if text.ends_with('\n') { "" } else { "\n" });
    Ok(())
}
