//! Analytics rules: when they run, over which rows, and what alerts their answers are.
//!
//! | step | pure? | where |
//! |---|---|---|
//! | a rule from Microsoft's YAML or the API's JSON | yes | [`rule`], [`yaml`] |
//! | which windows are due | yes | [`schedule`] |
//! | rows → alerts | yes | [`alerts`] |
//! | the loop: state, query, one transaction | no | [`task`] |
//!
//! Invariants: windows tile (docs/adr/0004); a run's alerts and the place where its rule stands are written in one transaction; what is
//! decided depends on nothing but the rule, the state and the instant.

pub mod alerts;
pub mod entities;
pub mod rule;
pub mod schedule;
pub mod task;
mod template;
pub mod yaml;

pub use rule::{AnalyticsRule, Kind, RuleError, Trigger};
pub use task::Detection;
pub use template::MAX_COLUMNS as MAX_FORMAT_COLUMNS;
