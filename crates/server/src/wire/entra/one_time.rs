//! Codes and refresh tokens: random texts, of which only the hash is stored.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::{Secret, Span};
use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::identity::SecretError;

/// Lifetime of an authorization code; RFC 6749 §4.1.2 recommends at most ten minutes, which is Entra's too.
pub const CODE_LIFETIME: Span = Span(10 * Span::MINUTE.0);
/// Lifetime of a refresh token, as in Entra: 90 days, or 24 hours in a browser (single-page applications).
pub const REFRESH_LIFETIME: Span = Span(90 * Span::DAY.0);
pub const SPA_REFRESH_LIFETIME: Span = Span::DAY;
/// Lifetime of a device code and seconds between requests, as in Entra.
pub const DEVICE_LIFETIME: Span = Span(15 * Span::MINUTE.0);
pub const DEVICE_INTERVAL: i64 = 5;
/// Longest code or token that is looked up.
const MAX_TEXT: usize = 512;

/// Letters of user codes: no vowels and no digits, so that no words and no mix-ups appear (RFC 8628 §6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a user code: 34 bits, behind a sign-in that is throttled.
const USER_CODE: usize = 8;

fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).map_err(|_| ApiError::internal(&SecretError))?;
    Ok(bytes)
}

/// A code or refresh token with 256 random bits. Begins as Entra's do, so that secret scanners recognise it.
pub fn generate() -> Result<Secret<String>, ApiError> {
    Ok(Secret::new(format!("1.A{}", BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?))))
}

/// A code that a person types.
pub fn user_code() -> Result<String, ApiError> {
    let mut code = String::with_capacity(USER_CODE);
    while code.len() < USER_CODE {
        // Bytes above the largest multiple of 20 would make some letters more frequent.
        let fair = random::<16>()?.into_iter().filter(|byte| *byte < 240);
        code.extend(fair.take(USER_CODE - code.len()).map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])));
    }
    Ok(code)
}

/// The user code as it was meant: without separators, in capitals.
pub fn normal_user_code(typed: &str) -> String {
    typed.chars().filter(|c| c.is_ascii_alphanumeric()).take(64).map(|c| c.to_ascii_uppercase()).collect()
}

/// Under which a text is stored.
pub fn hash(text: &str) -> String {
    let text = text.trim();
    hex::encode(Sha256::digest(if text.len() > MAX_TEXT { "" } else { text }))
}

/// Whether `verifier` has the length and characters of RFC 7636 §4.1, and its SHA-256 is `challenge`.
pub fn proves_key(challenge: &str, verifier: &str) -> bool {
    let good = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
    let made = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    good && aws_lc_rs::constant_time::verify_slices_are_equal(made.as_bytes(), challenge.as_bytes()).is_ok()
}

/// Whether the text is the base64 of a SHA-256, as a challenge of the method S256 is.
pub fn is_challenge(text: &str) -> bool {
    text.len() == 43 && BASE64_URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn the_example_of_the_standard_proves_its_key() {
        let (verifier, challenge) = ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_challenge(challenge) && proves_key(challenge, verifier));
        assert!(!proves_key(challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"));
        assert!(!proves_key(challenge, challenge) && !proves_key("", "") && !is_challenge(""));
    }

    #[test]
    fn user_codes_are_typed_in_any_way() {
        let code = user_code().unwrap();
        assert_eq!(code.len(), USER_CODE);
        let typed = format!(" {}-{} ", &code[..4].to_lowercase(), &code[4..]);
        assert_eq!(normal_user_code(&typed), code);
        let text = generate().unwrap();
        assert!(hash(text.reveal()) == hash(&format!(" {} ", text.reveal())) && !hash(text.reveal()).contains(text.reveal().as_str()));
    }
}
