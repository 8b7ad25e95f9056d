//! `/incidents/{incident}/tasks`.

use http::Method;
use incidents::TaskDraft;
use model::IncidentTask;
use serde::Deserialize;
use serde_json::json;

use super::incident_body::named;
use super::resources::{change_error, incident_id, no_incident, store_error, task};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint =
    route(Method::GET, provider_path!("/incidents/{incident}/tasks"), "List the tasks of an incident", Role::Reader, |cx, call| {
        Box::pin(list(cx, call))
    });
pub static GET: Endpoint =
    route(Method::GET, provider_path!("/incidents/{incident}/tasks/{task}"), "Read a task", Role::Reader, |cx, call| {
        Box::pin(get(cx, call))
    });
pub static PUT: Endpoint =
    route(Method::PUT, provider_path!("/incidents/{incident}/tasks/{task}"), "Add or change a task", Role::Responder, |cx, call| {
        Box::pin(put(cx, call))
    });
pub static DELETE: Endpoint =
    route(Method::DELETE, provider_path!("/incidents/{incident}/tasks/{task}"), "Delete a task", Role::Responder, |cx, call| {
        Box::pin(delete(cx, call))
    });

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    etag: Option<String>,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Properties {
    title: String,
    description: Option<String>,
    status: Option<String>,
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("incident");
    let id = incident_id(name)?;
    cx.store.incidents().get(id).await.map_err(store_error)?.ok_or_else(|| no_incident(name))?;
    let tasks: Vec<IncidentTask> = cx.store.incident_parts().list(id).await.map_err(store_error)?;
    Reply::json(json!({ "value": tasks.iter().map(|one| task(cx, one)).collect::<Vec<_>>() }))
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let found: Option<IncidentTask> =
        cx.store.incident_parts().get(incident_id(call.param("incident"))?, call.param("task")).await.map_err(store_error)?;
    let found = found.ok_or_else(|| ApiError::not_found("NotFound", format!("Task '{}' does not exist.", call.param("task"))))?;
    Reply::json(task(cx, &found))
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let incident = incident_id(call.param("incident"))?;
    let body: Body = call.json().await?;
    let completed = named(
        "properties.status",
        &body.properties.status,
        |text| ["New", "Completed"].iter().position(|known| known.eq_ignore_ascii_case(text)),
        ["New", "Completed"].into_iter(),
    )?;
    let completed =
        completed.ok_or_else(|| ApiError::bad_request("BadRequest", "`properties.status` is required.").target("properties.status"))?;
    let draft =
        TaskDraft { title: body.properties.title, description: body.properties.description.unwrap_or_default(), completed: completed == 1 };
    let actor = call.actor(VIA);
    let (after, created) =
        cx.incidents.put_task(incident, call.param("task"), &draft, body.etag.as_deref(), &actor).await.map_err(change_error)?;
    Reply::put(created, task(cx, &after))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let incident = incident_id(call.param("incident"))?;
    let existed = cx.incidents.delete_task(incident, call.param("task"), &call.actor(VIA)).await.map_err(change_error)?;
    Ok(if existed { Reply::empty(http::StatusCode::OK) } else { Reply::no_content() })
}
