//! `POST /{tenant}/oauth2[/v2.0]/token` — tokens for applications and people. Each grant is a file in `grants/`.

use http::Method;

use super::grants::{authorization_code, client_credentials, device_code, refresh_token};
use super::{errors, tenant};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::signins::Attempt;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{tenant}/oauth2[/v2.0]/token",
    summary: "Give an application tokens for what it proves to be or was granted",
    dialect: &ENTRA,
    role: Role::Open("this is where tokens come from; the client proves itself in the body"),
    action: NO_ACTION,
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(token(cx, call)),
};

/// The name of the device code grant (RFC 8628 §3.4).
pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Parameters that decide what is granted; none may be repeated (RFC 6749 §3.2).
const ONCE: [&str; 11] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "code",
    "code_verifier",
    "redirect_uri",
    "refresh_token",
    "device_code",
    "scope",
    "resource",
];

async fn token(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let tenant = tenant(cx, call.param("tenant"))?;
    let form = call.form().await?;
    if let Some(name) = ONCE.into_iter().find(|name| form.pairs.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count() > 1) {
        return Err(errors::duplicated(name));
    }
    let mut attempt = Attempt::begin(&call, &form);
    let result = issue(cx, &call, &form, tenant.is_common, &mut attempt).await;
    // The other grants follow from the sign-in of a person, which was recorded then. A client that proves nothing is recorded always.
    let is_person = matches!(form.filled("grant_type"), Some("authorization_code" | "refresh_token" | "device_code" | DEVICE_CODE));
    if !is_person || result.as_ref().is_err_and(|error| error.code == "invalid_client") {
        attempt.end(&cx.sign_ins, &result, cx.clock.now());
    }
    result
}

async fn issue(cx: &Context, call: &Call, form: &Query, is_common: bool, attempt: &mut Attempt) -> Result<Reply, ApiError> {
    let answer = match form.filled("grant_type").ok_or_else(|| errors::missing_parameter("grant_type"))? {
        "client_credentials" => client_credentials::grant(cx, call, form, is_common, attempt).await?,
        "authorization_code" => authorization_code::grant(cx, call, form).await?,
        "refresh_token" => refresh_token::grant(cx, call, form).await?,
        DEVICE_CODE | "device_code" => device_code::grant(cx, call, form).await?,
        other => return Err(errors::unsupported_grant(&other.chars().filter(|c| !c.is_control()).take(100).collect::<String>())),
    };
    Reply::json(answer)
}
