//! `GET /readyz` — readiness: 200 while ingestion and queries work.

use http::Method;
use model::ConditionSeverity;

use super::health::answer;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing};

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/readyz",
    summary: "Answer 200 while the service takes data and answers, with what is wrong by name",
    dialect: &OURS,
    role: Role::Open("load balancers ask before they have a token; names and one sentence each, no data, no paths"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, _| Box::pin(async { Ok(answer(&cx.health, ConditionSeverity::Failing)) }),
};
