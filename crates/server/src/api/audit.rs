//! `GET /api/v1/audit` — the audit trail, newest first, filtered and paged.

use http::Method;
use model::{Actor, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditFilter, AuditRow};

use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/audit",
    summary: "Read the audit trail: who changed what, from where, and the fields before and after",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/audit/read",
    query: schema::<Asked>,
    takes: crate::endpoint::nothing,
    returns: schema::<Page>,
    run: |cx, call| Box::pin(list(cx, call)),
};

/// Default and maximum entries of a page.
const PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    /// Not before this time, ISO 8601.
    from: Option<String>,
    /// Before this time, ISO 8601.
    until: Option<String>,
    /// The actor's name, object id or user principal name.
    actor: Option<String>,
    /// The kind of object: `incident`, `analytics rule`, `role assignment`.
    kind: Option<String>,
    /// The object's id.
    id: Option<String>,
    /// What was done: `created`, `changed`, `deleted`.
    action: Option<String>,
    /// Entries with lower numbers only: the `next` of an earlier answer.
    before: Option<i64>,
    /// Entries of this page, 1 to 1000. Default: 100.
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct Page {
    /// Newest first.
    entries: Vec<Entry>,
    /// For the next page: its `before`. Null on the last one.
    next: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    number: i64,
    /// UTC, ISO 8601.
    time: String,
    kind: String,
    id: String,
    action: String,
    /// Who did it.
    actor: String,
    actor_id: Option<String>,
    /// The interface used.
    via: String,
    /// The caller's network address.
    address: Option<String>,
    /// `{"field": [before, after]}`.
    changes: Value,
    /// SHA-256 over this entry and the seal before it.
    seal: String,
}

impl From<AuditRow> for Entry {
    fn from(row: AuditRow) -> Self {
        let AuditRow { number, seal, entry } = row;
        let Actor { name, object_id, via, address, .. } = entry.actor;
        Self {
            number,
            time: entry.at.to_string(),
            kind: entry.aggregate,
            id: entry.id,
            action: entry.action,
            actor: name,
            actor_id: object_id,
            via,
            address,
            changes: entry.changes,
            seal,
        }
    }
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let asked: Asked = call.query()?;
    let limit = asked.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(ApiError::bad_request("InvalidQueryParameter", format!("'limit' must be from 1 to {MAX_PAGE}.")).target("limit"));
    }
    let filter = AuditFilter {
        from: time("from", asked.from.as_deref())?,
        until: time("until", asked.until.as_deref())?,
        actor: asked.actor,
        aggregate: asked.kind,
        id: asked.id,
        action: asked.action,
    };
    let mut rows = cx.store.audit().list(&filter, asked.before, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.number);
    Reply::json(Page { entries: rows.into_iter().map(Entry::from).collect(), next })
}

fn time(name: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let read = Timestamp::parse_iso(text).ok_or_else(|| {
        ApiError::bad_request("InvalidQueryParameter", format!("'{name}' is no time; write '2026-11-20T12:00:00Z'.")).target(name)
    })?;
    Ok(Some(read))
}
