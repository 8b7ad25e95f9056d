//! `refresh_token` — new tokens without the person. Each refresh token is valid once and is replaced; presenting one again revokes all that
//! follow from the same sign-in (RFC 9700 §4.14.2).

use serde_json::Value;
use store::{GrantKind, GrantState, OAuthGrant};

use super::super::scopes::Asked;
use super::super::{client, consent, errors, one_time, scopes};
use super::{Answer, RefreshBody, answer, body, person, revoke};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;

pub async fn grant(cx: &Context, call: &Call, form: &Query) -> Result<Value, ApiError> {
    let hash = one_time::hash(form.filled("refresh_token").ok_or_else(|| errors::missing_parameter("refresh_token"))?);
    let known = cx.store.oauth_grants().get(&hash).await?.filter(|grant| grant.kind == GrantKind::RefreshToken);
    let details: Option<RefreshBody> = known.as_ref().map(body).transpose()?;
    let client = client::authenticate_or_public(cx, call, form, details.as_ref().is_some_and(|details| details.is_public)).await?;
    let (Some(known), Some(details)) = (known, details) else { return Err(errors::no_such_code()) };
    if !known.app_id.eq_ignore_ascii_case(&client.app.app_id) {
        return Err(errors::grant_of_another_app());
    }
    match known.state {
        GrantState::Live => {}
        GrantState::Redeemed => {
            revoke(cx, &known).await?;
            return Err(errors::grant_revoked());
        }
        _ => return Err(errors::grant_revoked()),
    }
    if known.expires <= cx.clock.now() {
        return Err(errors::grant_expired());
    }
    let person = person(cx, &details.person).await?;
    let asked = match (form.filled("scope"), form.filled("resource")) {
        (None, None) => details.asked.clone(),
        (scope, resource) => {
            let (asked, _) = scopes::read(cx, &client.app, scope, resource).await?;
            // The refresh token stays one: whether it may be kept was decided at the sign-in.
            let mut openid = asked.openid.clone();
            openid.push("offline_access".to_owned());
            openid.sort();
            openid.dedup();
            Asked { openid, ..asked }
        }
    };
    let resource = scopes::find(cx, &asked.resource).await?;
    // Consent may have been withdrawn, or never given to another resource.
    let needed = consent::of_request(&client.app, &asked, &resource, false);
    if !consent::missing(cx, &client.app, &person, needed).await?.is_empty() {
        return Err(errors::consent_required(&client.app.display_name));
    }
    let mut change = cx.store.begin().await?;
    match change.oauth_grant(&hash).await? {
        Some(current) if current.state == GrantState::Live => {}
        _ => {
            drop(change);
            revoke(cx, &known).await?;
            return Err(errors::grant_revoked());
        }
    }
    let wanted = Answer {
        client: &client,
        person: &person,
        asked: &asked,
        resource: &resource,
        nonce: None,
        family: &known.family,
        is_public: details.is_public,
        is_spa: details.is_spa,
    };
    let answer = answer(cx, call, form, &mut change, &wanted).await?;
    change.put_oauth_grant(&OAuthGrant { state: GrantState::Redeemed, ..known }).await?;
    change.commit().await?;
    Ok(answer)
}
