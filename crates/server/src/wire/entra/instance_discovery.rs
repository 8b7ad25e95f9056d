//! `GET /common/discovery/instance` — the cloud that a login host belongs to; MSAL calls it before trusting an authority.

use http::Method;
use serde_json::json;

use crate::call::Call;
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/common/discovery/instance",
    summary: "Read the names of this cloud's login host",
    dialect: &ENTRA,
    role: Role::Open("clients ask before they log in; it holds addresses only"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(instance(cx, call)),
};

async fn instance(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let host = call.origin.trim_start_matches("https://");
    Reply::json(json!({
        "tenant_discovery_endpoint": format!("{}/{}/v2.0/.well-known/openid-configuration", call.origin, cx.identity.tenant_id),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    }))
}
