//! Secrets and certificates of an application: `addPassword`, `removePassword`, `addKey`, `removeKey` (S1-55, S1-59).
//!
//! A secret's text is in the answer of `addPassword` and nowhere else. `addKey` and `removeKey` let an application roll over its own
//! certificate: they need a proof, a token signed with a key that it has already
//! (learn.microsoft.com/graph/application-rollkey-prooftoken).

use http::Method;
use model::{Span, Timestamp};
use serde::Deserialize;
use serde_json::json;
use store::{AppRegistration, Change, ClientSecret};
use uuid::Uuid;

use super::application_body::{KeyCredential, MAX_CERTIFICATES, MAX_NAME, key_view};
use super::applications::{failed, find, not_found, object_id, record};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::{SecretHash, generate_secret};
use crate::reply::Reply;
use crate::wire::entra::assertion;

pub static ADD_PASSWORD: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{version}/applications/{id}/addPassword",
    summary: "Give an application a client secret, shown in this answer only",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/credentials/update",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(add_password(cx, call)),
};

pub static REMOVE_PASSWORD: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{version}/applications/{id}/removePassword",
    summary: "Take a client secret from an application",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/credentials/update",
    query: nothing,
    takes: as_specified,
    returns: nothing,
    run: |cx, call| Box::pin(remove_password(cx, call)),
};

pub static ADD_KEY: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{version}/applications/{id}/addKey",
    summary: "Add a certificate to an application, proved by one that it has",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/credentials/update",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(add_key(cx, call)),
};

pub static REMOVE_KEY: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{version}/applications/{id}/removeKey",
    summary: "Remove a certificate from an application, proved by one that it has",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/credentials/update",
    query: nothing,
    takes: as_specified,
    returns: nothing,
    run: |cx, call| Box::pin(remove_key(cx, call)),
};

