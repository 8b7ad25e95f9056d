//! The grants of the token endpoint, and the answers that they share.

pub mod authorization_code;
pub mod client_credentials;
pub mod device_code;
pub mod refresh_token;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, GrantKind, GrantState, OAuthGrant};

use super::client::Client;
use super::resources::Resource;
use super::scopes::Asked;
use super::{errors, one_time};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::{AccessToken, Person, SignIn as _, SignInError, Subject, TOKEN_LIFETIME};

/// What a refresh token stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefreshBody {
    /// Object id of the person.
    pub person: String,
    pub asked: Asked,
    pub is_public: bool,
    pub is_spa: bool,
}

/// Whom an answer is for.
pub struct Answer<'a> {
    pub client: &'a Client,
    pub person: &'a Person,
    pub asked: &'a Asked,
    pub resource: &'a Resource,
    pub nonce: Option<&'a str>,
    /// Code and refresh tokens that belong together.
    pub family: &'a str,
    pub is_public: bool,
    pub is_spa: bool,
}

/// Tokens for a person: an access token, and an ID token and a refresh token if they were asked for. The refresh token is stored in `change`.
pub async fn answer(cx: &Context, call: &Call, form: &Query, change: &mut Change, wanted: &Answer<'_>) -> Result<Value, ApiError> {
    let Answer { client, person, asked, resource, nonce, family, is_public, is_spa } = *wanted;
    let now = cx.clock.now();
    let scopes = asked.token_scopes();
    let token = AccessToken {
        client: &client.app.app_id,
        proof: client.proof,
        audience: &resource.audience,
        version: resource.version,
        subject: Subject::Person { person, scopes: &scopes },
        origin: &call.origin,
        now,
    };
    let internal = |error: jsonwebtoken::errors::Error| ApiError::internal(&error);
    let access_token = cx.identity.access_token(&token).map_err(internal)?;
    let mut answer = lifetime(asked.is_v1.then_some(resource.audience.as_str()), now.unix_seconds());
    answer["scope"] = json!(asked.answer());
    answer["access_token"] = json!(access_token);
    if asked.has_openid("openid") {
        let version = if asked.is_v1 { 1 } else { 2 };
        let email = asked.has_openid("email");
        let id_token = cx.identity.id_token(&client.app.app_id, person, nonce, email, version, (&call.origin, now)).map_err(internal)?;
        answer["id_token"] = json!(id_token);
    }
    if asked.has_openid("offline_access") {
        let text = one_time::generate()?;
        let body = RefreshBody { person: person.object_id.clone(), asked: asked.clone(), is_public, is_spa };
        let grant = OAuthGrant {
            hash: one_time::hash(text.reveal()),
            kind: GrantKind::RefreshToken,
            family: family.to_owned(),
            app_id: client.app.app_id.clone(),
            state: GrantState::Live,
            body: serde_json::to_value(&body).map_err(|error| ApiError::internal(&error))?,
            expires: now + if is_spa { one_time::SPA_REFRESH_LIFETIME } else { one_time::REFRESH_LIFETIME },
        };
        change.put_oauth_grant(&grant).await?;
        answer["refresh_token"] = json!(text.reveal());
    }
    if form.get("client_info") == Some("1") {
        // MSAL keys its cache of accounts with these two.
        let info = json!({ "uid": person.object_id, "utid": cx.identity.tenant_id });
        answer["client_info"] = json!(BASE64_URL_SAFE_NO_PAD.encode(info.to_string()));
    }
    metrics::counter!("bartizan_tokens_issued_total").increment(1);
    Ok(answer)
}

/// The fields that every answer has. Version 1 names the resource, and has numbers as strings (S1-65).
pub fn lifetime(resource: Option<&str>, now: i64) -> Value {
    let seconds = TOKEN_LIFETIME.ticks() / Span::SECOND.ticks();
    match resource {
        Some(resource) => json!({
            "token_type": "Bearer", "expires_in": seconds.to_string(), "ext_expires_in": seconds.to_string(),
            "expires_on": (now + seconds).to_string(), "not_before": now.to_string(), "resource": resource,
        }),
        None => json!({ "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds }),
    }
}

/// The person, if the account still exists and is enabled.
async fn person(cx: &Context, object_id: &str) -> Result<Person, ApiError> {
    match cx.people.find(object_id).await {
        Ok(Some(person)) => Ok(person),
        Err(SignInError::Store(error)) => Err(error.into()),
        Ok(None) | Err(_) => Err(errors::person_gone()),
    }
}

fn body<T: serde::de::DeserializeOwned>(grant: &OAuthGrant) -> Result<T, ApiError> {
    serde_json::from_value(grant.body.clone()).map_err(|error| ApiError::internal(&error))
}

/// Revokes the family of a grant that was presented twice.
async fn revoke(cx: &Context, grant: &OAuthGrant) -> Result<(), ApiError> {
    let mut change = cx.store.begin().await?;
    let revoked = change.revoke_oauth_family(&grant.family).await?;
    change.commit().await?;
    metrics::counter!("bartizan_reused_grants_total").increment(1);
    tracing::warn!(app = grant.app_id, revoked, "a code or refresh token was used twice; what followed from it is revoked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_has_its_numbers_as_strings() {
        let one = lifetime(Some("r"), 1000);
        assert_eq!(
            (one["expires_in"].as_str(), one["expires_on"].as_str(), one["resource"].as_str()),
            (Some("3599"), Some("4599"), Some("r"))
        );
        assert_eq!(lifetime(None, 1000)["expires_in"], 3599);
    }
}
