//! `GET /api/v1/sources` — the sources of the service and how they fare.

use http::Method;
use model::ConnectorRole;

use super::connectors::List;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/sources",
    summary: "List the sources with their state, rows, position and last error",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/sources/read",
    query: nothing,
    takes: nothing,
    returns: schema::<List>,
    run: |cx, _| Box::pin(async { Reply::json(List { connectors: cx.connectors.list(ConnectorRole::Source) }) }),
};
