//! Client assertions: a JSON Web Token signed by the application with the key of a registered certificate (S1-66).
//!
//! Stock clients differ (learn.microsoft.com/entra/identity-platform/certificate-credentials and observed requests): RS256 with a SHA-1
//! `x5t`, padded or not; PS256 with `x5t#S256`; `x5c` with line breaks; a `kid`; fractional times. MSAL reuses one assertion until it
//! expires, so replay is judged by where it comes from (docs/adr/0036).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation};
use model::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use store::{AppRegistration, AssertionUse, ClientAssertion, ClientCertificate};

use super::errors;
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::PublicCertificate;

/// Tolerated clock skew of clients.
const SKEW_SECONDS: f64 = 300.0;
/// Longest assertion that is read; one with a chain of four 4096-bit certificates has 12 KiB.
const MAX_ASSERTION: usize = 16 << 10;
/// Longest lifetime that an assertion may have left. Stock clients use ten minutes; Entra documents no limit, but each is remembered until
/// it expires.
const MAX_SECONDS: f64 = 24.0 * 3_600.0;
/// Longest `jti`; a GUID has 36 characters.
const MAX_JTI: usize = 256;

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
    x5c: Option<Vec<String>>,
    kid: Option<String>,
}

impl Header {
    fn names_a_key(&self) -> bool {
        self.x5t.is_some() || self.x5t_s256.is_some() || self.x5c.is_some() || self.kid.is_some()
    }
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    jti: Option<String>,
}

/// A checked assertion, for [`record_use`].
pub struct Checked {
    jti: String,
    expires: Timestamp,
}

/// Whether `token` is signed with the key of one of the application's certificates, and is meant for us and now.
pub fn check(app: &AppRegistration, token: &str, audiences: &[String], now: Timestamp) -> Result<Checked, ApiError> {
    let claims: Claims = verify(app, token, now)?;
    judge(&claims, app, audiences, now)?;
    // Without `jti` an assertion identifies itself by its content.
    let jti = claims.jti.filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI).unwrap_or_else(|| hex::encode(Sha256::digest(token)));
    let expires = Timestamp::from_unix_micros(((claims.exp + SKEW_SECONDS) * 1e6) as i64).unwrap_or(Timestamp::MAX);
    Ok(Checked { jti, expires })
}

/// Records the use of the assertion; refuses one that was used from another address, or differs from an earlier one with the same `jti`.
pub async fn record_use(cx: &Context, app: &AppRegistration, token: &str, checked: Checked, address: String) -> Result<(), ApiError> {
    let id = Sha256::new().chain_update(app.app_id.to_ascii_lowercase()).chain_update([0]).chain_update(&checked.jti).finalize();
    let used = ClientAssertion { id: hex::encode(id), digest: hex::encode(Sha256::digest(token)), address, expires: checked.expires };
    let mut change = cx.store.begin().await?;
    let found = change.use_client_assertion(&used, cx.clock.now()).await?;
    match found {
        AssertionUse::First | AssertionUse::Again => Ok(change.commit().await?),
        AssertionUse::Elsewhere | AssertionUse::Different => {
            metrics::counter!("bartizan_replayed_assertions_total").increment(1);
            tracing::warn!(app = app.app_id, address = used.address, "a client assertion was replayed");
            Err(errors::assertion_replayed())
        }
    }
}

