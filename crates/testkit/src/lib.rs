//! Test utilities: the runner of literate cases, a random query generator, and a simulated disk.
//!
//! Invariant: not used while serving; `bartizan case` and `bartizan paths` are the only commands that use it.

pub mod cases;
pub mod plans;

mod disk;

pub use disk::{Fault, Random, SimDisk};
