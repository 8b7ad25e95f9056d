//! `GET /api/v1/documents/kinds`

use http::Method;

use documents::Description;
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
    path: "/api/v1/documents/kinds",
    summary: "List the kinds of documents with their JSON schemas",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/documents/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Kinds>,
    run: |cx, call| Box::pin(run(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Kinds {
    /// In the order in which they are written.
    kinds: Vec<Description>,
}

async fn run(_: &Context, _: Call) -> Result<Reply, ApiError> {
    Reply::json(Kinds { kinds: documents::describe() })
}
