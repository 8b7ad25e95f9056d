//! Client secrets at rest: only hashes are stored.
//!
//! Generated secrets have 256 random bits: a salted SHA-256 suffices and takes microseconds to check. User-chosen secrets use Argon2id,
//! which is slow by design.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::Secret;
use sha2::{Digest, Sha256};

/// Stored form of a secret: `sha256$salt$hash` or a PHC string of Argon2.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(String);

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash(***)")
    }
}

/// The system's random generator or the hash function failed.
#[derive(Debug, thiserror::Error)]
#[error("a secret cannot be made or hashed: the system gives no random numbers or no memory")]
pub struct SecretError;

/// Generates a secret with 256 random bits, in characters that are safe in forms, shells and URLs.
pub fn generate_secret() -> Result<Secret<String>, SecretError> {
    let mut bytes = [0u8; 32];
    rand::fill(&mut bytes).map_err(|_| SecretError)?;
    // A fixed prefix, like Azure's `8Q~` and GitHub's `ghp_`, so that secret scanners can recognise it.
    Ok(Secret::new(format!("btz~{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
}

impl SecretHash {
    /// Hashes a secret from [`generate_secret`].
    pub fn of_generated(secret: &Secret<String>) -> Result<Self, SecretError> {
        let mut salt = [0u8; 16];
        rand::fill(&mut salt).map_err(|_| SecretError)?;
        let hash = salted(&salt, secret.reveal());
        Ok(Self(format!("sha256${}${}", BASE64_URL_SAFE_NO_PAD.encode(salt), BASE64_URL_SAFE_NO_PAD.encode(hash))))
    }

    /// Hashes a user-chosen secret. Takes tens of milliseconds and 19 MiB.
    pub fn of_chosen(secret: &Secret<String>) -> Result<Self, SecretError> {
        let hash = Argon2::default().hash_password(secret.reveal().as_bytes()).map_err(|_| SecretError)?;
        Ok(Self(hash.to_string()))
    }

    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// Whether [`Self::proves`] takes tens of milliseconds.
    pub fn is_slow(&self) -> bool {
        !self.0.starts_with("sha256$")
    }

    /// Whether `secret` matches, compared in constant time.
    pub fn proves(&self, secret: &str) -> bool {
        if let Some(rest) = self.0.strip_prefix("sha256$") {
            let Some((salt, hash)) = rest.split_once('$') else { return false };
            let decode = |text| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
            let (Some(salt), Some(hash)) = (decode(salt), decode(hash)) else { return false };
            return verify_slices_are_equal(&salted(&salt, secret), &hash).is_ok();
        }
        PasswordHash::new(&self.0).is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
    }
}

fn salted(salt: &[u8], secret: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(secret.as_bytes()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_proves_itself() {
        let secret = generate_secret().unwrap();
        let hash = SecretHash::from_stored(SecretHash::of_generated(&secret).unwrap().as_stored());
        assert!(hash.proves(secret.reveal()) && !hash.proves("wrong") && !hash.proves(""));
        assert!(!hash.as_stored().contains(secret.reveal().as_str()));
        let chosen = SecretHash::of_chosen(&Secret::new("correct horse".into())).unwrap();
        assert!(chosen.as_stored().starts_with("$argon2id$") && chosen.proves("correct horse") && !chosen.proves("battery"));
        assert!(!SecretHash::from_stored("rubbish").proves("rubbish"));
    }
}
