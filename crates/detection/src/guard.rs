//! Hooks around the run of a rule's query, for state that must survive a crash of the process during the run, such as a mark that keeps a
//! crashing query from running again at the next start.

use crate::rule::AnalyticsRule;

/// Why a rule must not run now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Withheld(pub String);

/// Called around every run of every rule. Must be fast: it is called on a runtime thread.
pub trait RunGuard: Send + Sync {
    /// Called before the query runs. An error prevents the run and is reported like a failed run.
    fn before(&self, rule: &AnalyticsRule) -> Result<(), Withheld>;

    /// Called after the query ended, successfully or not.
    fn after(&self, rule: &AnalyticsRule);
}

/// Allows every rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGuard;

impl RunGuard for NoGuard {
    fn before(&self, _: &AnalyticsRule) -> Result<(), Withheld> {
        Ok(())
    }

    fn after(&self, _: &AnalyticsRule) {}
}
