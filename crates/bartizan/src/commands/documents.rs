//! `bartizan check|diff|apply|export` — the configuration as documents. One command is one file in `documents/`.

pub mod apply;
pub mod check;
pub mod diff;
pub mod export;
mod files;
mod offline;

use super::Outcome;

/// Runs a command that asks the service.
pub fn run(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
