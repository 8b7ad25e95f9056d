//! `GET /{tenant}[/v2.0]/.well-known/openid-configuration` — OpenID Connect discovery: what is served, and nothing else.
//!
//! MSAL uses `token_endpoint` verbatim and requires `authorization_endpoint`; all URLs have the host that the client used. For `common` the
//! issuer has a placeholder, as in Entra: which tenant a token is from is only known from the token.

use http::Method;
use serde_json::json;

use super::tenant;
use super::token::DEVICE_CODE;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::ADFS;
use crate::identity::permissions::OPENID_SCOPES;
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
    let name = call.param("tenant");
    let tenant = tenant(cx, name)?;
    let base = format!("{}/{name}", call.origin);
    let is_adfs = name.eq_ignore_ascii_case(ADFS);
    // AD FS has no versions in its paths; its tokens are of version 2 here, as clients ask for scopes.
    let is_v1 = !is_adfs && super::authorization::is_version_one(&call);
    let version = if is_adfs || is_v1 { "" } else { "/v2.0" };
    let issuer = match (tenant.is_common, is_v1) {
        (true, true) => format!("{}/{{tenantid}}/", call.origin),
        (true, false) => format!("{}/{{tenantid}}/v2.0", call.origin),
        (false, is_v1) => cx.identity.issuer_of(&call.origin, if is_v1 { 1 } else { 2 }),
    };
    Reply::json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{base}/oauth2{version}/authorize"),
        "token_endpoint": format!("{base}/oauth2{version}/token"),
        "device_authorization_endpoint": format!("{base}/oauth2{version}/devicecode"),
        "jwks_uri": format!("{base}/discovery{version}/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
        "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token", DEVICE_CODE],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": OPENID_SCOPES,
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "request_uri_parameter_supported": false,
        "http_logout_supported": false,
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "tid", "ver", "oid", "name", "preferred_username", "email",
        ],
        "tenant_region_scope": null,
    }))
}
