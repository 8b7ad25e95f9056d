//! `bartizan export` — the configuration, as a document.

use reqwest::Method;

use super::super::Outcome;
use super::super::oncall::api::{Api, Body, Common};
use super::super::output::Format;
use super::files::known;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan export > sentinel.yaml\n  bartizan export --kind tables,data_collection_rules\n  bartizan export --format json"
)]
pub struct Args {
    /// Only these kinds. Repeatable, or separated by commas.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// YAML, unless JSON is asked for: what is exported can be applied again.
pub async fn run(args: Args) -> Outcome {
    for kind in &args.kind {
        known(kind)?;
    }
    let format = if args.common.format == Format::Json { "json" } else { "yaml" };
    let kinds = args.kind.join(",");
    let mut query = vec![("format", format)];
    if !kinds.is_empty() {
        query.push(("kind", &kinds));
    }
    let text = Api::connect_to(&args.common, "documents").await?.send(Method::GET, "", &query, Body::None).await?;
    print!("{}{}", text, if text.ends_with('\n') { "" } else { "\n" });
    Ok(())
}
