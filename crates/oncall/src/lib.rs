//! On call: who is reached when an incident opens, how, and what they answer.
//!
//! ```text
//! incident ─► alert policies ─► escalation ─► steps ─► who (schedules, overrides) ─► each person's rules ─► pages ─► channels
//!                                   ▲                                                                                 │
//!                                   └──────────────── answers: link, CLI, API, e-mail, SMS, voice ◄───────────────────┘
//! ```
//!
//! What to do is decided in pure functions of the directory (what was applied), the state (what happened so far) and the time; tasks
//! act on it. A page is recorded before it is sent, under a key that stays the same however often it is tried.

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
