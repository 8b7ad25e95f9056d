//! Signing a person in with a name, a password and a second factor: the interface that sign-in pages use.

use std::net::IpAddr;

use async_trait::async_trait;
use model::{Secret, Span};
use store::StoreError;

use super::SecretError;

/// A person who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub object_id: String,
    /// The user name, as stored.
    pub name: String,
    pub display_name: String,
    pub email: Option<String>,
}

/// Why a person is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The same for unknown names and wrong passwords.
    #[error("the user name or the password is wrong")]
    WrongCredentials,
    /// The password is right.
    #[error("a code of the second factor is required")]
    SecondFactorRequired,
    /// The password is right.
    #[error("the code of the second factor is wrong or was used before")]
    WrongSecondFactor,
    #[error("too many attempts for this account or from this address; the next is accepted in {} s", seconds(*retry_after))]
    Throttled { retry_after: Span },
    /// The password is right.
    #[error("the account is disabled")]
    Disabled,
    /// The password is right, but was set by somebody else.
    #[error("the password was set by an administrator and must be changed before anything else")]
    PasswordChangeRequired,
    #[error("the server checks as many passwords as it can at the same time")]
    Busy,
    #[error("cannot read or change the account")]
    Store(#[from] StoreError),
    #[error("cannot check the password")]
    Secret(#[from] SecretError),
}

/// Whole seconds, rounded up, at least one.
pub fn seconds(span: Span) -> u64 {
    u64::try_from((span.ticks() + Span::SECOND.ticks() - 1) / Span::SECOND.ticks()).unwrap_or(0).max(1)
}

/// Signs people in.
#[async_trait]
pub trait SignIn: Send + Sync {
    /// The person with that name and password. Takes tens of milliseconds, also for names that do not exist. A code of the authenticator
    /// app or a recovery code is accepted once.
    async fn sign_in(
        &self,
        name: &str,
        password: &Secret<String>,
        second_factor: Option<&str>,
        address: IpAddr,
    ) -> Result<Person, SignInError>;

    /// The person with that object id, if the account exists and is enabled. Asked before a refresh token is used.
    async fn find(&self, object_id: &str) -> Result<Option<Person>, SignInError>;
}
