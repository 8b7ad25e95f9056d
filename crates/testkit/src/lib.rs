//! What tests share: the runner of literate cases, queries made at random, and a disk that forgets what was not synced.
//!
//! Invariant: not linked into `bartizan`; `bartizan-dev` and tests are the only users.

pub mod cases;
pub mod plans;

mod disk;

pub use disk::{Fault, Random, SimDisk};
