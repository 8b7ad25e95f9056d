//! `bartizan doctor` — finds problems of a service or a data directory, and suggests fixes.

mod checks;

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Outcome};
use crate::config;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan doctor                                    the default data directory\n  bartizan doctor --data-dir /var/lib/bartizan --config /etc/bartizan/bartizan.yaml\n  bartizan doctor --format json | jq '.checks[] | select(.status != \"ok\")'\n\nExit codes: 0 all is well, 1 something is wrong, 2 it could not look."
)]
pub struct Args {
    /// The data directory of the service, running or not.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// The configuration file, to be checked as well.
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Wrong,
    /// Nothing to check.
    Skipped,
}

/// A check and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub status: Status,
    pub message: String,
    /// How to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Check {
    pub fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, message: message.into(), help: None }
    }

    pub fn wrong(name: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name, status: Status::Wrong, message: message.into(), help: Some(help.into()) }
    }

    pub fn skipped(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Skipped, message: message.into(), help: None }
    }
}

#[derive(Serialize)]
struct Report {
    data_dir: PathBuf,
    running: bool,
    /// `ok` without problems, otherwise `wrong`.
    status: Status,
    checks: Vec<Check>,
}

pub fn run(args: Args) -> Outcome {
    let mut checks = Vec::new();
    let config = match &args.config {
        Some(path) => match config::read(path) {
            Ok(config) => {
                checks.push(Check::ok("configuration", format!("`{}` is right", path.display())));
                config
            }
            Err(error) => {
                checks.push(Check::wrong("configuration", model::chain(&error), "correct the file; the service refuses to start with it"));
                config::default()
            }
        },
        None => config::default(),
    };
    let data_dir = match args.data_dir.or_else(|| config.data_dir.clone()) {
        Some(path) => path,
        None => config::default_data_dir(|name| std::env::var(name).ok())?,
    };
    if !data_dir.is_dir() {
        return Err(anyhow::anyhow!(
            "there is no data directory `{}`: start the service once, or name one with --data-dir",
            data_dir.display()
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = checks::is_running(&data_dir);
    checks.extend(checks::directory(&data_dir));
    checks.push(checks::room(&data_dir));
    checks.extend(checks::certificates(&data_dir));
    checks.push(checks::clock(&data_dir));
    checks.push(checks::rule_files(&config.rules));
    checks.extend(runtime.block_on(checks::service(&data_dir, running, config.listen)));
    let status = if checks.iter().any(|check| check.status == Status::Wrong) { Status::Wrong } else { Status::Ok };
    let report = Report { data_dir, running, status, checks };
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Format::Text => print(&report),
    }
    if report.status == Status::Wrong { Err(Failure::Wrong(String::new())) } else { Ok(()) }
}

fn print(report: &Report) {
    let state = if report.running { "a service runs on it" } else { "no service runs on it" };
    println!("{}: {state}", report.data_dir.display());
    for check in &report.checks {
        let mark = match check.status {
            Status::Ok => "ok     ",
            Status::Wrong => "WRONG  ",
            Status::Skipped => "skipped",
        };
        println!("{mark}  {:<14} {}", check.name, check.message);
        if let Some(help) = &check.help {
            println!("                        {help}");
        }
    }
    let wrong = report.checks.iter().filter(|check| check.status == Status::Wrong).count();
    println!(
        "{}",
        if wrong == 0 { "all is well".to_owned() } else { format!("{wrong} of {} checks found something wrong", report.checks.len()) }
    );
}
