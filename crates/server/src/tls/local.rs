//! Our own certificate authority, created at the first start, and its leaf certificate. Foreign files are never modified.

use std::io;
use std::path::{Path, PathBuf};

use model::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use super::operator::TlsFiles;
use super::read::{AUTHORITY, Facts};
use crate::identity::write_private;

const CA_LIFETIME: Span = Span(3_650 * 864_000_000_000);
/// Apple and browsers reject more than 398 days.
pub const LEAF_LIFETIME: Span = Span(397 * 864_000_000_000);
pub const RENEW_BEFORE: Span = Span(30 * 864_000_000_000);

/// Paths of our files. Names used by an operator's files in the folder are avoided.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
    ca: &'static str,
    leaf: &'static str,
}

impl Files {
    pub fn find(folder: &Path) -> Result<Self, TlsError> {
        let ca = if is_foreign(&folder.join("ca.pem"))? { "local-ca" } else { "ca" };
        let leaf = if is_foreign(&folder.join("server.pem"))? { "local" } else { "server" };
        Ok(Self { folder: folder.to_owned(), ca, leaf })
    }

    /// A certificate that an operator stored under the name of ours.
    pub fn foreign(&self) -> Option<TlsFiles> {
        let ca = (self.ca != "ca").then(|| self.folder.join("ca.pem"));
        (self.leaf != "server").then(|| TlsFiles { cert: self.folder.join("server.pem"), key: self.folder.join("server.key"), ca })
    }

    pub fn ca_path(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.ca))
    }

    /// Certificate and key for `names`, created or renewed as needed.
    pub fn ensure(&self, names: &[String], now: Timestamp) -> Result<CertifiedKey, TlsError> {
        let path = |name: &str, end: &str| self.folder.join(format!("{name}.{end}"));
        let (ca_path, leaf_path) = (path(self.ca, "pem"), path(self.leaf, "pem"));
        let ca = match load(&ca_path, &path(self.ca, "key"))? {
            Some(ca) if Facts::of(&ca.certificate, &ca_path)?.until > now + RENEW_BEFORE => ca,
            old => {
                if old.is_some() {
                    tracing::warn!(path = %ca_path.display(), "the local certificate authority is near its end; clients must trust the new one");
                }
                self.make_ca(now)?
            }
        };
        let leaf = match load(&leaf_path, &path(self.leaf, "key"))? {
            Some(leaf) if is_good(&leaf, &ca, names, now, &leaf_path)? => leaf,
            _ => self.make_leaf(&ca, names, now)?,
        };
        let unreadable = |path: PathBuf| TlsError::Content { path };
        let key = PrivateKeyDer::from_pem_slice(leaf.key.serialize_pem().as_bytes()).map_err(|_| unreadable(path(self.leaf, "key")))?;
        CertifiedKey::from_der(vec![leaf.certificate, ca.certificate], key, &aws_lc_rs::default_provider()).map_err(TlsError::Unusable)
    }

    fn make_ca(&self, now: Timestamp) -> Result<Pair, TlsError> {
        let make = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let mut params = lifetime(CertificateParams::new(Vec::new())?, now, CA_LIFETIME);
            params.distinguished_name.push(DnType::OrganizationName, "Bartizan");
            params.distinguished_name.push(DnType::CommonName, AUTHORITY);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
            let certificate = params.self_signed(&key)?;
            Ok((certificate, key))
        };
        let (certificate, key) = make().map_err(|cause| TlsError::Make { names: Vec::new(), cause })?;
        self.save(self.ca, certificate.pem(), certificate.der().clone(), key)
    }

    fn make_leaf(&self, ca: &Pair, names: &[String], now: Timestamp) -> Result<Pair, TlsError> {
        let make = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let mut params = lifetime(CertificateParams::new(names.to_vec())?, now, LEAF_LIFETIME);
            params.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            // Python 3.13 verifies strictly and requires the authority key identifier (RFC 5280 §4.2.1.1).
            params.use_authority_key_identifier_extension = true;
            let issuer = Issuer::from_ca_cert_pem(&ca.pem, &ca.key)?;
            let certificate = params.signed_by(&key, &issuer)?;
            Ok((certificate, key))
        };
        let (certificate, key) = make().map_err(|cause| TlsError::Make { names: names.to_vec(), cause })?;
        self.save(self.leaf, certificate.pem(), certificate.der().clone(), key)
    }

    /// The key is written first: a crash in between leaves a key without a certificate, and the next start recreates both.
    fn save(&self, name: &str, pem: String, der: CertificateDer<'static>, key: KeyPair) -> Result<Pair, TlsError> {
        let path = |end: &str| self.folder.join(format!("{name}.{end}"));
        let write = |path: PathBuf, text: &str| write_private(&path, text.as_bytes()).map_err(|cause| TlsError::File { path, cause });
        // The old certificate must never be paired with the new key.
        match std::fs::remove_file(path("pem")) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(TlsError::File { path: path("pem"), cause }),
            _ => {}
        }
        write(path("key"), &key.serialize_pem())?;
        write(path("pem"), &pem)?;
        Ok(Pair { certificate: der, pem, key })
    }
}

/// Whether a certificate exists that our authority did not sign.
fn is_foreign(path: &Path) -> Result<bool, TlsError> {
    match read(path)? {
        None => Ok(false),
        Some(pem) => {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Content { path: path.to_owned() })?;
            Ok(!Facts::of(&der, path)?.is_ours)
        }
    }
}

struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(TlsError::Content { path: path.to_owned() }),
        Err(cause) => Err(TlsError::File { path: path.to_owned(), cause }),
    }
}

fn load(certificate_path: &Path, key_path: &Path) -> Result<Option<Pair>, TlsError> {
    let (Some(pem), Some(key)) = (read(certificate_path)?, read(key_path)?) else { return Ok(None) };
    let certificate =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Content { path: certificate_path.to_owned() })?.into_owned();
    let key = KeyPair::from_pem(&key).map_err(|_| TlsError::Content { path: key_path.to_owned() })?;
    Ok(Some(Pair { certificate, pem, key }))
}

/// Validity from yesterday, to tolerate clock skew.
fn lifetime(mut params: CertificateParams, now: Timestamp, life: Span) -> CertificateParams {
    let day = |at: Timestamp| {
        let civil = at.civil();
        rcgen::date_time_ymd(civil.year, civil.month as u8, civil.day as u8)
    };
    params.not_before = day(now - Span::DAY);
    params.not_after = day(now + life);
    params
}

/// Whether the certificate is not near expiry, was signed by the authority, and covers all names.
fn is_good(leaf: &Pair, ca: &Pair, names: &[String], now: Timestamp, path: &Path) -> Result<bool, TlsError> {
    let (facts, authority) = (Facts::of(&leaf.certificate, path)?, Facts::of(&ca.certificate, path)?);
    let is_signed = authority.subject_key.is_some() && authority.subject_key == facts.issuer_key;
    Ok(facts.until > now + RENEW_BEFORE && is_signed && names.iter().all(|name| facts.names.contains(&name.to_ascii_lowercase())))
}
