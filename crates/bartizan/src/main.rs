//! The binary: reads the command line and the configuration, wires everything together. The only crate that knows everyone.

mod commands;
mod config;
mod reference;
mod service;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
