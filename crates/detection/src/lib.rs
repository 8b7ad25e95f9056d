//! Analytics rules: when they run, over which rows, and what alerts their answers are.
//!
//! | step | pure? | where |
//! |---|---|---|
//! | a rule from Microsoft's YAML or the API's JSON | yes | [`rule`], [`yaml`] |
//! | rule files → what changes in the store | yes | [`files`] |
//! | which windows are due | yes | [`schedule`] |
//! | rows → alerts | yes | [`alerts`] |
//! | which rules may begin now | yes | [`pool`] |
//! | how a run is reported in `SentinelHealth` | yes | [`health`] |
//! | a rule's runs: query, one transaction | no | [`job`] |
//! | the loop | no | [`task`] |
//!
//! Invariants: windows tile (docs/adr/0004); a run's alerts and the place where its rule stands are written in one transaction; what is
//! decided depends on nothing but the rule, the state and the instant.

pub mod alerts;
pub mod columns;
mod config;
pub mod entities;
pub mod files;
pub mod guard;
pub mod health;
pub mod job;
pub mod pool;
pub mod rule;
pub mod schedule;
pub mod task;
mod template;
pub mod yaml;

pub use config::DetectionConfig;
pub use guard::{NoGuard, RunGuard, Withheld};
pub use health::WorkspaceIds;
pub use rule::{AnalyticsRule, Kind, RuleError, Trigger};
pub use task::Detection;
pub use template::MAX_COLUMNS as MAX_FORMAT_COLUMNS;
