//! Access tokens: JSON Web Tokens signed with RS256, issued and accepted by this server only.
//!
//! The algorithm is pinned: only RS256 with one of our keys is accepted, regardless of the token's header (RFC 8725 §3.1).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, Validation};
use model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Identity, Principal, TOKEN_LIFETIME};
use crate::dialect::normal_audience;

/// Tolerated clock skew of `nbf`.
const SKEW: Span = Span(5 * 60 * 10_000_000);

/// Maximum length of a token; ours are below 1,500 bytes.
const MAX_TOKEN: usize = 16 << 10;

/// Claims of a token, named as in Entra's v2.0 tokens, with v1.0's `appid` besides `azp`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub aud: String,
    pub iss: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub appid: String,
    pub azp: String,
    pub oid: String,
    pub sub: String,
    pub tid: String,
    pub idtyp: String,
    pub uti: String,
    pub ver: String,
}

/// Why a bearer token is rejected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("The access token is no JSON Web Token of three parts.")]
    Malformed,
    #[error("The access token is not signed (its algorithm is 'none'). Only tokens signed with RS256 are accepted.")]
    Unsigned,
    #[error("The access token is signed with '{0}'. Only RS256 is accepted.")]
    Algorithm(String),
    #[error("The access token names the signing key '{0}', which this tenant does not have. Ask this server for a token.")]
    UnknownKey(String),
    #[error("The signature of the access token is wrong. Ask this server for a token.")]
    Signature,
    #[error("The access token was issued by '{0}', which is not this tenant. Ask this server for a token.")]
    Issuer(String),
    #[error("The access token is meant for '{found}'. Expected one of: {expected}. Ask for a token with that scope.")]
    Audience { found: String, expected: String },
    #[error("The access token expiry UTC time '{expired}' is earlier than current UTC time '{now}'. Ask for a new one.")]
    Expired { expired: Timestamp, now: Timestamp },
    #[error("The access token is not valid before UTC time '{from}'; it is '{now}'. Is a clock wrong?")]
    NotYet { from: Timestamp, now: Timestamp },
}

#[derive(Deserialize)]
struct LooseHeader {
    alg: Option<String>,
    kid: Option<String>,
}

impl Identity {
    /// Issues a token to the application for `audience`.
    pub fn issue(
        &self,
        app_id: &str,
        object_id: &str,
        audience: &str,
        origin: &str,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let seconds = now.unix_seconds();
        let claims = Claims {
            aud: audience.to_owned(),
            iss: self.issuer(origin),
            iat: seconds,
            nbf: seconds,
            exp: seconds + TOKEN_LIFETIME.ticks() / Span::SECOND.ticks(),
            appid: app_id.to_owned(),
            azp: app_id.to_owned(),
            oid: object_id.to_owned(),
            sub: object_id.to_owned(),
            tid: self.tenant_id.clone(),
            idtyp: "app".to_owned(),
            uti: BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes()),
            ver: "2.0".to_owned(),
        };
        let (id, key) = self.keys.signing().ok_or(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
        let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, key)
    }

    /// The issuer in tokens and in the OpenID configuration. Clients compare it with their configured authority, so it uses the host of the
    /// request if that is one of ours.
    pub fn issuer(&self, origin: &str) -> String {
        let tenant = &self.tenant_id;
        let origin = if self.origins.is_own_origin(origin) { origin.to_owned() } else { self.origins.canonical() };
        format!("{origin}/{tenant}/v2.0")
    }

    /// The principal of a token that we issued, that is valid at `now` and meant for one of `audiences` or this server itself.
    pub fn check(&self, token: &str, audiences: &[&str], now: Timestamp) -> Result<Principal, TokenError> {
        let header = loose_header(token)?;
        match header.alg.as_deref() {
            Some("RS256") => {}
            None => return Err(TokenError::Unsigned),
            Some(none) if none.eq_ignore_ascii_case("none") => return Err(TokenError::Unsigned),
            Some(other) => return Err(TokenError::Algorithm(printable(other))),
        }
        let kid = header.kid.unwrap_or_default();
        let key = self.keys.verifying(&kid).ok_or_else(|| TokenError::UnknownKey(printable(&kid)))?;
        let mut rules = Validation::new(Algorithm::RS256);
        // Times, audience and issuer are checked below, with our clock and with specific errors.
        rules.required_spec_claims.clear();
        (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenError::Signature,
            _ => TokenError::Malformed,
        })?;
        self.judge(claims.claims, audiences, now)
    }

    /// Validates the claims of a correctly signed token; part of [`Self::check`].
    fn judge(&self, claims: Claims, audiences: &[&str], now: Timestamp) -> Result<Principal, TokenError> {
        let issuer_path = format!("/{}/v2.0", self.tenant_id);
        let ours =
            claims.iss.strip_suffix(&issuer_path).is_some_and(|origin| self.origins.is_own_origin(origin)) && claims.tid == self.tenant_id;
        if !ours {
            return Err(TokenError::Issuer(printable(&claims.iss)));
        }
        let audience = normal_audience(&claims.aud);
        if !audiences.iter().any(|known| *known == audience) && !self.origins.is_own_origin(&audience) {
            let expected = if audiences.is_empty() { self.origins.canonical() } else { audiences.join(", ") };
            return Err(TokenError::Audience { found: printable(&claims.aud), expected });
        }
        let (expires, from) = (instant(claims.exp), instant(claims.nbf));
        if expires <= now {
            return Err(TokenError::Expired { expired: expires, now });
        }
        if from > now + SKEW {
            return Err(TokenError::NotYet { from, now });
        }
        Ok(Principal { app_id: claims.appid, object_id: claims.oid, audience, expires, person: None })
    }
}

