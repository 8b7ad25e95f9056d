//! Writes of single objects with their audit entries, shared by documents and the Azure dialects of the server.

use model::{Actor, Timestamp};
use serde_json::{Map, Value, json};
use store::{AnalyticsRuleRecord, AuditEntry, Change, DataCollectionRuleRecord, RoleAssignment, StoreError};
use uuid::Uuid;

use crate::cloud::Cloud;

/// Who changes something, and when.
#[derive(Clone, Copy)]
pub struct By<'a> {
    pub actor: &'a Actor,
    pub at: Timestamp,
}

impl By<'_> {
    fn entry(&self, aggregate: &str, id: &str, action: &str, changes: Value) -> AuditEntry {
        AuditEntry {
            at: self.at,
            aggregate: aggregate.to_owned(),
            id: id.to_owned(),
            action: action.to_owned(),
            actor: self.actor.clone(),
            changes,
        }
    }
}

/// A data collection rule without what the service computes.
pub struct NewDataCollectionRule {
    pub resource_group: String,
    pub name: String,
    pub kind: Option<String>,
    pub location: String,
    pub tags: Map<String, Value>,
    pub properties: Map<String, Value>,
}

/// Creates or replaces a data collection rule. Returns it, and true if it was created.
pub async fn put_data_collection_rule(
    change: &mut Change,
    wanted: NewDataCollectionRule,
    by: By<'_>,
) -> Result<(DataCollectionRuleRecord, bool), StoreError> {
    let existing = change.data_collection_rule(&wanted.resource_group, &wanted.name).await?;
    let created = existing.is_none();
    let rule = DataCollectionRuleRecord {
        immutable_id: existing.as_ref().map_or_else(|| format!("dcr-{}", Uuid::new_v4().simple()), |rule| rule.immutable_id.clone()),
        resource_group: wanted.resource_group,
        name: existing.as_ref().map_or(wanted.name, |rule| rule.name.clone()),
        kind: wanted.kind,
        location: wanted.location,
        tags: wanted.tags,
        etag: Uuid::new_v4(),
        created: existing.as_ref().map_or(by.at, |rule| rule.created),
        modified: by.at,
        properties: wanted.properties,
    };
    change.put_data_collection_rule(&rule).await?;
    let action = if created { "created" } else { "changed" };
    let changes = json!({ "properties": [existing.map(|rule| rule.properties), rule.properties] });
    change.record(&by.entry("data collection rule", &rule.immutable_id, action, changes)).await?;
    Ok((rule, created))
}

/// Returns false if there was none.
pub async fn delete_data_collection_rule(change: &mut Change, resource_group: &str, name: &str, by: By<'_>) -> Result<bool, StoreError> {
    // Recorded under its immutable id, as its creation is.
    let Some(rule) = change.data_collection_rule(resource_group, name).await? else { return Ok(false) };
    let removed = change.delete_data_collection_rule(resource_group, name).await?;
    if removed {
        let changes = json!({ "name": [rule.name, null], "properties": [rule.properties, null] });
        change.record(&by.entry("data collection rule", &rule.immutable_id, "deleted", changes)).await?;
    }
    Ok(removed)
}

/// Creates or replaces an analytics rule; `before` is the one of this id.
pub async fn put_analytics_rule(
    change: &mut Change,
    before: Option<&AnalyticsRuleRecord>,
    id: &str,
    kind: &str,
    properties: Map<String, Value>,
    by: By<'_>,
) -> Result<AnalyticsRuleRecord, StoreError> {
    let rule = AnalyticsRuleRecord {
        id: before.map_or_else(|| id.to_owned(), |before| before.id.clone()),
        kind: kind.to_owned(),
        enabled: properties.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        etag: Uuid::new_v4(),
        created: before.map_or(by.at, |before| before.created),
        modified: by.at,
        properties,
    };
    change.put_analytics_rule(&rule).await?;
    let action = if before.is_some() { "changed" } else { "created" };
    change.record(&by.entry("analytics rule", &rule.id, action, rule_changes(before, Some(&rule)))).await?;
    Ok(rule)
}

/// Returns false if there was none.
pub async fn delete_analytics_rule(change: &mut Change, id: &str, by: By<'_>) -> Result<bool, StoreError> {
    let Some(before) = change.analytics_rule(id).await? else { return Ok(false) };
    change.delete_analytics_rule(&before.id).await?;
    change.record(&by.entry("analytics rule", &before.id, "deleted", rule_changes(Some(&before), None))).await?;
    Ok(true)
}

/// Each changed property before and after.
fn rule_changes(before: Option<&AnalyticsRuleRecord>, after: Option<&AnalyticsRuleRecord>) -> Value {
    let value =
        |rule: Option<&AnalyticsRuleRecord>, name: &String| rule.and_then(|rule| rule.properties.get(name)).cloned().unwrap_or_default();
    let names = [before, after].into_iter().flatten().flat_map(|rule| rule.properties.keys());
    let changes = names.filter_map(|name| {
        let (old, new) = (value(before, name), value(after, name));
        (old != new).then(|| (name.clone(), json!([old, new])))
    });
    Value::Object(changes.collect())
}

/// Adds a role assignment, whose name must not exist.
pub async fn add_role_assignment(change: &mut Change, assignment: &RoleAssignment, by: By<'_>) -> Result<(), StoreError> {
    change.add_role_assignment(assignment).await?;
    change.record(&by.entry("role assignment", &assignment.name, "created", assignment_changes(assignment, false))).await
}

/// Returns the deleted assignment, if there was one.
pub async fn delete_role_assignment(change: &mut Change, name: &str, by: By<'_>) -> Result<Option<RoleAssignment>, StoreError> {
    let Some(assignment) = change.role_assignment(name).await? else { return Ok(None) };
    change.delete_role_assignment(&assignment.name).await?;
    change.record(&by.entry("role assignment", &assignment.name, "deleted", assignment_changes(&assignment, true))).await?;
    Ok(Some(assignment))
}

/// Deletes the role assignments of a principal that is deleted.
pub async fn delete_role_assignments_of(change: &mut Change, principal: &str, by: By<'_>) -> Result<(), StoreError> {
    for assignment in change.role_assignments().await? {
        if assignment.principal_id.eq_ignore_ascii_case(principal) {
            delete_role_assignment(change, &assignment.name, by).await?;
        }
    }
    Ok(())
}

/// Azure's role Owner.
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// Whether anybody has the role Owner on the whole subscription: nobody could assign roles otherwise.
pub async fn has_owner(change: &mut Change, cloud: &Cloud) -> Result<bool, StoreError> {
    let subscription = cloud.subscription_path();
    let is_above = |scope: &str| {
        let scope = scope.trim_end_matches('/');
        scope.is_empty() || scope.eq_ignore_ascii_case(&subscription)
    };
    let all = change.role_assignments().await?;
    Ok(all.iter().any(|each| each.definition_id.eq_ignore_ascii_case(OWNER) && is_above(&each.scope)))
}

fn assignment_changes(assignment: &RoleAssignment, deleted: bool) -> Value {
    let pair = |value: &str| if deleted { json!([value, null]) } else { json!([null, value]) };
    json!({
        "scope": pair(&assignment.scope), "roleDefinitionId": pair(&assignment.definition_id), "principalId": pair(&assignment.principal_id),
    })
}
