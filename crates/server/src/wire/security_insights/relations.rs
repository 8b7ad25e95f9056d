//! `/incidents/{incident}/relations`: links to other resources. They are kept as written and not followed.

use http::Method;
use model::Relation;
use serde::Deserialize;
use serde_json::json;

use super::resources::{change_error, incident_id, no_incident, relation, store_error};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}/relations"),
    "List what an incident is related to",
    Role::Reader,
    |cx, call| Box::pin(list(cx, call)),
);
pub static GET: Endpoint =
    route(Method::GET, provider_path!("/incidents/{incident}/relations/{relation}"), "Read a relation", Role::Reader, |cx, call| {
        Box::pin(get(cx, call))
    });
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/incidents/{incident}/relations/{relation}"),
    "Relate an incident to a resource",
    Role::Responder,
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint = route(
    Method::DELETE,
    provider_path!("/incidents/{incident}/relations/{relation}"),
    "Delete a relation",
    Role::Responder,
    |cx, call| Box::pin(delete(cx, call)),
);

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    etag: Option<String>,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    related_resource_id: String,
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("incident");
    let id = incident_id(name)?;
    cx.store.incidents().get(id).await.map_err(store_error)?.ok_or_else(|| no_incident(name))?;
    let relations: Vec<Relation> = cx.store.incident_parts().list(id).await.map_err(store_error)?;
    Reply::json(json!({ "value": relations.iter().map(|one| relation(cx, one)).collect::<Vec<_>>() }))
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let found: Option<Relation> =
        cx.store.incident_parts().get(incident_id(call.param("incident"))?, call.param("relation")).await.map_err(store_error)?;
    let found = found.ok_or_else(|| ApiError::not_found("NotFound", format!("Relation '{}' does not exist.", call.param("relation"))))?;
    Reply::json(relation(cx, &found))
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let incident = incident_id(call.param("incident"))?;
    let body: Body = call.json().await?;
    let actor = call.actor(VIA);
    let (after, created) = cx
        .incidents
        .put_relation(incident, call.param("relation"), &body.properties.related_resource_id, body.etag.as_deref(), &actor)
        .await
        .map_err(change_error)?;
    Reply::put(created, relation(cx, &after))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let incident = incident_id(call.param("incident"))?;
    let existed = cx.incidents.delete_relation(incident, call.param("relation"), &call.actor(VIA)).await.map_err(change_error)?;
    Ok(if existed { Reply::empty(http::StatusCode::OK) } else { Reply::no_content() })
}
