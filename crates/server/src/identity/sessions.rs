//! Sessions: what a person has after signing in, and what the cookie proves.
//!
//! The cookie has a random secret, of which the store has the hash. The token against cross-site requests is derived from the secret, so
//! it needs no storage and changes with it. A session has a new secret after each change of what it may do.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue, header};
use model::{Secret, Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::{Account, Change, Session, StoreError};
use uuid::Uuid;

use super::accounts::{MAX_USER_AGENT, People};
use super::{SecretError, generate_secret};

/// Name of the cookie. The prefix makes browsers reject one that is set by another host or without TLS (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-bartizan";
/// Header with the token of the session, required for requests that change something.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Maximum sessions of an account; the oldest is revoked for a new one.
const MAX_SESSIONS: usize = 50;
/// The time of last use is stored this precisely, so that requests rarely write.
const SEEN_EVERY: Span = Span::MINUTE;
/// How long ended sessions are kept.
const KEEP_ENDED: Span = Span(30 * Span::DAY.0);
/// Maximum bytes of the secret in a cookie; ours have 47.
const MAX_SECRET: usize = 128;

/// Sign-in of people.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// How long people stay signed in.
    pub sessions: SessionConfig,
}

/// How long people stay signed in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// A session ends when it was not used for this long. Example: `1h`.
    pub idle_timeout: Span,
    /// A session ends this long after signing in. Example: `12h`.
    pub lifetime: Span,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { idle_timeout: Span::HOUR, lifetime: Span(12 * Span::HOUR.0) }
    }
}

