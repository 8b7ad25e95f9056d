//! TLS: a certificate authority of our own, made at the first start under `tls/`, and the server's certificate signed by it.
//!
//! Clients trust `ca.pem` once and for all; the server's certificate is renewed a month before it ends, while the service runs. Microsoft's
//! SDKs send bearer tokens over TLS only, so there is no plain listener.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use model::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::write_private;

const CA_LIFETIME: Span = Span(3_650 * 864_000_000_000);
/// Apple and browsers refuse more than 398 days.
const LEAF_LIFETIME: Span = Span(397 * 864_000_000_000);
const RENEW_BEFORE: Span = Span(30 * 864_000_000_000);

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read or write `{path}`")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` is no certificate or key in PEM; move it away and a new one is made")]
    Content { path: PathBuf },
    #[error("cannot make a certificate for {names:?}")]
    Make {
        names: Vec<String>,
        #[source]
        cause: rcgen::Error,
    },
    #[error("the certificate and its key do not fit TLS")]
    Unusable(#[source] rustls::Error),
}

/// The server's certificate, renewable while in use.
#[derive(Debug)]
pub struct ServerCertificate {
    folder: PathBuf,
    names: Vec<String>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// The certificate in `folder` for `names` (host names and addresses); makes or renews it, and the authority, where needed.
    pub fn open(folder: &Path, names: &[String], now: Timestamp) -> Result<Arc<Self>, TlsError> {
        let current = Arc::new(ensure(folder, names, now)?);
        Ok(Arc::new(Self { folder: folder.to_owned(), names: names.to_vec(), current: RwLock::new(current) }))
    }

    /// Where clients find the authority to trust.
    pub fn ca_path(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Renews what is near its end. Cheap when nothing is.
    pub fn renew(&self, now: Timestamp) -> Result<(), TlsError> {
        let fresh = Arc::new(ensure(&self.folder, &self.names, now)?);
        *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = fresh;
        Ok(())
    }

    /// TLS 1.2 and 1.3, HTTP/2 offered before HTTP/1.1.
    pub fn config(self: &Arc<Self>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config =
            builder.with_safe_default_protocol_versions().map_err(TlsError::Unusable)?.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner())))
    }
}

/// Certificate and key for `names`, made or renewed where needed.
fn ensure(folder: &Path, names: &[String], now: Timestamp) -> Result<CertifiedKey, TlsError> {
    let (ca_path, leaf_path) = (folder.join("ca.pem"), folder.join("server.pem"));
    let ca = match load(&ca_path, &folder.join("ca.key"))? {
        Some(ca) if ends(&ca.certificate, &ca_path)? > now + RENEW_BEFORE => ca,
        old => {
            if old.is_some() {
                tracing::warn!(path = %ca_path.display(), "the local certificate authority is near its end; clients must trust the new one");
            }
            make_ca(folder, now)?
        }
    };
    let leaf = match load(&leaf_path, &folder.join("server.key"))? {
        Some(leaf) if is_good(&leaf, &ca, names, now, &leaf_path)? => leaf,
        _ => make_leaf(folder, &ca, names, now)?,
    };
    let unreadable = |path: &Path| TlsError::Content { path: path.to_owned() };
    let key = PrivateKeyDer::from_pem_slice(leaf.key.serialize_pem().as_bytes()).map_err(|_| unreadable(&folder.join("server.key")))?;
    CertifiedKey::from_der(vec![leaf.certificate, ca.certificate], key, &aws_lc_rs::default_provider()).map_err(TlsError::Unusable)
}

struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn load(certificate_path: &Path, key_path: &Path) -> Result<Option<Pair>, TlsError> {
    let read = |path: &Path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(TlsError::File { path: path.to_owned(), cause }),
    };
    let (Some(pem), Some(key)) = (read(certificate_path)?, read(key_path)?) else { return Ok(None) };
    let certificate =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Content { path: certificate_path.to_owned() })?.into_owned();
    let key = KeyPair::from_pem(&key).map_err(|_| TlsError::Content { path: key_path.to_owned() })?;
    Ok(Some(Pair { certificate, pem, key }))
}

/// The key is written first: a crash in between leaves a key without a certificate, and the next start makes both anew.
fn save(folder: &Path, name: &str, pem: String, der: CertificateDer<'static>, key: KeyPair) -> Result<Pair, TlsError> {
    let write = |path: PathBuf, text: &str| write_private(&path, text.as_bytes()).map_err(|cause| TlsError::File { path, cause });
    // An old certificate must not be seen with the new key.
    match std::fs::remove_file(folder.join(format!("{name}.pem"))) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(TlsError::File { path: folder.join(format!("{name}.pem")), cause });
        }
        _ => {}
    }
    write(folder.join(format!("{name}.key")), &key.serialize_pem())?;
    write(folder.join(format!("{name}.pem")), &pem)?;
    Ok(Pair { certificate: der, pem, key })
}

