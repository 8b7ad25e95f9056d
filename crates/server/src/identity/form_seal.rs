//! Values that a browser carries between two pages, authenticated with a key of this process: they cannot be made or changed outside, expire,
//! and are valid for one purpose. They are not encrypted: they hold nothing that the browser's person may not read.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest sealed value that is read.
const MAX_SEALED: usize = 8 << 10;

/// Seals and opens values.
pub struct FormSeal(hmac::Key);

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    /// Expiry, in ticks.
    e: i64,
    v: T,
}

impl FormSeal {
    /// With a new random key; `None` if the system gives no random numbers.
    pub fn new() -> Option<Self> {
        let mut key = [0u8; 32];
        rand::fill(&mut key).ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The value as text for a form field. Empty if it cannot be written as JSON, which [`Self::open`] refuses.
    pub fn seal<T: Serialize>(&self, purpose: &str, value: &T, expires: Timestamp) -> String {
        let Ok(json) = serde_json::to_vec(&Envelope { e: expires.ticks(), v: value }) else { return String::new() };
        let payload = BASE64_URL_SAFE_NO_PAD.encode(json);
        format!("{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.tag(purpose, &payload)))
    }

    /// The value, if this process sealed it for this purpose and it has not expired.
    pub fn open<T: DeserializeOwned>(&self, purpose: &str, text: &str, now: Timestamp) -> Option<T> {
        if text.len() > MAX_SEALED {
            return None;
        }
        let (payload, tag) = text.split_once('.')?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, &message(purpose, payload), &tag).ok()?;
        let envelope: Envelope<T> = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (envelope.e > now.ticks()).then_some(envelope.v)
    }

    fn tag(&self, purpose: &str, payload: &str) -> hmac::Tag {
        hmac::sign(&self.0, &message(purpose, payload))
    }
}

/// Purpose and payload, separated by a byte that neither contains.
fn message(purpose: &str, payload: &str) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", payload.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;

    #[test]
    fn a_value_opens_once_sealed_for_its_purpose_until_it_expires() {
        let now = Timestamp::UNIX_EPOCH;
        let (ours, other) = (FormSeal::new().unwrap(), FormSeal::new().unwrap());
        let text = ours.seal("consent", &"ann", now + Span::MINUTE);
        assert_eq!(ours.open::<String>("consent", &text, now).as_deref(), Some("ann"));
        assert_eq!(ours.open::<String>("sign in", &text, now), None);
        assert_eq!(other.open::<String>("consent", &text, now), None);
        assert_eq!(ours.open::<String>("consent", &text, now + Span::HOUR), None);
        let (payload, tag) = text.split_once('.').unwrap();
        let forged = BASE64_URL_SAFE_NO_PAD.encode(r#"{"e":9223372036854775807,"v":"bob"}"#);
        for changed in [format!("{forged}.{tag}"), payload.to_owned(), format!("{payload}."), String::new()] {
            assert_eq!(ours.open::<String>("consent", &changed, now), None);
        }
    }
}