/// Why a session cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("the session is unknown, was revoked or has a newer secret; sign in again")]
    Unknown,
    #[error("the session has ended; sign in again")]
    Expired,
    #[error("the account is disabled")]
    Disabled,
    #[error("cannot read or change the session")]
    Store(#[from] StoreError),
    #[error("cannot generate a secret")]
    Secret(#[from] SecretError),
}

/// An open session with the secret of its cookie.
pub struct Opened {
    pub secret: Secret<String>,
    pub session: Session,
}

impl Opened {
    /// The value of `Set-Cookie`.
    pub fn cookie(&self) -> Option<HeaderValue> {
        let mut value =
            HeaderValue::from_str(&format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", self.secret.reveal())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    pub fn csrf_token(&self) -> String {
        csrf_token(&self.secret)
    }
}

/// The value of `Set-Cookie` that removes the cookie.
pub const REMOVE_COOKIE: HeaderValue = HeaderValue::from_static("__Host-bartizan=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");

/// The secret in the cookies of a request.
pub fn secret_of(headers: &HeaderMap) -> Option<Secret<String>> {
    // HTTP/2 clients may send several `Cookie` headers (RFC 9113 §8.2.3).
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut found = cookies.filter_map(|cookie| cookie.trim().split_once('=')).filter(|(name, _)| *name == COOKIE);
    let (_, secret) = found.next()?;
    (!secret.is_empty() && secret.len() <= MAX_SECRET).then(|| Secret::new(secret.to_owned()))
}

/// The token that belongs to the secret.
pub fn csrf_token(secret: &Secret<String>) -> String {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes any key");
    mac.update(b"bartizan/csrf/1");
    BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Whether the header of a request has the token that belongs to the secret, compared in constant time.
pub fn has_csrf_token(headers: &HeaderMap, secret: &Secret<String>) -> bool {
    let given = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
    aws_lc_rs::constant_time::verify_slices_are_equal(given, csrf_token(secret).as_bytes()).is_ok()
}

fn hash(secret: &Secret<String>) -> String {
    // 256 random bits need no slow hash.
    hex::encode(Sha256::digest(secret.reveal()))
}

impl People {
    /// Opens a session for an account that was just verified. Ends the session of `previous`, the cookie of the request, so that a cookie
    /// planted before signing in is worth nothing.
    pub async fn open_session(
        &self,
        account: &Account,
        second_factor: bool,
        address: IpAddr,
        user_agent: &str,
        previous: Option<&Secret<String>>,
    ) -> Result<Opened, SessionError> {
        let now = self.clock.now();
        let secret = generate_secret()?;
        let session = Session {
            id: Uuid::new_v4().to_string(),
            secret_hash: hash(&secret),
            account_id: account.object_id.clone(),
            created: now,
            last_seen: now,
            expires: now + self.config.sessions.lifetime,
            address: address.to_string(),
            user_agent: user_agent.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect(),
            second_factor,
            revoked: None,
        };
        let previous = match previous {
            Some(previous) => self.store.sessions().by_secret(&hash(previous)).await?,
            None => None,
        };
        let mut change = self.store.begin().await?;
        // The account may have changed since it was verified.
        let fresh = change.account(&account.object_id).await?.ok_or(SessionError::Unknown)?;
        if fresh.disabled || fresh.password_hash != account.password_hash {
            return Err(SessionError::Disabled);
        }
        if let Some((previous, _)) = previous {
            change.revoke_session(&previous.account_id, &previous.id, now).await?;
        }
        let open = change.open_sessions(&account.object_id, now).await?;
        for oldest in open.iter().skip(MAX_SESSIONS - 1) {
            change.revoke_session(&account.object_id, &oldest.id, now).await?;
        }
        change.prune_sessions(now - KEEP_ENDED).await?;
        change.add_session(&session).await?;
        change.commit().await?;
        Ok(Opened { secret, session })
    }

    /// The session with that secret and its account, if both may be used now.
    pub async fn session(&self, secret: &Secret<String>) -> Result<(Session, Account), SessionError> {
        let (session, account) = self.store.sessions().by_secret(&hash(secret)).await?.ok_or(SessionError::Unknown)?;
        let now = self.clock.now();
        if session.revoked.is_some() {
            return Err(SessionError::Unknown);
        }
        if account.disabled {
            return Err(SessionError::Disabled);
        }
        if now >= self.end_of(&session) {
            return Err(SessionError::Expired);
        }
        if now >= session.last_seen + SEEN_EVERY {
            // The request is valid even if the disk takes no writes now.
            if let Err(error) = self.seen(&session.id, now).await {
                tracing::warn!(error = model::chain(&error), "the last use of a session cannot be recorded");
            }
        }
        Ok((session, account))
    }

    async fn seen(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut change = self.store.begin().await?;
        change.touch_session(id, now).await?;
        change.commit().await
    }

    /// When the session ends if it is not used again.
    pub fn end_of(&self, session: &Session) -> Timestamp {
        session.expires.min(session.last_seen + self.config.sessions.idle_timeout)
    }

    /// Open sessions of an account, newest first.
    pub async fn sessions_of(&self, account_id: &str) -> Result<Vec<Session>, StoreError> {
        let now = self.clock.now();
        let mut sessions = self.store.sessions().of(account_id, now).await?;
        sessions.retain(|session| now < self.end_of(session));
        Ok(sessions)
    }

    /// Gives the session a new secret, in the transaction of a change of what it may do.
    pub async fn rotate(&self, change: &mut Change, session: &Session, second_factor: bool) -> Result<Opened, SessionError> {
        let secret = generate_secret()?;
        let rotated = Session { secret_hash: hash(&secret), second_factor, ..session.clone() };
        if !change.rotate_session(&session.id, &rotated.secret_hash, second_factor).await? {
            return Err(SessionError::Unknown);
        }
        Ok(Opened { secret, session: rotated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert!(secret_of(&headers).is_none());
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; bartizan=x; x__Host-bartizan=y"));
        assert!(secret_of(&headers).is_none());
        headers.append(header::COOKIE, HeaderValue::from_static("c=d;  __Host-bartizan=btz~1"));
        assert_eq!(secret_of(&headers).unwrap().reveal(), "btz~1");
        let mut long = HeaderMap::new();
        long.insert(header::COOKIE, HeaderValue::from_str(&format!("{COOKIE}={}", "x".repeat(MAX_SECRET + 1))).unwrap());
        assert!(secret_of(&long).is_none());
    }

    #[test]
    fn the_token_belongs_to_one_secret() {
        let (one, other) = (Secret::new("one".to_owned()), Secret::new("other".to_owned()));
        let mut headers = HeaderMap::new();
        assert!(!has_csrf_token(&headers, &one));
        headers.insert(CSRF_HEADER, HeaderValue::from_str(&csrf_token(&one)).unwrap());
        assert!(has_csrf_token(&headers, &one) && !has_csrf_token(&headers, &other));
    }
}
