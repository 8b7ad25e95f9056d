//! Signing people in. Pages and token requests know only [`SignIn`]; where accounts are kept is the implementation's choice.

use std::net::IpAddr;

use async_trait::async_trait;
use model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

use super::throttle::Throttle;
use super::{ADMIN_OBJECT_ID, SecretHash};

/// A person who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Role assignments and consents refer to it.
    pub object_id: String,
    /// The account's name.
    pub name: String,
    pub email: Option<String>,
}

/// Longest name and password that are looked at.
pub const MAX_NAME: usize = 256;
pub const MAX_PASSWORD: usize = 1_024;

/// One attempt to sign in.
pub struct Attempt<'a> {
    pub name: &'a str,
    pub password: &'a Secret<String>,
    pub second_factor: Option<&'a str>,
    pub from: IpAddr,
    pub now: Timestamp,
}

/// Why a person is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Unknown account or wrong password: not told apart.
    #[error("the name or the password is wrong")]
    Wrong,
    #[error("a second factor is required")]
    SecondFactorRequired,
    #[error("the second factor is wrong")]
    SecondFactorWrong,
    #[error("the account is disabled")]
    Disabled,
    #[error("too many failed attempts; try again in {seconds} s")]
    Throttled { seconds: u64 },
    #[error("accounts cannot be read")]
    Store(#[from] StoreError),
}

/// Accounts of people.
#[async_trait]
pub trait SignIn: Send + Sync {
    async fn sign_in(&self, attempt: Attempt<'_>) -> Result<Person, SignInError>;

    /// The person, if the account exists and is enabled. Asked whenever a refresh token is used.
    async fn find(&self, object_id: &str) -> Result<Option<Person>, SignInError>;
}

/// The administrator of `connect.json`: the only account until others are added.
pub struct BootstrapAdministrator {
    store: Store,
    throttle: Throttle,
}

/// The account's name, as in `connect.json`.
pub const ADMIN_NAME: &str = "admin";

impl BootstrapAdministrator {
    pub fn new(store: Store) -> Self {
        Self { store, throttle: Throttle::default() }
    }

    async fn account(&self) -> Result<Option<Person>, SignInError> {
        let object_id = self.store.app_registrations().cloud_name(ADMIN_OBJECT_ID).await?;
        Ok(object_id.map(|object_id| Person { object_id, name: ADMIN_NAME.to_owned(), email: None }))
    }
}

/// Names are compared without case and surrounding space, and also with the tenant's domain: all spellings that sign in count as one account.
fn is_admin(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    let local = name.split_once('@').map_or(name.as_str(), |(local, _)| local);
    local == ADMIN_NAME
}

#[async_trait]
impl SignIn for BootstrapAdministrator {
    async fn sign_in(&self, attempt: Attempt<'_>) -> Result<Person, SignInError> {
        let known = is_admin(attempt.name);
        // Unknown names share one counter, so that the table of counters cannot be filled with invented names.
        let account = if known { ADMIN_NAME } else { "?" };
        let address = attempt.from.to_string();
        self.throttle.check(account, &address, attempt.now).map_err(|seconds| SignInError::Throttled { seconds })?;
        let hash = self.store.app_registrations().cloud_name("admin_password").await?.unwrap_or_default();
        let (hash, password) = (SecretHash::from_stored(hash), attempt.password.clone());
        // Also for unknown names, so that the time does not tell them apart.
        let proves = tokio::task::spawn_blocking(move || hash.proves(password.reveal())).await.unwrap_or(false);
        let person = self.account().await?;
        match person.filter(|_| known && proves && attempt.password.reveal().len() <= MAX_PASSWORD) {
            Some(person) => {
                self.throttle.succeeded(account, &address);
                Ok(person)
            }
            None => {
                self.throttle.failed(account, &address, attempt.now);
                Err(SignInError::Wrong)
            }
        }
    }

    async fn find(&self, object_id: &str) -> Result<Option<Person>, SignInError> {
        Ok(self.account().await?.filter(|person| person.object_id.eq_ignore_ascii_case(object_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_one_account() {
        for name in ["admin", " Admin ", "ADMIN", "admin@bartizan.local", "Admin@x"] {
            assert!(is_admin(name), "{name}");
        }
        for name in ["", "administrator", "@admin", "аdmin" /* a Cyrillic letter */] {
            assert!(!is_admin(name), "{name}");
        }
    }
}
