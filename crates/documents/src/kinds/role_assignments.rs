//! `role_assignments`: what applications may do. Assignments of the service's own application are no part of documents.
//!
//! Ids of the subscription are left out of scopes, so that a document is meant for any service.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{RoleAssignment as Record, StoreError};

use super::applications;
use crate::check::Findings;
use crate::cloud::Cloud;
use crate::error::ApplyError;
use crate::kind::{Access, Cache, Kind, Level, Stored, Writing};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::scopes;
use crate::stored::World;
use crate::writes::{self, By};

pub static KIND: RoleAssignments = RoleAssignments;
pub type Body = RoleAssignment;

/// A scope that names a data collection rule as documents do.
const RULE: &str = "data_collection_rules.";

/// A role of an application.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignment {
    /// Name of one of Azure's roles. Example: `Monitoring Metrics Publisher`.
    pub role: String,
    /// Name of an application, or the object id of its service principal.
    pub principal: String,
    /// `subscription`, `resource_group`, `workspace`, `data_collection_rules.NAME`, or a resource id; the first three may be followed by the
    /// rest of one.
    pub scope: String,
}

/// The resource id of a scope.
fn resolve(cloud: &Cloud, scope: &str) -> Result<String, Refusal> {
    if let Some(rule) = scope.strip_prefix(RULE) {
        return scopes::canonical(cloud, &cloud.rule_path(rule));
    }
    let (word, rest) = scope.find('/').map_or((scope, ""), |at| scope.split_at(at));
    let base = match word {
        "subscription" => cloud.subscription_path(),
        "resource_group" => cloud.group_path(),
        "workspace" => cloud.workspace_path(),
        _ => return scopes::canonical(cloud, scope),
    };
    scopes::canonical(cloud, &format!("{base}{rest}"))
}

/// The shortest form of a resource id.
fn short(cloud: &Cloud, id: &str) -> String {
    let below = |base: String| -> Option<&str> {
        let rest = id.get(base.len()..).filter(|_| id[..base.len()].eq_ignore_ascii_case(&base))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    };
    if let Some(rule) = below(cloud.rule_path("").trim_end_matches('/').to_owned()).and_then(|rest| rest.strip_prefix('/'))
        && !rule.contains('/')
    {
        return format!("{RULE}{rule}");
    }
    let words =
        [("workspace", cloud.workspace_path()), ("resource_group", cloud.group_path()), ("subscription", cloud.subscription_path())];
    let found = words.into_iter().find_map(|(word, base)| below(base).map(|rest| format!("{word}{rest}")));
    found.unwrap_or_else(|| id.to_owned())
}

fn read(body: &Value) -> Option<RoleAssignment> {
    serde_json::from_value(body.clone()).ok()
}

fn body_of(world: &World, record: &Record, names: &BTreeMap<&str, &str>) -> Value {
    json!(RoleAssignment {
        role: world.role(&record.definition_id).map_or_else(|| record.definition_id.clone(), |role| role.name.to_owned()),
        principal: names.get(record.principal_id.as_str()).map_or_else(|| record.principal_id.clone(), |name| (*name).to_owned()),
        scope: short(&world.cloud, &record.scope),
    })
}

pub struct RoleAssignments;

