//! Rows of `SecurityAlert` and `SecurityIncident`, as written by Sentinel. Pure functions.
//!
//! Columns and their types: the Azure Monitor table reference. `SecurityIncident` gets a row for every change; the last one by
//! `arg_max(TimeGenerated, *) by IncidentNumber` is the incident.

use model::{Alert, Column, Comment, Incident, IncidentTask, Type};
use serde_json::{Map, Value, json};

/// Identifiers of the workspace, for ids and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkspaceFacts {
    pub workspace_id: String,
    pub workspace_name: String,
    pub subscription_id: String,
    pub resource_group: String,
    /// Base URL of the portal, without trailing slash.
    pub portal_url: String,
}

impl WorkspaceFacts {
    /// The workspace's resource id.
    pub fn resource_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.OperationalInsights/workspaces/{}",
            self.subscription_id, self.resource_group, self.workspace_name
        )
    }

    /// The portal URL of an incident.
    pub fn incident_url(&self, incident: &Incident) -> String {
        format!("{}/incidents/{}", self.portal_url.trim_end_matches('/'), incident.id)
    }
}

fn columns(list: &[(&str, Type)]) -> Vec<Column> {
    list.iter().map(|(name, ty)| Column::new(*name, *ty)).collect()
}

/// The columns of [`security_alert_row`].
pub fn security_alert_columns() -> Vec<Column> {
    use Type::{Bool, Datetime, Real, String as Text};
    columns(&[
        ("TimeGenerated", Datetime),
        ("TenantId", Text),
        ("DisplayName", Text),
        ("AlertName", Text),
        ("AlertSeverity", Text),
        ("Description", Text),
        ("ProviderName", Text),
        ("VendorName", Text),
        ("VendorOriginalId", Text),
        ("SystemAlertId", Text),
        ("ResourceId", Text),
        ("SourceComputerId", Text),
        ("AlertType", Text),
        ("ConfidenceLevel", Text),
        ("ConfidenceScore", Real),
        ("IsIncident", Bool),
        ("StartTime", Datetime),
        ("EndTime", Datetime),
        ("ProcessingEndTime", Datetime),
        ("RemediationSteps", Text),
        ("ExtendedProperties", Text),
        ("Entities", Text),
        ("WorkspaceSubscriptionId", Text),
        ("WorkspaceResourceGroup", Text),
        ("ExtendedLinks", Text),
        ("ProductName", Text),
        ("ProductComponentName", Text),
        ("AlertLink", Text),
        ("Status", Text),
        ("CompromisedEntity", Text),
        ("Tactics", Text),
        ("Techniques", Text),
        ("SubTechniques", Text),
        ("Type", Text),
    ])
}

/// The columns of [`security_incident_row`].
pub fn security_incident_columns() -> Vec<Column> {
    use Type::{Datetime, Dynamic, Int, String as Text};
    columns(&[
        ("TimeGenerated", Datetime),
        ("TenantId", Text),
        ("IncidentName", Text),
        ("IncidentNumber", Int),
        ("Title", Text),
        ("Description", Text),
        ("Severity", Text),
        ("Status", Text),
        ("Classification", Text),
        ("ClassificationComment", Text),
        ("ClassificationReason", Text),
        ("Owner", Dynamic),
        ("ProviderName", Text),
        ("ProviderIncidentId", Text),
        ("FirstActivityTime", Datetime),
        ("LastActivityTime", Datetime),
        ("FirstModifiedTime", Datetime),
        ("LastModifiedTime", Datetime),
        ("CreatedTime", Datetime),
        ("ClosedTime", Datetime),
        ("RelatedAnalyticRuleIds", Dynamic),
        ("AlertIds", Dynamic),
        ("BookmarkIds", Dynamic),
        ("Comments", Dynamic),
        ("Tasks", Dynamic),
        ("Labels", Dynamic),
        ("IncidentUrl", Text),
        ("AdditionalData", Dynamic),
        ("ModifiedBy", Text),
        ("SourceSystem", Text),
        ("Type", Text),
    ])
}

