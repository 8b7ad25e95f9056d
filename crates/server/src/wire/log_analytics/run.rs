//! Runs one query, from its parameters to its response; shared by all routes.

use http::StatusCode;
use model::{Limits, Query, Scope, Timestamp};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::prefer::Prefer;
use super::{encode, failure, timespan};
use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;
use crate::reply::{JSON, Reply};

/// Maximum length of a query text.
const MAX_QUERY: usize = 1 << 20;
/// Results with more rows are encoded on a blocking thread, so that small requests do not wait.
const MANY_ROWS: usize = 5_000;

/// A query request. Stock clients send `null` for unset fields.
#[derive(Debug, Default, Deserialize)]
pub struct Ask {
    pub query: Option<String>,
    pub timespan: Option<String>,
    /// Additional workspaces to query.
    pub workspaces: Option<Vec<String>>,
    /// The value of `now()` for this query, ISO 8601. Our own addition, for `bartizan rules run --at`; Log Analytics has no such member.
    pub now: Option<String>,
}

/// Runs the query. `url_timespan` is intersected with the body's.
///
/// If the client disconnects, this future is dropped, and with it the guard that cancels the query.
pub async fn run(cx: &Context, call: &Call, ask: Ask, url_timespan: Option<&str>, prefer: Prefer) -> Result<Reply, ApiError> {
    let kql = ask.query.filter(|text| !text.trim().is_empty());
    let kql = kql.ok_or_else(|| failure::bad("A query is required: the property 'query' is missing or empty.").target("query"))?;
    if kql.len() > MAX_QUERY {
        return Err(failure::bad(format!("The query has {} bytes; at most {MAX_QUERY} are taken.", kql.len())).target("query"));
    }
    for workspace in ask.workspaces.iter().flatten() {
        if !is_ours(cx, workspace) {
            let shown: String = workspace.chars().take(200).collect();
            return Err(failure::bad(format!("There is no workspace '{shown}' on this server.")).target("workspaces"));
        }
    }
    let given = ask.now.as_deref().filter(|text| !text.trim().is_empty());
    let given = given.map(|text| {
        let wrong = || failure::bad("The property 'now' is no ISO 8601 time, such as '2026-01-01T00:00:00Z'.").target("now");
        Timestamp::parse_iso(text.trim()).ok_or_else(wrong)
    });
    let given = given.transpose()?;
    let now = given.unwrap_or_else(|| cx.clock.now());
    let window = |text: Option<&str>| {
        text.filter(|text| !text.trim().is_empty())
            .map(|text| {
                timespan::parse(text, now).map_err(|error| failure::bad(format!("The timespan is wrong: {error}.")).target("timespan"))
            })
            .transpose()
    };
    let window = timespan::intersect(window(url_timespan)?, window(ask.timespan.as_deref())?);
    let cancel = CancellationToken::new();
    let _cancelled_when_dropped = cancel.clone().drop_guard();
    let query = Query {
        limits: Limits { time: Some(prefer.wait), ..Limits::default() },
        caller: call.principal.as_ref().map(|principal| principal.object_id.clone()).unwrap_or_default(),
        cancel,
        ..Query::new(kql).with_scope(Scope { now: given, window, ..Scope::default() })
    };
    let text = query.kql.clone();
    let answer = cx.engine.query(query).await.map_err(|error| failure::refusal(&text, &error))?;
    let body = if answer.rows() > MANY_ROWS {
        tokio::task::spawn_blocking(move || encode::answer(&answer, prefer)).await.map_err(|error| ApiError::internal(&error))?
    } else {
        encode::answer(&answer, prefer)
    };
    Ok(Reply::bytes(StatusCode::OK, JSON, body))
}

/// Whether a workspace id, name or resource id refers to our workspace.
pub fn is_ours(cx: &Context, name: &str) -> bool {
    let name = name.trim().trim_matches('/');
    name.eq_ignore_ascii_case(&cx.cloud.workspace_id)
        || name.eq_ignore_ascii_case(&cx.cloud.workspace_name)
        || name.eq_ignore_ascii_case(cx.cloud.workspace_path().trim_matches('/'))
}

/// Rejects workspaces other than ours.
pub fn check_workspace(cx: &Context, name: &str) -> Result<(), ApiError> {
    if is_ours(cx, name) {
        return Ok(());
    }
    let shown: String = name.chars().take(200).collect();
    Err(ApiError::not_found(
        "PathNotFoundError",
        format!("The requested path does not exist: there is no workspace '{shown}' on this server."),
    ))
}
