//! Accounts of people: names, passwords, second factors, and the check at sign-in.
//!
//! Changes are methods that take a [`Change`], so that the caller records them in the audit trail in the same transaction. A password is
//! checked outside of transactions, because that takes long; what was checked is compared again inside.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use model::{Clock, Secret, Timestamp};
use store::{Account, Change, Store, StoreError, name_key};
use uuid::Uuid;

use super::passwords::{self, PasswordRule};
use super::recovery_codes;
use super::sealer::{SealError, Sealer};
use super::sign_in::{Person, SignIn, SignInError};
use super::sign_in_events::{NoSignInEvents, SignInEvent, SignInEvents, SignInResult};
use super::throttle::Throttle;
use super::{IdentityConfig, SecretError, totp};
use crate::budgets::{PATIENCE, SLOW_HASHES};
use crate::serve::Peer;
use crate::shares::Shares;

/// Maximum characters of names and mail addresses, as in Entra.
pub const MAX_NAME: usize = 256;
/// Maximum accounts of a service.
pub const MAX_ACCOUNTS: usize = 10_000;
/// Characters of a `User-Agent` that are kept.
pub(super) const MAX_USER_AGENT: usize = 200;

/// Why an account cannot be changed as wanted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("there is no account `{0}`")]
    NoAccount(String),
    #[error("there is an account `{0}` already")]
    NameTaken(String),
    #[error("a user name has 1 to {MAX_NAME} letters, digits and characters of `._-+'@`, and begins with a letter or a digit")]
    Name,
    #[error("a display name has 1 to {MAX_NAME} characters without control characters")]
    DisplayName,
    #[error("a mail address has the form `name@example.org` and at most {MAX_NAME} characters")]
    Email,
    #[error("the service has {MAX_ACCOUNTS} accounts, its limit")]
    TooMany,
    #[error("the password may not be chosen")]
    Password(#[from] PasswordRule),
    #[error("the account changed meanwhile")]
    Changed,
    #[error("no authenticator app is being set up")]
    NoEnrolment,
    #[error("the code is wrong or was used before")]
    WrongCode,
    #[error("the account has no second factor")]
    NoSecondFactor,
    #[error("the server checks as many passwords as it can at the same time")]
    Busy,
    #[error("cannot read or change the account")]
    Store(#[from] StoreError),
    #[error("cannot generate or hash a secret")]
    Secret(#[from] SecretError),
}

/// What an administrator says about a new person.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub name: String,
    /// Default: the name.
    pub display_name: Option<String>,
    pub email: Option<String>,
}

/// A key for an authenticator app that is not confirmed yet.
pub struct Enrolment {
    /// For typing: base32.
    pub key: Secret<String>,
    /// For a QR code: an `otpauth://` URI.
    pub uri: Secret<String>,
}

/// An attempt to sign in.
pub struct Attempt<'a> {
    pub name: &'a str,
    pub password: &'a Secret<String>,
    pub second_factor: Option<&'a str>,
    pub address: IpAddr,
    pub user_agent: &'a str,
}

/// The people of the tenant.
pub struct People {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: IdentityConfig,
    pub(super) tenant_id: String,
    /// Normal form of the tenant's domain, which user names may have as a suffix.
    domain: String,
    sealer: Sealer,
    throttle: Throttle,
    hashes: Arc<Shares>,
    /// Checked in place of the hash of an account that does not exist.
    dummy_hash: String,
    events: Mutex<Arc<dyn SignInEvents>>,
}

impl People {
    /// Opens the accounts in `store`. The key of sealed secrets is `keys/accounts` in the data directory `folder`, generated if missing.
    pub fn open(
        folder: &Path,
        store: Store,
        clock: Arc<dyn Clock>,
        identity: &super::Identity,
        config: IdentityConfig,
    ) -> Result<Arc<Self>, SealError> {
        Ok(Arc::new(Self {
            store,
            clock,
            config,
            tenant_id: identity.tenant_id.clone(),
            domain: name_key(&identity.domain),
            sealer: Sealer::open(&folder.join("keys/accounts"))?,
            throttle: Throttle::default(),
            hashes: Shares::new(SLOW_HASHES, SLOW_HASHES / 2),
            dummy_hash: passwords::hash(&super::generate_secret()?)?,
            events: Mutex::new(Arc::new(NoSignInEvents)),
        }))
    }

