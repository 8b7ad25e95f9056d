//! `POST [/v1]/$batch` — several queries in one request. Deprecated by Microsoft, but used by the SDKs' batch methods.

use std::collections::BTreeMap;

use futures::StreamExt;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::failure;
use super::prefer::Prefer;
use super::run::{self, Ask};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::LOG_ANALYTICS;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

/// Maximum queries of a batch.
const MAX_REQUESTS: usize = 100;
/// Queries of one batch that run concurrently.
const AT_ONCE: usize = 4;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "[/v1]/$batch",
    summary: "Run several queries, each with its own answer",
    dialect: &LOG_ANALYTICS,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/query/read",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(batch(cx, call)),
};

#[derive(Deserialize)]
struct Batch {
    requests: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Ask,
    #[serde(default)]
    workspace: String,
}

#[derive(Serialize)]
struct Responses {
    responses: Vec<Response>,
}

#[derive(Serialize)]
struct Response {
    id: String,
    status: u16,
    headers: BTreeMap<&'static str, &'static str>,
    body: Box<RawValue>,
}

async fn batch(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let batch: Batch = call.json().await.map_err(|error| ApiError { code: "BadArgumentError".into(), ..error })?;
    if batch.requests.len() > MAX_REQUESTS {
        let message = format!("The batch has {} requests; at most {MAX_REQUESTS} are taken.", batch.requests.len());
        return Err(failure::bad(message).target("requests"));
    }
    let call = &call;
    let responses: Vec<Response> =
        futures::stream::iter(batch.requests.into_iter().map(|item| one(cx, call, item))).buffered(AT_ONCE).collect().await;
    Reply::json(Responses { responses })
}

async fn one(cx: &Context, call: &Call, item: Item) -> Response {
    let prefer = item.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("prefer")).map(|(_, value)| value.as_str());
    let prefer = Prefer::parse(prefer);
    let result = match run::check_workspace(cx, &item.workspace) {
        Ok(()) => run::run(cx, call, item.body, None, prefer).await,
        Err(error) => Err(error),
    };
    let reply = result.unwrap_or_else(|error| LOG_ANALYTICS.reply(&error, &call.ids, cx.clock.now(), &call.origin));
    // Our responses are JSON; if one is not, an empty body is better than breaking the whole batch.
    let body = String::from_utf8(reply.body.into()).ok().and_then(|text| RawValue::from_string(text).ok());
    Response {
        id: item.id,
        status: reply.status.as_u16(),
        headers: BTreeMap::from([("Content-Type", "application/json; charset=utf-8")]),
        body: body.unwrap_or_else(|| RawValue::NULL.to_owned()),
    }
}
