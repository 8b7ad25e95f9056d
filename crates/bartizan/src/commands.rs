//! The command line. Each command is one file here and one line in [`Command`].
//!
//! Exit codes: 0 success, 1 the input is invalid, 2 the command could not run.

mod audit;
mod backup;
mod client;
mod connectors;
mod demo;
mod doctor;
mod documents;
mod groups;
mod incidents;
mod ingest;
mod kql_check;
mod kql_run;
mod login;
mod lsp;
mod oncall;
mod output;
mod prompt;
mod published;
mod query;
mod report;
mod restore;
mod roles;
mod rules;
mod service;
mod session_file;
mod shell;
mod tables;
mod up;
mod users;

use std::process::ExitCode;

pub use kql_run::code as error_code;
pub use query::cells;
pub use up::set_log_filter;

use clap::{Parser, Subcommand};

/// The Sentinel you can run on your own machine.
#[derive(Parser)]
#[command(
    name = "bartizan",
    version,
    after_help = "Examples:\n  bartizan up                                    start the service; ready when GET /healthz answers 200\n  bartizan query 'SecurityIncident | take 10'    ask the running service\n  bartizan query --file signins.csv 'signins | summarize count() by User'\n  bartizan shell --file 'logs/*.parquet'         ask one question after the other\n  bartizan lsp                                   the language server, for editors\n  bartizan kql check --jsonl --schema tables.json < queries.jsonl"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the service.
    Up(up::Args),
    /// Start the service with a sample stream, sample rules and a story on the terminal.
    Demo(demo::Args),
    /// Ask a KQL question of a workspace or of files.
    Query(query::Args),
    /// Ask questions one after the other, with completion and history.
    Shell(shell::Args),
    /// Serve editors over the Language Server Protocol on standard input and output.
    Lsp(lsp::Args),
    /// Load files into a table of the running service.
    Ingest(ingest::Args),
    /// Analytics rules: check and test files without a service, run one, list those of the service.
    #[command(subcommand)]
    Rules(rules::Command),
    /// List, show, open, take, close and reopen incidents.
    #[command(subcommand)]
    Incidents(incidents::Command),
    /// Where records come from: state, position, pause, resume, rewind, test.
    #[command(
        subcommand,
        after_help = "Examples:\n  bartizan sources list\n  bartizan sources show syslog/firewalls\n  bartizan sources pause firewalls\n  bartizan sources test firewalls"
    )]
    Sources(connectors::Command),
    /// Where rows are sent on: state, position, pause, resume, rewind, test.
    #[command(
        subcommand,
        after_help = "Examples:\n  bartizan destinations list\n  bartizan destinations test archive\n  bartizan destinations rewind archive"
    )]
    Destinations(connectors::Command),
    /// Check documents: tables, rules, functions, schedules and everything else that the service keeps.
    Check(documents::check::Args),
    /// Show what applying documents would change.
    Diff(documents::diff::Args),
    /// Make the configuration of the running service what documents say: all of it, or nothing.
    Apply(documents::apply::Args),
    /// Print the configuration as a document that can be applied again.
    Export(documents::export::Args),
    /// Who may do what: role assignments, and what roles unlock.
    #[command(subcommand)]
    Roles(roles::Command),
    /// Who changed what: list the audit trail, verify its chain.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Schedules as code, who is on call, and answers to pages.
    #[command(subcommand)]
    Oncall(oncall::Command),
    /// Sign in as a person; other commands use the session where connect.json cannot be read.
    Login(login::Args),
    /// End the session of `bartizan login`.
    Logout,
    /// The people who may sign in: list, show, add, disable, enable, remove, reset.
    #[command(subcommand)]
    Users(users::Command),
    /// Groups of people: list, add, remove, members.
    #[command(subcommand)]
    Groups(groups::Command),
    /// Run or check KQL in bulk.
    #[command(subcommand)]
    Kql(Kql),
    /// Say what is wrong with a service or a data directory.
    Doctor(doctor::Args),
    /// Copy a data directory into a new folder, also while its service runs.
    Backup(backup::Args),
    /// Put a backup into an empty data directory, after checking every file of it.
    Restore(restore::Args),
    /// How much the tables of a running service hold.
    #[command(subcommand)]
    Tables(tables::Command),
    /// Print completion for a shell.
    #[command(
        after_help = "Examples:\n  bartizan completion bash > ~/.local/share/bash-completion/completions/bartizan\n  bartizan completion zsh > ~/.zfunc/_bartizan\n  bartizan completion fish > ~/.config/fish/completions/bartizan.fish"
    )]
    Completion { shell: clap_complete::Shell },
}

#[derive(Subcommand)]
enum Kql {
    /// Answer one query a line of standard input.
    Run(kql_run::Args),
    /// Say what is wrong with queries, in files or one a line of standard input, without running them.
    Check(kql_check::Args),
}

/// Failure of a command.
pub enum Failure {
    /// The input is invalid: exit code 1.
    Wrong(String),
    /// The command could not run: exit code 2.
    Broken(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Broken(error.into())
    }
}

pub type Outcome = Result<(), Failure>;

/// The commands with their arguments, for the reference documentation.
pub fn definition() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The program `bartizan`.
pub fn run() -> ExitCode {
    run_command(dispatch)
}

/// Runs one command as a process does: installs TLS, prints what went wrong, and returns the exit code.
pub fn run_command(command: impl FnOnce() -> Outcome) -> ExitCode {
    // Both ring and aws-lc-rs are linked (object_store brings the former): the process says which one it means.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    end_when_output_is_closed();
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Wrong(message)) => {
            if !message.is_empty() {
                eprintln!("{message}");
            }
            ExitCode::from(1)
        }
        // The reader of our output has what it wanted: `bartizan query … | head`.
        Err(Failure::Broken(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Broken(error)) => {
            eprintln!("error: {}", model::chain(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

fn dispatch() -> Outcome {
    match Cli::parse().command {
        Command::Up(args) => up::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Query(args) => query::run(args),
        Command::Shell(args) => shell::run(args),
        Command::Lsp(args) => lsp::run(args),
        Command::Ingest(args) => ingest::run(args),
        Command::Rules(command) => rules::run(command),
        Command::Incidents(command) => incidents::run(command),
        Command::Check(args) => documents::run(documents::check::run(args)),
        Command::Diff(args) => documents::run(documents::diff::run(args)),
        Command::Apply(args) => documents::run(documents::apply::run(args)),
        Command::Export(args) => documents::run(documents::export::run(args)),
        Command::Sources(command) => connectors::run(model::ConnectorRole::Source, command),
        Command::Destinations(command) => connectors::run(model::ConnectorRole::Destination, command),
        Command::Roles(command) => roles::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Oncall(command) => oncall::run(command),
        Command::Login(args) => login::login(args),
        Command::Logout => login::logout(),
        Command::Users(command) => users::run(command),
        Command::Groups(command) => groups::run(command),
        Command::Kql(Kql::Run(args)) => kql_run::run(args),
        Command::Kql(Kql::Check(args)) => kql_check::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Tables(command) => tables::run(command),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "bartizan", &mut script);
            std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(Failure::from)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe))
}

/// Exits quietly when `println!` panics because standard output is closed.
fn end_when_output_is_closed() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(0);
        }
        report(panic);
    }));
}
