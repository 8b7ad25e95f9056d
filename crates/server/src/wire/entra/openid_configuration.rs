//! `GET /{tenant}[/v2.0]/.well-known/openid-configuration` — OpenID Connect discovery.
//!
//! MSAL uses `token_endpoint` verbatim and requires `authorization_endpoint`; all URLs have the host that the client used.

use http::Method;
use serde_json::json;

use super::check_tenant;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::ADFS;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{tenant}[/v2.0]/.well-known/openid-configuration",
    summary: "Read where the tenant's endpoints and keys are",
    dialect: &ENTRA,
    role: Role::Open("OpenID discovery is public; it holds addresses only"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(configuration(cx, call)),
};

async fn configuration(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let tenant = call.param("tenant");
    check_tenant(cx, tenant)?;
    let base = format!("{}/{tenant}", call.origin);
    // AD FS has no versions in its paths.
    let version = if tenant.eq_ignore_ascii_case(ADFS) { "" } else { "/v2.0" };
    Reply::json(json!({
        "issuer": cx.identity.issuer(&call.origin),
        "authorization_endpoint": format!("{base}/oauth2{version}/authorize"),
        "token_endpoint": format!("{base}/oauth2{version}/token"),
        "jwks_uri": format!("{base}/discovery{version}/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "grant_types_supported": ["client_credentials"],
        // The authorization endpoint issues nothing: only applications get tokens.
        "response_types_supported": [],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "tid", "ver", "oid", "appid", "azp"],
        "tenant_region_scope": null,
    }))
}
