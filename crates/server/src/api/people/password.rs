//! `POST /api/v1/session/password` — change one's own password. Other sessions end; this one gets a new cookie.

use http::Method;
use model::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::common::{VIA, account_error, confirm, own_session, reload, session_error, with_cookie};
use super::session::{SessionView, view};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::trail::{self, Changed};

pub static CHANGE: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/session/password",
    summary: "Change one's own password; all other sessions end",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: schema::<Body>,
    returns: schema::<SessionView>,
    run: |cx, call| Box::pin(change_password(cx, call)),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The present password.
    #[schemars(with = "String")]
    password: Secret<String>,
    /// At least 12 characters; not the user name, and none of the commonest passwords.
    #[schemars(with = "String")]
    new_password: Secret<String>,
}

async fn change_password(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Body = call.json().await?;
    let (session, account) = own_session(cx, &call).await?;
    confirm(cx, &call, &account, &body.password).await?;
    if body.password.reveal() == body.new_password.reveal() {
        let message = "The new password is the present one.";
        return Err(ApiError::bad_request("PasswordNotAllowed", message).target("new_password"));
    }
    let names = [account.name.as_str(), &account.display_name, account.email.as_deref().unwrap_or_default()];
    let hash = cx.people.hash_password(&names, &body.new_password, call.peer.ip()).await.map_err(account_error)?;
    let mut change = cx.store.begin().await?;
    let account = cx.people.set_password(&mut change, &account, hash, true).await.map_err(account_error)?;
    change.revoke_sessions(&account.object_id, Some(&session.id), cx.clock.now()).await?;
    let opened = cx.people.rotate(&mut change, &session, session.second_factor).await.map_err(session_error)?;
    let what = Changed { aggregate: "account", id: &account.object_id, action: "password changed", changes: json!({}) };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    reload(cx).await?;
    with_cookie(Reply::json(view(cx, &account, &opened.session, opened.csrf_token()))?, &opened)
}
