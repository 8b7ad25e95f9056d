//! Client authentication at the token endpoint: id and secret (form fields or HTTP Basic), or a signed assertion.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header;
use store::AppRegistration;

use super::{assertion, errors};
use crate::budgets;
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::SecretHash;

/// Authenticates the application.
pub async fn authenticate(cx: &Context, call: &Call, form: &Query) -> Result<AppRegistration, ApiError> {
    let basic = basic(call);
    let app_id = form.filled("client_id").map(str::to_owned).or_else(|| basic.as_ref().map(|(id, _)| id.clone()));
    let app_id = app_id.ok_or_else(|| errors::missing_parameter("client_id"))?;
    let shown: String = app_id.chars().take(100).collect();
    let app = cx.store.app_registrations().get(&app_id).await.map_err(|error| ApiError::internal(&error))?;
    let app = app.ok_or_else(|| errors::unknown_app(&shown, &cx.identity.tenant_id))?;

    if let Some(token) = form.filled("client_assertion") {
        const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if form.get("client_assertion_type") != Some(KIND) {
            return Err(errors::bad_assertion("'client_assertion_type' must be 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'"));
        }
        assertion::check(&app, token, &audiences(cx, call), cx.clock.now())?;
        return Ok(app);
    }
    let secret =
        form.filled("client_secret").map(str::to_owned).or_else(|| basic.map(|(_, secret)| secret)).filter(|secret| !secret.is_empty());
    let secret = secret.ok_or_else(errors::no_proof)?;
    // Slow hashes must not block other callers: few run concurrently, and no address gets all slots.
    let _turn = match app.secrets.iter().any(|known| SecretHash::from_stored(known.hash.as_str()).is_slow()) {
        true => Some(budgets::wait(&call.budgets.hashes, &call.peer.ip().to_string(), 1).await?),
        false => None,
    };
    check_secret(cx, &app, secret).await?;
    Ok(app)
}

async fn check_secret(cx: &Context, app: &AppRegistration, secret: String) -> Result<(), ApiError> {
    let secrets = app.secrets.clone();
    // Slow hashes run on a blocking thread, so that other requests on this thread do not wait.
    let found =
        tokio::task::spawn_blocking(move || secrets.into_iter().find(|known| SecretHash::from_stored(known.hash.as_str()).proves(&secret)));
    match found.await.map_err(|error| ApiError::internal(&error))? {
        None => {
            metrics::counter!("bartizan_wrong_secrets_total").increment(1);
            tracing::warn!(app = app.app_id, "a client showed a wrong secret");
            Err(errors::wrong_secret(&app.app_id))
        }
        Some(known) if known.expires.is_some_and(|expires| expires <= cx.clock.now()) => Err(errors::expired_secret(&app.app_id)),
        Some(_) => Ok(()),
    }
}

/// Accepted audiences of an assertion: this token endpoint in either version, or the authority, under any of our names.
fn audiences(cx: &Context, call: &Call) -> Vec<String> {
    let origin = &call.origin;
    let tails = ["/oauth2/v2.0/token", "/oauth2/token", "/v2.0", "/", ""];
    let of = |tenant: &str| tails.map(|tail| format!("{origin}/{tenant}{tail}").to_ascii_lowercase());
    [call.param("tenant"), cx.identity.tenant_id.as_str()].into_iter().flat_map(of).collect()
}

/// Client id and secret from `Authorization: Basic`, both form-encoded (RFC 6749 §2.3.1).
fn basic(call: &Call) -> Option<(String, String)> {
    let value = call.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode =
        |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned());
    Some((decode(id)?, decode(secret)?))
}
