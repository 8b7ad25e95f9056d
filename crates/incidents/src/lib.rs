//! Alerts to incidents: grouping, the rules of status and classification, comments and tasks, and the rows that tell of them.
//!
//! Decisions are pure functions ([`place`], [`open`], [`join`], [`replace`], [`security_alert_row`] …); [`Incidents`] makes the changes
//! that people ask for, [`Correlation`] makes incidents of alerts, [`OutboxSender`] brings the rows into the tables. The last two are
//! tasks: they may run at any time, any number of times, and be killed between any two steps.

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
