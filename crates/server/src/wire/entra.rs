//! Entra's token endpoints and discovery documents, for service principals.
//!
//! Shapes: learn.microsoft.com/entra/identity-platform (client credentials flow, certificate credentials, error codes). The tenant in a
//! path is its id, its domain, or `adfs`, with which MSAL asks no other host about this one.

mod assertion;
mod client;
mod errors;

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::error::ApiError;

model::register! { ENDPOINTS: Endpoint = ENDPOINT; authorize, token, openid_configuration, keys, instance_discovery }

/// Refuses a tenant that is not ours.
fn check_tenant(cx: &Context, name: &str) -> Result<(), ApiError> {
    if cx.identity.is_tenant(name) { Ok(()) } else { Err(errors::unknown_tenant(name, &cx.identity.tenant_id)) }
}
