//! The binary: parses the command line and configuration, and composes all crates.

mod commands;
mod config;
mod reference;
mod service;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
