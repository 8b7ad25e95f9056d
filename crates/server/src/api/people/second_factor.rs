//! `/api/v1/session/totp` — one's own authenticator app and recovery codes. Each change needs the password.

use http::Method;
use model::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Account, Change, Session};

use super::common::{VIA, account_error, confirm, own_session, session_error, with_cookie};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing, schema};
use crate::error::ApiError;
use crate::identity::AccountError;
use crate::reply::Reply;
use crate::trail::{self, Changed};

pub static ENROL: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/session/totp",
    summary: "Begin to set up an authenticator app; the key is shown in this answer only",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: schema::<Proof>,
    returns: schema::<Key>,
    run: |cx, call| Box::pin(enrol(cx, call)),
};

pub static CONFIRM: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/session/totp/confirm",
    summary: "Finish setting up an authenticator app with a code of it; shows the recovery codes",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: schema::<Code>,
    returns: schema::<Codes>,
    run: |cx, call| Box::pin(confirm_code(cx, call)),
};

pub static REMOVE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/session/totp/disable",
    summary: "Sign in without an authenticator app from now on",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: schema::<Proof>,
    returns: schema::<Codes>,
    run: |cx, call| Box::pin(remove(cx, call)),
};

pub static NEW_CODES: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/session/recovery-codes",
    summary: "Replace one's recovery codes; they are shown in this answer only",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: schema::<Proof>,
    returns: schema::<Codes>,
    run: |cx, call| Box::pin(new_codes(cx, call)),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Proof {
    /// The present password.
    #[schemars(with = "String")]
    password: Secret<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    /// What the app shows now.
    code: String,
}

#[derive(Serialize, JsonSchema)]
struct Key {
    /// In base32, for typing.
    key: String,
    /// The `otpauth://` address, for a QR code.
    uri: String,
}

#[derive(Serialize, JsonSchema)]
struct Codes {
    /// Each is accepted once in place of a code of the app.
    recovery_codes: Vec<String>,
    /// The token of the session, which has a new secret if it was changed.
    csrf_token: String,
}

async fn proved(cx: &Context, call: &mut Call) -> Result<(Session, Account), ApiError> {
    let body: Proof = call.json().await?;
    let (session, account) = own_session(cx, call).await?;
    confirm(cx, call, &account, &body.password).await?;
    Ok((session, account))
}

async fn enrol(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let (_, account) = proved(cx, &mut call).await?;
    let mut change = cx.store.begin().await?;
    let enrolment = cx.people.begin_totp(&mut change, &account.object_id).await.map_err(account_error)?;
    record(cx, &call, &mut change, &account, "second factor begun").await?;
    change.commit().await?;
    Reply::json(Key { key: enrolment.key.reveal().clone(), uri: enrolment.uri.reveal().clone() })
}

async fn confirm_code(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Code = call.json().await?;
    let (session, account) = own_session(cx, &call).await?;
    let mut change = cx.store.begin().await?;
    let codes = cx.people.confirm_totp(&mut change, &account.object_id, &body.code).await.map_err(account_error)?;
    record(cx, &call, &mut change, &account, "second factor set up").await?;
    rotated(cx, change, &session, true, &codes).await
}

async fn remove(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let (session, account) = proved(cx, &mut call).await?;
    let mut change = cx.store.begin().await?;
    if !cx.people.remove_totp(&mut change, &account.object_id).await.map_err(account_error)? {
        return Err(account_error(AccountError::NoSecondFactor));
    }
    record(cx, &call, &mut change, &account, "second factor removed").await?;
    rotated(cx, change, &session, false, &[]).await
}

async fn new_codes(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let (session, account) = proved(cx, &mut call).await?;
    let mut change = cx.store.begin().await?;
    let codes = cx.people.new_recovery_codes(&mut change, &account.object_id).await.map_err(account_error)?;
    record(cx, &call, &mut change, &account, "recovery codes replaced").await?;
    let second_factor = session.second_factor;
    rotated(cx, change, &session, second_factor, &codes).await
}

/// Gives the session a new secret, commits, and responds with the codes.
async fn rotated(
    cx: &Context,
    mut change: Change,
    session: &Session,
    second_factor: bool,
    codes: &[Secret<String>],
) -> Result<Reply, ApiError> {
    let opened = cx.people.rotate(&mut change, session, second_factor).await.map_err(session_error)?;
    change.commit().await?;
    let recovery_codes = codes.iter().map(|code| code.reveal().clone()).collect();
    with_cookie(Reply::json(Codes { recovery_codes, csrf_token: opened.csrf_token() })?, &opened)
}

async fn record(cx: &Context, call: &Call, change: &mut Change, account: &Account, action: &'static str) -> Result<(), ApiError> {
    let what = Changed { aggregate: "account", id: &account.object_id, action, changes: json!({}) };
    trail::record(cx, call, VIA, change, what).await
}
