//! `/incidents/{incident}/relations`: links to other resources. Stored as written and not resolved.

use http::Method;
use model::Relation;
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
    provider_path!("/incidents/{incident}/relations"),
    "List what an incident is related to",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/relations/read",
    |cx, call| Box::pin(parts::list::<Relation>(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}/relations/{relation}"),
    "Read a relation",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/relations/read",
    |cx, call| Box::pin(parts::get::<Relation>(cx, call)),
);
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/incidents/{incident}/relations/{relation}"),
    "Relate an incident to a resource",
    Role::Responder,
    "Microsoft.SecurityInsights/incidents/relations/write",
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint = route(
    Method::DELETE,
    provider_path!("/incidents/{incident}/relations/{relation}"),
    "Delete a relation",
    Role::Contributor,
    "Microsoft.SecurityInsights/incidents/relations/delete",
    |cx, call| Box::pin(parts::delete::<Relation>(cx, call)),
);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    related_resource_id: String,
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Body<Properties> = call.json().await?;
    let (incident, id) = parts::place::<Relation>(&call)?;
    let actor = call.actor(VIA);
    let (after, created) =
        cx.incidents.put_relation(incident, id, &body.properties.related_resource_id, body.etag.as_deref(), &actor).await?;
    Reply::put(created, after.show(cx))
}
