//! `POST /api/v1/documents/check`

use http::Method;

use documents::Problem;
use schemars::JsonSchema;
use serde::Serialize;

use super::common::{Pruned, apply_error, document, of, read};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/documents/check",
    summary: "Say what would be wrong if a document were applied",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/documents/read",
    query: schema::<Pruned>,
    takes: document,
    returns: schema::<Checked>,
    run: |cx, call| Box::pin(run(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Checked {
    problems: Vec<Problem>,
    /// What is allowed and is probably not meant.
    warnings: Vec<Problem>,
}

async fn run(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Pruned { prune } = call.query()?;
    let wanted = read(cx, &mut call).await?;
    let checked = of(cx).check(&wanted, prune).await.map_err(apply_error)?;
    Reply::json(Checked { problems: checked.problems, warnings: checked.warnings })
}
