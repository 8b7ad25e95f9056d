//! `bartizan audit` — the audit trail: list entries of the running service, verify the chain of a data directory.

mod list;
mod verify;

use super::Outcome;

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan audit list --limit 20\n  bartizan audit list --kind 'role assignment' --from 2026-11-01T00:00:00Z\n  bartizan audit list --actor ann --action deleted --format json\n  bartizan audit verify\n  bartizan audit verify --data-dir /mnt/backup/bartizan"
)]
pub enum Command {
    /// Say who changed what, newest first.
    List(list::Args),
    /// Check that no entry was changed, removed or added; works with and without a running service, and changes nothing.
    Verify(verify::Args),
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list::run(args).await,
            Command::Verify(args) => verify::run(args).await,
        }
    })
}
