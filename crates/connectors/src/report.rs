//! How sources and destinations fare: one report each, written by the connector and its runner, read by the API and the health register.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Condition, ConditionSeverity, ConnectorRole, ConnectorState, ConnectorStatus, HealthRegister, Timestamp, chain};

/// Errors in a row after which a connector counts as failing.
const FAILING: u32 = 3;
/// Bytes of a position that are shown.
const SHOWN: usize = 500;

/// The report of one connector.
#[derive(Clone)]
pub struct Report {
    role: ConnectorRole,
    health: HealthRegister,
    status: Arc<Mutex<ConnectorStatus>>,
}

impl Report {
    pub fn new(role: ConnectorRole, id: &str, health: HealthRegister) -> Self {
        let status = ConnectorStatus { id: id.to_owned(), ..ConnectorStatus::default() };
        Self { role, health, status: Arc::new(Mutex::new(status)) }
    }

    pub fn status(&self) -> ConnectorStatus {
        self.lock().clone()
    }

    /// Changes what the report says beside errors: streams, sockets, whether a person paused it.
    pub fn set(&self, change: impl FnOnce(&mut ConnectorStatus)) {
        change(&mut self.lock());
    }

    /// Rows were stored or acknowledged.
    pub fn delivered(&self, rows: usize, dead: usize, position: Option<&[u8]>, now: Timestamp) {
        let mut status = self.lock();
        status.rows += rows as u64;
        status.dead += dead as u64;
        if rows > 0 {
            status.last_rows = Some(now);
        }
        if let Some(position) = position {
            status.position = Some(shown(position));
        }
    }

    /// The other side answered.
    pub fn well(&self) {
        let failing = {
            let mut status = self.lock();
            status.failures = 0;
            std::mem::replace(&mut status.state, ConnectorState::Running) == ConnectorState::Failing
        };
        if failing {
            let id = self.lock().id.clone();
            tracing::info!(connector = id, "the connector works again");
            self.health.clear(&self.condition(), &id);
        }
    }

    /// What it needs is not there, so that nothing goes on until a person acts.
    pub fn broken(&self, error: &(dyn std::error::Error + 'static)) {
        self.failed(error, FAILING);
    }

    /// The other side refused, or could not be reached, for the `failures`th time in a row.
    pub fn failed(&self, error: &(dyn std::error::Error + 'static), failures: u32) {
        let text = chain(error);
        let mut status = self.lock();
        status.failures = failures;
        status.last_error = Some(text.clone());
        if failures < FAILING || status.state == ConnectorState::Paused {
            return;
        }
        status.state = ConnectorState::Failing;
        let id = status.id.clone();
        drop(status);
        let role = self.role.name();
        let condition = Condition::new(&format!("{role}-failing"), id.clone(), ConditionSeverity::Degraded)
            .summary(format!("{role} `{id}` failed {failures} times in a row; it is tried again"))
            .action(format!("Run `bartizan {role}s test {id}` and correct what it names."));
        self.health.report(Condition { detail: text, ..condition });
    }

    /// Forgets errors: the connector was paused or removed.
    pub fn clear(&self) {
        let id = self.lock().id.clone();
        self.health.clear(&self.condition(), &id);
    }

    fn condition(&self) -> String {
        format!("{}-failing", self.role.name())
    }

    fn lock(&self) -> MutexGuard<'_, ConnectorStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A position as people read it.
pub fn shown(position: &[u8]) -> String {
    match std::str::from_utf8(position) {
        Ok(text) if text.len() <= SHOWN && !text.chars().any(char::is_control) => text.to_owned(),
        _ => {
            let mut hex = String::new();
            for byte in position.iter().take(SHOWN / 2) {
                let _ = write!(hex, "{byte:02x}");
            }
            format!("0x{hex}")
        }
    }
}
