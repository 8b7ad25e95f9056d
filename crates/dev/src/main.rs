//! `bartizan-dev`: what runs the conformance cases, compares the ways of running queries and writes the reference. Not shipped, so that
//! `testkit` is not linked into the binary that people run.

mod case;
mod paths;
mod reference;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Commands for people who work on Bartizan.
#[derive(Parser)]
#[command(name = "bartizan-dev", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the literate conformance cases.
    Case(case::Args),
    /// Compare the ways of running generated queries.
    Paths(paths::Args),
    /// Write the generated pages of the reference.
    Reference(reference::Args),
}

fn main() -> ExitCode {
    bartizan::run_command(|| match Cli::parse().command {
        Command::Case(args) => case::run(args),
        Command::Paths(args) => paths::run(args),
        Command::Reference(args) => reference::run(args),
    })
}
