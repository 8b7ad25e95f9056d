//! Domain types and ports shared by all crates.
//!
//! Invariants: no access to clock, files, sockets or environment; no dependency on KQL, SQL or HTTP routes.

mod actor;
mod alert;
mod billing;
pub mod cef;
mod data_fault;
mod entity;
mod error;
mod health;
mod incident;
mod names;
mod ports;
mod register;
mod schema;
mod secret;
pub mod surrogates;
mod time;
mod types;
mod units;
mod zones;

pub use actor::Actor;
pub use alert::*;
pub use billing::is_billable;
pub use data_fault::{DataFault, MissingRows};
pub use entity::*;
pub use error::chain;
pub use health::{Condition, ConditionSeverity, HealthRegister};
pub use incident::*;
pub use names::*;
pub use ports::*;
pub use schema::*;
pub use secret::Secret;
pub use time::*;
pub use types::*;
pub use units::*;
pub use zones::{time_zone, time_zone_names};
