//! X.509 certificates of applications: reading the forms in which they are exported, making one, and the manifest's `keyCredentials`.
//!
//! Source: learn.microsoft.com/entra/identity-platform/certificate-credentials; key lengths below 2048 are refused as Entra refuses them
//! (S1-56).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use model::{Secret, Span, Timestamp};
use p12_keystore::{Certificate as PfxCertificate, KeyStore, KeyStoreEntry, PrivateKeyChain};
use rcgen::{CertificateParams, DnType, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// The shortest RSA key, in bits.
pub const MIN_RSA_BITS: usize = 2_048;
/// The largest certificate file that is read.
pub const MAX_CERTIFICATE_FILE: usize = 256 << 10;

/// Why a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("this is no X.509 certificate; supply DER, base64, PEM or PKCS #12")]
    NotACertificate,
    #[error("the certificate has no RSA key; RS256 and PS256 need one")]
    NotRsa,
    #[error("the RSA key has {0} bits; at least 2048 are required")]
    TooShort(usize),
    #[error("a key of {0} bits cannot be made; choose 2048, 3072 or 4096")]
    KeySize(usize),
    #[error("the PKCS #12 file cannot be opened with this passphrase")]
    Passphrase,
    #[error("the PKCS #12 file has no certificate")]
    EmptyStore,
    #[error("a certificate cannot be made")]
    Make(#[source] rcgen::Error),
    #[error("a PKCS #12 file cannot be made")]
    MakeStore(#[source] p12_keystore::error::Error),
    #[error("a PKCS #12 file needs a passphrase")]
    NoPassphrase,
}

/// A certificate with an RSA key of sufficient length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicCertificate {
    pub der: Vec<u8>,
    pub subject: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub bits: usize,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl PublicCertificate {
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::NotACertificate)?;
        if !rest.is_empty() {
            return Err(CertificateError::NotACertificate);
        }
        let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed() else { return Err(CertificateError::NotRsa) };
        let bare = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (modulus, exponent) = (bare(key.modulus), bare(key.exponent));
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if bits < MIN_RSA_BITS {
            return Err(CertificateError::TooShort(bits));
        }
        let time = |seconds: i64| seconds.checked_mul(1_000_000).and_then(Timestamp::from_unix_micros);
        Ok(Self {
            der: der.to_vec(),
            subject: certificate.subject().to_string(),
            from: time(certificate.validity().not_before.timestamp()).unwrap_or(Timestamp::MIN),
            until: time(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX),
            bits,
            modulus,
            exponent,
        })
    }

    /// Reads base64 of DER, or base64 of a PEM file, as the manifest and Graph carry them. Line breaks are ignored.
    pub fn from_base64(text: &str) -> Result<Self, CertificateError> {
        let compact: String = text.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(compact).map_err(|_| CertificateError::NotACertificate)?;
        Self::from_file(&bytes, None)
    }

    /// Reads `.cer` (DER or base64), `.pem` (the first certificate), or `.pfx`/`.p12` with its passphrase. Private keys are ignored.
    pub fn from_file(bytes: &[u8], passphrase: Option<&Secret<String>>) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_CERTIFICATE_FILE {
            return Err(CertificateError::NotACertificate);
        }
        match Self::from_der(bytes) {
            Err(CertificateError::NotACertificate) => {}
            other => return other,
        }
        if let Ok(der) = CertificateDer::from_pem_slice(bytes) {
            return Self::from_der(&der);
        }
        if let Some(der) = std::str::from_utf8(bytes).ok().and_then(|text| {
            let compact: String = text.split_whitespace().collect();
            BASE64_STANDARD.decode(compact).ok()
        }) {
            return Self::from_der(&der);
        }
        // PKCS #12 is a DER sequence that begins with its version, 3 (RFC 7292 §4).
        if bytes.first() != Some(&0x30) {
            return Err(CertificateError::NotACertificate);
        }
        let password = passphrase.map_or("", |passphrase| passphrase.reveal().as_str());
        let store = KeyStore::from_pkcs12(bytes, password).map_err(|_| CertificateError::Passphrase)?;
        let chain = store.private_key_chain().and_then(|(_, chain)| chain.chain().first());
        let single = store.entries().find_map(|(_, entry)| match entry {
            KeyStoreEntry::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        let found = chain.or(single).ok_or(CertificateError::EmptyStore)?;
        Self::from_der(found.as_der())
    }

    /// SHA-1 of the certificate, by which Entra and Windows name it.
    pub fn sha1(&self) -> [u8; 20] {
        Sha1::digest(&self.der).into()
    }

    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The SHA-1 thumbprint as people compare it: upper-case hexadecimal.
    pub fn thumbprint(&self) -> String {
        hex::encode_upper(self.sha1())
    }

    /// The value of `x5t`.
    pub fn x5t(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.sha1())
    }

    pub fn verifying_key(&self) -> DecodingKey {
        DecodingKey::from_rsa_raw_components(&self.modulus, &self.exponent)
    }

    /// The manifest's entry: thumbprint and public key (S1-57).
    pub fn key_credential(&self, key_id: &str) -> Value {
        json!({
            "customKeyIdentifier": BASE64_STANDARD.encode(self.sha1()),
            "keyId": key_id,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "value": BASE64_STANDARD.encode(&self.der),
        })
    }
}

