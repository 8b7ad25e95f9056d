//! Resources in this dialect's format, and its error messages. Pure functions.

use incidents::ChangeError;
use model::{Actor, Alert, Comment, Entity, Incident, IncidentTask, Relation};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::etag::quoted;
use crate::context::Context;
use crate::error::{ApiError, sentence};

/// The provider's resource id at the workspace.
pub(super) fn provider(cx: &Context) -> String {
    format!("{}/providers/Microsoft.SecurityInsights", cx.cloud.workspace_path())
}

/// `{id, name, type, etag, properties}`.
pub(super) fn resource(id: String, name: &str, kind: &str, etag: Option<Uuid>, properties: Value) -> Value {
    let mut object = json!({ "id": id, "name": name, "type": format!("Microsoft.SecurityInsights/{kind}"), "properties": properties });
    if let Some(etag) = etag {
        object["etag"] = json!(quoted(etag));
    }
    object
}

pub(super) fn incident(cx: &Context, incident: &Incident) -> Value {
    let rules: Vec<String> = incident.rule_ids.iter().map(|rule| format!("{}/alertRules/{rule}", provider(cx))).collect();
    let mut properties = json!({
        "title": incident.title,
        "description": incident.description,
        "severity": incident.severity,
        "status": incident.status,
        "owner": incident.owner,
        "labels": incident.labels,
        "lastModifiedTimeUtc": incident.modified,
        "createdTimeUtc": incident.created,
        "incidentNumber": incident.number,
        "incidentUrl": cx.incidents.facts.incident_url(incident),
        "providerName": incident.provider_name,
        "providerIncidentId": incident.provider_incident_id,
        "relatedAnalyticRuleIds": rules,
        "additionalData": {
            "alertsCount": incident.alert_ids.len(),
            "bookmarksCount": 0,
            "commentsCount": incident.comments_count,
            "alertProductNames": incident.alert_products,
            "tactics": incident.tactics,
            "techniques": incident.techniques,
        },
    });
    // Properties without value are omitted, as in the service.
    let optional = [
        ("classification", json!(incident.classification)),
        ("classificationReason", json!(incident.classification_reason)),
        ("classificationComment", json!(incident.classification_comment)),
        ("firstActivityTimeUtc", json!(incident.first_activity)),
        ("lastActivityTimeUtc", json!(incident.last_activity)),
    ];
    for (name, value) in optional.into_iter().filter(|(_, value)| !value.is_null()) {
        properties[name] = value;
    }
    let name = incident.id.to_string();
    resource(format!("{}/Incidents/{name}", provider(cx)), &name, "incidents", Some(incident.etag), properties)
}

fn author(actor: &Actor) -> Value {
    json!({ "objectId": actor.object_id, "email": actor.email, "name": actor.name, "userPrincipalName": actor.user_principal_name })
}

fn child(cx: &Context, incident: Uuid, collection: &str, name: &str) -> String {
    format!("{}/Incidents/{incident}/{collection}/{name}", provider(cx))
}

pub(super) fn comment(cx: &Context, comment: &Comment) -> Value {
    let properties = json!({
        "message": comment.message,
        "createdTimeUtc": comment.created,
        "lastModifiedTimeUtc": comment.modified,
        "author": author(&comment.author),
    });
    resource(child(cx, comment.incident, "comments", &comment.id), &comment.id, "incidents/comments", Some(comment.etag), properties)
}

pub(super) fn task(cx: &Context, task: &IncidentTask) -> Value {
    let properties = json!({
        "title": task.title,
        "description": task.description,
        "status": if task.completed { "Completed" } else { "New" },
        "createdTimeUtc": task.created,
        "lastModifiedTimeUtc": task.modified,
        "createdBy": author(&task.created_by),
        "lastModifiedBy": author(&task.modified_by),
    });
    resource(child(cx, task.incident, "tasks", &task.id), &task.id, "incidents/tasks", Some(task.etag), properties)
}

pub(super) fn relation(cx: &Context, relation: &Relation) -> Value {
    let mut parts = relation.related_resource_id.rsplit('/');
    let (name, collection) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let namespace = crate::rights::namespace_of(&relation.related_resource_id).unwrap_or("Microsoft.SecurityInsights");
    let properties = json!({
        "relatedResourceId": relation.related_resource_id,
        "relatedResourceName": name,
        "relatedResourceType": format!("{namespace}/{collection}"),
    });
    resource(child(cx, relation.incident, "relations", &relation.id), &relation.id, "incidents/relations", Some(relation.etag), properties)
}

/// An alert as an entity of kind `SecurityAlert`.
pub(super) fn alert(cx: &Context, alert: &Alert) -> Value {
    let name = alert.id.to_string();
    let additional: Map<String, Value> = incidents::extended_properties(alert);
    let properties = json!({
        "systemAlertId": name,
        "providerAlertId": name,
        "friendlyName": alert.display_name,
        "alertDisplayName": alert.display_name,
        "alertType": format!("{}_{}", cx.cloud.workspace_id, alert.rule_id),
        "description": alert.description,
        "severity": alert.severity,
        "status": "New",
        "tactics": alert.tactics,
        "vendorName": alert.vendor_name,
        "productName": alert.product_name,
        "productComponentName": alert.product_component_name,
        "confidenceLevel": if alert.confidence_level.is_empty() { "Unknown" } else { alert.confidence_level.as_str() },
        "startTimeUtc": alert.start,
        "endTimeUtc": alert.end,
        "timeGenerated": alert.generated,
        "processingEndTime": alert.generated,
        "alertLink": alert.alert_link,
        "compromisedEntity": alert.entities.first().map(Entity::friendly_name).unwrap_or_default(),
        "remediationSteps": if alert.remediation_steps.is_empty() { json!([]) } else { json!([alert.remediation_steps]) },
        "resourceIdentifiers": [],
        "additionalData": additional,
    });
    let mut object = resource(format!("{}/Entities/{name}", provider(cx)), &name, "Entities", None, properties);
    object["kind"] = json!("SecurityAlert");
    object
}

pub(super) fn entity(cx: &Context, key: Uuid, entity: &Entity) -> Value {
    let name = key.to_string();
    let mut object = resource(format!("{}/Entities/{name}", provider(cx)), &name, "Entities", None, Value::Object(entity.to_rest()));
    object["kind"] = json!(entity.kind.info().rest);
    object
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let message = sentence(&error.to_string());
        match error {
            ChangeError::Conflict { .. } => Self::conflict("Conflict", error.to_string()),
            ChangeError::NoIncident(id) => no_incident(&id.to_string()),
            ChangeError::Missing { property } | ChangeError::TooLong { property, .. } => {
                Self::bad_request("BadRequest", message).target(property)
            }
            ChangeError::NoClassification => Self::bad_request("BadRequest", message).target("properties.classification"),
            ChangeError::NoReason { .. } => Self::bad_request("BadRequest", message).target("properties.classificationReason"),
            ChangeError::TooMany { .. } | ChangeError::Pair { .. } | ChangeError::ReasonAlone | ChangeError::Activity { .. } => {
                Self::bad_request("BadRequest", message)
            }
            ChangeError::Store(error) => error.into(),
        }
    }
}

pub(super) fn no_incident(name: &str) -> ApiError {
    let shown: String = name.chars().take(100).collect();
    ApiError::not_found("NotFound", format!("Incident '{shown}' does not exist."))
}

/// The incident id from the path.
pub(super) fn incident_id(name: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(name).map_err(|_| no_incident(name))
}
