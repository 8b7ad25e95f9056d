//! What tests share: the runner of literate cases, and a disk that forgets what was not synced.
//!
//! Invariant: nothing here is used while serving; `bartizan case` is the only command that links it.

pub mod cases;

mod disk;

pub use disk::{Fault, Random, SimDisk};
