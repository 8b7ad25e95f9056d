//! What tests share: the runner of literate cases, queries made at random, a disk that forgets what was not synced, and a clock moved by hand.
//!
//! Invariant: not linked into `bartizan`; `bartizan-dev` and tests are the only users.

pub mod cases;
pub mod plans;

mod clock;
mod disk;

pub use clock::HandClock;
pub use disk::{Fault, Random, SimDisk};
