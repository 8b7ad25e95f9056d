//! `/incidents/{incident}/tasks`.

use http::Method;
use incidents::TaskDraft;
use model::IncidentTask;
use serde::Deserialize;

use super::incident_body::named;
use super::parts::{self, Body, Shown};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}/tasks"),
    "List the tasks of an incident",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/tasks/read",
    |cx, call| Box::pin(parts::list::<IncidentTask>(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}/tasks/{task}"),
    "Read a task",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/tasks/read",
    |cx, call| Box::pin(parts::get::<IncidentTask>(cx, call)),
);
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/incidents/{incident}/tasks/{task}"),
    "Add or change a task",
    Role::Responder,
    "Microsoft.SecurityInsights/incidents/tasks/write",
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint = route(
    Method::DELETE,
    provider_path!("/incidents/{incident}/tasks/{task}"),
    "Delete a task",
    Role::Contributor,
    "Microsoft.SecurityInsights/incidents/tasks/delete",
    |cx, call| Box::pin(parts::delete::<IncidentTask>(cx, call)),
);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    title: String,
    description: Option<String>,
    status: Option<String>,
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Body<Properties> = call.json().await?;
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
    let (incident, id) = parts::place::<IncidentTask>(&call)?;
    let actor = call.actor(VIA);
    let (after, created) = cx.incidents.put_task(incident, id, &draft, body.etag.as_deref(), &actor).await?;
    Reply::put(created, after.show(cx))
}
