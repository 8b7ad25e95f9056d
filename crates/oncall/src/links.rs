//! Signed links, with which the recipient of a page can answer without signing in.
//!
//! A token is `base64url(page id ‖ expiry ‖ action ‖ mac)`, 57 bytes in 76 characters, the mac being HMAC-SHA-256 over the preceding bytes.
//! It names one page, which went to one user, and one action: the holder of the link may perform this action as that user. Actions are
//! idempotent, so replays are harmless; opening a link changes nothing until its button is pressed, because mail scanners and chat previews
//! open every link.

mod reply_token;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use model::{Secret, Span, Timestamp};
use sha2::Sha256;
use uuid::Uuid;

use crate::answer::Action;
use crate::message::Links;

pub use reply_token::ReplyToken;

/// Validity of a link after signing.
pub const LIFETIME: Span = Span(7 * 24 * 3_600 * 10_000_000);

/// Signed bytes: 16 of the page's id, 8 of the expiry in ticks, 1 of the action.
const SIGNED: usize = 25;
const TOKEN: usize = SIGNED + 32;

/// Bytes of the mac in a signed URL: 192 bits.
const NAME_TOKEN: usize = 24;

/// Path of links below the public URL.
pub const PATH: &str = "/oncall/answer/";

/// Why a link is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Truncated, changed, or signed by another service.
    #[error("the link is not one of ours, or was changed on its way; open it from the message itself")]
    Wrong,
    #[error("the link has expired; answer the newest message, or with `bartizan oncall`")]
    Expired,
}

/// Signs and verifies links.
#[derive(Clone)]
pub struct Signer {
    key: Secret<Vec<u8>>,
}

impl Signer {
    /// `key` has at least 32 random bytes and survives restarts.
    pub fn new(key: Secret<Vec<u8>>) -> Self {
        Self { key }
    }

    /// The token for an action on a page.
    pub fn sign(&self, page: Uuid, action: &Action, expires: Timestamp) -> Option<String> {
        let mut bytes = Vec::with_capacity(TOKEN);
        bytes.extend_from_slice(page.as_bytes());
        bytes.extend_from_slice(&expires.ticks().to_be_bytes());
        bytes.push(code(action)?);
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The page and action of a valid token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<(Uuid, Action), LinkError> {
        // Mail readers wrap lines and chat programs append punctuation.
        let token = token.trim().trim_end_matches(['.', ',', '>', ')', '=']);
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| LinkError::Wrong)?;
        if bytes.len() != TOKEN {
            return Err(LinkError::Wrong);
        }
        let (signed, mac) = bytes.split_at(SIGNED);
        // Compares in constant time.
        self.mac(signed).verify_slice(mac).map_err(|_| LinkError::Wrong)?;
        let page = Uuid::from_slice(&signed[..16]).map_err(|_| LinkError::Wrong)?;
        let expires = i64::from_be_bytes(signed[16..24].try_into().map_err(|_| LinkError::Wrong)?);
        let action = action(signed[24]).ok_or(LinkError::Wrong)?;
        if now.ticks() >= expires { Err(LinkError::Expired) } else { Ok((page, action)) }
    }

    /// All links of a page. `base` is the service's public URL; without one a message has no links.
    pub fn links(&self, page: Uuid, base: Option<&str>, now: Timestamp) -> Links {
        let Some(base) = base.map(|base| base.trim_end_matches('/')) else { return Links::default() };
        let expires = now + LIFETIME;
        let link = |action: &Action| self.sign(page, action, expires).map(|token| format!("{base}{PATH}{token}"));
        Links {
            acknowledge: link(&Action::Acknowledge),
            take: link(&Action::Take),
            escalate: link(&Action::Escalate { step: None }),
            close: link(&Action::Close { classification: None, comment: None }),
            open: link(&Action::Seen),
        }
    }

