//! Keys that sign access tokens: RSA 2048, one PEM file each under `keys/`. The newest key signs; all are published and verify.
//!
//! Keys survive restarts, and so do tokens. To rotate, add a file.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::files::write_private;

/// Why the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the folder of signing keys `{folder}`")]
    Folder {
        folder: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot read or write the signing key `{path}`")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` holds no RSA private key in PEM (PKCS #8)")]
    NotAKey { path: PathBuf },
    #[error("the system gave no random numbers for a signing key")]
    Random,
}

/// Keys by id.
pub struct SigningKeys {
    keys: Vec<SigningKey>,
}

struct SigningKey {
    id: String,
    modulus: String,
    exponent: String,
    signs: EncodingKey,
    verifies: DecodingKey,
}

impl SigningKeys {
    /// Loads the keys in `folder`; creates the first one if there is none.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let mut paths = list(folder).map_err(|cause| KeyError::Folder { folder: folder.to_owned(), cause })?;
        if paths.is_empty() {
            let path = folder.join("signing-0001.pem");
            let pem = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .map_err(|_| KeyError::Random)?
                .serialize_pem();
            write_private(&path, pem.as_bytes()).map_err(|cause| KeyError::File { path: path.clone(), cause })?;
            paths.push(path);
        }
        let keys = paths.into_iter().map(|path| SigningKey::read(&path)).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The signing key and its id.
    pub fn signing(&self) -> Option<(&str, &EncodingKey)> {
        self.keys.last().map(|key| (key.id.as_str(), &key.signs))
    }

    pub fn verifying(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.iter().find(|key| key.id == id).map(|key| &key.verifies)
    }

    /// The public keys as a JSON Web Key Set.
    pub fn jwks(&self, issuer: &str) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.id, "x5t": key.id, "n": key.modulus, "e": key.exponent, "issuer": issuer }))
            .collect();
        json!({ "keys": keys })
    }
}

impl SigningKey {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = std::fs::read(path).map_err(|cause| KeyError::File { path: path.to_owned(), cause })?;
        let bad = || KeyError::NotAKey { path: path.to_owned() };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| bad())?;
        let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| bad())?;
        let public = pair.public_key();
        let (modulus, exponent) = (public.modulus().big_endian_without_leading_zero(), public.exponent().big_endian_without_leading_zero());
        Ok(Self {
            id: BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(public.as_ref())[..20]),
            modulus: BASE64_URL_SAFE_NO_PAD.encode(modulus),
            exponent: BASE64_URL_SAFE_NO_PAD.encode(exponent),
            signs: EncodingKey::from_rsa_pem(&pem).map_err(|_| bad())?,
            verifies: DecodingKey::from_rsa_raw_components(modulus, exponent),
        })
    }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    paths.sort();
    Ok(paths)
}