/// Maximum secrets of an application.
const MAX_SECRETS: usize = 20;
/// Validity of a secret for which no end is given, as in Graph: two years.
const DEFAULT_VALIDITY: Span = Span(730 * Span::DAY.0);
/// Longest validity of a secret.
const MAX_VALIDITY: Span = Span(36_525 * Span::DAY.0);
/// Characters of a secret by which people recognise it.
const HINT: usize = 3;
/// Audience of a proof: Azure AD Graph's application id.
const PROOF_AUDIENCE: &str = "00000002-0000-0000-c000-000000000000";
/// Longest lifetime of a proof, in seconds.
const PROOF_SECONDS: f64 = 600.0;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AddPassword {
    password_credential: Credential,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Credential {
    display_name: Option<String>,
    start_date_time: Option<Timestamp>,
    end_date_time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemovePassword {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddKey {
    key_credential: KeyCredential,
    proof: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveKey {
    key_id: String,
    proof: String,
}

/// A change and the application inside it, so that two changes at the same time both count.
async fn open(cx: &Context, call: &Call) -> Result<(Change, AppRegistration), ApiError> {
    let id = find(cx, call).await?.app_id;
    let mut change = cx.store.begin().await.map_err(failed)?;
    let app = change.app_registration(&id).await.map_err(failed)?.ok_or_else(|| not_found(&id))?;
    Ok((change, app))
}

async fn add_password(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: AddPassword = call.json().await?;
    let wanted = wanted.password_credential;
    let (mut change, mut app) = open(cx, &call).await?;
    if app.secrets.len() >= MAX_SECRETS {
        let message = format!("The application has {MAX_SECRETS} secrets, its limit; remove one first.");
        return Err(ApiError::bad_request("Directory_QuotaExceeded", message));
    }
    let now = cx.clock.now();
    let start = wanted.start_date_time.unwrap_or(now);
    let end = wanted.end_date_time.unwrap_or(start + DEFAULT_VALIDITY);
    if end <= now || end <= start || end > now + MAX_VALIDITY {
        let message = "The end date of the secret is invalid: it must be after its start and after now.";
        return Err(ApiError::bad_request("Request_BadRequest", message).target("passwordCredential.endDateTime"));
    }
    let internal = |error: crate::identity::SecretError| ApiError::internal(&error);
    let secret = generate_secret().map_err(internal)?;
    let added = ClientSecret {
        key_id: Uuid::new_v4().to_string(),
        hash: SecretHash::of_generated(&secret).map_err(internal)?.as_stored().to_owned(),
        expires: Some(end),
        display_name: wanted.display_name.map(|name| name.chars().take(MAX_NAME).collect()),
        start: Some(start),
        hint: Some(hint(secret.reveal())),
    };
    app.secrets.push(added.clone());
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "secret added", json!({ "keyId": [null, added.key_id], "endDateTime": [null, end] })).await?;
    change.commit().await.map_err(failed)?;
    Reply::json(json!({
        "@odata.context": format!("{}/v1.0/$metadata#microsoft.graph.passwordCredential", call.origin),
        "keyId": added.key_id,
        "displayName": added.display_name,
        "startDateTime": start,
        "endDateTime": end,
        "hint": added.hint,
        "secretText": secret.reveal(),
    }))
}

/// The first random characters: the prefix that all secrets share tells nothing apart.
fn hint(secret: &str) -> String {
    secret.chars().skip_while(|c| *c != '~').skip(1).take(HINT).collect()
}

async fn remove_password(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: RemovePassword = call.json().await?;
    let (mut change, mut app) = open(cx, &call).await?;
    let before = app.secrets.len();
    app.secrets.retain(|secret| !secret.key_id.eq_ignore_ascii_case(&wanted.key_id));
    if app.secrets.len() == before {
        let message = format!("No credentials found to be removed: the application has no secret '{}'.", wanted.key_id);
        return Err(ApiError::bad_request("Request_BadRequest", message).target("keyId"));
    }
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "secret removed", json!({ "keyId": [wanted.key_id, null] })).await?;
    change.commit().await.map_err(failed)?;
    Ok(Reply::no_content())
}

async fn add_key(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: AddKey = call.json().await?;
    let (mut change, mut app) = open(cx, &call).await?;
    check_proof(&app, &wanted.proof, cx.clock.now())?;
    if app.certificates.len() >= MAX_CERTIFICATES {
        let message = format!("The application has {MAX_CERTIFICATES} certificates, its limit; remove one first.");
        return Err(ApiError::bad_request("Directory_QuotaExceeded", message));
    }
    let added = wanted.key_credential.read(cx.clock.now())?;
    if app.certificates.iter().any(|known| known.key_id == added.key_id) {
        let message = format!("The application has a certificate with the key id '{}'.", added.key_id);
        return Err(ApiError::bad_request("Request_BadRequest", message).target("keyCredential.keyId"));
    }
    let view = key_view(&added);
    let changes = json!({ "keyId": [null, added.key_id], "customKeyIdentifier": [null, view["customKeyIdentifier"]] });
    app.certificates.push(added);
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "certificate added", changes).await?;
    change.commit().await.map_err(failed)?;
    Reply::json(view)
}

async fn remove_key(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: RemoveKey = call.json().await?;
    let (mut change, mut app) = open(cx, &call).await?;
    check_proof(&app, &wanted.proof, cx.clock.now())?;
    let before = app.certificates.len();
    app.certificates.retain(|known| !known.key_id.eq_ignore_ascii_case(&wanted.key_id));
    if app.certificates.len() == before {
        let message = format!("No credentials found to be removed: the application has no certificate '{}'.", wanted.key_id);
        return Err(ApiError::bad_request("Request_BadRequest", message).target("keyId"));
    }
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "certificate removed", json!({ "keyId": [wanted.key_id, null] })).await?;
    change.commit().await.map_err(failed)?;
    Ok(Reply::no_content())
}

#[derive(Clone, Deserialize)]
struct Proof {
    aud: String,
    iss: String,
    exp: f64,
    nbf: f64,
}

/// Whether the proof is signed by a certificate of the application, names its object id, and is valid now for ten minutes at most.
fn check_proof(app: &AppRegistration, token: &str, now: Timestamp) -> Result<(), ApiError> {
    let refused = |why: &str| {
        let message = format!(
            "The proof of possession is invalid: {why}. It is a token signed with the key of a certificate that the application has, with \
             'aud' '{PROOF_AUDIENCE}', 'iss' the application's object id, and at most ten minutes between 'nbf' and 'exp'."
        );
        ApiError::forbidden("Authentication_MissingOrMalformed", message).target("proof")
    };
    let proof: Proof = assertion::verify(app, token, now).map_err(|error| refused(error.message.trim_end_matches('.')))?;
    let seconds = now.unix_seconds() as f64;
    match () {
        () if proof.aud != PROOF_AUDIENCE => Err(refused("its audience is another one")),
        () if !proof.iss.eq_ignore_ascii_case(&object_id(app)) => Err(refused("its issuer is another application")),
        // Written so that NaN fails.
        () if !(proof.exp > seconds && proof.nbf <= seconds + 300.0 && proof.exp - proof.nbf <= PROOF_SECONDS) => {
            Err(refused("it is not valid now"))
        }
        () => Ok(()),
    }
}
