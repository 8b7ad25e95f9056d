//! Analytics rules: scheduling, query windows, and alerts from results.
//!
//! | step | pure? | where |
//! |---|---|---|
//! | a rule from Microsoft's YAML or the API's JSON | yes | [`rule`], [`yaml`] |
//! | rule files → what changes in the store | yes | [`files`] |
//! | due windows | yes | [`schedule`] |
//! | rows → alerts | yes | [`alerts`] |
//! | concurrency limits | yes | [`pool`] |
//! | run reports in `SentinelHealth` | yes | [`health`] |
//! | a rule's runs: query, one transaction | no | [`job`] |
//! | the loop | no | [`task`] |
//!
//! Invariants: windows tile (docs/adr/0004); a run's alerts and the rule's run state are written in one transaction; decisions depend only
//! on the rule, the state and the time.

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
