//! `/incidents/{incident}/comments`.

use http::Method;
use model::Comment;
use serde::Deserialize;
use serde_json::json;

use super::resources::{change_error, comment, incident_id, no_incident, store_error};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint =
    route(Method::GET, provider_path!("/incidents/{incident}/comments"), "List the comments on an incident", Role::Reader, |cx, call| {
        Box::pin(list(cx, call))
    });
pub static GET: Endpoint =
    route(Method::GET, provider_path!("/incidents/{incident}/comments/{comment}"), "Read a comment", Role::Reader, |cx, call| {
        Box::pin(get(cx, call))
    });
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/incidents/{incident}/comments/{comment}"),
    "Add or change a comment",
    Role::Responder,
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint =
    route(Method::DELETE, provider_path!("/incidents/{incident}/comments/{comment}"), "Delete a comment", Role::Responder, |cx, call| {
        Box::pin(delete(cx, call))
    });

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    etag: Option<String>,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    message: String,
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("incident");
    let id = incident_id(name)?;
    cx.store.incidents().get(id).await.map_err(store_error)?.ok_or_else(|| no_incident(name))?;
    let comments: Vec<Comment> = cx.store.incident_parts().list(id).await.map_err(store_error)?;
    Reply::json(json!({ "value": comments.iter().map(|one| comment(cx, one)).collect::<Vec<_>>() }))
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let found: Option<Comment> =
        cx.store.incident_parts().get(incident_id(call.param("incident"))?, call.param("comment")).await.map_err(store_error)?;
    let found = found.ok_or_else(|| ApiError::not_found("NotFound", format!("Comment '{}' does not exist.", call.param("comment"))))?;
    Reply::json(comment(cx, &found))
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let incident = incident_id(call.param("incident"))?;
    let body: Body = call.json().await?;
    let actor = call.actor(VIA);
    let (after, created) = cx
        .incidents
        .put_comment(incident, call.param("comment"), &body.properties.message, body.etag.as_deref(), &actor)
        .await
        .map_err(change_error)?;
    Reply::put(created, comment(cx, &after))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let incident = incident_id(call.param("incident"))?;
    let existed = cx.incidents.delete_comment(incident, call.param("comment"), &call.actor(VIA)).await.map_err(change_error)?;
    Ok(if existed { Reply::empty(http::StatusCode::OK) } else { Reply::no_content() })
}
