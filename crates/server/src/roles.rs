//! Azure's built-in roles, and the decision whether a role permits an action.
//!
//! Every endpoint names the action it stands for ([`crate::Endpoint::action`]), such as `Microsoft.SecurityInsights/incidents/write`. A role
//! definition lists patterns of actions; a role assignment grants a definition at a scope. Nothing is permitted that no definition lists.
//!
//! | actions | patterns that decide |
//! |---|---|
//! | of Azure's resource providers | `actions` without `notActions`, as Azure publishes them |
//! | data actions ([`DATA_ACTIONS`]) | `dataActions` without `notDataActions` |
//! | our own and the directory's ([`Plane::Own`]) | `own` without `not_own`, which are ours: Azure's `*` says nothing about them |
//!
//! Sources: learn.microsoft.com/azure/role-based-access-control/role-definitions and …/built-in-roles (2026-07-01).

mod areas;
mod builtin;
mod definition;
mod last_owner;
mod pattern;

pub use areas::{Area, area_of, areas};
pub use builtin::ROLE_DEFINITIONS;
pub use definition::{DATA_ACTIONS, Plane, RoleDefinition, definition, named};
pub use last_owner::{OwnerAssignment, is_last_owner};
pub use pattern::matches;

use crate::endpoint::Endpoint;

/// A built-in role's verdict on an endpoint; endpoints that need no role assignment permit everyone.
pub fn unlocks(definition: &RoleDefinition, endpoint: &Endpoint) -> bool {
    !endpoint.role.is_assigned() || definition.permits(endpoint.action)
}

#[cfg(test)]
mod tests;
