//! `bartizan oncall` — schedules as code, who is on call, and answers to pages. Each subcommand is one file in `oncall/`.
//!
//! `check`, `who --file` and `shifts --file` need no service; all others use its API.

mod address;
mod answer;
pub(super) mod api;
mod apply;
mod check;
pub(super) mod diff;
pub(super) mod documents;
mod export;
mod heartbeat;
mod mute;
mod overrides;
mod pages;
mod replay;
mod shifts;
mod swap;
mod test_contact;
mod who;

use super::{Outcome, output};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan oncall check examples/oncall\n  bartizan oncall apply team.yaml\n  bartizan oncall who --at '2026-12-24 08:00'\n  bartizan oncall take 12 --as ann"
)]
pub enum Command {
    /// Check files without a service: shapes, names that are referred to, gaps in schedules.
    Check(check::Args),
    /// Show what applying files would change.
    Diff(diff::Args),
    /// Make the running service's directory what files say: all of it, or nothing.
    Apply(apply::Args),
    /// Print what was applied, as a document that can be applied again.
    Export(export::Args),
    /// Say who is on call, now or at another time.
    Who(who::Args),
    /// List the turns of a schedule or of a user.
    Shifts(shifts::Args),
    /// Show whom each step would have reached for the incidents of a time, and why.
    Replay(replay::Args),
    /// List pages: sent, delivered, seen, doubtful, failed.
    Pages(pages::Args),
    /// Acknowledge an incident: somebody looks at it, paging stops.
    Ack(answer::Ack),
    /// Acknowledge an incident and own it.
    Take(answer::Take),
    /// Go to the next step of the escalation, or to a chosen one.
    Escalate(answer::Escalate),
    /// Close an incident.
    Close(answer::Close),
    /// Put somebody on a schedule for a while, or take them off.
    #[command(subcommand)]
    Override(overrides::Command),
    /// Page nobody for a while: planned work.
    Mute(mute::Args),
    /// Let two people exchange turns.
    Swap(swap::Args),
    /// Print the address of a calendar or a heartbeat, which works without signing in.
    Address(address::Args),
    /// Send a test message to a contact.
    TestContact(test_contact::Args),
    /// Say that something is alive.
    Heartbeat(heartbeat::Args),
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Check(args) => check::run(args).await,
            Command::Diff(args) => diff::run(args).await,
            Command::Apply(args) => apply::run(args).await,
            Command::Export(args) => export::run(args).await,
            Command::Who(args) => who::run(args).await,
            Command::Shifts(args) => shifts::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Pages(args) => pages::run(args).await,
            Command::Ack(args) => answer::ack(args).await,
            Command::Take(args) => answer::take(args).await,
            Command::Escalate(args) => answer::escalate(args).await,
            Command::Close(args) => answer::close(args).await,
            Command::Override(command) => overrides::run(command).await,
            Command::Mute(args) => mute::run(args).await,
            Command::Address(args) => address::run(args).await,
            Command::Swap(args) => swap::run(args).await,
            Command::TestContact(args) => test_contact::run(args).await,
            Command::Heartbeat(args) => heartbeat::run(args).await,
        }
    })
}
