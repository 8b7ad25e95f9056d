//! `GET /{tenant}/discovery[/v2.0]/keys` — the public signing keys.

use http::Method;

use super::check_tenant;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{tenant}/discovery[/v2.0]/keys",
    summary: "Read the public keys that verify this tenant's tokens",
    dialect: &ENTRA,
    role: Role::Open("public keys are public"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(keys(cx, call)),
};

async fn keys(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_tenant(cx, call.param("tenant"))?;
    Reply::json(cx.identity.keys().jwks(&cx.identity.issuer(&call.origin)))
}