fn loose_header(token: &str) -> Result<LooseHeader, TokenError> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(TokenError::Malformed);
    };
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(header.trim_end_matches('=')).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

fn instant(unix_seconds: i64) -> Timestamp {
    unix_seconds.checked_mul(1_000_000).and_then(Timestamp::from_unix_micros).unwrap_or(if unix_seconds > 0 {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    })
}

/// Untrusted text, truncated and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::HostName;
    use jsonwebtoken::EncodingKey;

    const MONITOR: &[&str] = &["https://monitor.azure.com"];
    const ORIGIN: &str = "https://localhost:8443";

    fn identity(folder: &tempfile::TempDir) -> Identity {
        Identity::open(
            &folder.path().join("keys"),
            "11111111-1111-1111-1111-111111111111",
            "home.example",
            [HostName::parse("localhost").unwrap()],
        )
        .unwrap()
    }

    fn noon() -> Timestamp {
        Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap()
    }

    #[test]
    fn a_token_outlives_a_restart_but_not_its_hour() {
        let folder = tempfile::tempdir().unwrap();
        let token = identity(&folder).issue("app", "object", "https://monitor.azure.com/", ORIGIN, noon()).unwrap();
        let again = identity(&folder);
        assert_eq!(again.check(&token, MONITOR, noon()).unwrap().app_id, "app");
        assert!(matches!(again.check(&token, MONITOR, noon() + Span::HOUR), Err(TokenError::Expired { .. })));
        assert!(matches!(again.check(&token, MONITOR, noon() - Span::HOUR), Err(TokenError::NotYet { .. })));
        assert!(matches!(again.check(&token, &["https://management.azure.com"], noon()), Err(TokenError::Audience { .. })));
    }

    #[test]
    fn only_our_signature_with_the_pinned_algorithm_counts() {
        let folder = tempfile::tempdir().unwrap();
        let ours = identity(&folder);
        let token = ours.issue("app", "object", ORIGIN, ORIGIN, noon()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let check = |token: &str| ours.check(token, MONITOR, noon()).unwrap_err();

        // RFC 7518 §3.6: an unsecured JWS; in several spellings, because filters on one of them have been bypassed.
        for alg in ["none", "None", "nOnE"] {
            let none = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
            assert_eq!(check(&format!("{none}.{payload}.")), TokenError::Unsigned);
        }
        // Algorithm confusion: HS256 with the public key as the shared secret (RFC 8725 §2.1).
        let kid = ours.keys.signing().unwrap().0;
        let confused = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&confused, &serde_json::json!({}), &EncodingKey::from_secret(b"public key")).unwrap();
        assert_eq!(check(&forged), TokenError::Algorithm("HS256".into()));
        // A changed payload, a foreign key, and malformed tokens.
        let mut claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        claims.oid = "somebody else".into();
        let changed = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap());
        assert_eq!(check(&format!("{header}.{changed}.{signature}")), TokenError::Signature);
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = identity(&elsewhere).issue("app", "object", ORIGIN, ORIGIN, noon()).unwrap();
        assert!(matches!(check(&foreign), TokenError::UnknownKey(_)));
        for rubbish in ["", "a", "a.b", "a.b.c", "a.b.c.d", "....."] {
            assert_eq!(check(rubbish), TokenError::Malformed);
        }
    }

    #[test]
    fn another_tenant_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let token = identity(&folder).issue("app", "object", ORIGIN, ORIGIN, noon()).unwrap();
        let other = Identity::open(
            &folder.path().join("keys"),
            "22222222-2222-2222-2222-222222222222",
            "x.example",
            [HostName::parse("localhost").unwrap()],
        )
        .unwrap();
        assert!(matches!(other.check(&token, MONITOR, noon()), Err(TokenError::Issuer(_))));
    }
}
