//! Vendors' event streams as local stand-ins: they speak to the service from outside, over its public API, with nothing but what
//! `connect.json` says.
//!
//! Invariant: nothing here shares parsing code with what it exercises.

mod client;
pub mod flare;
pub mod mailbox;
pub mod phone;
pub mod sophos;

pub use client::{Client, ClientError, Connection};
