//! Rows of the table `SentinelAudit` for changes of the configuration.
//!
//! Columns and extended properties: learn.microsoft.com/azure/sentinel/audit-table-reference and
//! …/monitor-analytics-rule-integrity. Microsoft's table covers analytics rules; here
//! it covers everything that is configured. Incidents have rows of their own in `SecurityIncident`.

use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::AuditEntry;
use crate::error::StoreError;

/// Kinds of objects with rows in the table: kind, the resource provider's operation without its verb, and the type of resource.
const KINDS: &[(&str, &str, &str)] = &[
    ("analytics rule", "Microsoft.SecurityInsights/alertRules", "Analytic Rule"),
    ("data collection rule", "Microsoft.Insights/dataCollectionRules", "Data Collection Rule"),
    ("table", "Microsoft.OperationalInsights/workspaces/tables", "Table"),
    ("saved search", "Microsoft.OperationalInsights/workspaces/savedSearches", "Saved Search"),
    ("role assignment", "Microsoft.Authorization/roleAssignments", "Role Assignment"),
    ("app registration", "microsoft.directory/applications", "Application"),
    ("source", "Bartizan/sources", "Source"),
    ("destination", "Bartizan/destinations", "Destination"),
    ("on-call object", "Bartizan/oncall", "On-call Object"),
    ("settings", "Bartizan/settings", "Settings"),
    ("audit trail", "Bartizan/audit", "Audit Trail"),
];

/// UUID namespace of correlation ids, which are derived from the database and the number of the entry.
const CORRELATION: Uuid = Uuid::from_u128(0x1f0e_9a52_6a0d_4b0c_9d53_0d6c_9d4c_2f11);

/// The entry's row; `None` for other kinds, and while the workspace has no id yet.
pub(super) async fn row(
    connection: &mut SqliteConnection,
    number: i64,
    entry: &AuditEntry,
) -> Result<Option<Map<String, Value>>, StoreError> {
    let Some((_, operation, kind)) = KINDS.iter().find(|(aggregate, ..)| *aggregate == entry.aggregate) else { return Ok(None) };
    let names: Vec<(String, String)> = sqlx::query_as("SELECT name, value FROM cloud_names").fetch_all(&mut *connection).await?;
    let name = |wanted: &str| names.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let (Some(workspace), Some(subscription), Some(group), Some(workspace_name)) =
        (name("workspace_id"), name("subscription_id"), name("resource_group"), name("workspace_name"))
    else {
        return Ok(None);
    };
    let workspace_path =
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace_name}");
    let resource = match *operation {
        "Microsoft.SecurityInsights/alertRules" => format!("{workspace_path}/providers/{operation}/{}", entry.id),
        _ => format!("{workspace_path}/{operation}/{}", entry.id),
    };
    let (before, after) = states(&entry.changes);
    let members: Vec<&String> = entry.changes.as_object().map(|changes| changes.keys().collect()).unwrap_or_default();
    let display = after["displayName"].as_str().or(before["displayName"].as_str()).unwrap_or(&entry.id);
    let row = json!({
        "TimeGenerated": entry.at,
        "OperationName": format!("{operation}/{}", if entry.action == "deleted" { "Delete" } else { "Write" }),
        "SentinelResourceId": resource,
        "SentinelResourceName": display,
        "SentinelResourceType": kind,
        "SentinelResourceKind": after["kind"].as_str().or(before["kind"].as_str()).unwrap_or_default(),
        "Status": "Success",
        "Description": description(entry),
        "WorkspaceId": workspace,
        "TenantId": workspace,
        "CorrelationId": Uuid::new_v5(&CORRELATION, format!("{workspace}/{number}").as_bytes()),
        "SourceSystem": "Sentinel",
        "Type": "SentinelAudit",
        "ExtendedProperties": {
            "CallerName": entry.actor.name,
            "CallerIpAddress": entry.actor.address,
            "OriginalResourceState": before,
            "UpdatedResourceState": after,
            "ResourceDiffMemberNames": members,
            "ResourceDisplayName": display,
            "ResourceGroupName": group,
            "ResourceId": entry.id,
            "SubscriptionId": subscription,
            "Uri": resource,
            "WorkspaceId": workspace_path,
            "WorkspaceName": workspace_name,
            "AuditEntry": number,
            "Via": entry.actor.via,
        },
    });
    Ok(row.as_object().cloned())
}

/// Microsoft's two descriptions for analytics rules; ours for everything else.
fn description(entry: &AuditEntry) -> String {
    match (entry.aggregate.as_str(), entry.action.as_str()) {
        ("analytics rule", "deleted") => "Analytics rule deleted".to_owned(),
        ("analytics rule", _) => "Create or update analytics rule".to_owned(),
        (kind, action) => format!("{kind} {action}"),
    }
}

/// The fields before and after.
fn states(changes: &Value) -> (Value, Value) {
    let (mut before, mut after) = (Map::new(), Map::new());
    for (field, pair) in changes.as_object().into_iter().flatten() {
        let of = |index: usize| pair.get(index).filter(|value| !value.is_null()).cloned();
        before.extend(of(0).map(|value| (field.clone(), value)));
        after.extend(of(1).map(|value| (field.clone(), value)));
    }
    (Value::Object(before), Value::Object(after))
}
