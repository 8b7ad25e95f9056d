//! Client assertions: a JSON Web Token signed by the application with the key of a registered certificate.
//!
//! Stock clients differ (learn.microsoft.com/entra/identity-platform/certificate-credentials and observed requests): RS256 with a SHA-1
//! `x5t`, padded or not; PS256 with `x5t#S256`; `x5c` with line breaks; fractional times.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use model::Timestamp;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use store::AppRegistration;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::errors;
use crate::error::ApiError;

/// Tolerated clock skew of clients.
const SKEW_SECONDS: f64 = 300.0;

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
    x5c: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    exp: f64,
    nbf: Option<f64>,
}

/// Whether `token` is signed with the key of one of the application's certificates.
pub fn check(app: &AppRegistration, token: &str, audiences: &[String], now: Timestamp) -> Result<(), ApiError> {
    let header: Header = token
        .split('.')
        .next()
        .and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| errors::bad_assertion("its header is no JSON"))?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        _ => return Err(errors::bad_assertion("it must be signed with PS256 or RS256")),
    };
    let certificate = registered(app, &header)
        .ok_or_else(|| errors::assertion_signature("the certificate it names is not registered for this application"))?;
    let key = public_key(&certificate).ok_or_else(|| errors::assertion_signature("the registered certificate holds no RSA key"))?;
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    // Checked below: `exp` may be fractional, and each check has its own error.
    (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => {
            errors::assertion_signature("the signature does not match the registered certificate")
        }
        _ => errors::bad_assertion("its claims must have 'aud', 'iss', 'sub' and 'exp'"),
    })?;
    judge(&claims.claims, app, audiences, now)
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
    let in_time = claims.exp > seconds - SKEW_SECONDS && claims.nbf.is_none_or(|from| from <= seconds + SKEW_SECONDS);
    if in_time { Ok(()) } else { Err(errors::assertion_time(&now.to_string())) }
}

/// The registered certificate, as DER, that the header names by thumbprint or includes.
fn registered(app: &AppRegistration, header: &Header) -> Option<Vec<u8>> {
    let bytes = |text: &String| BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let sha256 = header.x5t_s256.as_ref().and_then(bytes);
    let sha1 = header.x5t.as_ref().and_then(bytes);
    let shown = header.x5c.as_ref().and_then(|chain| chain.first()).and_then(|text| {
        let compact: String = text.split_whitespace().collect();
        BASE64_STANDARD.decode(compact).ok()
    });
    app.certificates.iter().filter_map(|known| BASE64_STANDARD.decode(&known.der).ok()).find(|der| {
        sha256.as_ref().is_some_and(|thumbprint| thumbprint[..] == Sha256::digest(der)[..])
            || sha1.as_ref().is_some_and(|thumbprint| thumbprint[..] == Sha1::digest(der)[..])
            || shown.as_ref() == Some(der)
    })
}

fn public_key(der: &[u8]) -> Option<DecodingKey> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => {
            let bare = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
            Some(DecodingKey::from_rsa_raw_components(&bare(key.modulus), &bare(key.exponent)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};
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
            certificates: vec![ClientCertificate { der: BASE64_STANDARD.encode(&der) }],
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
        ] {
            check(&app, &sign(&key, algorithm, header.clone(), claims.clone()), &audiences, now).unwrap();
        }
        // Each invalid claim has its own number; a foreign key and an unregistered certificate share theirs.
        let header = json!({ "x5t": padded });
        let number = |signer: &rcgen::KeyPair, algorithm: &str, name: &str, value: Value| {
            let mut changed = claims.clone();
            changed[name] = value;
            check(&app, &sign(signer, algorithm, header.clone(), changed), &audiences, now).unwrap_err().entra
        };
        assert_eq!(number(&key, "RS256", "iss", json!("other")), Some(700_021));
        assert_eq!(number(&key, "RS256", "aud", json!("https://elsewhere")), Some(700_023));
        assert_eq!(number(&key, "RS256", "exp", json!(now.unix_seconds() - 3600)), Some(700_024));
        assert_eq!(number(&key, "HS256", "jti", json!("y")), Some(50_027));
        let foreign = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        assert_eq!(number(&foreign, "RS256", "jti", json!("y")), Some(700_027));
    }
}
