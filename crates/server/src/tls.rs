//! TLS: the server's certificates, renewed at run time.
//!
//! By default the server's certificate is signed by our own certificate authority, created at the first start under `tls/`: clients trust
//! `ca.pem` once, and the certificate is renewed a month before it expires ([`local`]). An operator's own certificate (`tls:` in the
//! configuration, or put into `tls/`) is used as it is and never overwritten ([`operator`]); ours continues to serve the local names that
//! it does not cover, so that local tools need no configuration. Microsoft's SDKs send bearer tokens over TLS only, so there is no
//! plain-text listener.

mod local;
mod operator;
mod read;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use model::{Span, Timestamp};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use self::local::Files;
use self::operator::Operator;
pub use self::operator::TlsFiles;

/// How often our own certificate is checked.
const RENEWAL_CHECK: Span = Span(6 * model::TICKS_PER_HOUR);

/// Why no certificate is usable.
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
    #[error("the key in `{key}` does not belong to the certificate in `{certificate}`")]
    OtherKey { certificate: PathBuf, key: PathBuf },
}

/// The server's certificates.
#[derive(Debug)]
pub struct ServerCertificate {
    names: Vec<String>,
    files: Files,
    current: RwLock<Current>,
    /// When ours was last checked, and the last reload error.
    checked: Mutex<(Timestamp, Option<String>)>,
}

#[derive(Debug)]
struct Current {
    local: Arc<CertifiedKey>,
    operator: Option<Operator>,
}

impl ServerCertificate {
    /// Opens the certificates for `names` (host names and addresses): the operator's, if any, and ours from `folder`. Ours and its
    /// authority are created or renewed as needed.
    pub fn open(folder: &Path, names: &[String], operator: Option<&TlsFiles>, now: Timestamp) -> Result<Arc<Self>, TlsError> {
        let files = Files::find(folder)?;
        let operator = operator.cloned().or_else(|| files.foreign());
        let operator = operator.map(|files| Operator::load(&files)).transpose()?;
        if let Some(operator) = &operator {
            operator.complain(names, now);
        }
        let local = Arc::new(files.ensure(names, now)?);
        Ok(Arc::new(Self {
            names: names.to_vec(),
            files,
            current: RwLock::new(Current { local, operator }),
            checked: Mutex::new((now, None)),
        }))
    }

    /// Path of the CA certificate that clients should trust.
    pub fn ca_path(&self) -> PathBuf {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.operator.as_ref().and_then(Operator::trusted).unwrap_or_else(|| self.files.ca_path())
    }

    /// Renews ours if it expires soon. Cheap otherwise.
    pub fn renew(&self, now: Timestamp) -> Result<(), TlsError> {
        let fresh = Arc::new(self.files.ensure(&self.names, now)?);
        self.current.write().unwrap_or_else(PoisonError::into_inner).local = fresh;
        Ok(())
    }

    /// Reloads the operator's certificate; returns true if it changed. On an error the old one stays in use.
    pub fn reload(&self, now: Timestamp) -> Result<bool, TlsError> {
        let files = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            let Some(operator) = &current.operator else { return Ok(false) };
            operator.files().clone()
        };
        let fresh = Operator::load(&files)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = current.operator.as_ref().is_none_or(|old| !old.shows_as(&fresh));
        if is_other {
            fresh.complain(&self.names, now);
            tracing::info!(path = %files.cert.display(), "the server's certificate was read again");
        }
        current.operator = Some(fresh);
        Ok(is_other)
    }

    /// Called every few seconds: reloads the operator's certificate after a change and renews ours in time. Failures are logged once; the
    /// certificates in use stay.
    pub fn keep_fresh(&self, now: Timestamp) {
        let changed = self.current.read().unwrap_or_else(PoisonError::into_inner).operator.as_ref().is_some_and(Operator::is_changed);
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if changed {
            let complaint = self.reload(now).err().map(|error| model::chain(&error));
            if let Some(error) = complaint.as_ref().filter(|error| checked.1.as_ref() != Some(error)) {
                tracing::error!(error, "cannot read the renewed certificate; the old one stays in use");
            }
            checked.1 = complaint;
        }
        if now >= checked.0 + RENEWAL_CHECK || now < checked.0 {
            checked.0 = now;
            if let Err(error) = self.renew(now) {
                tracing::error!(error = model::chain(&error), "cannot renew the server's certificate; will try again in some hours");
            }
        }
    }

    /// TLS 1.2 and 1.3; ALPN prefers HTTP/2 over HTTP/1.1.
    pub fn config(self: &Arc<Self>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config =
            builder.with_safe_default_protocol_versions().map_err(TlsError::Unusable)?.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Current {
    /// The certificate for SNI `name`; clients that connect to an address send none.
    fn choose(&self, name: Option<&str>, own_names: &[String]) -> Arc<CertifiedKey> {
        let Some(operator) = &self.operator else { return Arc::clone(&self.local) };
        let is_ours = match name {
            Some(name) => !operator.covers(name) && own_names.iter().any(|own| own.eq_ignore_ascii_case(name)),
            None => !operator.covers_addresses(),
        };
        if is_ours { Arc::clone(&self.local) } else { operator.key() }
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).choose(hello.server_name(), &self.names))
    }
}

#[cfg(test)]
mod tests;