/// A new self-signed certificate with its private key.
pub struct NewCertificate {
    pub certificate: PublicCertificate,
    pub certificate_pem: String,
    /// PKCS #8 in PEM.
    pub key_pem: Secret<String>,
    key_der: Secret<Vec<u8>>,
}

/// Makes an RSA key and a certificate for `subject` (its common name), valid from yesterday, to tolerate clock skew, for `life`.
pub fn self_signed(subject: &str, bits: usize, life: Span, now: Timestamp) -> Result<NewCertificate, CertificateError> {
    let size = match bits {
        2_048 => RsaKeySize::_2048,
        3_072 => RsaKeySize::_3072,
        4_096 => RsaKeySize::_4096,
        short if short < MIN_RSA_BITS => return Err(CertificateError::TooShort(short)),
        other => return Err(CertificateError::KeySize(other)),
    };
    let day = |at: Timestamp| {
        let civil = at.civil();
        rcgen::date_time_ymd(civil.year, civil.month as u8, civil.day as u8)
    };
    let make = || {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.not_before = day(now - Span::DAY);
        params.not_after = day(now + life);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        Ok((certificate, key))
    };
    let (certificate, key) = make().map_err(CertificateError::Make)?;
    Ok(NewCertificate {
        certificate: PublicCertificate::from_der(certificate.der())?,
        certificate_pem: certificate.pem(),
        key_pem: Secret::new(key.serialize_pem()),
        key_der: Secret::new(key.serialize_der()),
    })
}

impl NewCertificate {
    /// Key and certificate as PKCS #12, encrypted with AES-256 and a key derived from the passphrase.
    pub fn pfx(&self, passphrase: &Secret<String>) -> Result<Vec<u8>, CertificateError> {
        if passphrase.reveal().is_empty() {
            return Err(CertificateError::NoPassphrase);
        }
        let certificate = PfxCertificate::from_der(&self.certificate.der).map_err(CertificateError::MakeStore)?;
        let chain = PrivateKeyChain::new(self.key_der.reveal().as_slice(), self.certificate.sha1(), [certificate]);
        let mut store = KeyStore::new();
        store.add_entry(&Uuid::new_v4().to_string(), KeyStoreEntry::PrivateKeyChain(chain));
        store.writer(passphrase.reveal()).write().map_err(CertificateError::MakeStore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap()
    }

    #[test]
    fn every_exported_form_is_the_same_certificate() {
        let made = self_signed("MyCompanyName MyAppName Cert", 2048, Span(730 * Span::DAY.ticks()), noon()).unwrap();
        let der = made.certificate.der.clone();
        let passphrase = Secret::new("correct horse".to_owned());
        let pfx = made.pfx(&passphrase).unwrap();
        let base64 = BASE64_STANDARD.encode(&der);
        let pem_with_key = format!("{}{}", made.key_pem.reveal(), made.certificate_pem);
        for (form, passphrase) in [
            (der.as_slice(), None),
            (base64.as_bytes(), None),
            (made.certificate_pem.as_bytes(), None),
            (pem_with_key.as_bytes(), None),
            (pfx.as_slice(), Some(&passphrase)),
        ] {
            assert_eq!(PublicCertificate::from_file(form, passphrase).unwrap(), made.certificate);
        }
        assert!(matches!(PublicCertificate::from_file(&pfx, None), Err(CertificateError::Passphrase)));
        assert!(matches!(PublicCertificate::from_file(b"rubbish", None), Err(CertificateError::NotACertificate)));
        assert_eq!(made.certificate.bits, 2048);
        assert!(made.certificate.from < noon() && made.certificate.until > noon() + Span(729 * Span::DAY.ticks()));
    }

    /// S1-56: "make sure the key length is at least 2048. Shorter key lengths are not accepted as valid keys."
    #[test]
    fn short_keys_are_refused() {
        assert!(matches!(self_signed("x", 1024, Span::DAY, noon()), Err(CertificateError::TooShort(1024))));
        assert!(matches!(self_signed("x", 2500, Span::DAY, noon()), Err(CertificateError::KeySize(2500))));
        // A 1024-bit certificate made with `openssl req -x509 -newkey rsa:1024`.
        let short = include_str!("testdata/rsa1024.pem");
        assert!(matches!(PublicCertificate::from_file(short.as_bytes(), None), Err(CertificateError::TooShort(1024))));
        let elliptic = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&elliptic).unwrap();
        assert!(matches!(PublicCertificate::from_der(der.der()), Err(CertificateError::NotRsa)));
    }

    /// S1-57: the manifest's fields, in standard base64.
    #[test]
    fn the_manifest_entry_has_thumbprint_and_key() {
        let made = self_signed("x", 2048, Span::DAY, noon()).unwrap();
        let entry = made.certificate.key_credential("0ce254c4-81b1-4a2e-8436-9a8c3b49dfb9");
        let names: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 5);
        assert_eq!(entry["customKeyIdentifier"].as_str().unwrap().len(), 28);
        assert_eq!((&entry["type"], &entry["usage"]), (&json!("AsymmetricX509Cert"), &json!("Verify")));
        assert_eq!(PublicCertificate::from_base64(entry["value"].as_str().unwrap()).unwrap(), made.certificate);
    }
}
