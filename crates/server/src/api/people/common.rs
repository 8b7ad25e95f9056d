//! What the routes about people share: errors, the caller's own session, and limits on who may change whom.

use http::{StatusCode, header};
use model::Secret;
use store::{Account, Session};

use crate::call::Call;
use crate::context::Context;
use crate::error::{ApiError, sentence};
use crate::identity::{self, AccountError, GroupError, Opened, SessionError, SignInError};
use crate::reply::Reply;

/// The interface in audit entries.
pub const VIA: &str = "Api";

pub fn account_error(error: AccountError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        AccountError::NoAccount(_) => ApiError::not_found("UserNotFound", message),
        AccountError::NameTaken(_) => ApiError::conflict("UserExists", message).target("name"),
        AccountError::Name => ApiError::bad_request("InvalidUserName", message).target("name"),
        AccountError::DisplayName => ApiError::bad_request("InvalidDisplayName", message).target("display_name"),
        AccountError::Email => ApiError::bad_request("InvalidEmail", message).target("email"),
        AccountError::TooMany => ApiError::bad_request("TooManyUsers", message),
        AccountError::Password(rule) => ApiError::bad_request("PasswordNotAllowed", sentence(&rule.to_string())).target("password"),
        AccountError::Changed => ApiError::conflict("UserChanged", format!("{message} Try again.")),
        AccountError::NoEnrolment => ApiError::conflict("NoEnrolment", format!("{message} Begin with POST /api/v1/session/totp.")),
        AccountError::WrongCode => ApiError::bad_request("WrongCode", message).target("code"),
        AccountError::NoSecondFactor => ApiError::conflict("NoSecondFactor", message),
        AccountError::Busy => crate::budgets::busy(),
        AccountError::Store(error) => ApiError::from(error),
        AccountError::Secret(error) => ApiError::internal(&error),
    }
}

pub fn group_error(error: GroupError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        GroupError::NoGroup(_) => ApiError::not_found("GroupNotFound", message),
        GroupError::NameTaken(_) => ApiError::conflict("GroupExists", message).target("name"),
        GroupError::Name => ApiError::bad_request("InvalidGroupName", message).target("name"),
        GroupError::Description => ApiError::bad_request("InvalidDescription", message).target("description"),
        GroupError::TooMany => ApiError::bad_request("TooManyGroups", message),
        GroupError::Store(error) => ApiError::from(error),
    }
}

pub fn sign_in_error(error: SignInError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        SignInError::WrongCredentials => ApiError::unauthorized("InvalidCredentials", message),
        SignInError::SecondFactorRequired => {
            ApiError::unauthorized("SecondFactorRequired", format!("{message} Send it as 'code'.")).target("code")
        }
        SignInError::WrongSecondFactor => ApiError::unauthorized("InvalidSecondFactor", message).target("code"),
        SignInError::Throttled { retry_after } => ApiError::too_many(message, identity::seconds(retry_after)),
        SignInError::Disabled => ApiError::forbidden("AccountDisabled", message),
        SignInError::PasswordChangeRequired => ApiError::forbidden("PasswordChangeRequired", message),
        SignInError::Busy => crate::budgets::busy(),
        SignInError::Store(error) => ApiError::from(error),
        SignInError::Secret(error) => ApiError::internal(&error),
    }
}

pub fn session_error(error: SessionError) -> ApiError {
    match error {
        SessionError::Store(error) => ApiError::from(error),
        SessionError::Secret(error) => ApiError::internal(&error),
        other => ApiError::unauthorized("SessionNotFound", sentence(&other.to_string())),
    }
}

/// The session of the request with its account. A token that an application got on behalf of a person is not enough to change the
/// person's credentials.
pub async fn own_session(cx: &Context, call: &Call) -> Result<(Session, Account), ApiError> {
    let has_session =
        call.principal.as_ref().and_then(|principal| principal.person.as_ref()).is_some_and(|person| person.session.is_some());
    let secret = identity::secret_of(&call.headers).filter(|_| has_session).ok_or_else(|| {
        ApiError::forbidden("SessionRequired", "This needs a session: sign in with POST /api/v1/session and send its cookie.")
    })?;
    cx.people.session(&secret).await.map_err(session_error)
}

/// The password in the request proves that the person is present, not only the session.
pub async fn confirm(cx: &Context, call: &Call, account: &Account, password: &Secret<String>) -> Result<(), ApiError> {
    cx.people.confirm(account, password, call.peer.ip()).await.map_err(|error| match error {
        SignInError::WrongCredentials => ApiError::forbidden("InvalidCredentials", "The present password is wrong.").target("password"),
        other => sign_in_error(other),
    })
}

/// Makes the change visible to the next request.
pub async fn reload(cx: &Context) -> Result<(), ApiError> {
    Ok(cx.identity.reload(&cx.store).await?)
}

/// Adds the cookie of a session to a response.
pub fn with_cookie(reply: Reply, opened: &Opened) -> Result<Reply, ApiError> {
    let cookie = opened.cookie().ok_or_else(|| ApiError::internal(&identity::SecretError))?;
    Ok(reply.header(header::SET_COOKIE, cookie))
}

/// Whether the caller may administer this person or group: nobody may take over a principal that owns more than the caller does.
pub fn may_administer(cx: &Context, call: &Call, object_id: &str) -> Result<(), ApiError> {
    let owns_all = |id: &str| cx.identity.holds(id, "Bartizan/access/users/write", "/");
    let caller = call.principal.as_ref().map(|principal| principal.object_id.as_str()).unwrap_or_default();
    if owns_all(object_id) && !owns_all(caller) {
        let message = "The user or group has the role Owner at the scope '/', which you do not have.";
        return Err(ApiError::forbidden("AuthorizationFailed", message));
    }
    Ok(())
}

/// Refuses to administer the caller's own account: credentials are changed with their proof, and nobody locks himself out.
pub fn not_oneself(call: &Call, object_id: &str) -> Result<(), ApiError> {
    let is_own = call.principal.as_ref().is_some_and(|principal| principal.object_id.eq_ignore_ascii_case(object_id));
    match is_own {
        true => Err(ApiError::new(
            StatusCode::CONFLICT,
            "OwnAccount",
            "This is your own account. Change it under /api/v1/session, or ask another administrator.",
        )),
        false => Ok(()),
    }
}
