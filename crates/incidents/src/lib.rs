//! Correlates alerts to incidents: grouping, status and classification rules, comments and tasks, and the resulting table rows.
//!
//! Decisions are pure functions ([`place`], [`open`], [`join`], [`replace`], [`security_alert_row`] …); [`Incidents`] applies changes
//! requested by users, [`Correlation`] creates incidents from alerts, [`OutboxSender`] appends rows to the tables. The last two are
//! idempotent tasks that may be killed between any two steps.

mod changes;
mod correlation;
mod grouping;
mod opening;
mod outbox;
mod parts;
mod rows;
mod service;
mod tables;
mod waiting;

pub use changes::{ChangeError, Draft, replace};
pub use correlation::{Correlation, CorrelationReport};
pub use grouping::{Candidate, MAX_ALERTS, Placement, group_key, place};
pub use opening::{entities_of, join, open};
pub use outbox::{OutboxSender, SendError};
pub use parts::{IncidentPart, MAX_COMMENTS, MAX_MESSAGE, TaskDraft};
pub use rows::{RowError, batch};
pub use service::Incidents;
pub use tables::{
    WorkspaceFacts, extended_properties, security_alert_columns, security_alert_row, security_incident_columns, security_incident_row,
};
