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
    /// The service cannot do its work; it may recover by itself. `/readyz` answers 503.
    Failing,
    /// Only a new process helps: `/healthz` answers 503, so that a supervisor starts the service again.
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

/// Conditions kept at the same time; further ones are not.
pub const MAX_CONDITIONS: usize = 1_000;
/// Characters of a summary that anyone may read, and of a detail.
const MAX_SUMMARY: usize = 300;
const MAX_DETAIL: usize = 2_000;

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
    /// The error behind it, for readers of the workspace.
    #[serde(default)]
    pub detail: String,
    /// The summary holds no data and no paths: anyone who reaches the service may read it.
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

/// The conditions that hold now. Clones share the same register.
#[derive(Clone, Debug, Default)]
pub struct HealthRegister(Arc<Mutex<BTreeMap<(String, String), Condition>>>);

impl HealthRegister {
    /// Sets a condition; true where it was not set before.
    pub fn report(&self, condition: Condition) -> bool {
        let key = (condition.name.clone(), condition.subject.clone());
        let mut conditions = self.conditions_by_key();
        if conditions.len() >= MAX_CONDITIONS && !conditions.contains_key(&key) {
            return false;
        }
        conditions.insert(key, condition).is_none()
    }

    /// Sets a condition whose name says what it is about, such as `task.detection`, with a sentence that anyone may read.
    pub fn set(&self, name: &str, severity: ConditionSeverity, summary: impl Into<String>) {
        self.set_detail(name, severity, summary, "");
    }

    /// As [`Self::set`], with the error behind it for readers of the workspace.
    pub fn set_error(&self, name: &str, severity: ConditionSeverity, summary: impl Into<String>, cause: &dyn std::error::Error) {
        self.set_detail(name, severity, summary, crate::chain(cause));
    }

    /// As [`Self::set`], with a text for readers of the workspace.
    pub fn set_detail(&self, name: &str, severity: ConditionSeverity, summary: impl Into<String>, detail: impl Into<String>) {
        let cut = |text: String, limit: usize| -> String { text.chars().take(limit).collect() };
        let condition = Condition::new(name, "", severity).summary(cut(summary.into(), MAX_SUMMARY));
        self.report(Condition { detail: cut(detail.into(), MAX_DETAIL), open: true, ..condition });
    }

    /// Ends the condition of that name that has no subject; true where it was set.
    pub fn remove(&self, name: &str) -> bool {
        self.clear(name, "")
    }

    /// The condition of that name that has no subject.
    pub fn condition(&self, name: &str) -> Option<Condition> {
        self.conditions_by_key().get(&(name.to_owned(), String::new())).cloned()
    }

    /// Ends the conditions whose name begins with `prefix` and is refused by `keep`.
    pub fn retain(&self, prefix: &str, keep: impl Fn(&str) -> bool) {
        self.conditions_by_key().retain(|(name, _), _| !name.starts_with(prefix) || keep(name));
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
