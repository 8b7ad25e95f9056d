//! Recovery codes, for people who lost their authenticator app. Each is accepted once.

use aws_lc_rs::rand;
use model::Secret;

use super::{SecretError, SecretHash, totp};

/// Codes of an account.
const COUNT: usize = 10;
/// Random bytes of a code: 16 characters of base32.
const BYTES: usize = 10;
/// Characters between two dashes.
const GROUP: usize = 4;

/// New codes, and what is stored of them.
pub struct RecoveryCodes {
    pub texts: Vec<Secret<String>>,
    pub hashes: Vec<String>,
}

/// Generates codes such as `k3jq-x7ab-m2cd-efgh`.
pub fn generate() -> Result<RecoveryCodes, SecretError> {
    let mut codes = RecoveryCodes { texts: Vec::with_capacity(COUNT), hashes: Vec::with_capacity(COUNT) };
    for _ in 0..COUNT {
        let mut bytes = [0u8; BYTES];
        rand::fill(&mut bytes).map_err(|_| SecretError)?;
        let text = totp::base32(&bytes).to_ascii_lowercase();
        // 80 random bits need no slow hash.
        codes.hashes.push(SecretHash::of_generated(&Secret::new(text.clone()))?.as_stored().to_owned());
        let groups: Vec<&str> = (0..text.len() / GROUP).map(|at| &text[at * GROUP..(at + 1) * GROUP]).collect();
        codes.texts.push(Secret::new(groups.join("-")));
    }
    Ok(codes)
}

/// The index of the hash of a code, in any case and with any dashes and spaces.
pub fn find(hashes: &[String], code: &str) -> Option<usize> {
    let plain: String = code.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).take(BYTES * 2).collect();
    if plain.len() != BYTES * 8 / 5 {
        return None;
    }
    hashes.iter().position(|hash| SecretHash::from_stored(hash.as_str()).proves(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let codes = generate().unwrap();
        assert_eq!((codes.texts.len(), codes.hashes.len()), (COUNT, COUNT));
        let text = codes.texts[3].reveal();
        assert_eq!(text.len(), 19, "{text}");
        for typed in [text.clone(), text.to_uppercase(), text.replace('-', " "), text.replace('-', "")] {
            assert_eq!(find(&codes.hashes, &typed), Some(3), "{typed}");
        }
        for wrong in ["", "123456", "aaaa-aaaa-aaaa-aaaa"] {
            assert_eq!(find(&codes.hashes, wrong), None);
        }
        assert!(!codes.hashes.iter().any(|hash| hash.contains(&text.replace('-', ""))));
    }
}