    /// Sets the receiver of sign-in events.
    pub fn report_to(&self, events: Arc<dyn SignInEvents>) {
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = events;
    }

    /// The form under which a name is stored, found and throttled: its key, without the tenant's domain.
    fn key(&self, name: &str) -> String {
        let cut: String = name.chars().take(2 * MAX_NAME).collect();
        let key = name_key(&cut);
        match key.strip_suffix(&self.domain).and_then(|rest| rest.strip_suffix('@')) {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => key,
        }
    }

    /// The account with that object id, user name or user principal name.
    pub async fn find_account(&self, text: &str) -> Result<Account, AccountError> {
        let found = match Uuid::parse_str(text) {
            Ok(_) => self.store.accounts().get(text).await?,
            Err(_) => None,
        };
        let found = match found {
            Some(account) => Some(account),
            None => self.store.accounts().by_name(&self.tenant_id, &self.key(text)).await?,
        };
        found.ok_or_else(|| AccountError::NoAccount(shown(text)))
    }

    /// Checks name, password and second factor, and records the sign-in. Returns the account as stored, and whether a second factor was
    /// given. An account whose password must be changed is returned too.
    pub async fn verify(&self, attempt: &Attempt<'_>) -> Result<(Account, bool), SignInError> {
        let key = self.key(attempt.name);
        let mut known = None;
        let outcome = self.verify_key(&key, attempt, &mut known).await;
        match &outcome {
            Ok(_) => self.throttle.succeeded(&key, attempt.address),
            // These say nothing about the password, or that it is right.
            Err(SignInError::SecondFactorRequired | SignInError::Busy | SignInError::Store(_) | SignInError::Secret(_)) => {
                self.throttle.take_back(&key, attempt.address);
            }
            Err(_) => {}
        }
        let result = match &outcome {
            Ok(_) => SignInResult::Success,
            Err(SignInError::WrongCredentials) => SignInResult::WrongCredentials,
            Err(SignInError::SecondFactorRequired) => SignInResult::SecondFactorRequired,
            Err(SignInError::WrongSecondFactor) => SignInResult::WrongSecondFactor,
            Err(SignInError::Throttled { .. }) => SignInResult::Throttled,
            Err(SignInError::Disabled) => SignInResult::Disabled,
            Err(SignInError::PasswordChangeRequired) => SignInResult::PasswordChangeRequired,
            Err(SignInError::Busy | SignInError::Store(_) | SignInError::Secret(_)) => return outcome,
        };
        metrics::counter!("bartizan_sign_ins_total", "result" => if result == SignInResult::Success { "success" } else { "refused" })
            .increment(1);
        let (object_id, display_name) = known.map(|account| (account.object_id, account.display_name)).unzip();
        let event = SignInEvent {
            at: self.clock.now(),
            object_id,
            name: shown(attempt.name),
            display_name,
            address: attempt.address,
            user_agent: attempt.user_agent.chars().take(MAX_USER_AGENT).collect(),
            result,
            second_factor: matches!(&outcome, Ok((_, true))),
        };
        let events = Arc::clone(&self.events.lock().unwrap_or_else(PoisonError::into_inner));
        events.emit(event);
        outcome
    }

