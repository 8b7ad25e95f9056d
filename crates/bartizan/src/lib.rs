//! The binary as a library: reads the command line and the configuration, wires everything together. The only crate, apart from `dev`, that
//! knows everyone.

mod commands;
mod config;
mod reference;
mod service;

pub use commands::{Failure, Outcome, cells, error_code, run, run_command};
pub use reference::PAGES;
