//! An operator's own certificate: read, watched and never written.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use model::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;

use super::TlsError;
use super::read::Facts;

/// System CA bundles (Debian, Red Hat, Alpine).
const SYSTEM_BUNDLES: [&str; 3] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A certificate that the operator makes and renews. Changed files are read within 10 seconds, or at once on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate in PEM, followed by those of the authorities that signed it. Example: `/etc/bartizan/fullchain.pem`.
    pub cert: PathBuf,
    /// Its private key in PEM. Example: `/etc/bartizan/privkey.pem`.
    pub key: PathBuf,
    /// The authority that clients are to trust, for `connect.json`. Default: the one at the end of `cert` if it signed itself, otherwise the
    /// system's. Example: `/etc/bartizan/ca.pem`.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// Identifies a file version: modification time, size and inode.
type Stamp = Option<(SystemTime, u64, u64)>;

fn stamp(path: &Path) -> Stamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len(), std::os::unix::fs::MetadataExt::ino(&data)))
}

/// A loaded certificate.
#[derive(Debug)]
pub struct Operator {
    files: TlsFiles,
    key: Arc<CertifiedKey>,
    facts: Facts,
    /// Whether the chain ends in a self-signed authority.
    has_root: bool,
    stamps: (Stamp, Stamp),
}

impl Operator {
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        // Taken before reading, so that a change in between is detected next time.
        let stamps = (stamp(&files.cert), stamp(&files.key));
        let read = |path: &Path| std::fs::read(path).map_err(|cause: io::Error| TlsError::File { path: path.to_owned(), cause });
        let unreadable = |path: &Path| TlsError::Content { path: path.to_owned() };
        let (pem, key) = (read(&files.cert)?, read(&files.key)?);
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| unreadable(&files.cert))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| unreadable(&files.key))?;
        let (first, last) = (chain.first(), chain.last());
        let facts = Facts::of(first.ok_or_else(|| unreadable(&files.cert))?, &files.cert)?;
        let has_root = match last {
            Some(last) => Facts::of(last, &files.cert)?.is_self_issued,
            None => false,
        };
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::OtherKey { certificate: files.cert.clone(), key: files.key.clone() },
            error => TlsError::Unusable(error),
        })?;
        Ok(Self { files: files.clone(), key: Arc::new(key), facts, has_root, stamps })
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    pub fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// Whether the files changed since they were read.
    pub fn is_changed(&self) -> bool {
        (stamp(&self.files.cert), stamp(&self.files.key)) != self.stamps
    }

    pub fn shows_as(&self, other: &Operator) -> bool {
        self.key.cert == other.key.cert
    }

    pub fn covers(&self, name: &str) -> bool {
        self.facts.covers(name)
    }

    pub fn covers_addresses(&self) -> bool {
        self.facts.names.iter().any(|name| name.parse::<IpAddr>().is_ok())
    }

    /// The CA file that clients should trust.
    pub fn trusted(&self) -> Option<PathBuf> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Some(ca) = &self.files.ca {
            return Some(absolute(ca));
        }
        if self.has_root {
            return Some(absolute(&self.files.cert));
        }
        SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists())
    }

    /// Logs what clients will reject. The certificate is used anyway, since the operator may be about to renew it.
    pub fn complain(&self, names: &[String], now: Timestamp) {
        let path = self.files.cert.display();
        if now < self.facts.from || now > self.facts.until {
            tracing::error!(%path, from = %self.facts.from, until = %self.facts.until, "the server's certificate is not valid now");
        }
        let missing: Vec<&str> = names.iter().filter(|name| !self.covers(name) && !is_local(name)).map(String::as_str).collect();
        if !missing.is_empty() {
            let covered = self.facts.names.join(", ");
            tracing::warn!(%path, covered, missing = missing.join(", "), "the server's certificate does not cover all configured `names`");
        }
    }
}

/// Local names, which our own certificate serves besides the operator's.
fn is_local(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
