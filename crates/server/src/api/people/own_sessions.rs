//! `/api/v1/sessions` — the caller's own sessions.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::common::{VIA, own_session};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::trail::{self, Changed};

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/sessions",
    summary: "List one's own open sessions",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: schema::<List>,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static REVOKE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/api/v1/sessions/{session}",
    summary: "End one of one's own sessions",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(revoke(cx, call)),
};

pub static REVOKE_OTHERS: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/api/v1/sessions",
    summary: "End all of one's own sessions but the present one",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(revoke_others(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct List {
    /// Newest first.
    sessions: Vec<Entry>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    id: String,
    /// The session of this request.
    current: bool,
    created: String,
    /// To the minute.
    last_seen: String,
    expires: String,
    /// Where the person signed in from.
    address: String,
    user_agent: String,
    second_factor: bool,
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (current, account) = own_session(cx, &call).await?;
    let sessions = cx.people.sessions_of(&account.object_id).await?;
    let entry = |session: store::Session| Entry {
        current: session.id == current.id,
        created: session.created.to_string(),
        last_seen: session.last_seen.to_string(),
        expires: cx.people.end_of(&session).to_string(),
        id: session.id,
        address: session.address,
        user_agent: session.user_agent,
        second_factor: session.second_factor,
    };
    Reply::json(List { sessions: sessions.into_iter().map(entry).collect() })
}

async fn revoke(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (_, account) = own_session(cx, &call).await?;
    let id = call.param("session");
    let mut change = cx.store.begin().await?;
    if !change.revoke_session(&account.object_id, id, cx.clock.now()).await? {
        let shown: String = id.chars().take(60).collect();
        return Err(ApiError::not_found("SessionNotFound", format!("You have no open session '{shown}'.")));
    }
    let what =
        Changed { aggregate: "account", id: &account.object_id, action: "session revoked", changes: json!({ "session": [id, null] }) };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    Ok(Reply::no_content())
}

async fn revoke_others(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (current, account) = own_session(cx, &call).await?;
    let mut change = cx.store.begin().await?;
    let count = change.revoke_sessions(&account.object_id, Some(&current.id), cx.clock.now()).await?;
    let what =
        Changed { aggregate: "account", id: &account.object_id, action: "sessions revoked", changes: json!({ "sessions": [count, 0] }) };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    Ok(Reply::no_content())
}
