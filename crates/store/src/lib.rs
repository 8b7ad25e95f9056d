//! Control state in SQLite (`D/state.db`): one file per aggregate, migrations, change feed. All SQL is in this crate.
//!
//! Reads go through the aggregates ([`Store::incidents`] …), on read-only connections. Writes go through a [`Change`]: one transaction over
//! any aggregates, serialised by the single writing connection and durable when [`Change::commit`] returns (WAL, `synchronous=FULL`), which
//! then notifies the listeners of changed topics. A change that is dropped is rolled back.

mod accounts;
mod alert_responses;
mod alerts;
mod analytics_rules;
mod app_registrations;
mod audit;
mod data_collection_rules;
mod database;
mod error;
mod escalations;
mod groups;
mod heartbeats;
mod incident_filter;
mod incident_parts;
mod incidents;
mod migrations;
mod oncall_objects;
mod opt_outs;
mod outbox;
mod pages;
mod recover;
mod role_assignments;
mod rule_files;
mod sessions;
mod topics;
mod wal;

pub use accounts::{Account, Accounts, name_key};
pub use alert_responses::{AlertResponseRow, AlertResponses};
pub use alerts::Alerts;
pub use analytics_rules::{AnalyticsRuleRecord, AnalyticsRules};
pub use app_registrations::{AppRegistration, AppRegistrations, ClientCertificate, ClientSecret};
pub use audit::{Audit, AuditEntry, AuditFilter, AuditRow, Chain, Fault, verify_in};
pub use data_collection_rules::{DataCollectionRuleRecord, DataCollectionRules};
pub use database::{Change, Store};
pub use error::StoreError;
pub use escalations::{EscalationRow, Escalations, WishRow};
pub use groups::{Group, Groups};
pub use heartbeats::{HeartbeatRow, Heartbeats};
pub use incident_filter::{Comparison, Fold, IncidentField, IncidentFilter, IncidentList, IncidentOrder, Operand};
pub use incident_parts::{IncidentParts, Part};
pub use incidents::{IncidentPage, Incidents};
pub use oncall_objects::{OnCallObject, OnCallObjects};
pub use opt_outs::OptOuts;
pub use outbox::{Outbox, OutboxRow};
pub use pages::{PageFilter, PageRow, Pages};
pub use recover::copy_beside;
pub use role_assignments::{RoleAssignment, RoleAssignments};
pub use rule_files::{RuleFile, RuleFiles};
pub use sessions::{Session, Sessions};
pub use topics::Topic;
