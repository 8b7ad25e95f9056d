//! The built-in roles, by Azure's categories. Only those that unlock something here or that set-up guides of Sentinel ask for.

mod general;
mod monitor;
mod sentinel;

use super::definition::RoleDefinition;

/// The built-in roles that can be assigned.
pub static ROLE_DEFINITIONS: &[&RoleDefinition] = &[
    &general::OWNER,
    &general::CONTRIBUTOR,
    &general::READER,
    &general::USER_ACCESS_ADMINISTRATOR,
    &sentinel::READER,
    &sentinel::RESPONDER,
    &sentinel::CONTRIBUTOR,
    &sentinel::AUTOMATION_CONTRIBUTOR,
    &sentinel::PLAYBOOK_OPERATOR,
    &monitor::LOG_ANALYTICS_READER,
    &monitor::LOG_ANALYTICS_CONTRIBUTOR,
    &monitor::READER,
    &monitor::CONTRIBUTOR,
    &monitor::METRICS_PUBLISHER,
];

/// Everything of ours that a reader of all resources sees. The directory is included, as in Entra, where every member may read it.
const READ_OWN: &[&str] = &["Bartizan/*/read", "microsoft.directory/*/read"];

/// Managing people, sessions and tenants is for owners; every such action is named `Bartizan/access/…`, so that no wildcard of
/// another role includes one by accident.
const ACCESS: &[&str] = &["Bartizan/access/*"];
