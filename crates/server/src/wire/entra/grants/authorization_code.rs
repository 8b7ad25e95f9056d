//! `authorization_code` — redeems the code of a person who signed in (S1-48). A code is valid once, for its client and its reply URL.

use serde_json::Value;
use store::{GrantKind, GrantState, OAuthGrant};

use super::super::authorize::CodeBody;
use super::super::{client, errors, one_time, scopes};
use super::{Answer, answer, body, person, revoke};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;

pub async fn grant(cx: &Context, call: &Call, form: &Query) -> Result<Value, ApiError> {
    let hash = one_time::hash(form.filled("code").ok_or_else(|| errors::missing_parameter("code"))?);
    let known = cx.store.oauth_grants().get(&hash).await?.filter(|grant| grant.kind == GrantKind::AuthorizationCode);
    let details: Option<CodeBody> = known.as_ref().map(body).transpose()?;
    // The client first: a code says nothing to those who cannot prove that they may redeem it.
    let client = client::authenticate_or_public(cx, call, form, details.as_ref().is_some_and(|details| details.is_public)).await?;
    let (Some(known), Some(details)) = (known, details) else { return Err(errors::no_such_code()) };
    if !known.app_id.eq_ignore_ascii_case(&client.app.app_id) {
        return Err(errors::grant_of_another_app());
    }
    match known.state {
        GrantState::Live => {}
        GrantState::Revoked => return Err(errors::grant_revoked()),
        _ => {
            revoke(cx, &known).await?;
            return Err(errors::code_redeemed());
        }
    }
    if known.expires <= cx.clock.now() {
        return Err(errors::grant_expired());
    }
    let redirect_uri = form.filled("redirect_uri").ok_or_else(|| errors::missing_parameter("redirect_uri"))?;
    if redirect_uri.trim() != details.redirect_uri {
        return Err(errors::other_reply_url());
    }
    match (&details.challenge, form.filled("code_verifier")) {
        (Some(challenge), Some(verifier)) if one_time::proves_key(challenge, verifier) => {}
        (None, None) => {}
        // A verifier without a challenge: the code was obtained by somebody else's request (RFC 9700 §4.8.2).
        _ => return Err(errors::wrong_verifier()),
    }
    if let Some(resource) = form.filled("resource").map(str::trim)
        && crate::dialect::normal_audience(resource) != crate::dialect::normal_audience(&details.asked.resource)
    {
        return Err(errors::resource_not_granted(&resource.chars().filter(|c| !c.is_control()).take(200).collect::<String>()));
    }
    let person = person(cx, &details.person.object_id).await?;
    let resource = scopes::find(cx, &details.asked.resource).await?;

    let mut change = cx.store.begin().await?;
    // Read again inside the change: of two requests at the same time, one redeems the code.
    match change.oauth_grant(&hash).await? {
        Some(current) if current.state == GrantState::Live => {}
        _ => {
            drop(change);
            revoke(cx, &known).await?;
            return Err(errors::code_redeemed());
        }
    }
    let wanted = Answer {
        client: &client,
        person: &person,
        asked: &details.asked,
        resource: &resource,
        nonce: details.nonce.as_deref(),
        family: &known.family,
        is_public: details.is_public,
        is_spa: details.is_spa,
    };
    let answer = answer(cx, call, form, &mut change, &wanted).await?;
    change.put_oauth_grant(&OAuthGrant { state: GrantState::Redeemed, ..known }).await?;
    change.commit().await?;
    Ok(answer)
}
