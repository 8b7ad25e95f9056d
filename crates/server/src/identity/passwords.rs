//! Which passwords people may choose, and their hashes.
//!
//! The rules follow NIST SP 800-63B §3.1.1.2: a minimum length, no rules on kinds of characters, no expected or common values, and no
//! expiry.

use model::Secret;
use unicode_normalization::UnicodeNormalization;

use super::{SecretError, SecretHash};

/// Minimum characters.
pub const MIN_CHARACTERS: usize = 12;
/// Maximum bytes: bounds the work of normalising and hashing.
pub const MAX_BYTES: usize = 1_024;
/// Minimum different characters; excludes `aaaaaaaaaaaa` and `abababababab`.
const MIN_DIFFERENT: usize = 4;

/// Passwords that are tried first, one a line, in the normal form of names.
static COMMON: &str = include_str!("common_passwords.txt");

/// Why a password may not be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    #[error("the password has {0} characters; at least {MIN_CHARACTERS} are required")]
    Short(usize),
    #[error("the password has more than {MAX_BYTES} bytes")]
    Long,
    #[error("the password has fewer than {MIN_DIFFERENT} different characters")]
    Monotonous,
    #[error("the password is or contains the user name and little else")]
    Name,
    #[error("the password is one of the commonest ones")]
    Common,
}

/// Whether a person with one of these names (user name, display name, mail address) may choose the password.
pub fn check(password: &Secret<String>, names: &[&str]) -> Result<(), PasswordRule> {
    let text = password.reveal();
    if text.len() > MAX_BYTES {
        return Err(PasswordRule::Long);
    }
    let text = normal(password);
    let count = text.reveal().chars().count();
    if count < MIN_CHARACTERS {
        return Err(PasswordRule::Short(count));
    }
    let mut different: Vec<char> = text.reveal().chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < MIN_DIFFERENT {
        return Err(PasswordRule::Monotonous);
    }
    let key = store::name_key(text.reveal());
    for name in names.iter().map(|name| store::name_key(name)).filter(|name| name.chars().count() >= 3) {
        // What remains without the name must itself be of some length.
        if key.contains(&name) && key.replace(&name, "").chars().count() < MIN_CHARACTERS / 2 {
            return Err(PasswordRule::Name);
        }
    }
    if COMMON.lines().any(|common| common == key) {
        return Err(PasswordRule::Common);
    }
    Ok(())
}

/// The password in normalisation form C: keyboards differ in how they send composed characters (RFC 8265 §4.2.2).
fn normal(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.reveal().nfc().collect())
}

/// The argon2id hash as a PHC string. Takes tens of milliseconds and 19 MiB: call it on a blocking thread.
pub fn hash(password: &Secret<String>) -> Result<String, SecretError> {
    Ok(SecretHash::of_chosen(&normal(password))?.as_stored().to_owned())
}

/// Whether the password has that hash. Takes as long as [`hash`]. A password that is too long to have been chosen is wrong.
pub fn is_right(password: &Secret<String>, hash: &str) -> bool {
    // The hash is computed in any case, so that the time does not depend on the reason.
    let cut = if password.reveal().len() > MAX_BYTES { Secret::new(String::new()) } else { normal(password) };
    SecretHash::from_stored(hash).proves(cut.reveal()) && password.reveal().len() <= MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), PasswordRule> {
        super::check(&Secret::new(text.to_owned()), &["Annabelle", "Ann Belle", "", "ab"])
    }

    #[test]
    fn short_common_and_expected_passwords_are_refused() {
        assert_eq!(check("elevenchars"), Err(PasswordRule::Short(11)));
        assert_eq!(check("ééééé"), Err(PasswordRule::Short(5)));
        assert_eq!(check(&"x".repeat(2_000)), Err(PasswordRule::Long));
        assert_eq!(check("ababababababab"), Err(PasswordRule::Monotonous));
        assert_eq!(check("ANNABELLE2026"), Err(PasswordRule::Name));
        assert_eq!(check("Password1234"), Err(PasswordRule::Common));
        assert_eq!(check("Ｐassword1234"), Err(PasswordRule::Common));
        for good in ["correct horse battery", "annabelle buys a kite", "ab is in here too"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_list_has_the_form_it_is_searched_in() {
        for line in COMMON.lines() {
            assert_eq!(line, store::name_key(line));
        }
    }

    #[test]
    fn a_hash_is_argon2id_and_independent_of_composition() {
        let stored = hash(&Secret::new("caf\u{e9} au lait, please".to_owned())).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m="), "{stored}");
        assert!(is_right(&Secret::new("cafe\u{301} au lait, please".to_owned()), &stored));
        assert!(!is_right(&Secret::new("Cafe au lait, please".to_owned()), &stored));
        assert!(!is_right(&Secret::new("x".repeat(5_000)), &hash(&Secret::new(String::new())).unwrap()));
    }
}
