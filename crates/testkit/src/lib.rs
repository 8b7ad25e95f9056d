//! What tests share: the runner of literate cases, queries made at random, and a disk that forgets what was not synced.
//!
//! Invariant: nothing here is used while serving; `bartizan case` and `bartizan paths` are the only commands that use it.

pub mod cases;
pub mod plans;

mod disk;

pub use disk::{Fault, Random, SimDisk};
