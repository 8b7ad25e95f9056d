//! `DELETE /api/v1/documents/{kind}/{name}`

use http::Method;

use super::common::{VIA, apply_error, known, missing, of, reload, require};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/api/v1/documents/{kind}/{name}",
    summary: "Delete an object of a document that nothing else needs",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/documents/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(run(cx, call)),
};

/// The kind decides which action is needed.
async fn run(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let kind = known(call.param("kind"))?;
    require(cx, &call, kind, kind.access().delete)?;
    let (name, documents) = (call.param("name"), of(cx));
    if !documents.delete(kind, name, call.header("if-match"), &call.actor(VIA)).await.map_err(apply_error)? {
        return Err(missing(&documents, kind, name).await);
    }
    reload(cx, std::iter::once(kind)).await?;
    Ok(Reply::no_content())
}
