//! `GET /api/v1/version` — the running version.

use http::Method;
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
    path: "/api/v1/version",
    summary: "Read the version of the service and the time it thinks it is",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/version/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Version>,
    run: |cx, call| Box::pin(version(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Version {
    /// As in the changelog. Example: `0.1.0`.
    version: &'static str,
    /// UTC, ISO 8601.
    now: String,
}

async fn version(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    Reply::json(Version { version: env!("CARGO_PKG_VERSION"), now: cx.clock.now().to_string() })
}
