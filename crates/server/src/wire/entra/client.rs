//! Client authentication at the token endpoint: id and secret (form fields or HTTP Basic), or a signed assertion.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header;
use model::Secret;
use store::AppRegistration;

use super::{assertion, errors};
use crate::budgets;
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::{ClientProof, SecretHash};

/// The client of a request, and how it proved itself.
pub struct Client {
    pub app: AppRegistration,
    pub proof: ClientProof,
}

/// Authenticates the application by secret or certificate.
pub async fn authenticate(cx: &Context, call: &Call, form: &Query) -> Result<Client, ApiError> {
    let client = identify(cx, call, form).await?;
    match client.proof {
        ClientProof::None => Err(errors::no_proof()),
        _ => Ok(client),
    }
}

/// The application, which proved itself if it has to: a public client need not, and must not show a secret.
pub async fn authenticate_or_public(cx: &Context, call: &Call, form: &Query, is_public: bool) -> Result<Client, ApiError> {
    let client = identify(cx, call, form).await?;
    match (client.proof, is_public || client.app.settings.is_public) {
        (ClientProof::None, false) => Err(errors::proof_required()),
        _ => Ok(client),
    }
}

/// The application with this id.
pub async fn find(cx: &Context, app_id: &str) -> Result<AppRegistration, ApiError> {
    let app_id = app_id.trim();
    let shown: String = app_id.chars().filter(|c| !c.is_control()).take(100).collect();
    let app = cx.store.app_registrations().get(app_id).await?;
    app.ok_or_else(|| errors::unknown_app(&shown, &cx.identity.tenant_id))
}

async fn identify(cx: &Context, call: &Call, form: &Query) -> Result<Client, ApiError> {
    let basic = basic(call);
    let app_id = form.filled("client_id").map(str::to_owned).or_else(|| basic.as_ref().map(|(id, _)| id.clone()));
    let app_id = app_id.ok_or_else(|| errors::missing_parameter("client_id"))?;
    let app = find(cx, &app_id).await?;
    if let Some(token) = form.filled("client_assertion") {
        const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if form.get("client_assertion_type") != Some(KIND) {
            return Err(errors::bad_assertion("'client_assertion_type' must be 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'"));
        }
        let checked = assertion::check(&app, token, &audiences(cx, call), cx.clock.now())?;
        assertion::record_use(cx, &app, token, checked, peer(call)).await?;
        return Ok(Client { app, proof: ClientProof::Certificate });
    }
    let secret =
        form.filled("client_secret").map(str::to_owned).or_else(|| basic.map(|(_, secret)| secret)).filter(|secret| !secret.is_empty());
    let Some(secret) = secret else { return Ok(Client { app, proof: ClientProof::None }) };
    // Slow hashes must not block other callers: few run concurrently, and no address gets all slots.
    let _turn = match app.secrets.iter().any(|known| SecretHash::from_stored(known.hash.as_str()).is_slow()) {
        true => Some(budgets::wait(&call.budgets.hashes, &call.peer.ip().to_string(), 1).await?),
        false => None,
    };
    check_secret(cx, &app, Secret::new(secret)).await?;
    Ok(Client { app, proof: ClientProof::Secret })
}

/// The peer's address; all loopback addresses are one machine.
fn peer(call: &Call) -> String {
    let address = call.peer.ip().to_canonical();
    if address.is_loopback() { "loopback".to_owned() } else { address.to_string() }
}

async fn check_secret(cx: &Context, app: &AppRegistration, secret: Secret<String>) -> Result<(), ApiError> {
    let secrets = app.secrets.clone();
    // Slow hashes run on a blocking thread, so that other requests on this thread do not wait.
    let found = tokio::task::spawn_blocking(move || {
        secrets.into_iter().find(|known| SecretHash::from_stored(known.hash.as_str()).proves(secret.reveal()))
    });
    let now = cx.clock.now();
    match found.await.map_err(|error| ApiError::internal(&error))? {
        Some(known) if known.expires.is_some_and(|expires| expires <= now) => Err(errors::expired_secret(&app.app_id)),
        Some(known) if known.start.is_none_or(|start| start <= now) => Ok(()),
        _ => {
            metrics::counter!("bartizan_wrong_secrets_total").increment(1);
            tracing::warn!(app = app.app_id, "a client showed a wrong secret");
            Err(errors::wrong_secret(&app.app_id))
        }
    }
}

/// Accepted audiences of an assertion: this token endpoint in either version, or the authority, under any of our names.
fn audiences(cx: &Context, call: &Call) -> Vec<String> {
    let tails = ["/oauth2/v2.0/token", "/oauth2/token", "/v2.0", "/", ""];
    let tenants = [call.param("tenant"), cx.identity.tenant_id.as_str()];
    let origins = std::iter::once(call.origin.clone()).chain(cx.identity.origins.all());
    let of = |origin: String| {
        tenants.into_iter().flat_map(move |tenant| tails.map(|tail| format!("{origin}/{tenant}{tail}").to_ascii_lowercase()).into_iter())
    };
    origins.flat_map(of).collect()
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