    /// A token for the signed URLs of calendars and heartbeats, which cannot sign in. Valid as long as the key.
    pub fn name_token(&self, purpose: &str, name: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.name_mac(purpose, name).finalize().into_bytes()[..NAME_TOKEN])
    }

    /// Whether `token` is valid for the name.
    pub fn is_name_token(&self, purpose: &str, name: &str, token: &str) -> bool {
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(token) else { return false };
        // Compares in constant time.
        bytes.len() == NAME_TOKEN && self.name_mac(purpose, name).verify_truncated_left(&bytes).is_ok()
    }

    fn name_mac(&self, purpose: &str, name: &str) -> Hmac<Sha256> {
        let mut mac = self.keyed();
        // Names contain no NUL, so the encoding is unambiguous.
        mac.update(b"bartizan/oncall/name/1\0");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(name.as_bytes());
        mac
    }

    fn keyed(&self) -> Hmac<Sha256> {
        // HMAC accepts keys of any length, so this cannot fail.
        <Hmac<Sha256> as Mac>::new_from_slice(self.key.reveal()).expect("HMAC takes any key")
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed();
        mac.update(b"bartizan/oncall/link/1\0");
        mac.update(bytes);
        mac
    }
}

/// The byte of an action in a link; `None` for actions without links.
fn code(action: &Action) -> Option<u8> {
    match action {
        Action::Acknowledge => Some(b'a'),
        Action::Take => Some(b't'),
        Action::Escalate { step: None } => Some(b'e'),
        Action::Close { classification: None, comment: None } => Some(b'c'),
        Action::Seen => Some(b'o'),
        _ => None,
    }
}

fn action(code: u8) -> Option<Action> {
    Some(match code {
        b'a' => Action::Acknowledge,
        b't' => Action::Take,
        b'e' => Action::Escalate { step: None },
        b'c' => Action::Close { classification: None, comment: None },
        b'o' => Action::Seen,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::new(Secret::new(vec![seed; 32]))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::parse_iso("2026-11-21T00:00:00Z").unwrap() + Span::seconds(seconds)
    }

    #[test]
    fn a_link_says_what_was_signed_until_it_expires() {
        let page = Uuid::from_u128(7);
        for wanted in [Action::Acknowledge, Action::Take, Action::Escalate { step: None }, Action::Seen] {
            let token = signer(1).sign(page, &wanted, at(10)).unwrap();
            assert_eq!(signer(1).verify(&token, at(9)), Ok((page, wanted.clone())));
            assert_eq!(signer(1).verify(&format!(" {token}.\n"), at(9)), Ok((page, wanted)));
            assert_eq!(signer(1).verify(&token, at(10)), Err(LinkError::Expired));
            assert_eq!(signer(2).verify(&token, at(9)), Err(LinkError::Wrong));
        }
        assert!(signer(1).sign(page, &Action::Comment { text: "x".into() }, at(10)).is_none());
    }

    #[test]
    fn no_changed_bit_passes() {
        let token = signer(1).sign(Uuid::from_u128(7), &Action::Acknowledge, at(10)).unwrap();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(signer(1).verify(&BASE64_URL_SAFE_NO_PAD.encode(changed), at(0)), Err(LinkError::Wrong), "bit {bit}");
        }
        for cut in 0..token.len() {
            assert_eq!(signer(1).verify(&token[..cut], at(0)), Err(LinkError::Wrong));
        }
        for junk in ["", "%%%", "é", &"A".repeat(10_000)] {
            assert_eq!(signer(1).verify(junk, at(0)), Err(LinkError::Wrong));
        }
    }

    #[test]
    fn a_page_without_a_public_address_has_no_links() {
        assert_eq!(signer(1).links(Uuid::nil(), None, at(0)), Links::default());
        let links = signer(1).links(Uuid::nil(), Some("https://b.example/"), at(0));
        assert!(links.acknowledge.unwrap().starts_with("https://b.example/oncall/answer/"));
    }

    #[test]
    fn an_address_belongs_to_one_name_and_one_purpose() {
        let (signer, other) = (Signer::new(Secret::new(vec![1; 32])), Signer::new(Secret::new(vec![2; 32])));
        let token = signer.name_token("heartbeat", "backup");
        assert_eq!(token.len(), 32);
        assert!(signer.is_name_token("heartbeat", "backup", &token));
        assert!(!signer.is_name_token("heartbeat", "backup2", &token));
        assert!(!signer.is_name_token("calendar/users", "backup", &token));
        assert!(!other.is_name_token("heartbeat", "backup", &token));
        for hostile in ["", "x", &token[..31], &format!("{token}A"), "é"] {
            assert!(!signer.is_name_token("heartbeat", "backup", hostile), "{hostile}");
        }
    }
}
