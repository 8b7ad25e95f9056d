//! `bartizan rules` — analytics rules: check and test files without a service, run one rule once, list those of the running service. Each
//! subcommand is one file in `rules/`.

mod check;
mod evaluate;
pub mod files;
pub mod fixtures;
mod list;
mod run;
mod test;
mod test_file;

use super::Outcome;

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan rules check rules/                               what is wrong, with file, line and column\n  bartizan rules check rules/ --schema tables.json --format sarif > rules.sarif\n  bartizan rules test rules/ --format junit > rules.xml     runs every *.test.yaml\n  bartizan rules run rules/brute-force.yaml --file SigninLogs.csv\n  bartizan rules list"
)]
pub enum Command {
    /// Check rule files without a service: fields, ranges, queries, mappings.
    Check(check::Args),
    /// Run the tests of rules: given rows, expected alerts.
    Test(test::Args),
    /// Run one rule once over a workspace or files and print its alerts; nothing is stored.
    Run(run::Args),
    /// List the rules of the running service.
    List(list::Args),
}

pub fn run(command: Command) -> Outcome {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => runtime()?.block_on(test::run(args)),
        Command::Run(args) => runtime()?.block_on(run::run(args)),
        Command::List(args) => runtime()?.block_on(list::run(args)),
    }
}
