//! The binary: reads the command line and the configuration, wires everything together. The only crate that knows everyone.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
