//! The shipped binary; everything is in the library, which `bartizan-dev` shares.

use std::process::ExitCode;

fn main() -> ExitCode {
    bartizan::run()
}
