//! `/api/v1/session` — sign in, who is signed in, sign out.

use http::{HeaderMap, Method, StatusCode, header};
use model::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Account, Session};

use super::common::{VIA, own_session, session_error, sign_in_error, with_cookie};
use crate::body::BodyLimits;
use crate::call::{Call, from_json};
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing, schema};
use crate::error::ApiError;
use crate::identity::{self, Attempt, REMOVE_COOKIE};
use crate::reply::Reply;
use crate::trail::{self, Changed};

const PATH: &str = "/api/v1/session";

pub static SIGN_IN: Endpoint = Endpoint {
    method: Method::POST,
    path: PATH,
    summary: "Sign a person in: the response sets a cookie and has a token for requests that change something",
    dialect: &OURS,
    role: Role::Open("people sign in here; name, password and second factor are in the body, and attempts are throttled"),
    action: NO_ACTION,
    query: nothing,
    takes: schema::<Credentials>,
    returns: schema::<SessionView>,
    run: |cx, call| Box::pin(sign_in(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: PATH,
    summary: "Read who is signed in, and the token for requests that change something",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: schema::<SessionView>,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static SIGN_OUT: Endpoint = Endpoint {
    method: Method::DELETE,
    path: PATH,
    summary: "Sign out: the session ends and its cookie is removed",
    dialect: &OURS,
    role: Role::SignedIn,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(sign_out(cx, call)),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The user name, with or without the tenant's domain.
    user: String,
    #[schemars(with = "String")]
    password: Secret<String>,
    /// A code of the authenticator app, or a recovery code.
    #[serde(default)]
    code: Option<String>,
}

/// A session and its person.
#[derive(Serialize, JsonSchema)]
pub(super) struct SessionView {
    user: OwnAccount,
    /// To be sent as `X-CSRF-Token` with requests that change something.
    csrf_token: String,
    /// Names the session in lists.
    id: String,
    /// When it ends if it is not used again. UTC, ISO 8601.
    expires: String,
    /// Whether a second factor was given at sign-in.
    second_factor: bool,
    cloud: Cloud,
}

#[derive(Serialize, JsonSchema)]
struct OwnAccount {
    object_id: String,
    name: String,
    user_principal_name: String,
    display_name: String,
    email: Option<String>,
    /// Nothing else is allowed before the password is changed.
    must_change_password: bool,
    /// Whether an authenticator app is set up.
    totp: bool,
    recovery_codes_left: usize,
}

/// Identifiers that the other APIs need.
#[derive(Serialize, JsonSchema)]
struct Cloud {
    tenant_id: String,
    subscription_id: String,
    resource_group: String,
    workspace_name: String,
    workspace_id: String,
}

pub(super) fn view(cx: &Context, account: &Account, session: &Session, csrf_token: String) -> SessionView {
    SessionView {
        user: OwnAccount {
            object_id: account.object_id.clone(),
            name: account.name.clone(),
            user_principal_name: cx.identity.user_principal_name(&account.name),
            display_name: account.display_name.clone(),
            email: account.email.clone(),
            must_change_password: account.must_change_password,
            totp: account.totp.is_some(),
            recovery_codes_left: account.recovery_codes.len(),
        },
        csrf_token,
        id: session.id.clone(),
        expires: cx.people.end_of(session).to_string(),
        second_factor: session.second_factor,
        cloud: Cloud {
            tenant_id: cx.identity.tenant_id.clone(),
            subscription_id: cx.cloud.subscription_id.clone(),
            resource_group: cx.cloud.resource_group.clone(),
            workspace_name: cx.cloud.workspace_name.clone(),
            workspace_id: cx.cloud.workspace_id.clone(),
        },
    }
}

async fn sign_in(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    check_sender(cx, &call)?;
    let body = call.bytes(BodyLimits::FORM).await?;
    let given: Credentials = from_json(&body)?;
    let user_agent = user_agent(&call.headers);
    let attempt = Attempt {
        name: &given.user,
        password: &given.password,
        second_factor: given.code.as_deref(),
        address: call.peer.ip(),
        user_agent: &user_agent,
    };
    let (account, second_factor) = cx.people.verify(&attempt).await.map_err(sign_in_error)?;
    let previous = identity::secret_of(&call.headers);
    let opened = cx.people.open_session(&account, second_factor, call.peer.ip(), &user_agent, previous.as_ref()).await;
    let opened = opened.map_err(session_error)?;
    tracing::info!(user = account.name, session = opened.session.id, address = %call.peer.ip(), "a person signed in");
    with_cookie(Reply::json(view(cx, &account, &opened.session, opened.csrf_token()))?, &opened)
}

/// A page of another site must not sign its own account in here. Such a page can send only forms and plain text without asking first.
fn check_sender(cx: &Context, call: &Call) -> Result<(), ApiError> {
    if !call.is_json() {
        let message = "Signing in takes JSON: send 'Content-Type: application/json'.";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    let origin = call.headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    match origin {
        Some(origin) if !cx.identity.origins.is_own_origin(origin) => {
            Err(ApiError::forbidden("CrossSiteRequest", "The request comes from a page of another site."))
        }
        _ => Ok(()),
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (session, account) = own_session(cx, &call).await?;
    let token = identity::secret_of(&call.headers).map(|secret| identity::csrf_token(&secret)).unwrap_or_default();
    Reply::json(view(cx, &account, &session, token))
}

async fn sign_out(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (session, account) = own_session(cx, &call).await?;
    let mut change = cx.store.begin().await?;
    change.revoke_session(&account.object_id, &session.id, cx.clock.now()).await?;
    let changes = serde_json::json!({ "session": [session.id, null] });
    let what = Changed { aggregate: "account", id: &account.object_id, action: "signed out", changes };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    Ok(Reply::no_content().header(header::SET_COOKIE, REMOVE_COOKIE))
}
