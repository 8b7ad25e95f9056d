//! Access tokens: JSON Web Tokens signed with RS256, issued and accepted by this server only.
//!
//! The algorithm is pinned: only RS256 with one of our keys is accepted, regardless of the token's header (RFC 8725 §3.1).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header, Validation};
use model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Identity, Person, Principal, TOKEN_LIFETIME};
use crate::dialect::normal_audience;

/// Tolerated clock skew of `nbf`.
const SKEW: Span = Span(5 * 60 * 10_000_000);

/// Maximum length of a token; ours are below 1,500 bytes.
const MAX_TOKEN: usize = 16 << 10;

/// Claims of an access token, named as in Entra's. Which ones a token has follows from its version and from whether a person is involved.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Claims {
    pub aud: String,
    pub iss: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    /// The client, in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// How the client proved itself, in version 1: `0` not at all, `1` by secret, `2` by certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appidacr: Option<String>,
    /// The same two in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azpacr: Option<String>,
    pub oid: String,
    pub sub: String,
    pub tid: String,
    /// `app` in tokens of applications themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idtyp: Option<String>,
    pub uti: String,
    pub ver: String,
    /// App roles granted to the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes consented to, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
}

/// Claims of an ID token, for the client itself.
#[derive(Clone, Debug, Serialize)]
struct IdClaims<'a> {
    aud: &'a str,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    oid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    sub: String,
    tid: &'a str,
    uti: String,
    ver: &'static str,
}

/// How a client proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientProof {
    /// A public client.
    None,
    Secret,
    Certificate,
}

impl ClientProof {
    fn claim(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Secret => "1",
            Self::Certificate => "2",
        }
    }
}

/// An access token to issue.
pub struct AccessToken<'a> {
    /// The client's application id.
    pub client: &'a str,
    pub proof: ClientProof,
    pub audience: &'a str,
    /// 1 or 2.
    pub version: u8,
    pub subject: Subject<'a>,
    pub origin: &'a str,
    pub now: Timestamp,
}

