//! `bartizan roles` — who may do what: role assignments of the running service, and what roles unlock. Each subcommand is one file in
//! `roles/`.

mod assign;
mod explain;
mod list;
mod principals;
mod revoke;
mod scope;

use super::Outcome;

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan roles list\n  bartizan roles assign 'Microsoft Sentinel Responder' --principal flare\n  bartizan roles assign 'Monitoring Metrics Publisher' --principal flare --scope group\n  bartizan roles revoke 'Monitoring Metrics Publisher' --principal flare\n  bartizan roles explain 'Log Analytics Reader'\n  bartizan roles explain --principal flare"
)]
pub enum Command {
    /// List role assignments, or the roles that can be assigned.
    List(list::Args),
    /// Give a principal a role at a scope.
    Assign(assign::Args),
    /// Take a role away.
    Revoke(revoke::Args),
    /// Say what a role unlocks here, or what a principal may do and why.
    Explain(explain::Args),
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list::run(args).await,
            Command::Assign(args) => assign::run(args).await,
            Command::Revoke(args) => revoke::run(args).await,
            Command::Explain(args) => explain::run(args).await,
        }
    })
}
