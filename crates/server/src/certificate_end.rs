//! Expiry of the first certificate in a PEM file, for `bartizan doctor`.

use std::path::Path;

use model::{Span, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls::TlsError;

/// When the first certificate in `path` expires.
pub fn certificate_end(path: &Path) -> Result<Timestamp, TlsError> {
    let text = std::fs::read(path).map_err(|cause| TlsError::File { path: path.to_owned(), cause })?;
    let unreadable = || TlsError::Content { path: path.to_owned() };
    let der = CertificateDer::from_pem_slice(&text).map_err(|_| unreadable())?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
    Ok(Timestamp::UNIX_EPOCH + Span::seconds(certificate.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_read_and_what_is_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_system(std::time::SystemTime::now());
        crate::ServerCertificate::open(folder.path(), &["localhost".to_owned()], None, now).unwrap();
        let end = certificate_end(&folder.path().join("server.pem")).unwrap();
        assert!(end > now + Span(300 * model::TICKS_PER_DAY) && end < now + Span(400 * model::TICKS_PER_DAY), "{end}");
        std::fs::write(folder.path().join("x.pem"), "no certificate").unwrap();
        assert!(certificate_end(&folder.path().join("x.pem")).unwrap_err().to_string().contains("x.pem"));
    }
}