#[async_trait]
impl Kind for RoleAssignments {
    fn name(&self) -> &'static str {
        "role_assignments"
    }

    fn singular(&self) -> &'static str {
        "role assignment"
    }

    fn summary(&self) -> &'static str {
        "What applications may do"
    }

    fn access(&self) -> Access {
        Access {
            level: Level::Tenant,
            read: "Microsoft.Authorization/roleAssignments/read",
            write: "Microsoft.Authorization/roleAssignments/write",
            delete: "Microsoft.Authorization/roleAssignments/delete",
            owner: true,
        }
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        let Some(state) = &world.state else { return Ok(Vec::new()) };
        let principals = applications::principals(world).await?;
        let names: BTreeMap<&str, &str> = principals.iter().map(|(name, id)| (id.as_str(), name.as_str())).collect();
        // Principals are applications, so what is left out belongs to the service's own.
        let records = state.store.role_assignments().list().await?;
        let records = records.iter().filter(|record| names.contains_key(record.principal_id.as_str()));
        Ok(records.map(|record| Stored::of(&record.name, body_of(world, record, &names))).collect())
    }

    async fn settle(&self, world: &World, _: &str, _: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        let Some(mut assignment) = read(&wanted) else { return Ok(wanted) };
        if let Some(role) = world.role(&assignment.role) {
            role.name.clone_into(&mut assignment.role);
        }
        if let Ok(id) = resolve(&world.cloud, &assignment.scope) {
            assignment.scope = short(&world.cloud, &id);
        }
        let principals = applications::principals(world).await?;
        if let Some((name, _)) = principals.iter().find(|(_, id)| id.eq_ignore_ascii_case(&assignment.principal)) {
            name.clone_into(&mut assignment.principal);
        }
        Ok(json!(assignment))
    }

    async fn check(&self, plan: &Plan<'_>, found: &mut Findings) {
        for (name, body) in plan.wanted.of("role_assignments") {
            let (path, Some(assignment)) = (format!("role_assignments.{name}"), read(body)) else { continue };
            if plan.world.role(&assignment.role).is_none() {
                let roles = plan.world.roles.iter().map(|role| role.name);
                found.missing(format!("{path}.role"), "role", &assignment.role, roles);
            }
            match resolve(&plan.world.cloud, &assignment.scope) {
                Err(refusal) => found.add(
                    format!("{path}.scope"),
                    refusal.message.trim_end_matches('.'),
                    "Write `subscription`, `resource_group`, `workspace` or `data_collection_rules.NAME`",
                ),
                Ok(_) => {
                    if let Some(rule) = assignment.scope.strip_prefix(RULE)
                        && !plan.after("data_collection_rules").any(|(known, _)| known.eq_ignore_ascii_case(rule))
                    {
                        let rules = plan.after("data_collection_rules").map(|(name, _)| name);
                        found.missing(format!("{path}.scope"), "data collection rule", rule, rules);
                    }
                }
            }
            if !plan.will_be("applications", &assignment.principal) {
                let names = plan.after("applications").map(|(name, _)| name);
                found.missing(format!("{path}.principal"), "application", &assignment.principal, names);
            }
        }
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, before: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        let shape = |problem: String| ApplyError::Shape { path: format!("role_assignments.{name}"), problem, help: String::new() };
        let assignment = read(after).ok_or_else(|| shape("the assignment cannot be read".to_owned()))?;
        let role = at.world.role(&assignment.role).ok_or_else(|| shape(format!("there is no role `{}`", assignment.role)))?;
        let scope = resolve(&at.world.cloud, &assignment.scope).map_err(|refusal| shape(refusal.message))?;
        let by = By { actor: at.actor, at: at.now };
        if before.is_some() {
            // Assignments are immutable.
            writes::delete_role_assignment(at.change, name, by).await?;
        }
        let record = Record {
            name: name.to_owned(),
            scope,
            definition_id: role.id.to_owned(),
            principal_id: at.principals.get(&assignment.principal).cloned().unwrap_or(assignment.principal),
            created: at.now,
            created_by: at.actor.name.clone(),
        };
        Ok(writes::add_role_assignment(at.change, &record, by).await?)
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, _: &Value) -> Result<(), ApplyError> {
        writes::delete_role_assignment(at.change, name, By { actor: at.actor, at: at.now }).await?;
        Ok(())
    }

    fn cache(&self) -> Option<Cache> {
        Some(Cache::Grants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_without_the_ids_of_a_service() {
        let cloud = Cloud {
            subscription_id: "s1".into(),
            resource_group: "g".into(),
            workspace_name: "w".into(),
            workspace_id: "id".into(),
            location: "local".into(),
        };
        for scope in [
            "subscription",
            "resource_group",
            "workspace",
            "data_collection_rules.web",
            "resource_group/providers/Microsoft.X/things/t",
            "workspace/providers/Microsoft.SecurityInsights/incidents/1",
        ] {
            let id = resolve(&cloud, scope).unwrap();
            assert!(id.starts_with("/subscriptions/s1"), "{id}");
            assert_eq!(short(&cloud, &id), scope);
            assert_eq!(short(&cloud, &resolve(&cloud, &id).unwrap()), scope);
        }
        assert!(resolve(&cloud, "workspaces").is_err() && resolve(&cloud, "/subscriptions/other").is_err());
    }
}
