//! Reply tokens in the reply address and `Message-ID` of a page's mail, which authenticate its recipient.
//!
//! A token is `base32(page id ‖ mac)`, 42 case-insensitive characters, the mac being the first 10 bytes of an HMAC-SHA-256 over the page
//! and the recipient address: 80 bits, which cannot be guessed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hmac::Mac;
use uuid::Uuid;

use super::Signer;

/// Bytes of the mac: 80 bits, so that the token fits into the local part of an address (RFC 5321 4.5.3.1.1: 64 characters).
const MAC: usize = 10;
const BYTES: usize = 16 + MAC;
/// Characters of a token, five bits each.
const LENGTH: usize = (BYTES * 8).div_ceil(5);
/// RFC 4648 6, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A parsed token, not yet verified; see [`Signer::is_reply_token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyToken {
    pub page: Uuid,
    mac: [u8; MAC],
}

impl ReplyToken {
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let (mut bytes, mut bits, mut count) = (Vec::with_capacity(BYTES), 0u32, 0);
        for letter in text.bytes() {
            let value = ALPHABET.iter().position(|known| *known == letter.to_ascii_lowercase())?;
            bits = bits << 5 | value as u32;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
                bits &= (1 << count) - 1;
            }
        }
        let page = Uuid::from_slice(bytes.get(..16)?).ok()?;
        // The last character has two unused bits.
        (bits == 0).then_some(Self { page, mac: bytes.get(16..)?.try_into().ok()? })
    }

    pub fn write(&self) -> String {
        let (mut text, mut bits, mut count) = (String::with_capacity(LENGTH), 0u32, 0);
        for byte in self.page.as_bytes().iter().chain(&self.mac) {
            bits = bits << 8 | u32::from(*byte);
            count += 8;
            while count >= 5 {
                count -= 5;
                text.push(char::from(ALPHABET[(bits >> count) as usize & 31]));
            }
            bits &= (1 << count) - 1;
        }
        if count > 0 {
            text.push(char::from(ALPHABET[(bits << (5 - count)) as usize & 31]));
        }
        text
    }
}

impl Signer {
    /// The token of a page sent to `address`.
    pub fn reply_token(&self, page: Uuid, address: &str) -> ReplyToken {
        let mut mac = [0; MAC];
        mac.copy_from_slice(&self.reply_mac(page, address)[..MAC]);
        ReplyToken { page, mac }
    }

    /// Whether the token is valid for its page and this address.
    pub fn is_reply_token(&self, token: &ReplyToken, address: &str) -> bool {
        verify_slices_are_equal(&self.reply_mac(token.page, address)[..MAC], &token.mac).is_ok()
    }

    fn reply_mac(&self, page: Uuid, address: &str) -> Vec<u8> {
        let mut mac = self.keyed();
        mac.update(b"bartizan/oncall/reply/1\0");
        mac.update(page.as_bytes());
        mac.update(address.to_lowercase().as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::new(Secret::new(vec![seed; 32]))
    }

    #[test]
    fn a_token_belongs_to_one_page_one_address_and_one_service() {
        let page = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let token = signer(1).reply_token(page, "Ann@example.org");
        let text = token.write();
        // Computed with Python: base64.b32encode(page.bytes).
        assert!(text.len() == LENGTH && text.starts_with("ci2fm6e2xtppaerukz4jvpg6"), "{text}");
        assert_eq!(ReplyToken::parse(&text), Some(token));
        assert_eq!(ReplyToken::parse(&text.to_uppercase()), Some(token));
        assert!(signer(1).is_reply_token(&token, "ann@example.org"));
        assert!(!signer(1).is_reply_token(&token, "bo@example.org"));
        assert!(!signer(2).is_reply_token(&token, "ann@example.org"));
        assert!(!signer(1).is_reply_token(&ReplyToken { page: Uuid::nil(), ..token }, "ann@example.org"));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let text = signer(1).reply_token(Uuid::from_u128(7), "a@b.c").write();
        for wrong in ["", "4821", &text[1..], &format!("{text}a"), &text.replace('a', "1"), "4821-123456789abcdef0123456789abcdef0", "é"] {
            assert_eq!(ReplyToken::parse(wrong), None, "{wrong}");
        }
    }
}
