//! Entra's token endpoints and discovery documents, for service principals.
//!
//! Format: learn.microsoft.com/entra/identity-platform (client credentials flow, certificate credentials, error codes). The tenant in a
//! path is its id, its domain, or `adfs`, for which MSAL skips instance discovery at Microsoft.

mod assertion;
mod client;
mod errors;

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::error::ApiError;

model::register! { ENDPOINTS: Endpoint = ENDPOINT; authorize, token, openid_configuration, keys, instance_discovery }

/// Rejects a tenant other than ours.
fn check_tenant(cx: &Context, name: &str) -> Result<(), ApiError> {
    if cx.identity.is_tenant(name) { Ok(()) } else { Err(errors::unknown_tenant(name, &cx.identity.tenant_id)) }
}
