//! Time-based one-time passwords: RFC 6238 with SHA-1, 6 digits and steps of 30 s, which every authenticator app supports.

use aws_lc_rs::rand;
use hmac::{Hmac, Mac};
use model::{Secret, Timestamp};
use sha1::Sha1;

use super::SecretError;

/// Seconds of a time step.
const STEP: i64 = 30;
/// Steps by which the clock of the device may differ, in both directions.
const SKEW: i64 = 1;
/// Bytes of a key: the length of the hash, as RFC 4226 §4 recommends.
const KEY_BYTES: usize = 20;
const DIGITS: u32 = 6;

/// Generates a key.
pub fn generate_key() -> Result<Secret<Vec<u8>>, SecretError> {
    let mut key = vec![0u8; KEY_BYTES];
    rand::fill(&mut key).map_err(|_| SecretError)?;
    Ok(Secret::new(key))
}

/// The time step of a valid code that is later than `last`, the step of the last accepted code. Spaces in the code are ignored.
pub fn check(key: &Secret<Vec<u8>>, code: &str, now: Timestamp, last: i64) -> Option<i64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != DIGITS as usize || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let given: u32 = digits.parse().ok()?;
    let current = now.unix_seconds().div_euclid(STEP);
    // All steps are computed, so that the time taken does not depend on the code.
    let mut found = None;
    for step in current - SKEW..=current + SKEW {
        if code_of(key.reveal(), step) == given && step > last {
            found = Some(step);
        }
    }
    found
}

/// RFC 4226 §5.3 with the step as the counter.
fn code_of(key: &[u8], step: i64) -> u32 {
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 15);
    let word = u32::from_be_bytes([hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]]);
    (word & 0x7fff_ffff) % 10u32.pow(DIGITS)
}

/// The key URI that authenticator apps read from a QR code (github.com/google/google-authenticator/wiki/Key-Uri-Format).
pub fn key_uri(key: &Secret<Vec<u8>>, issuer: &str, account: &str) -> Secret<String> {
    let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let (issuer, account, key) = (encode(issuer), encode(account), base32(key.reveal()));
    Secret::new(format!("otpauth://totp/{issuer}:{account}?secret={key}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP}"))
}

/// RFC 4648 base32 without padding.
pub fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut bits, mut count) = (String::with_capacity(bytes.len().div_ceil(5) * 8), 0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, SHA-1; the last six of its eight digits.
        let key = Secret::new(b"12345678901234567890".to_vec());
        for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")] {
            assert_eq!(check(&key, code, at(time), 0), Some(time / 30), "{time}");
        }
    }

    #[test]
    fn a_code_is_valid_for_a_step_before_and_after_and_once() {
        let key = Secret::new(b"12345678901234567890".to_vec());
        let (time, step) = (1_111_111_109, 1_111_111_109 / 30);
        for (shift, valid) in [(-31, true), (0, true), (30, true), (-90, false), (90, false)] {
            assert_eq!(check(&key, "081804", at(time + shift), 0).is_some(), valid, "{shift}");
        }
        assert_eq!(check(&key, "081 804", at(time), step - 1), Some(step));
        assert_eq!(check(&key, "081804", at(time), step), None);
        for wrong in ["", "81804", "0818040", "08180x", "０８１８０４", "-81804"] {
            assert_eq!(check(&key, wrong, at(time), 0), None, "{wrong}");
        }
    }

    #[test]
    fn keys_are_written_as_apps_read_them() {
        // RFC 4648 §10.
        for (bytes, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        let uri = key_uri(&Secret::new(b"foobar".to_vec()), "Bartizan home", "ann@example.com");
        let expected =
            "otpauth://totp/Bartizan%20home:ann%40example%2Ecom?secret=MZXW6YTBOI&issuer=Bartizan%20home&algorithm=SHA1&digits=6&period=30";
        assert_eq!(uri.reveal(), expected);
    }
}
