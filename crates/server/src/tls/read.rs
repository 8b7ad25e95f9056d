//! Parses certificates.

use std::net::IpAddr;
use std::path::Path;

use model::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::TlsError;

/// The common name of our authorities: a certificate from another issuer is the operator's.
pub const AUTHORITY: &str = "Bartizan local certificate authority";

/// The relevant fields of a certificate.
#[derive(Clone, Debug)]
pub struct Facts {
    pub from: Timestamp,
    pub until: Timestamp,
    /// Host names and addresses, lower case.
    pub names: Vec<String>,
    /// Subject and authority key identifiers.
    pub subject_key: Option<Vec<u8>>,
    pub issuer_key: Option<Vec<u8>>,
    pub is_self_issued: bool,
    /// Whether it is one of our authorities or signed by one.
    pub is_ours: bool,
}

impl Facts {
    pub fn of(der: &CertificateDer<'_>, path: &Path) -> Result<Self, TlsError> {
        let unreadable = || TlsError::Content { path: path.to_owned() };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
        let extension = |find: fn(&ParsedExtension<'_>) -> Option<Vec<u8>>| {
            certificate.iter_extensions().find_map(|extension| find(extension.parsed_extension()))
        };
        let names = certificate.subject_alternative_name().map_err(|_| unreadable())?.map_or_else(Vec::new, |names| {
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
        let time = |seconds: i64| seconds.checked_mul(1_000_000).and_then(Timestamp::from_unix_micros);
        Ok(Self {
            from: time(certificate.validity().not_before.timestamp()).unwrap_or(Timestamp::MIN),
            until: time(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX),
            names,
            subject_key: extension(|extension| match extension {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            }),
            issuer_key: extension(|extension| match extension {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
                _ => None,
            }),
            is_self_issued: certificate.subject() == certificate.issuer(),
            is_ours: certificate.issuer().iter_common_name().any(|name| name.as_str().is_ok_and(|name| name == AUTHORITY)),
        })
    }

    /// Whether the certificate is valid for `name`, a host name or an address. A wildcard matches one whole first label (RFC 6125 §6.4.3).
    pub fn covers(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.parse::<IpAddr>().is_ok();
        self.names.iter().any(|own| {
            *own == name
                || (!is_address
                    && own
                        .strip_prefix("*.")
                        .is_some_and(|rest| name.split_once('.').is_some_and(|(label, tail)| !label.is_empty() && tail == rest)))
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
