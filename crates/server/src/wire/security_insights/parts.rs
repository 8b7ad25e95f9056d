//! Shared by comments, relations and tasks: each is a named part of an incident.

use http::StatusCode;
use incidents::IncidentPart;
use model::{Comment, IncidentTask, Relation};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::odata::{Filter, Order};
use super::resources::{self, incident_id, no_incident};
use super::route::VIA;
use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;
use crate::reply::Reply;

/// Default and maximum page size.
const PAGE: usize = 1_000;
const MAX_PAGE: usize = 1_000;

/// A part in this dialect's format.
pub(super) trait Shown: IncidentPart {
    /// Capitalised noun for messages, also the path parameter in lower case.
    const NOUN: &'static str;

    fn show(&self, cx: &Context) -> Value;
}

impl Shown for Comment {
    const NOUN: &'static str = "Comment";

    fn show(&self, cx: &Context) -> Value {
        resources::comment(cx, self)
    }
}

impl Shown for IncidentTask {
    const NOUN: &'static str = "Task";

    fn show(&self, cx: &Context) -> Value {
        resources::task(cx, self)
    }
}

impl Shown for Relation {
    const NOUN: &'static str = "Relation";

    fn show(&self, cx: &Context) -> Value {
        resources::relation(cx, self)
    }
}

/// The body of a PUT.
#[derive(Deserialize)]
pub(super) struct Body<P> {
    #[serde(default)]
    pub etag: Option<String>,
    pub properties: P,
}

/// The incident id and the part's name from the path.
pub(super) fn place<P: Shown>(call: &Call) -> Result<(Uuid, &str), ApiError> {
    Ok((incident_id(call.param("incident"))?, call.param(P::KIND)))
}

pub(super) async fn list<P: Shown>(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("incident");
    let id = incident_id(name)?;
    cx.store.incidents().get(id).await?.ok_or_else(|| no_incident(name))?;
    let parts: Vec<P> = cx.store.incident_parts().list(id).await?;
    let mut shown: Vec<Value> = parts.iter().map(|part| part.show(cx)).collect();
    if let Some(filter) = call.query.filled("$filter").map(Filter::parse).transpose()? {
        shown.retain(|part| filter.holds(part));
    }
    if let Some(order) = call.query.filled("$orderby").map(Order::parse).transpose()? {
        order.sort(&mut shown);
    }
    let number = |name: &'static str| match call.query.filled(name) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
            ApiError::bad_request("BadRequest", format!("`{name}` must be a whole number that is not negative.")).target(name)
        }),
    };
    // The skip token is an offset: parts are only appended or removed individually.
    let (skip, top) = (number("$skipToken")?.unwrap_or(0), number("$top")?.filter(|top| *top > 0).unwrap_or(PAGE).min(MAX_PAGE));
    let rest = shown.len().saturating_sub(skip);
    let page: Vec<Value> = shown.into_iter().skip(skip).take(top).collect();
    let mut answer = json!({ "value": page });
    if rest > top {
        let token = (skip + top).to_string();
        let mut pairs: Vec<(&str, &str)> =
            ["api-version", "$filter", "$orderby", "$top"].into_iter().filter_map(|name| Some((name, call.query.filled(name)?))).collect();
        pairs.push(("$skipToken", &token));
        answer["nextLink"] = json!(call.link(&pairs));
    }
    Reply::json(answer)
}

pub(super) async fn get<P: Shown>(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (incident, id) = place::<P>(&call)?;
    let found: Option<P> = cx.store.incident_parts().get(incident, id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("NotFound", format!("{} '{id}' does not exist.", P::NOUN)))?;
    Reply::json(found.show(cx))
}

pub(super) async fn delete<P: Shown>(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (incident, id) = place::<P>(&call)?;
    let existed = cx.incidents.delete_part::<P>(incident, id, &call.actor(VIA)).await?;
    Ok(if existed { Reply::empty(StatusCode::OK) } else { Reply::no_content() })
}