    async fn verify_key(&self, key: &str, attempt: &Attempt<'_>, known: &mut Option<Account>) -> Result<(Account, bool), SignInError> {
        let throttled = |retry_after| SignInError::Throttled { retry_after };
        self.throttle.begin(key, attempt.address, self.clock.now()).map_err(throttled)?;
        *known = self.store.accounts().by_name(&self.tenant_id, key).await?;
        let hash = known.as_ref().and_then(|account| account.password_hash.clone());
        let is_right = self.is_right(attempt.password, hash.clone(), attempt.address).await.ok_or(SignInError::Busy)?;
        let Some(account) = known.as_ref().filter(|_| is_right) else { return Err(SignInError::WrongCredentials) };
        if account.disabled {
            return Err(SignInError::Disabled);
        }
        let mut change = self.store.begin().await?;
        let now = self.clock.now();
        let fresh = change.account(&account.object_id).await?.filter(|fresh| fresh.password_hash == hash && !fresh.disabled);
        let Some(mut fresh) = fresh else { return Err(SignInError::WrongCredentials) };
        let has_second_factor = fresh.totp.is_some();
        if has_second_factor {
            let code = attempt.second_factor.filter(|code| !code.trim().is_empty()).ok_or(SignInError::SecondFactorRequired)?;
            if !self.use_code(&mut fresh, code, now) {
                return Err(SignInError::WrongSecondFactor);
            }
        }
        fresh.last_sign_in = Some(now);
        change.put_account(&fresh).await?;
        change.commit().await?;
        Ok((fresh, has_second_factor))
    }

    /// Checks the password of a person who is signed in already, with the same throttling as at sign-in.
    pub async fn confirm(&self, account: &Account, password: &Secret<String>, address: IpAddr) -> Result<(), SignInError> {
        let key = self.key(&account.name);
        self.throttle.begin(&key, address, self.clock.now()).map_err(|retry_after| SignInError::Throttled { retry_after })?;
        match self.is_right(password, account.password_hash.clone(), address).await {
            Some(true) => {
                self.throttle.succeeded(&key, address);
                Ok(())
            }
            Some(false) => Err(SignInError::WrongCredentials),
            None => {
                self.throttle.take_back(&key, address);
                Err(SignInError::Busy)
            }
        }
    }

    /// Whether the password has that hash; without a hash as slow and false. `None` if the server is busy.
    async fn is_right(&self, password: &Secret<String>, hash: Option<String>, address: IpAddr) -> Option<bool> {
        let _turn = self.turn(address).await?;
        let (password, exists) = (password.clone(), hash.is_some());
        let hash = hash.unwrap_or_else(|| self.dummy_hash.clone());
        let checked = tokio::task::spawn_blocking(move || passwords::is_right(&password, &hash)).await;
        checked.ok().map(|is_right| is_right && exists)
    }

    /// Few slow hashes run at the same time, and no address gets all slots.
    async fn turn(&self, address: IpAddr) -> Option<crate::shares::Share> {
        let holder = Peer::of(SocketAddr::new(address, 0)).to_string();
        self.hashes.get(&holder, 1, PATIENCE).await.ok()
    }

    /// Whether the code of the app or the recovery code is right; uses it up in `account`, which the caller stores.
    fn use_code(&self, account: &mut Account, code: &str, now: Timestamp) -> bool {
        let key = account.totp.as_deref().and_then(|sealed| self.sealer.unseal(&account.object_id, sealed));
        if key.is_none() {
            tracing::error!(account = account.object_id, "the key of a second factor cannot be opened; recovery codes still work");
        }
        if let Some(step) = key.and_then(|key| totp::check(&key, code, now, account.totp_step)) {
            account.totp_step = step;
            return true;
        }
        match recovery_codes::find(&account.recovery_codes, code) {
            Some(index) => {
                account.recovery_codes.remove(index);
                tracing::warn!(account = account.object_id, left = account.recovery_codes.len(), "a recovery code was used");
                true
            }
            None => false,
        }
    }

    /// The hash of a password that the person may choose.
    pub async fn hash_password(&self, names: &[&str], password: &Secret<String>, address: IpAddr) -> Result<String, AccountError> {
        passwords::check(password, names)?;
        let _turn = self.turn(address).await.ok_or(AccountError::Busy)?;
        let password = password.clone();
        let hashed = tokio::task::spawn_blocking(move || passwords::hash(&password)).await;
        Ok(hashed.map_err(|_| SecretError)??)
    }

