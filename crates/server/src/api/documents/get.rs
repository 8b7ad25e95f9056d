//! `GET /api/v1/documents/{kind}/{name}`

use http::Method;

use super::common::{apply_error, body, known, missing, of, require, with_etag};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/documents/{kind}/{name}",
    summary: "Read an object as it stands in a document; its etag is in the header `ETag`",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/documents/read",
    query: nothing,
    takes: nothing,
    returns: body,
    run: |cx, call| Box::pin(run(cx, call)),
};

async fn run(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let kind = known(call.param("kind"))?;
    require(cx, &call, kind, kind.access().read)?;
    let (name, documents) = (call.param("name"), of(cx));
    match documents.get(kind, name).await.map_err(apply_error)? {
        Some(found) => with_etag(Reply::json(&found.body)?, &found),
        None => Err(missing(&documents, kind, name).await),
    }
}
