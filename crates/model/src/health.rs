//! What is wrong with the service at this moment, as its parts report it.
//!
//! A part reports a condition under a name and clears it when it is over. The register keeps what holds now, not a history: `/healthz`,
//! `/readyz` and `bartizan doctor` read it. Names are listed in `docs/reference/health.md`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How much a condition matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionSeverity {
    /// Something was repaired or changed; a person should know, nothing is lost.
    Notice,
    /// Part of the service or of its data is missing; the rest is served.
    Degraded,
    /// The service cannot do its work.
    Failing,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What kind it is, such as `data-file-damaged`.
    pub name: String,
    /// Which one of its kind, such as a file's path inside the data directory. Empty where there can be only one.
    pub subject: String,
    pub severity: ConditionSeverity,
    /// What is wrong and what it costs.
    pub summary: String,
    /// What a person should do.
    pub action: String,
}

impl Condition {
    pub fn new(name: &str, subject: impl Into<String>, severity: ConditionSeverity) -> Self {
        Self { name: name.to_owned(), subject: subject.into(), severity, summary: String::new(), action: String::new() }
    }

    #[must_use]
    pub fn summary(mut self, text: impl Into<String>) -> Self {
        self.summary = text.into();
        self
    }

    #[must_use]
    pub fn action(mut self, text: impl Into<String>) -> Self {
        self.action = text.into();
        self
    }
}

/// The conditions that hold now. Clones share the same register.
#[derive(Clone, Debug, Default)]
pub struct HealthRegister(Arc<Mutex<BTreeMap<(String, String), Condition>>>);

impl HealthRegister {
    /// Sets a condition; true where it was not set before.
    pub fn report(&self, condition: Condition) -> bool {
        let key = (condition.name.clone(), condition.subject.clone());
        self.conditions_by_key().insert(key, condition).is_none()
    }

    /// Ends a condition; true where it was set.
    pub fn clear(&self, name: &str, subject: &str) -> bool {
        self.conditions_by_key().remove(&(name.to_owned(), subject.to_owned())).is_some()
    }

    /// All conditions, by name and subject.
    pub fn conditions(&self) -> Vec<Condition> {
        self.conditions_by_key().values().cloned().collect()
    }

    /// The worst severity of all conditions; nothing where there are none.
    pub fn worst(&self) -> Option<ConditionSeverity> {
        self.conditions_by_key().values().map(|condition| condition.severity).max()
    }

    fn conditions_by_key(&self) -> MutexGuard<'_, BTreeMap<(String, String), Condition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_until_it_is_cleared() {
        let health = HealthRegister::default();
        let full = || Condition::new("disk-full", "", ConditionSeverity::Degraded).summary("the disk is full");
        assert!(health.report(full()) && !health.report(full()));
        health.report(Condition::new("data-file-damaged", "a", ConditionSeverity::Notice));
        assert_eq!(health.worst(), Some(ConditionSeverity::Degraded));
        assert!(health.clone().clear("disk-full", "") && !health.clear("disk-full", ""));
        assert_eq!(health.conditions().len(), 1);
        assert_eq!(health.worst(), Some(ConditionSeverity::Notice));
    }
}