    /// Adds an account whose password, if it has one, must be changed at the first sign-in.
    pub async fn create(&self, change: &mut Change, wanted: &NewAccount, password_hash: String) -> Result<Account, AccountError> {
        let name = self.checked_name(&wanted.name)?;
        if change.count_accounts().await? >= MAX_ACCOUNTS {
            return Err(AccountError::TooMany);
        }
        if change.account_by_name(&self.tenant_id, &name).await?.is_some() {
            return Err(AccountError::NameTaken(name));
        }
        let now = self.clock.now();
        let account = Account {
            must_change_password: true,
            display_name: checked_display_name(wanted.display_name.as_deref().unwrap_or(&name))?,
            email: wanted.email.as_deref().map(checked_email).transpose()?,
            ..empty(&self.tenant_id, &name, Some(password_hash), now)
        };
        change.put_account(&account).await?;
        Ok(account)
    }

    /// The name as stored, without the tenant's domain.
    fn checked_name(&self, name: &str) -> Result<String, AccountError> {
        let name = name.trim();
        let count = name.chars().count();
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '\'' | '@');
        let starts_well = name.chars().next().is_some_and(char::is_alphanumeric);
        // A name that looks like an object id could be taken for another account's.
        if count > MAX_NAME || !starts_well || !name_key(name).chars().all(fits) || Uuid::parse_str(name).is_ok() {
            return Err(AccountError::Name);
        }
        let key = name_key(name);
        let short = self.key(name);
        if short == key {
            return Ok(name.to_owned());
        }
        Ok(name.rsplit_once('@').map_or(short, |(local, _)| local.to_owned()))
    }

    /// Changes display name and mail address; `None` leaves them.
    pub async fn update(
        &self,
        change: &mut Change,
        object_id: &str,
        display_name: Option<&str>,
        email: Option<Option<&str>>,
    ) -> Result<(Account, Account), AccountError> {
        let before = self.in_change(change, object_id).await?;
        let mut account = before.clone();
        if let Some(name) = display_name {
            account.display_name = checked_display_name(name)?;
        }
        if let Some(email) = email {
            account.email = email.map(checked_email).transpose()?;
        }
        self.put(change, &mut account).await?;
        Ok((before, account))
    }

    /// Replaces the password. Fails if it was replaced by somebody else since `account` was read.
    pub async fn set_password(
        &self,
        change: &mut Change,
        account: &Account,
        hash: String,
        by_owner: bool,
    ) -> Result<Account, AccountError> {
        let mut fresh = self.in_change(change, &account.object_id).await?;
        if fresh.password_hash != account.password_hash {
            return Err(AccountError::Changed);
        }
        fresh.password_hash = Some(hash);
        (fresh.must_change_password, fresh.bootstrap_password) = (!by_owner, false);
        self.put(change, &mut fresh).await?;
        Ok(fresh)
    }

    /// Disables or enables the account. Returns false if nothing changed.
    pub async fn set_disabled(&self, change: &mut Change, object_id: &str, disabled: bool) -> Result<bool, AccountError> {
        let mut account = self.in_change(change, object_id).await?;
        if account.disabled == disabled {
            return Ok(false);
        }
        account.disabled = disabled;
        self.put(change, &mut account).await?;
        if disabled {
            change.revoke_sessions(object_id, None, self.clock.now()).await?;
        }
        Ok(true)
    }

    /// Generates a key for an authenticator app. The present second factor stays until the new one is confirmed.
    pub async fn begin_totp(&self, change: &mut Change, object_id: &str) -> Result<Enrolment, AccountError> {
        let mut account = self.in_change(change, object_id).await?;
        let key = totp::generate_key()?;
        account.totp_pending = Some(self.sealer.seal(&account.object_id, &key)?);
        self.put(change, &mut account).await?;
        let uri = totp::key_uri(&key, "Bartizan", &account.name);
        Ok(Enrolment { key: Secret::new(totp::base32(key.reveal())), uri })
    }

    /// Makes the pending key the second factor, proved by a code. Returns new recovery codes; their text is not stored.
    pub async fn confirm_totp(&self, change: &mut Change, object_id: &str, code: &str) -> Result<Vec<Secret<String>>, AccountError> {
        let mut account = self.in_change(change, object_id).await?;
        let sealed = account.totp_pending.take().ok_or(AccountError::NoEnrolment)?;
        let key = self.sealer.unseal(&account.object_id, &sealed).ok_or(AccountError::NoEnrolment)?;
        account.totp_step = totp::check(&key, code, self.clock.now(), 0).ok_or(AccountError::WrongCode)?;
        account.totp = Some(sealed);
        let codes = recovery_codes::generate()?;
        account.recovery_codes = codes.hashes;
        self.put(change, &mut account).await?;
        Ok(codes.texts)
    }

    /// Replaces the recovery codes; the old ones stop working.
    pub async fn new_recovery_codes(&self, change: &mut Change, object_id: &str) -> Result<Vec<Secret<String>>, AccountError> {
        let mut account = self.in_change(change, object_id).await?;
        if account.totp.is_none() {
            return Err(AccountError::NoSecondFactor);
        }
        let codes = recovery_codes::generate()?;
        account.recovery_codes = codes.hashes;
        self.put(change, &mut account).await?;
        Ok(codes.texts)
    }

    /// Removes the second factor and the recovery codes. Returns false if there was none.
    pub async fn remove_totp(&self, change: &mut Change, object_id: &str) -> Result<bool, AccountError> {
        let mut account = self.in_change(change, object_id).await?;
        let had = account.totp.take().is_some() | account.totp_pending.take().is_some();
        account.recovery_codes.clear();
        self.put(change, &mut account).await?;
        Ok(had)
    }

    async fn in_change(&self, change: &mut Change, object_id: &str) -> Result<Account, AccountError> {
        change.account(object_id).await?.ok_or_else(|| AccountError::NoAccount(shown(object_id)))
    }

    async fn put(&self, change: &mut Change, account: &mut Account) -> Result<(), AccountError> {
        account.changed = self.clock.now();
        Ok(change.put_account(account).await?)
    }
}

