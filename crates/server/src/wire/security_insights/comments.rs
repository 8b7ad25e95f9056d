//! `/incidents/{incident}/comments`.

use http::Method;
use model::Comment;
use serde::Deserialize;

use super::parts::{self, Body, Shown};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}/comments"),
    "List the comments on an incident",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/comments/read",
    |cx, call| Box::pin(parts::list::<Comment>(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}/comments/{comment}"),
    "Read a comment",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/comments/read",
    |cx, call| Box::pin(parts::get::<Comment>(cx, call)),
);
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/incidents/{incident}/comments/{comment}"),
    "Add or change a comment",
    Role::Responder,
    "Microsoft.SecurityInsights/incidents/comments/write",
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint = route(
    Method::DELETE,
    provider_path!("/incidents/{incident}/comments/{comment}"),
    "Delete a comment",
    Role::Contributor,
    "Microsoft.SecurityInsights/incidents/comments/delete",
    |cx, call| Box::pin(parts::delete::<Comment>(cx, call)),
);

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    message: String,
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Body<Properties> = call.json().await?;
    let (incident, id) = parts::place::<Comment>(&call)?;
    let actor = call.actor(VIA);
    let (after, created) = cx.incidents.put_comment(incident, id, &body.properties.message, body.etag.as_deref(), &actor).await?;
    Reply::put(created, after.show(cx))
}
