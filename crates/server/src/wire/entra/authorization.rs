//! An authorization request: its parameters, checked.
//!
//! Until client and reply URL are known to belong together, an error is shown to the person and never sent anywhere (RFC 6749 §4.1.2.1).

use store::AppRegistration;

use super::redirect::ResponseMode;
use super::reply_urls::{self, Platform};
use super::resources::Resource;
use super::scopes::{self, Asked};
use super::{client, errors, one_time, tenant};
use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;

/// Longest `state` and `nonce`.
const MAX_STATE: usize = 4_096;
const MAX_NONCE: usize = 1_024;

/// Parameters that must not be repeated.
const ONCE: [&str; 12] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "resource",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "login_hint",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Consent is asked for what is missing.
    WhatIsMissing,
    /// Consent is asked again.
    Consent,
    /// An administrator consents for everyone, to everything in the manifest (version 1).
    AdminConsent,
}

/// The client and where answers go.
pub struct Target {
    pub app: AppRegistration,
    pub redirect_uri: String,
    pub platform: Platform,
    pub mode: ResponseMode,
    pub state: Option<String>,
}

/// The whole request.
pub struct Authorization {
    pub asked: Asked,
    pub resource: Resource,
    pub nonce: Option<String>,
    pub challenge: Option<String>,
    pub prompt: Prompt,
    pub login_hint: String,
}

/// Reads client and reply URL. An error is for the person.
pub async fn target(cx: &Context, call: &Call) -> Result<Target, ApiError> {
    let tenant = tenant(cx, call.param("tenant"))?;
    if let Some(name) =
        ONCE.into_iter().find(|name| call.query.pairs.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count() > 1)
    {
        return Err(errors::duplicated(name));
    }
    let app = client::find(cx, call.query.filled("client_id").ok_or_else(|| errors::missing_parameter("client_id"))?).await?;
    if tenant.is_common && !app.settings.multi_tenant {
        return Err(errors::not_multi_tenant(&app.app_id, &app.display_name));
    }
    let is_v1 = is_version_one(call);
    let redirect_uri = match call.query.filled("redirect_uri").map(str::trim) {
        Some(wanted) => wanted.to_owned(),
        None => reply_urls::only(&app).ok_or_else(|| errors::no_reply_url(&app.app_id))?.to_owned(),
    };
    let platform = reply_urls::find(&app, &redirect_uri, is_v1).ok_or_else(|| errors::wrong_reply_url(&app.app_id, &redirect_uri))?;
    let mode = call.query.filled("response_mode");
    let mode = ResponseMode::parse(mode).ok_or_else(|| errors::bad_response_mode(mode.unwrap_or_default()))?;
    let state = call.query.get("state").map(str::to_owned);
    if state.as_ref().is_some_and(|state| state.len() > MAX_STATE) {
        return Err(errors::too_long("state"));
    }
    Ok(Target { app, redirect_uri, platform, mode, state })
}

/// Whether the path is version 1's.
pub fn is_version_one(call: &Call) -> bool {
    !call.path.to_ascii_lowercase().split('/').any(|part| part == "v2.0")
}

/// Reads the rest. An error is sent to the application.
pub async fn read(cx: &Context, call: &Call, target: &Target) -> Result<Authorization, ApiError> {
    match call.query.filled("response_type") {
        Some("code") => {}
        Some(other) => return Err(errors::unsupported_response_type(other)),
        None => return Err(errors::missing_parameter("response_type")),
    }
    let challenge = match (call.query.filled("code_challenge"), call.query.filled("code_challenge_method")) {
        // Without a method the challenge would be the verifier itself (`plain`).
        (Some(challenge), Some("S256")) if one_time::is_challenge(challenge) => Some(challenge.to_owned()),
        (None, None) if target.platform.is_public() || target.app.settings.is_public => return Err(errors::challenge_required()),
        (None, None) => None,
        _ => return Err(errors::challenge_method()),
    };
    let prompt = match call.query.filled("prompt") {
        Some("none") => return Err(errors::login_required()),
        Some("consent") => Prompt::Consent,
        Some("admin_consent") => Prompt::AdminConsent,
        _ => Prompt::WhatIsMissing,
    };
    let nonce = call.query.filled("nonce").map(str::to_owned);
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > MAX_NONCE) {
        return Err(errors::too_long("nonce"));
    }
    let (scope, resource) = (call.query.filled("scope"), call.query.filled("resource"));
    // AD FS and version 1 take both forms; version 2 has scopes only.
    let resource = resource.filter(|_| is_version_one(call));
    let (asked, resource) = scopes::read(cx, &target.app, scope, resource).await?;
    let login_hint = call.query.get("login_hint").unwrap_or_default().chars().take(super::steps::MAX_NAME).collect();
    Ok(Authorization { asked, resource, nonce, challenge, prompt, login_hint })
}
