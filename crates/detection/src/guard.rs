//! What is asked before a rule's query runs and told after it: the place for whatever must survive the death of the process while a rule
//! runs, such as a mark that keeps a query that crashed the service from being run again at the next start.

use crate::rule::AnalyticsRule;

/// Why a rule is not run now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Withheld(pub String);

/// Asked around every run of every rule. Must be quick: it is called on a thread of the runtime.
pub trait RunGuard: Send + Sync {
    /// The query is about to run. An error keeps the rule from running; it is reported like a failed run.
    fn before(&self, rule: &AnalyticsRule) -> Result<(), Withheld>;

    /// The query has ended, however it did, and the process is still there.
    fn after(&self, rule: &AnalyticsRule);
}

/// Lets every rule run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGuard;

impl RunGuard for NoGuard {
    fn before(&self, _: &AnalyticsRule) -> Result<(), Withheld> {
        Ok(())
    }

    fn after(&self, _: &AnalyticsRule) {}
}
