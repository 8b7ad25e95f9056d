//! `GET /api/v1/motto` — what a newcomer's first endpoint looks like.

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
    path: "/api/v1/motto",
    summary: "Read the motto of the house",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/motto/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Motto>,
    run: |cx, call| Box::pin(motto(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Motto {
    motto: &'static str,
}

async fn motto(_: &Context, _: Call) -> Result<Reply, ApiError> {
    Reply::json(Motto { motto: "one file, one line" })
}
