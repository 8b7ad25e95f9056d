//! `PUT /api/v1/documents/{kind}/{name}`

use http::Method;

use http::StatusCode;

use super::common::{VIA, apply_error, body, known, object, of, reload, require, with_etag};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/api/v1/documents/{kind}/{name}",
    summary: "Create or replace an object of a document; with `If-Match` only that version",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/documents/write",
    query: nothing,
    takes: body,
    returns: body,
    run: |cx, call| Box::pin(run(cx, call)),
};

/// The kind decides which action is needed.
async fn run(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let kind = known(call.param("kind"))?;
    require(cx, &call, kind, kind.access().write)?;
    let body = object(&mut call).await?;
    let (name, documents) = (call.param("name"), of(cx));
    // RFC 9110 §13.1.2: `If-None-Match: *` creates and never replaces.
    let only_new = call.header("if-none-match").is_some_and(|value| value.trim() == "*");
    if only_new && documents.get(kind, name).await.map_err(apply_error)?.is_some() {
        let message = format!("There is '{}/{name}' already.", kind.name());
        return Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message));
    }
    let actor = call.actor(VIA);
    let (stored, created) = documents.put(kind, name, body, call.header("if-match"), &actor).await.map_err(apply_error)?;
    reload(cx, std::iter::once(kind)).await?;
    with_etag(Reply::put(created, &stored.body)?, &stored)
}
