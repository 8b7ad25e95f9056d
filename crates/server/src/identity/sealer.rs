//! Encrypts small secrets for the store: AES-256-GCM under a key of the data directory, bound to what the secret belongs to.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::Secret;
use sha2::{Digest, Sha256};

use super::{SecretError, generate_secret, write_private};

/// Minimum length of the key file.
const SHORTEST_KEY: usize = 32;

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("cannot read or write `{path}`")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{0}` is too short to be a key; if it is removed, people must set up their authenticator apps again")]
    Short(PathBuf),
    #[error("cannot generate a key")]
    Random(#[from] SecretError),
}

/// Seals and opens secrets.
pub struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// Reads the key at `path`; generates it if it is missing.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let failed = |cause| SealError::File { path: path.to_owned(), cause };
        let key = match std::fs::read_to_string(path) {
            Ok(key) => Secret::new(key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = generate_secret()?;
                write_private(path, key.reveal().as_bytes()).map_err(failed)?;
                key
            }
            Err(error) => return Err(failed(error)),
        };
        if key.reveal().trim().len() < SHORTEST_KEY {
            return Err(SealError::Short(path.to_owned()));
        }
        Ok(Self::new(key.reveal().trim().as_bytes()))
    }

    fn new(key: &[u8]) -> Self {
        let key = Sha256::new().chain_update(b"bartizan/accounts/seal/1").chain_update(key).finalize();
        Self { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("SHA-256 gives the 32 bytes that the key takes")) }
    }

    /// Encrypts `secret`, which only [`Self::unseal`] with the same `owner` decrypts.
    pub fn seal(&self, owner: &str, secret: &Secret<Vec<u8>>) -> Result<String, SecretError> {
        let mut nonce = [0u8; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SecretError)?;
        let mut text = secret.reveal().clone();
        let owner = Aad::from(owner.to_ascii_lowercase());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), owner, &mut text).map_err(|_| SecretError)?;
        Ok(BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat()))
    }

    /// `None` if it was sealed under another key or for another owner, or was changed.
    pub fn unseal(&self, owner: &str, sealed: &str) -> Option<Secret<Vec<u8>>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let open = self.key.open_in_place(nonce, Aad::from(owner.to_ascii_lowercase()), &mut text).ok()?;
        Some(Secret::new(open.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_for_its_owner_and_under_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/accounts");
        let secret = Secret::new(vec![7; 20]);
        let sealed = Sealer::open(&path).unwrap().seal("Ann", &secret).unwrap();
        let again = Sealer::open(&path).unwrap();
        assert_eq!(again.unseal("ann", &sealed).unwrap().reveal(), secret.reveal());
        assert_ne!(again.seal("ann", &secret).unwrap(), sealed, "each seal has its own nonce");
        assert!(again.unseal("bo", &sealed).is_none() && again.unseal("ann", "AAAA").is_none() && again.unseal("ann", "").is_none());
        assert!(Sealer::open(&folder.path().join("keys/other")).unwrap().unseal("ann", &sealed).is_none());
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Sealer::open(&path), Err(SealError::Short(_))));
    }
}