fn make_ca(folder: &Path, now: Timestamp) -> Result<Pair, TlsError> {
    let make = || {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = lifetime(CertificateParams::new(Vec::new())?, now, CA_LIFETIME);
        params.distinguished_name.push(DnType::OrganizationName, "Bartizan");
        params.distinguished_name.push(DnType::CommonName, "Bartizan local certificate authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        Ok((certificate, key))
    };
    let (certificate, key) = make().map_err(|cause| TlsError::Make { names: Vec::new(), cause })?;
    save(folder, "ca", certificate.pem(), certificate.der().clone(), key)
}

fn make_leaf(folder: &Path, ca: &Pair, names: &[String], now: Timestamp) -> Result<Pair, TlsError> {
    let make = || {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = lifetime(CertificateParams::new(names.to_vec())?, now, LEAF_LIFETIME);
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python 3.13 verifies strictly: the authority's key identifier must be there (RFC 5280 §4.2.1.1).
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(&ca.pem, &ca.key)?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok((certificate, key))
    };
    let (certificate, key) = make().map_err(|cause| TlsError::Make { names: names.to_vec(), cause })?;
    save(folder, "server", certificate.pem(), certificate.der().clone(), key)
}

/// From yesterday, because clocks differ, to the end of the life.
fn lifetime(mut params: CertificateParams, now: Timestamp, life: Span) -> CertificateParams {
    let day = |at: Timestamp| {
        let civil = at.civil();
        rcgen::date_time_ymd(civil.year, civil.month as u8, civil.day as u8)
    };
    params.not_before = day(now - Span::DAY);
    params.not_after = day(now + life);
    params
}

fn ends(der: &CertificateDer<'_>, path: &Path) -> Result<Timestamp, TlsError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| TlsError::Content { path: path.to_owned() })?;
    let seconds = certificate.validity().not_after.timestamp();
    Ok(seconds.checked_mul(1_000_000).and_then(Timestamp::from_unix_micros).unwrap_or(Timestamp::MAX))
}

/// Whether the certificate is far from its end, was signed by the authority, and covers all names.
fn is_good(leaf: &Pair, ca: &Pair, names: &[String], now: Timestamp, path: &Path) -> Result<bool, TlsError> {
    if ends(&leaf.certificate, path)? <= now + RENEW_BEFORE {
        return Ok(false);
    }
    let unreadable = || TlsError::Content { path: path.to_owned() };
    let (_, certificate) = X509Certificate::from_der(&leaf.certificate).map_err(|_| unreadable())?;
    let (_, authority) = X509Certificate::from_der(&ca.certificate).map_err(|_| unreadable())?;
    let subject_key = authority.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    let issuer_key = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    });
    let covered = certificate.subject_alternative_name().map_err(|_| unreadable())?.map_or_else(Vec::new, |names| {
        names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
                _ => None,
            })
            .collect()
    });
    Ok(subject_key.is_some() && subject_key == issuer_key && names.iter().all(|name| covered.contains(&name.to_ascii_lowercase())))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
    }

    fn read(folder: &Path, name: &str) -> Vec<u8> {
        std::fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn certificates_are_kept_until_they_near_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        ServerCertificate::open(folder.path(), &names(), now).unwrap();
        let (ca, leaf) = (read(folder.path(), "ca.pem"), read(folder.path(), "server.pem"));
        ServerCertificate::open(folder.path(), &names(), now + Span::DAY).unwrap();
        assert_eq!((read(folder.path(), "ca.pem"), read(folder.path(), "server.pem")), (ca.clone(), leaf.clone()));
        // A month before its end the leaf is renewed; the authority stays, so clients notice nothing.
        let late = ServerCertificate::open(folder.path(), &names(), now + LEAF_LIFETIME - RENEW_BEFORE + Span::DAY).unwrap();
        assert_eq!(read(folder.path(), "ca.pem"), ca);
        assert_ne!(read(folder.path(), "server.pem"), leaf);
        late.config().unwrap();
    }

    #[test]
    fn a_new_name_or_authority_means_a_new_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        ServerCertificate::open(folder.path(), &names(), now).unwrap();
        let first = read(folder.path(), "server.pem");
        let more = [names(), vec!["soc.example".to_owned()]].concat();
        ServerCertificate::open(folder.path(), &more, now).unwrap();
        let second = read(folder.path(), "server.pem");
        assert_ne!(second, first);
        std::fs::remove_file(folder.path().join("ca.key")).unwrap();
        ServerCertificate::open(folder.path(), &more, now).unwrap();
        assert_ne!(read(folder.path(), "server.pem"), second);
    }

    #[test]
    fn rubbish_is_named_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "rubbish").unwrap();
        std::fs::write(folder.path().join("ca.key"), "rubbish").unwrap();
        let error = ServerCertificate::open(folder.path(), &names(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}
