//! Entra's pages, token endpoints and discovery documents, for people and applications.
//!
//! Format: learn.microsoft.com/entra/identity-platform (client credentials, authorization code, refresh token and device code flows, admin
//! consent, certificate credentials, error codes). The tenant in a path is its id, its domain, or `adfs`, for which MSAL skips instance
//! discovery at Microsoft; `common` and `organizations` are for applications of several tenants.

mod admin_consent;
pub mod assertion;
mod authorization;
mod authorize;
mod client;
mod consent;
mod device_code;
mod device_login;
mod errors;
mod grants;
mod instance_discovery;
mod keys;
mod one_time;
mod openid_configuration;
mod pages;
mod redirect;
pub mod reply_urls;
pub mod resources;
mod scopes;
mod steps;
mod token;

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::identity::COMMON;

pub static ENDPOINTS: &[&Endpoint] = &[
    &authorize::SHOW,
    &authorize::SEND,
    &admin_consent::SHOW,
    &admin_consent::SEND,
    &device_code::ENDPOINT,
    &device_login::SHOW,
    &device_login::SEND,
    &token::ENDPOINT,
    &openid_configuration::ENDPOINT,
    &keys::ENDPOINT,
    &instance_discovery::ENDPOINT,
];

/// What the first segment of a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenant {
    /// `common` or `organizations`: the tenant of whoever signs in.
    is_common: bool,
}

/// The tenant of a path; an error if it is not ours.
fn tenant(cx: &Context, name: &str) -> Result<Tenant, ApiError> {
    let is_common = COMMON.iter().any(|alias| alias.eq_ignore_ascii_case(name));
    if is_common || cx.identity.is_tenant(name) {
        return Ok(Tenant { is_common });
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    Err(errors::unknown_tenant(&shown, &cx.identity.tenant_id))
}
