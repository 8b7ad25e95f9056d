//! `/api/v1/oncall/{kind}/{name}` — users, schedules, overrides, policies, maintenance windows and heartbeats as single objects.
//!
//! The body is the object as in a document. Its etag is in the `ETag` header; `If-Match` makes a change conditional.

use http::{HeaderValue, Method, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;
use store::OnCallObject;

use super::common::{DOCUMENT, VIA, apply_error, computed, no_kind, nothing_named};
use crate::call::{Call, from_json};
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/{kind}",
    summary: "List the objects of a kind: users, schedules, overrides, policies, maintenance windows or heartbeats",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Objects>,
    run: |cx, call| Box::pin(list(cx, call)),
};
pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/{kind}/{name}",
    summary: "Read an object of on call; its etag is in the header `ETag`",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: nothing,
    takes: nothing,
    returns: object,
    run: |cx, call| Box::pin(get(cx, call)),
};
pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/api/v1/oncall/{kind}/{name}",
    summary: "Create or replace an object of on call; with `If-Match` only that version",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/oncall/write",
    query: nothing,
    takes: object,
    returns: object,
    run: |cx, call| Box::pin(put(cx, call)),
};
pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/api/v1/oncall/{kind}/{name}",
    summary: "Delete an object of on call that nothing else needs",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/oncall/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Objects {
    value: Vec<Listed>,
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    name: String,
    etag: String,
    /// UTC, ISO 8601.
    modified: String,
    /// The object as it stands in a document.
    object: Value,
}

/// Any of the kinds; their schemas are in [`oncall::directory::Directory`].
fn object(generator: &mut SchemaGenerator) -> Option<Schema> {
    use oncall::directory as d;
    let kinds = [
        generator.subschema_for::<d::User>(),
        generator.subschema_for::<d::Schedule>(),
        generator.subschema_for::<d::Override>(),
        generator.subschema_for::<d::EscalationPolicy>(),
        generator.subschema_for::<d::AlertPolicy>(),
        generator.subschema_for::<d::MaintenanceWindow>(),
        generator.subschema_for::<d::Heartbeat>(),
    ];
    Some(schemars::json_schema!({ "anyOf": kinds }))
}

fn known_kind(call: &Call) -> Result<&str, ApiError> {
    let kind = call.param("kind");
    if oncall::document::KINDS.contains(&kind) { Ok(kind) } else { Err(no_kind(kind)) }
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let objects = cx.oncall.objects.list(known_kind(&call)?).await?;
    let value = objects
        .into_iter()
        .map(|object| Listed {
            name: object.name,
            etag: object.etag.to_string(),
            modified: object.modified.to_string(),
            object: object.body,
        })
        .collect();
    Reply::json(Objects { value })
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (kind, name) = (known_kind(&call)?, call.param("name"));
    match cx.oncall.objects.get(kind, name).await? {
        Some(found) => with_etag(Reply::json(&found.body)?, &found),
        None => Err(missing(cx, kind, name).await),
    }
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let bytes = call.bytes(DOCUMENT).await?;
    let body: Value = computed(&cx.oncall.objects.lanes.short, move || from_json(&bytes)).await?;
    let (kind, name) = (known_kind(&call)?, call.param("name"));
    // RFC 9110 §13.1.2: `If-None-Match: *` creates and never replaces.
    let only_new = call.header("if-none-match").is_some_and(|value| value.trim() == "*");
    if only_new && cx.oncall.objects.get(kind, name).await?.is_some() {
        let message = format!("There is '{kind}/{name}' already.");
        return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message));
    }
    let (stored, created) =
        cx.oncall.objects.put(kind, name, body, call.header("if-match"), &call.actor(VIA)).await.map_err(apply_error)?;
    with_etag(Reply::put(created, &stored.body)?, &stored)
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (kind, name) = (known_kind(&call)?, call.param("name"));
    let existed = cx.oncall.objects.delete(kind, name, call.header("if-match"), &call.actor(VIA)).await.map_err(apply_error)?;
    if existed { Ok(Reply::no_content()) } else { Err(missing(cx, kind, name).await) }
}

async fn missing(cx: &Context, kind: &str, name: &str) -> ApiError {
    match cx.oncall.objects.list(kind).await {
        Ok(known) => {
            let names: Vec<String> = known.into_iter().map(|object| object.name).collect();
            nothing_named(&format!("'{kind}' named"), name, names.iter())
        }
        Err(error) => error.into(),
    }
}

fn with_etag(reply: Reply, object: &OnCallObject) -> Result<Reply, ApiError> {
    let etag = HeaderValue::from_str(&format!("\"{}\"", object.etag)).map_err(|error| ApiError::internal(&error))?;
    Ok(reply.header(header::ETAG, etag))
}
