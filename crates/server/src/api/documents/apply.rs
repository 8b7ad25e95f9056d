//! `POST /api/v1/documents/apply`

use http::Method;

use documents::kinds;

use super::common::{Changes, Pruned, VIA, apply_error, document, of, read, reload, require};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/documents/apply",
    summary: "Make the configuration what a document says: all of it, or nothing",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/documents/write",
    query: schema::<Pruned>,
    takes: document,
    returns: schema::<Changes>,
    run: |cx, call| Box::pin(run(cx, call)),
};

/// Each kind of the document needs the action of writing it, and of deleting it to prune.
async fn run(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Pruned { prune } = call.query()?;
    let wanted = read(cx, &mut call).await?;
    for kind in wanted.kinds.keys().filter_map(|kind| kinds::find(kind)) {
        require(cx, &call, kind, kind.access().write)?;
        if prune {
            require(cx, &call, kind, kind.access().delete)?;
        }
    }
    let actor = call.actor(VIA);
    let changes = of(cx).apply(&wanted, prune, &actor).await.map_err(apply_error)?;
    reload(cx, kinds::all().filter(|kind| changes.iter().any(|change| change.kind == kind.name()))).await?;
    tracing::info!(changes = changes.len(), prune, by = actor.name, "document applied");
    Reply::json(Changes { changes })
}
