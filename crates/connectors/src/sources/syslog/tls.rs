//! TLS of a listener (RFC 5425): the service's certificate or its own; client certificates if an authority is configured.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::TlsSettings;
use crate::{SourceContext, SourceError};

pub fn config(name: &str, settings: &TlsSettings, cx: &SourceContext) -> Result<Arc<rustls::ServerConfig>, SourceError> {
    let wrong = |problem: String| SourceError::Certificate { name: name.to_owned(), problem };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|cause| wrong(cause.to_string()))?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|cause| wrong(cause.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|cause| wrong(cause.to_string()))?)
        }
    };
    let config = match (&settings.cert, &settings.key) {
        (Some(cert), Some(key_path)) => {
            let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
                .map_err(|_| SourceError::Pem { path: key_path.clone(), what: "private key" })?;
            builder.with_single_cert(certificates(cert)?, key).map_err(|cause| wrong(cause.to_string()))?
        }
        (None, None) => builder.with_cert_resolver(cx.certificate.clone().ok_or_else(|| SourceError::NoCertificate(name.to_owned()))?),
        _ => return Err(wrong("`cert` and `key` go together".to_owned())),
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let bad = || SourceError::Pem { path: path.to_owned(), what: "certificate" };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<_, _>>().map_err(|_| bad())?;
    if found.is_empty() { Err(bad()) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    std::fs::read(path).map_err(|cause| SourceError::Read { path: path.to_owned(), cause })
}
