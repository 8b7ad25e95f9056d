//! `device_code` — a device asks whether a person has approved its code (RFC 8628 §3.4).

use model::Span;
use serde_json::Value;
use store::{GrantKind, GrantState, OAuthGrant};
use uuid::Uuid;

use super::super::device_code::DeviceBody;
use super::super::{client, errors, one_time, scopes};
use super::{Answer, answer, body, person};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;

/// Seconds by which a device that asks too often must wait longer (RFC 8628 §3.5), and the most.
const SLOWER: i64 = 5;
const SLOWEST: i64 = 60;

pub async fn grant(cx: &Context, call: &Call, form: &Query) -> Result<Value, ApiError> {
    // Version 1 calls it `code`.
    let text = form.filled("device_code").or_else(|| form.filled("code")).ok_or_else(|| errors::missing_parameter("device_code"))?;
    let hash = one_time::hash(text);
    let client = client::authenticate_or_public(cx, call, form, false).await?;
    let mut change = cx.store.begin().await?;
    let known = change.oauth_grant(&hash).await?.filter(|grant| grant.kind == GrantKind::DeviceCode).ok_or_else(errors::bad_device_code)?;
    if !known.app_id.eq_ignore_ascii_case(&client.app.app_id) {
        return Err(errors::bad_device_code());
    }
    let now = cx.clock.now();
    if known.expires <= now {
        return Err(errors::device_code_expired());
    }
    let mut details: DeviceBody = body(&known)?;
    match known.state {
        GrantState::Live => {}
        GrantState::Pending => {
            // Clients count from when they got the answer, so half a second early is not too often.
            let early = details.last.is_some_and(|last| last + Span::seconds(details.interval) > now + Span::millis(500));
            if early {
                details.interval = (details.interval + SLOWER).min(SLOWEST);
            }
            details.last = Some(now);
            let body = serde_json::to_value(&details).map_err(|error| ApiError::internal(&error))?;
            change.put_oauth_grant(&OAuthGrant { body, ..known }).await?;
            change.commit().await?;
            return Err(if early { errors::slow_down() } else { errors::authorization_pending() });
        }
        GrantState::Denied => return Err(errors::authorization_declined()),
        GrantState::Redeemed | GrantState::Revoked => return Err(errors::bad_device_code()),
    }
    let approved = details.person.as_ref().ok_or_else(errors::bad_device_code)?;
    let person = person(cx, &approved.object_id).await?;
    let resource = scopes::find(cx, &details.asked.resource).await?;
    let family = Uuid::new_v4().to_string();
    let wanted = Answer {
        client: &client,
        person: &person,
        asked: &details.asked,
        resource: &resource,
        nonce: None,
        family: &family,
        is_public: true,
        is_spa: false,
    };
    let answer = answer(cx, call, form, &mut change, &wanted).await?;
    change.put_oauth_grant(&OAuthGrant { state: GrantState::Redeemed, ..known }).await?;
    change.commit().await?;
    Ok(answer)
}