/// The claims of a token signed by one of the application's certificates that is valid now.
pub fn verify<T: DeserializeOwned>(app: &AppRegistration, token: &str, now: Timestamp) -> Result<T, ApiError> {
    let header: Header = token
        .split('.')
        .next()
        .filter(|_| token.len() <= MAX_ASSERTION)
        .and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| errors::bad_assertion("its header is no JSON"))?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        _ => return Err(errors::bad_assertion("it must be signed with PS256 or RS256")),
    };
    if !header.names_a_key() {
        return Err(errors::bad_assertion("its header needs 'x5t#S256', 'x5t', 'kid' or 'x5c'"));
    }
    let (known, certificate) = registered(app, &header)
        .ok_or_else(|| errors::assertion_signature("the certificate it names is not registered for this application"))?;
    let (from, until) = validity(known, &certificate);
    if from > now || until <= now {
        return Err(errors::certificate_time(&certificate.thumbprint(), &until.to_string()));
    }
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    // Checked by the caller: `exp` may be fractional, and each check has its own error.
    (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
    let claims = jsonwebtoken::decode::<T>(token, &certificate.verifying_key(), &rules).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => {
            errors::assertion_signature("the signature does not match the registered certificate")
        }
        _ => errors::bad_assertion("its claims must have 'aud', 'iss', 'sub' and 'exp'"),
    })?;
    Ok(claims.claims)
}

/// The time in which a registered certificate is accepted.
pub fn validity(known: &ClientCertificate, certificate: &PublicCertificate) -> (Timestamp, Timestamp) {
    let from = known.start.map_or(certificate.from, |start| start.max(certificate.from));
    let until = known.end.map_or(certificate.until, |end| end.min(certificate.until));
    (from, until)
}

fn judge(claims: &Claims, app: &AppRegistration, audiences: &[String], now: Timestamp) -> Result<(), ApiError> {
    if !claims.iss.eq_ignore_ascii_case(&app.app_id) || !claims.sub.eq_ignore_ascii_case(&app.app_id) {
        return Err(errors::assertion_of_another_app());
    }
    let found = claims.aud.to_ascii_lowercase();
    if !audiences.contains(&found) {
        let shown: String = claims.aud.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(errors::assertion_audience(&shown, audiences.first().map_or("", String::as_str)));
    }
    let seconds = now.unix_seconds() as f64;
    // Written so that NaN fails.
    let in_time = claims.exp > seconds - SKEW_SECONDS
        && claims.exp < seconds + MAX_SECONDS
        && claims.nbf.is_none_or(|from| from <= seconds + SKEW_SECONDS);
    if in_time { Ok(()) } else { Err(errors::assertion_time(&now.to_string())) }
}

