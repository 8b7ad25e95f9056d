//! Simulators of external systems. They use the service's public API only, with the content of `connect.json`.
//!
//! Invariant: nothing here shares parsing code with the code under test.

mod client;
pub mod flare;
pub mod mailbox;
pub mod phone;
pub mod sophos;

pub use client::{Client, ClientError, Connection};