#[async_trait]
impl SignIn for People {
    async fn sign_in(
        &self,
        name: &str,
        password: &Secret<String>,
        second_factor: Option<&str>,
        address: IpAddr,
    ) -> Result<Person, SignInError> {
        let (account, _) = self.verify(&Attempt { name, password, second_factor, address, user_agent: "" }).await?;
        if account.must_change_password {
            return Err(SignInError::PasswordChangeRequired);
        }
        Ok(Person::from(account))
    }

    async fn find(&self, object_id: &str) -> Result<Option<Person>, SignInError> {
        Ok(self.store.accounts().get(object_id).await?.filter(|account| !account.disabled).map(Person::from))
    }
}

impl From<Account> for Person {
    fn from(account: Account) -> Self {
        Self { object_id: account.object_id, name: account.name, display_name: account.display_name, email: account.email }
    }
}

/// An account without attributes.
pub(super) fn empty(tenant_id: &str, name: &str, password_hash: Option<String>, now: Timestamp) -> Account {
    Account {
        object_id: Uuid::new_v4().to_string(),
        tenant_id: tenant_id.to_owned(),
        name: name.to_owned(),
        display_name: name.to_owned(),
        email: None,
        password_hash,
        must_change_password: false,
        bootstrap_password: false,
        totp: None,
        totp_pending: None,
        totp_step: 0,
        recovery_codes: Vec::new(),
        disabled: false,
        created: now,
        changed: now,
        last_sign_in: None,
    }
}

fn checked_display_name(name: &str) -> Result<String, AccountError> {
    let name = name.trim();
    let fits = (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits { Ok(name.to_owned()) } else { Err(AccountError::DisplayName) }
}

fn checked_email(email: &str) -> Result<String, AccountError> {
    let email = email.trim();
    let parts = email.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && domain.contains('.') && !domain.ends_with('.'));
    let plain = !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if parts.is_some() && plain && email.chars().count() <= MAX_NAME { Ok(email.to_owned()) } else { Err(AccountError::Email) }
}

/// Untrusted text for messages and events.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}