/// The registered certificate that the header names by thumbprint or key id, or includes. All names that are present must agree.
fn registered<'a>(app: &'a AppRegistration, header: &Header) -> Option<(&'a ClientCertificate, PublicCertificate)> {
    let bytes = |text: &String| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let shown = |chain: &Vec<String>| {
        let compact: String = chain.first()?.split_whitespace().collect();
        BASE64_STANDARD.decode(compact).ok()
    };
    let same = |given: Option<Vec<u8>>, known: &[u8]| given.is_some_and(|given| verify_slices_are_equal(&given, known).is_ok());
    app.certificates.iter().find_map(|known| {
        let certificate = PublicCertificate::from_base64(&known.der).ok()?;
        let (sha1, sha256) = (certificate.sha1(), certificate.sha256());
        let agrees = header.x5t_s256.as_ref().is_none_or(|text| same(bytes(text), &sha256))
            && header.x5t.as_ref().is_none_or(|text| same(bytes(text), &sha1))
            && header.x5c.as_ref().is_none_or(|chain| same(shown(chain), &certificate.der))
            // A key id is the one in the manifest, or a thumbprint in hexadecimal or base64. It decides only if it is alone.
            && (header.x5t_s256.is_some()
                || header.x5t.is_some()
                || header.x5c.is_some()
                || header.kid.as_ref().is_some_and(|kid| {
                    kid.eq_ignore_ascii_case(&known.key_id)
                        || hex::decode(kid).is_ok_and(|bytes| bytes == sha1 || bytes == sha256)
                        || bytes(kid).is_some_and(|bytes| bytes == sha1 || bytes == sha256)
                }));
        agrees.then_some((known, certificate))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};
    use sha1::Sha1;
    use store::ClientCertificate;

    fn sign(key: &rcgen::KeyPair, algorithm: &str, header: Value, claims: Value) -> String {
        let mut whole = header;
        whole["alg"] = json!(algorithm);
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&whole), part(&claims));
        let key = EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).unwrap();
        let algorithm = if algorithm == "PS256" { Algorithm::PS256 } else { Algorithm::RS256 };
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn the_assertions_of_all_stock_clients_are_understood() {
        // The four header forms and the fractional times are those recorded in WIRE §1.
        let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der().to_vec();
        let app = AppRegistration {
            app_id: "cid".into(),
            object_id: "oid".into(),
            display_name: "test".into(),
            created: Timestamp::MIN,
            secrets: vec![],
            certificates: vec![ClientCertificate {
                der: BASE64_STANDARD.encode(&der),
                key_id: "9f1c0f52-0000-4000-8000-000000000001".into(),
                ..ClientCertificate::default()
            }],
            settings: Default::default(),
        };
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        let audiences = ["https://localhost:1/t/oauth2/v2.0/token".to_owned()];
        let claims = json!({ "aud": audiences[0], "iss": "cid", "sub": "cid", "jti": "x", "exp": now.unix_seconds() as f64 + 600.179588, "iat": 1.5 });
        let padded = base64::prelude::BASE64_URL_SAFE.encode(Sha1::digest(&der));
        let mut broken_lines = BASE64_STANDARD.encode(&der);
        broken_lines.insert(64, '\n');
        for (algorithm, header) in [
            ("RS256", json!({ "typ": "JWT", "x5t": padded })),
            ("PS256", json!({ "typ": "JWT", "x5c": [broken_lines] })),
            ("PS256", json!({ "typ": "JWT", "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&der)) })),
            ("RS256", json!({ "typ": "JWT", "kid": "9F1C0F52-0000-4000-8000-000000000001" })),
            ("RS256", json!({ "typ": "JWT", "kid": hex::encode_upper(Sha1::digest(&der)) })),
        ] {
            check(&app, &sign(&key, algorithm, header.clone(), claims.clone()), &audiences, now).unwrap();
        }
        // Each invalid claim has its own number; a foreign key and an unregistered certificate share theirs.
        let header = json!({ "x5t": padded });
        let number = |signer: &rcgen::KeyPair, algorithm: &str, name: &str, value: Value| {
            let mut changed = claims.clone();
            changed[name] = value;
            check(&app, &sign(signer, algorithm, header.clone(), changed), &audiences, now).err().unwrap().entra
        };
        assert_eq!(number(&key, "RS256", "iss", json!("other")), Some(700_021));
        assert_eq!(number(&key, "RS256", "aud", json!("https://elsewhere")), Some(700_023));
        assert_eq!(number(&key, "RS256", "exp", json!(now.unix_seconds() - 3600)), Some(700_024));
        assert_eq!(number(&key, "HS256", "jti", json!("y")), Some(50_027));
        // A lifetime of days, an assertion that names no key, and names that disagree.
        assert_eq!(number(&key, "RS256", "exp", json!(now.unix_seconds() + 10 * 86_400)), Some(700_024));
        let refused = |header: Value| check(&app, &sign(&key, "RS256", header, claims.clone()), &audiences, now).err().unwrap().entra;
        assert_eq!(refused(json!({ "typ": "JWT" })), Some(50_027));
        assert_eq!(refused(json!({ "x5t": padded, "x5t#S256": "AAAA" })), Some(700_027));
        // A registration that ended although the certificate is valid (S1-59: certificates are withdrawn one by one).
        let mut ended = app.clone();
        ended.certificates[0].end = Some(now);
        let token = sign(&key, "RS256", json!({ "x5t": padded }), claims.clone());
        assert_eq!(check(&ended, &token, &audiences, now).err().unwrap().entra, Some(700_027));
        let foreign = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        assert_eq!(number(&foreign, "RS256", "jti", json!("y")), Some(700_027));
    }
}
