//! `bartizan oncall address` — the signed URL of a calendar feed or a heartbeat.

use super::super::{Failure, Outcome};
use super::api::{Api, Common, segment};
use super::output::{Format, json, text};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall address schedule/weeks\n  bartizan oncall address user/ann\n  bartizan oncall address heartbeat/nightly-backup\n\nWho knows an address needs nothing else."
)]
pub struct Args {
    /// A schedule, a user (both: a calendar) or a heartbeat.
    #[arg(value_name = "KIND/NAME")]
    of: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let path = path(&args.of)
        .ok_or_else(|| Failure::Wrong(format!("`{}` has no address; write `schedule/NAME`, `user/NAME` or `heartbeat/NAME`", args.of)))?;
    let answer = Api::connect(&args.common).await?.get(&path, &[]).await?;
    match args.common.format {
        Format::Json => json(&answer)?,
        Format::Table => println!("{}", text(&answer, "url")),
    }
    Ok(())
}

fn path(of: &str) -> Option<String> {
    let (kind, name) = of.split_once('/')?;
    let kind = match kind {
        "schedule" | "schedules" => "schedules",
        "user" | "users" => "users",
        "heartbeat" | "heartbeats" => "heartbeats",
        _ => return None,
    };
    (!name.is_empty()).then(|| format!("{kind}/{}/address", segment(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_in_singular_or_plural() {
        assert_eq!(path("schedule/weeks").as_deref(), Some("schedules/weeks/address"));
        assert_eq!(path("users/a b").as_deref(), Some("users/a%20b/address"));
        assert_eq!(path("heartbeat/x").as_deref(), Some("heartbeats/x/address"));
        for wrong in ["weeks", "policy/x", "user/", ""] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
