//! `bartizan audit verify`.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use store::{Chain, Fault, verify_in};

use super::super::output::{Format, json as print_json};
use super::super::{Failure, Outcome};
use crate::config;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan audit verify\n  bartizan audit verify --data-dir D --after 1200")]
pub struct Args {
    /// The data directory, of a running service or of one that is stopped. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// Check only what follows this entry, for a trail whose earlier fault is known.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn run(args: Args) -> Outcome {
    let data_dir = match args.data_dir {
        Some(path) => path,
        None => config::default_data_dir(|name| std::env::var(name).ok())?,
    };
    let found = verify_in(&data_dir, args.after).await.with_context(|| format!("cannot verify `{}`", data_dir.display()))?;
    match found {
        Chain::Whole { entries, last, losses } => {
            if args.format == Format::Json {
                print_json(&json!({ "intact": losses.is_empty(), "entries": entries, "last": last, "losses": losses }))?;
            } else {
                println!("{entries} entries are intact; the last seal is {last}");
            }
            if losses.is_empty() {
                return Ok(());
            }
            let numbers: Vec<String> = losses.iter().map(i64::to_string).collect();
            Err(Failure::Wrong(format!(
                "error: entries before number {} were lost at some time: see it with `bartizan audit list --kind 'audit trail'`; \
                 `--after {}` checks what follows",
                numbers.join(", "),
                losses.last().copied().unwrap_or_default()
            )))
        }
        Chain::Broken { entry, fault } => {
            if args.format == Format::Json {
                print_json(&json!({ "intact": false, "entry": entry, "fault": name(fault) }))?;
            }
            Err(Failure::Wrong(format!("error: {}", sentence(entry, fault))))
        }
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Changed => "changed",
        Fault::Missing => "missing",
        Fault::Unreadable => "unreadable",
        Fault::EntriesAfterMissing => "entries after it are missing",
        Fault::Rewritten => "rewritten",
    }
}

fn sentence(entry: i64, fault: Fault) -> String {
    match fault {
        Fault::Changed => format!("audit entry {entry} was changed: its content does not match its seal"),
        Fault::Missing => format!("audit entry {entry} is missing"),
        Fault::Unreadable => format!("audit entry {entry} cannot be read"),
        Fault::EntriesAfterMissing => {
            format!("audit entry {entry} is the last one, but `audit.head` names a later one: entries after it are missing")
        }
        Fault::Rewritten => format!("audit entry {entry} has another seal than `audit.head` says: the chain was computed anew"),
    }
}