/// Whom a token stands for.
pub enum Subject<'a> {
    /// The application itself: the object id of its service principal, and its app roles.
    Application { object_id: &'a str, roles: &'a [String] },
    /// A person who uses the application, with the scopes consented to.
    Person { person: &'a Person, scopes: &'a [String] },
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
    /// Issues a token of version 2 to an application without app roles.
    pub fn issue(
        &self,
        app_id: &str,
        object_id: &str,
        audience: &str,
        origin: &str,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let subject = Subject::Application { object_id, roles: &[] };
        self.access_token(&AccessToken { client: app_id, proof: ClientProof::Secret, audience, version: 2, subject, origin, now })
    }

    /// Issues an access token.
    pub fn access_token(&self, wanted: &AccessToken<'_>) -> Result<String, jsonwebtoken::errors::Error> {
        let seconds = wanted.now.unix_seconds();
        let mut claims = Claims {
            aud: wanted.audience.to_owned(),
            iss: self.issuer_of(wanted.origin, wanted.version),
            iat: seconds,
            nbf: seconds,
            exp: seconds + TOKEN_LIFETIME.ticks() / Span::SECOND.ticks(),
            tid: self.tenant_id.clone(),
            uti: unique_id(),
            ver: format!("{}.0", wanted.version),
            ..Claims::default()
        };
        let (client, proof) = (Some(wanted.client.to_owned()), Some(wanted.proof.claim().to_owned()));
        if wanted.version == 1 {
            (claims.appid, claims.appidacr) = (client, proof);
        } else {
            (claims.azp, claims.azpacr) = (client, proof);
        }
        match &wanted.subject {
            Subject::Application { object_id, roles } => {
                claims.oid = (*object_id).to_owned();
                claims.sub = (*object_id).to_owned();
                claims.idtyp = Some("app".to_owned());
                claims.roles = roles.to_vec();
            }
            Subject::Person { person, scopes } => {
                claims.oid = person.object_id.clone();
                claims.sub = self.pairwise(&person.object_id, wanted.audience);
                claims.scp = Some(scopes.join(" "));
                claims.name = Some(person.display_name.clone());
                let login = self.user_principal_name(&person.name);
                if wanted.version == 1 {
                    (claims.acr, claims.amr) = (Some("1".to_owned()), vec!["pwd".to_owned()]);
                    (claims.upn, claims.unique_name) = (Some(login.clone()), Some(login));
                } else {
                    claims.preferred_username = Some(login);
                }
            }
        }
        self.sign(&claims)
    }

    /// Issues an ID token about `person` to `client`. `email` tells whether the client asked for the address.
    pub fn id_token(
        &self,
        client: &str,
        person: &Person,
        nonce: Option<&str>,
        email: bool,
        version: u8,
        (origin, now): (&str, Timestamp),
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let (seconds, login) = (now.unix_seconds(), self.user_principal_name(&person.name));
        self.sign(&IdClaims {
            aud: client,
            iss: self.issuer_of(origin, version),
            iat: seconds,
            nbf: seconds,
            exp: seconds + TOKEN_LIFETIME.ticks() / Span::SECOND.ticks(),
            name: &person.display_name,
            nonce,
            oid: &person.object_id,
            preferred_username: (version == 2).then(|| login.clone()),
            upn: (version == 1).then(|| login.clone()),
            unique_name: (version == 1).then_some(login),
            email: person.email.as_deref().filter(|_| email),
            sub: self.pairwise(&person.object_id, client),
            tid: &self.tenant_id,
            uti: unique_id(),
            ver: if version == 1 { "1.0" } else { "2.0" },
        })
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        let (id, key) = self.keys.signing().ok_or(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
        let header = Header { kid: Some(id.to_owned()), x5t: Some(id.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, key)
    }

    /// A subject that differs between audiences, so that they cannot compare notes (OpenID Connect Core §8.1).
    fn pairwise(&self, object_id: &str, audience: &str) -> String {
        let hash = Sha256::new()
            .chain_update(self.tenant_id.as_bytes())
            .chain_update([0])
            .chain_update(object_id.to_ascii_lowercase())
            .chain_update([0])
            .chain_update(audience.to_ascii_lowercase());
        BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// The issuer of version 2, in tokens and in the OpenID configuration.
    pub fn issuer(&self, origin: &str) -> String {
        self.issuer_of(origin, 2)
    }

    /// The issuer of a version. Clients compare it with their configured authority, so it uses the host of the request if that is one of
    /// ours. Version 1 has Entra's form `https://sts.windows.net/{tenant}/`.
    pub fn issuer_of(&self, origin: &str, version: u8) -> String {
        let tenant = &self.tenant_id;
        let origin = if self.origins.is_own_origin(origin) { origin.to_owned() } else { self.origins.canonical() };
        if version == 1 { format!("{origin}/{tenant}/") } else { format!("{origin}/{tenant}/v2.0") }
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
        let paths = [format!("/{}/v2.0", self.tenant_id), format!("/{}/", self.tenant_id)];
        let origin = paths.iter().find_map(|path| claims.iss.strip_suffix(path.as_str()));
        let ours = origin.is_some_and(|origin| self.origins.is_own_origin(origin)) && claims.tid == self.tenant_id;
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
        // An ID token is for the client and has neither claim; its audience is no API's either.
        let app_id = claims.appid.or(claims.azp).ok_or(TokenError::Malformed)?;
        let scopes = match (claims.scp, claims.idtyp.as_deref()) {
            (Some(scopes), _) => Some(scopes.split_whitespace().map(str::to_owned).collect()),
            (None, Some("app")) => None,
            (None, _) => return Err(TokenError::Malformed),
        };
        Ok(Principal { app_id, object_id: claims.oid, audience, expires, scopes, person: None })
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

/// Identifies a token, as Entra's `uti`.
fn unique_id() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
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

    fn ann() -> Person {
        Person { object_id: "ann".into(), name: "ann".into(), display_name: "Ann".into(), email: Some("ann@example.org".into()) }
    }

    /// learn.microsoft.com/entra/identity-platform/access-token-claims-reference; S1-49, S1-52.
    #[test]
    fn tokens_of_both_versions_have_the_documented_claims() {
        let folder = tempfile::tempdir().unwrap();
        let ours = identity(&folder);
        let (roles, scopes) = (["ActivityFeed.Read".to_owned()], ["user_impersonation".to_owned()]);
        let issue = |version: u8, subject: Subject<'_>| {
            let wanted = AccessToken {
                client: "cid",
                proof: ClientProof::Certificate,
                audience: "https://monitor.azure.com",
                version,
                subject,
                origin: ORIGIN,
                now: noon(),
            };
            let token = ours.access_token(&wanted).unwrap();
            let payload = token.split('.').nth(1).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
            (ours.check(&token, MONITOR, noon()).unwrap(), claims)
        };
        let (principal, one) = issue(1, Subject::Application { object_id: "oid", roles: &roles });
        assert_eq!((one["ver"].as_str(), one["appid"].as_str(), one["appidacr"].as_str()), (Some("1.0"), Some("cid"), Some("2")));
        assert_eq!(one["iss"], format!("{ORIGIN}/{}/", ours.tenant_id));
        assert_eq!((&one["roles"][0], &one["idtyp"]), (&serde_json::json!("ActivityFeed.Read"), &serde_json::json!("app")));
        assert!(one.get("azp").is_none() && one.get("scp").is_none() && one.get("upn").is_none(), "{one}");
        assert_eq!(principal.scopes, None);
        let (_, two) = issue(2, Subject::Application { object_id: "oid", roles: &roles });
        assert_eq!((two["ver"].as_str(), two["azp"].as_str(), two["azpacr"].as_str()), (Some("2.0"), Some("cid"), Some("2")));
        assert!(two.get("appid").is_none());
        let ann = ann();
        let (principal, one) = issue(1, Subject::Person { person: &ann, scopes: &scopes });
        assert_eq!(
            (one["upn"].as_str(), one["scp"].as_str(), &one["amr"][0]),
            (Some("ann@home.example"), Some("user_impersonation"), &"pwd".into())
        );
        assert!(one.get("roles").is_none() && one.get("idtyp").is_none());
        assert_eq!((principal.object_id.as_str(), principal.scopes), ("ann", Some(vec!["user_impersonation".to_owned()])));
    }

    #[test]
    fn an_id_token_opens_no_api() {
        let folder = tempfile::tempdir().unwrap();
        let ours = identity(&folder);
        // Even for a client whose id is an audience of ours.
        let token = ours.id_token(ORIGIN, &ann(), Some("n"), true, 2, (ORIGIN, noon())).unwrap();
        assert_eq!(ours.check(&token, MONITOR, noon()), Err(TokenError::Malformed));
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
