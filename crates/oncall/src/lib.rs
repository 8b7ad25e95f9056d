//! On-call paging: who is notified when an incident opens, over which channels, and how answers are processed.
//!
//! ```text
//! incident ─► alert policies ─► escalation ─► steps ─► who (schedules, overrides) ─► each person's rules ─► pages ─► channels
//!                                   ▲                                                                                 │
//!                                   └──────────────── answers: link, CLI, API, e-mail, SMS, voice ◄───────────────────┘
//! ```
//!
//! Decisions are pure functions of the directory (the applied configuration), the state (events so far) and the time; background tasks
//! carry them out. A page is recorded before it is sent, under an idempotency key that is the same for every attempt.

pub mod addresses;
pub mod answer;
pub mod answers;
pub mod channel;
pub mod check;
mod compose;
pub mod compute;
pub mod conditions;
pub mod desk;
pub mod directory;
pub mod document;
pub mod escalation;
pub mod guard;
pub mod heartbeats;
pub mod inbound;
pub mod invariants;
mod ledger;
pub mod links;
pub mod message;
pub mod objects;
pub mod paging;
mod post;
pub mod records;
pub mod replay;
pub mod schedule;
pub mod sending;
pub mod service;
pub mod settings;
pub mod story;
pub mod texts;
mod waiting;
pub mod when;
pub mod wishes;
pub mod world;

pub mod channels;

pub use service::{OnCall, Parts};
pub use settings::OnCallConfig;