/// The row of an alert. `Entities` and `ExtendedProperties` are JSON texts in string columns, as in Azure.
pub fn security_alert_row(alert: &Alert, facts: &WorkspaceFacts) -> Map<String, Value> {
    let entities: Vec<Value> = alert.entities.iter().enumerate().map(|(index, entity)| entity.to_v3(index + 1)).collect();
    let text_list = |list: &[String]| if list.is_empty() { String::new() } else { json!(list).to_string() };
    let compromised = alert.entities.first().map(|entity| entity.friendly_name()).unwrap_or_default();
    object(json!({
        "TimeGenerated": alert.generated,
        "TenantId": facts.workspace_id,
        "DisplayName": alert.display_name,
        "AlertName": alert.alert_name,
        "AlertSeverity": alert.severity,
        "Description": alert.description,
        "ProviderName": alert.provider_name,
        "VendorName": alert.vendor_name,
        "VendorOriginalId": alert.id,
        "SystemAlertId": alert.id,
        "AlertType": format!("{}_{}", facts.workspace_id, alert.rule_id),
        "ConfidenceLevel": alert.confidence_level,
        "ConfidenceScore": alert.confidence_score,
        "IsIncident": false,
        "StartTime": alert.start,
        "EndTime": alert.end,
        "ProcessingEndTime": alert.generated,
        "RemediationSteps": alert.remediation_steps,
        "ExtendedProperties": Value::Object(extended_properties(alert)).to_string(),
        "Entities": if entities.is_empty() { String::new() } else { Value::Array(entities).to_string() },
        "WorkspaceSubscriptionId": facts.subscription_id,
        "WorkspaceResourceGroup": facts.resource_group,
        "ExtendedLinks": alert.extended_links,
        "ProductName": alert.product_name,
        "ProductComponentName": alert.product_component_name,
        "AlertLink": alert.alert_link,
        "Status": "New",
        "CompromisedEntity": compromised,
        "Tactics": alert.tactics.join(", "),
        "Techniques": text_list(&alert.techniques),
        "SubTechniques": text_list(&alert.sub_techniques),
        "Type": "SecurityAlert",
    }))
}

/// Azure's properties of the run that created the alert; the rule's own properties take precedence.
pub fn extended_properties(alert: &Alert) -> Map<String, Value> {
    let mut properties: Map<String, Value> = alert.extended_properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut say = |name: &str, value: String| {
        properties.entry(name).or_insert(Value::String(value));
    };
    say("Query", alert.query.clone());
    say("Query Start Time UTC", alert.query_start.to_string());
    say("Query End Time UTC", alert.query_end.to_string());
    say("Search Query Results Overall Count", alert.result_rows.to_string());
    say("Analytic Rule Ids", json!([alert.rule_id]).to_string());
    say("Analytic Rule Name", alert.alert_name.clone());
    say("ProcessedBySentinel", "True".to_owned());
    say("Alert generation status", "Full alert created".to_owned());
    if !alert.custom_details.is_empty() {
        say("Custom Details", json!(alert.custom_details).to_string());
    }
    properties
}

/// The row with the incident's current state.
pub fn security_incident_row(
    incident: &Incident,
    comments: &[Comment],
    tasks: &[IncidentTask],
    facts: &WorkspaceFacts,
) -> Map<String, Value> {
    let comments: Vec<Value> = comments
        .iter()
        .map(|comment| {
            json!({
                "id": comment.id,
                "message": comment.message,
                "createdTimeUtc": comment.created.to_millis_string(),
                "lastModifiedTimeUtc": comment.modified.to_millis_string(),
                "author": {
                    "name": comment.author.name,
                    "email": comment.author.email,
                    "objectId": comment.author.object_id,
                    "userPrincipalName": comment.author.user_principal_name,
                },
            })
        })
        .collect();
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|task| {
            json!({
                "incidentTaskId": task.id,
                "title": task.title,
                "description": task.description,
                "status": if task.completed { "Completed" } else { "New" },
                "createdTimeUtc": task.created.to_millis_string(),
                "lastModifiedTimeUtc": task.modified.to_millis_string(),
            })
        })
        .collect();
    object(json!({
        "TimeGenerated": incident.modified,
        "TenantId": facts.workspace_id,
        "IncidentName": incident.id,
        "IncidentNumber": incident.number,
        "Title": incident.title,
        "Description": incident.description,
        "Severity": incident.severity,
        "Status": incident.status,
        "Classification": incident.classification,
        "ClassificationComment": incident.classification_comment,
        "ClassificationReason": incident.classification_reason,
        "Owner": incident.owner,
        "ProviderName": incident.provider_name,
        "ProviderIncidentId": incident.provider_incident_id,
        "FirstActivityTime": incident.first_activity,
        "LastActivityTime": incident.last_activity,
        "FirstModifiedTime": incident.first_modified,
        "LastModifiedTime": incident.modified,
        "CreatedTime": incident.created,
        "ClosedTime": incident.closed,
        "RelatedAnalyticRuleIds": incident.rule_ids,
        "AlertIds": incident.alert_ids,
        "BookmarkIds": [],
        "Comments": comments,
        "Tasks": tasks,
        "Labels": incident.labels,
        "IncidentUrl": facts.incident_url(incident),
        "AdditionalData": {
            "alertsCount": incident.alert_ids.len(),
            "bookmarksCount": 0,
            "commentsCount": incident.comments_count,
            "alertProductNames": incident.alert_products,
            "tactics": incident.tactics,
            "techniques": incident.techniques,
        },
        "ModifiedBy": incident.modified_by.name,
        "SourceSystem": "Azure",
        "Type": "SecurityIncident",
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
