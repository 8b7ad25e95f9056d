//! `/incidents` and `/incidents/{incident}`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use store::{IncidentField, IncidentOrder};
use uuid::Uuid;

use super::incident_body::IncidentBody;
use super::odata;
use super::resources::{incident, incident_id, no_incident};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

/// Default and maximum page size.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 1_000;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/incidents"),
    "List incidents",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/read",
    |cx, call| Box::pin(list(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/incidents/{incident}"),
    "Read an incident",
    Role::Reader,
    "Microsoft.SecurityInsights/incidents/read",
    |cx, call| Box::pin(get(cx, call)),
);
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/incidents/{incident}"),
    "Create or replace an incident",
    Role::Responder,
    "Microsoft.SecurityInsights/incidents/write",
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint = route(
    Method::DELETE,
    provider_path!("/incidents/{incident}"),
    "Delete an incident",
    Role::Contributor,
    "Microsoft.SecurityInsights/incidents/delete",
    |cx, call| Box::pin(delete(cx, call)),
);

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let filter = call.query.filled("$filter").map(odata::filter).transpose()?;
    let order = match call.query.filled("$orderby") {
        Some(text) => odata::order(text)?,
        None => vec![IncidentOrder { field: IncidentField::Created, descending: true }],
    };
    let top =
        match call.query.filled("$top") {
            Some(text) => text.parse::<u32>().ok().filter(|top| *top > 0).ok_or_else(|| {
                ApiError::bad_request("BadRequest", format!("`$top` must be a number from 1 to {MAX_PAGE}.")).target("$top")
            })?,
            None => PAGE,
        };
    let place = call.query.filled("$skipToken").map(read_token).transpose()?;
    let page = cx.store.incidents().list(filter.as_ref(), &order, top.min(MAX_PAGE), place.as_deref()).await?;
    let page = page.ok_or_else(wrong_token)?;
    let mut answer = json!({ "value": page.incidents.iter().map(|one| incident(cx, one)).collect::<Vec<_>>() });
    if let Some(next) = page.next {
        answer["nextLink"] = json!(next_link(&call, &next));
    }
    Reply::json(answer)
}

/// Link to the next page, which starts at `place`.
fn next_link(call: &Call, place: &[Value]) -> String {
    let token = BASE64_URL_SAFE_NO_PAD.encode(Value::from(place).to_string());
    let mut pairs: Vec<(&str, &str)> =
        ["api-version", "$filter", "$orderby", "$top"].into_iter().filter_map(|name| Some((name, call.query.filled(name)?))).collect();
    pairs.push(("$skipToken", &token));
    call.link(&pairs)
}

fn read_token(token: &str) -> Result<Vec<Value>, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong_token())?;
    serde_json::from_slice(&bytes).map_err(|_| wrong_token())
}

fn wrong_token() -> ApiError {
    ApiError::bad_request("BadRequest", "The `$skipToken` is none that this server gave for this `$orderby`. Begin with the first page.")
        .target("$skipToken")
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("incident");
    let found = cx.store.incidents().get(incident_id(name)?).await?;
    Reply::json(incident(cx, &found.ok_or_else(|| no_incident(name))?))
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let id = Uuid::parse_str(call.param("incident"))
        .map_err(|_| ApiError::bad_request("BadRequest", "The name of an incident must be a GUID.").target("incidentId"))?;
    let body: IncidentBody = call.json().await?;
    let (after, created) = cx.incidents.put(id, &body.draft()?, body.etag.as_deref(), &call.actor(VIA)).await?;
    Reply::put(created, incident(cx, &after))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let Ok(id) = Uuid::parse_str(call.param("incident")) else { return Ok(Reply::no_content()) };
    let existed = cx.incidents.delete(id, &call.actor(VIA)).await?;
    Ok(if existed { Reply::empty(http::StatusCode::OK) } else { Reply::no_content() })
}
