//! `GET /metrics` — metrics in Prometheus' text format.

use http::{HeaderValue, Method, StatusCode};

use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/metrics",
    summary: "Read the service's metrics in Prometheus' text format",
    dialect: &OURS,
    role: Role::Open("scrapers have no token; names and numbers only, no data of users"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, _| {
        Box::pin(async {
            Ok(Reply::bytes(StatusCode::OK, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), (cx.metrics)()))
        })
    },
};
