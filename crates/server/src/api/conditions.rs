//! `GET /api/v1/health` — active health conditions with their impact and remedy.

use http::Method;
use model::ConditionSeverity;
use schemars::JsonSchema;
use serde::Serialize;

use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/health",
    summary: "Read the conditions that hold now: what is wrong, what it costs, what to do",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/health/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Conditions>,
    run: |cx, call| Box::pin(conditions(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Conditions {
    /// `ok`, `degraded`, `failing` or `broken`.
    status: &'static str,
    conditions: Vec<Item>,
}

#[derive(Serialize, JsonSchema)]
struct Item {
    /// What kind it is. Example: `data-file-damaged`.
    name: String,
    /// Which one of its kind. Example: `SigninLogs.4/00000000000000000012-….parquet`.
    subject: String,
    /// `notice`, `degraded`, `failing` or `broken`.
    severity: &'static str,
    summary: String,
    action: String,
    /// The error behind it.
    detail: String,
}

async fn conditions(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    let word = ConditionSeverity::name;
    let status = cx.health.worst().filter(|worst| *worst > ConditionSeverity::Notice).map_or("ok", word);
    let items = cx.health.conditions().into_iter().map(|each| Item {
        name: each.name,
        subject: each.subject,
        severity: word(each.severity),
        summary: each.summary,
        action: each.action,
        detail: each.detail,
    });
    Reply::json(Conditions { status, conditions: items.collect() })
}
