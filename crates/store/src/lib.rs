//! Control state in SQLite (`D/state.db`): one file per aggregate, migrations, change feed. SQL exists only here.
//!
//! Reading goes through the aggregates ([`Store::incidents`] …), on connections that cannot write. Writing goes through a [`Change`]:
//! one transaction over any aggregates, serialized by the single writing connection, durable when [`Change::commit`] returns
//! (WAL, `synchronous=FULL`), after which the bells of what it touched ring. A change that is dropped never happened.

mod alerts;
mod analytics_rules;
mod app_registrations;
mod audit;
mod data_collection_rules;
mod database;
mod error;
mod incident_filter;
mod incident_parts;
mod incidents;
mod migrations;
mod outbox;
mod role_assignments;
mod topics;

pub use alerts::Alerts;
pub use analytics_rules::{AnalyticsRuleRecord, AnalyticsRules};
pub use app_registrations::{AppRegistration, AppRegistrations, ClientCertificate, ClientSecret};
pub use audit::{Audit, AuditEntry, Chain};
pub use data_collection_rules::{DataCollectionRuleRecord, DataCollectionRules};
pub use database::{Change, Store};
pub use error::StoreError;
pub use incident_filter::{Comparison, IncidentField, IncidentFilter, IncidentOrder, Operand};
pub use incident_parts::{IncidentParts, Part};
pub use incidents::{IncidentPage, Incidents};
pub use outbox::{Outbox, OutboxRow};
pub use role_assignments::{RoleAssignment, RoleAssignments};
pub use topics::Topic;
