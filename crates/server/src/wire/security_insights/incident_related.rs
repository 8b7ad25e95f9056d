//! Related data of an incident: alerts, entities and bookmarks, requested by POST. Playbooks are not supported.

use http::Method;
use model::{Alert, EntityKind, Incident};
use serde_json::{Value, json};

use super::resources::{alert, entity, incident_id, no_incident};
use super::route::{provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ALERTS: Endpoint = route(
    Method::POST,
    provider_path!("/incidents/{incident}/alerts"),
    "List the alerts of an incident",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/alerts/read",
    |cx, call| Box::pin(alerts(cx, call)),
);
pub static BOOKMARKS: Endpoint = route(
    Method::POST,
    provider_path!("/incidents/{incident}/bookmarks"),
    "List the bookmarks of an incident",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/bookmarks/read",
    |cx, call| Box::pin(bookmarks(cx, call)),
);
pub static ENTITIES: Endpoint = route(
    Method::POST,
    provider_path!("/incidents/{incident}/entities"),
    "List the entities of an incident",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/entities/read",
    |cx, call| Box::pin(entities(cx, call)),
);
pub static RUN_PLAYBOOK: Endpoint = route(
    Method::POST,
    provider_path!("/incidents/{incident}/runPlaybook"),
    "Run a playbook on an incident",
    Role::Responder,
    "Microsoft.SecurityInsights/incidents/runPlaybook/action",
    |cx, call| Box::pin(run_playbook(cx, call)),
);

async fn find(cx: &Context, name: &str) -> Result<(Incident, Vec<Alert>), ApiError> {
    let id = incident_id(name)?;
    let incident = cx.store.incidents().get(id).await?.ok_or_else(|| no_incident(name))?;
    Ok((incident, cx.store.alerts().of_incident(id).await?))
}

async fn alerts(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (_, alerts) = find(cx, call.param("incident")).await?;
    Reply::json(json!({ "value": alerts.iter().map(|one| alert(cx, one)).collect::<Vec<_>>() }))
}

/// Bookmarks are not supported, so the list is empty.
async fn bookmarks(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    find(cx, call.param("incident")).await?;
    Reply::json(json!({ "value": [] }))
}

async fn entities(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (_, alerts) = find(cx, call.param("incident")).await?;
    let entities = incidents::entities_of(&alerts);
    let mut counts: Vec<(EntityKind, usize)> = Vec::new();
    for (_, entity) in &entities {
        match counts.iter_mut().find(|(kind, _)| *kind == entity.kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((entity.kind, 1)),
        }
    }
    let counts: Vec<Value> = counts.iter().map(|(kind, count)| json!({ "entityKind": kind.info().rest, "count": count })).collect();
    let entities: Vec<Value> = entities.iter().map(|(key, one)| entity(cx, *key, one)).collect();
    Reply::json(json!({ "entities": entities, "metaData": counts }))
}

async fn run_playbook(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    find(cx, call.param("incident")).await?;
    Err(ApiError::not_found("NotFound", "This server runs no playbooks (Logic Apps), so the playbook does not exist here."))
}
