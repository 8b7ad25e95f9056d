//! `POST /api/v1/users/{user}/…` — what an administrator does to the account of another person.

use http::Method;
use model::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Account, Change};

use super::common::{VIA, account_error, may_administer, not_oneself, reload};
use super::users::{User, find, read};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::identity::generate_secret;
use crate::reply::Reply;
use crate::trail::{self, Changed};

pub static DISABLE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/users/{user}/disable",
    summary: "Disable an account: its sessions and tokens stop working at once",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/disable/action",
    query: nothing,
    takes: nothing,
    returns: schema::<User>,
    run: |cx, call| Box::pin(set_disabled(cx, call, true)),
};

pub static ENABLE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/users/{user}/enable",
    summary: "Enable an account",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/enable/action",
    query: nothing,
    takes: nothing,
    returns: schema::<User>,
    run: |cx, call| Box::pin(set_disabled(cx, call, false)),
};

pub static RESET_PASSWORD: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/users/{user}/reset-password",
    summary: "Give an account another password, to be changed at the next sign-in; its sessions end",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/resetPassword/action",
    query: nothing,
    takes: schema::<Reset>,
    returns: schema::<Password>,
    run: |cx, call| Box::pin(reset_password(cx, call)),
};

pub static RESET_TOTP: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/users/{user}/reset-totp",
    summary: "Remove the authenticator app and the recovery codes of an account; its sessions end",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/resetSecondFactor/action",
    query: nothing,
    takes: nothing,
    returns: schema::<User>,
    run: |cx, call| Box::pin(reset_totp(cx, call)),
};

pub static REVOKE_SESSIONS: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/users/{user}/revoke-sessions",
    summary: "End all sessions of an account",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/revokeSessions/action",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(revoke_sessions(cx, call)),
};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Reset {
    /// Default: a generated one.
    #[schemars(with = "Option<String>")]
    password: Option<Secret<String>>,
}

#[derive(Serialize, JsonSchema)]
struct Password {
    /// The generated password, shown in this answer only; null if the request had one.
    initial_password: Option<String>,
}

/// The account that the path names, if the caller may administer it.
async fn other(cx: &Context, call: &Call) -> Result<Account, ApiError> {
    let account = find(cx, call).await?;
    not_oneself(call, &account.object_id)?;
    may_administer(cx, call, &account.object_id)?;
    Ok(account)
}

async fn record(
    cx: &Context,
    call: &Call,
    change: &mut Change,
    account: &Account,
    action: &'static str,
    changes: Value,
) -> Result<(), ApiError> {
    trail::record(cx, call, VIA, change, Changed { aggregate: "account", id: &account.object_id, action, changes }).await
}

async fn set_disabled(cx: &Context, call: Call, disabled: bool) -> Result<Reply, ApiError> {
    let account = other(cx, &call).await?;
    let mut change = cx.store.begin().await?;
    if cx.people.set_disabled(&mut change, &account.object_id, disabled).await.map_err(account_error)? {
        let action = if disabled { "disabled" } else { "enabled" };
        record(cx, &call, &mut change, &account, action, json!({ "disabled": [!disabled, disabled] })).await?;
        change.commit().await?;
        reload(cx).await?;
    }
    Reply::json(read(cx, &account.object_id).await?)
}

async fn reset_password(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let account = other(cx, &call).await?;
    let wanted: Reset = call.json().await?;
    let (password, is_generated) = match wanted.password {
        Some(password) => (password, false),
        None => (generate_secret().map_err(|error| ApiError::internal(&error))?, true),
    };
    let names = [account.name.as_str(), &account.display_name, account.email.as_deref().unwrap_or_default()];
    let hash = cx.people.hash_password(&names, &password, call.peer.ip()).await.map_err(account_error)?;
    let mut change = cx.store.begin().await?;
    cx.people.set_password(&mut change, &account, hash, false).await.map_err(account_error)?;
    change.revoke_sessions(&account.object_id, None, cx.clock.now()).await?;
    record(cx, &call, &mut change, &account, "password reset", json!({})).await?;
    change.commit().await?;
    reload(cx).await?;
    Reply::json(Password { initial_password: is_generated.then(|| password.reveal().clone()) })
}

async fn reset_totp(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let account = other(cx, &call).await?;
    let mut change = cx.store.begin().await?;
    if cx.people.remove_totp(&mut change, &account.object_id).await.map_err(account_error)? {
        change.revoke_sessions(&account.object_id, None, cx.clock.now()).await?;
        record(cx, &call, &mut change, &account, "second factor reset", json!({})).await?;
        change.commit().await?;
    }
    Reply::json(read(cx, &account.object_id).await?)
}

async fn revoke_sessions(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let account = find(cx, &call).await?;
    may_administer(cx, &call, &account.object_id)?;
    let mut change = cx.store.begin().await?;
    let count = change.revoke_sessions(&account.object_id, None, cx.clock.now()).await?;
    record(cx, &call, &mut change, &account, "sessions revoked", json!({ "sessions": [count, 0] })).await?;
    change.commit().await?;
    Ok(Reply::no_content())
}
