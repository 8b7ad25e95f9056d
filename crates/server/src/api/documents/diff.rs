//! `POST /api/v1/documents/diff`

use http::Method;

use super::common::{Changes, Pruned, apply_error, document, of, read};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/documents/diff",
    summary: "Say what applying a document would change",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/documents/read",
    query: schema::<Pruned>,
    takes: document,
    returns: schema::<Changes>,
    run: |cx, call| Box::pin(run(cx, call)),
};

async fn run(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Pruned { prune } = call.query()?;
    let wanted = read(cx, &mut call).await?;
    let changes = of(cx).diff(&wanted, prune).await.map_err(apply_error)?;
    Reply::json(Changes { changes })
}
