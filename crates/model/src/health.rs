//! Health conditions reported by the parts of the service.
//!
//! A part reports a condition under a name and clears it when it is over. The register has current conditions only, no history. `/healthz`,
//! `/readyz` and `bartizan doctor` read it. Names are listed in `docs/reference/health.md`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Severity of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionSeverity {
    /// Something was repaired or changed without loss; an operator should know.
    Notice,
    /// Part of the service or of its data is unavailable; the rest works.
    Degraded,
    /// The service cannot do its work, but may recover by itself. `/readyz` returns 503.
    Failing,
    /// Only a restart helps: `/healthz` returns 503, so that a supervisor restarts the service.
    Broken,
}

impl ConditionSeverity {
    pub fn name(self) -> &'static str {
        match self {
            ConditionSeverity::Notice => "notice",
            ConditionSeverity::Degraded => "degraded",
            ConditionSeverity::Failing => "failing",
            ConditionSeverity::Broken => "broken",
        }
    }
}

/// Maximum conditions; further ones are dropped.
pub const MAX_CONDITIONS: usize = 1_000;
/// Maximum characters of a public summary, and of a detail.
const MAX_SUMMARY: usize = 300;
const MAX_DETAIL: usize = 2_000;

/// An active condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The kind of condition, such as `data-file-damaged`.
    pub name: String,
    /// The affected object, such as a path inside the data directory. Empty if there can be only one.
    pub subject: String,
    pub severity: ConditionSeverity,
    /// The problem and its impact.
    pub summary: String,
    /// What the operator should do.
    pub action: String,
    /// The underlying error, for readers of the workspace.
    #[serde(default)]
    pub detail: String,
    /// Whether the summary contains no data or paths and may be shown without authentication.
    #[serde(skip)]
    pub open: bool,
}

impl Condition {
    pub fn new(name: &str, subject: impl Into<String>, severity: ConditionSeverity) -> Self {
        Self {
            name: name.to_owned(),
            subject: subject.into(),
            severity,
            summary: String::new(),
            action: String::new(),
            detail: String::new(),
            open: false,
        }
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

/// The active conditions. Clones share the same register.
#[derive(Clone, Debug, Default)]
pub struct HealthRegister(Arc<Mutex<BTreeMap<(String, String), Condition>>>);

impl HealthRegister {
    /// Sets a condition; returns true if it was not set before.
    pub fn report(&self, condition: Condition) -> bool {
        let key = (condition.name.clone(), condition.subject.clone());
        let mut conditions = self.conditions_by_key();
        if conditions.len() >= MAX_CONDITIONS && !conditions.contains_key(&key) {
            return false;
        }
        conditions.insert(key, condition).is_none()
    }

    /// Sets a condition without subject, such as `task.detection`, with a public summary.
    pub fn set(&self, name: &str, severity: ConditionSeverity, summary: impl Into<String>) {
        self.set_detail(name, severity, summary, "");
    }

    /// As [`Self::set`], with the underlying error for readers of the workspace.
    pub fn set_error(&self, name: &str, severity: ConditionSeverity, summary: impl Into<String>, cause: &dyn std::error::Error) {
        self.set_detail(name, severity, summary, crate::chain(cause));
    }

    /// As [`Self::set`], with a detail for readers of the workspace.
    pub fn set_detail(&self, name: &str, severity: ConditionSeverity, summary: impl Into<String>, detail: impl Into<String>) {
        let cut = |text: String, limit: usize| -> String { text.chars().take(limit).collect() };
        let condition = Condition::new(name, "", severity).summary(cut(summary.into(), MAX_SUMMARY));
        self.report(Condition { detail: cut(detail.into(), MAX_DETAIL), open: true, ..condition });
    }

    /// Clears the condition with that name and no subject; returns true if it was set.
    pub fn remove(&self, name: &str) -> bool {
        self.clear(name, "")
    }

    /// The condition with that name and no subject.
    pub fn condition(&self, name: &str) -> Option<Condition> {
        self.conditions_by_key().get(&(name.to_owned(), String::new())).cloned()
    }

    /// Clears conditions whose name starts with `prefix`, except those for which `keep` returns true.
    pub fn retain(&self, prefix: &str, keep: impl Fn(&str) -> bool) {
        self.conditions_by_key().retain(|(name, _), _| !name.starts_with(prefix) || keep(name));
    }

    /// Clears a condition; returns true if it was set.
    pub fn clear(&self, name: &str, subject: &str) -> bool {
        self.conditions_by_key().remove(&(name.to_owned(), subject.to_owned())).is_some()
    }

    /// All conditions, by name and subject.
    pub fn conditions(&self) -> Vec<Condition> {
        self.conditions_by_key().values().cloned().collect()
    }

    /// The highest severity of all conditions; `None` if there are none.
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
