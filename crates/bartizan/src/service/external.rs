//! Access of `externaldata` in the service: only folders and URLs configured by the operator.
//!
//! A URL must have the scheme, host and port of an allowed one and be below its path; redirects are not followed, bodies are limited in
//! size, and credentials in a location (`;managed_identity=…`, user and password) are rejected.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use engine::Folders;
use model::{ByteSize, ExternalData, ExternalError};
use reqwest::Url;

/// Timeout of one location.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port over local folders and URLs.
pub struct Allowed {
    folders: Folders,
    addresses: Vec<Url>,
    http: reqwest::Client,
}

impl Allowed {
    /// Parses the configured places: existing folders, `https:` or `http:` URLs.
    pub fn new(places: &[String]) -> anyhow::Result<Self> {
        let (mut folders, mut addresses) = (Vec::new(), Vec::new());
        for place in places {
            match Url::parse(place) {
                Ok(url) if matches!(url.scheme(), "https" | "http") => addresses.push(url),
                Ok(url) if place.contains("://") => {
                    bail!("`{place}`: `externaldata` reads folders, `https:` and `http:`, not `{}:`", url.scheme())
                }
                _ => folders.push(PathBuf::from(place)),
            }
        }
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
        Ok(Self { folders: Folders::new(&folders)?, addresses, http })
    }

    async fn address(&self, location: &str, url: Url, most: ByteSize) -> Result<Vec<u8>, ExternalError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ExternalError::Credential(location.to_owned()));
        }
        if !self.addresses.iter().any(|allowed| is_below(&url, allowed)) {
            return Err(ExternalError::Refused(location.to_owned()));
        }
        let failed = |why: reqwest::Error| ExternalError::Read { location: location.to_owned(), why: model::chain(&why.without_url()) };
        let mut answer = self.http.get(url).send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(ExternalError::Status { location: location.to_owned(), status: answer.status().as_u16() });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if (bytes.len() + chunk.len()) as u64 > most.0 {
                return Err(ExternalError::TooLarge { location: location.to_owned(), most });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Whether the URL is the allowed one, or below it.
fn is_below(url: &Url, allowed: &Url) -> bool {
    let same =
        url.scheme() == allowed.scheme() && url.host() == allowed.host() && url.port_or_known_default() == allowed.port_or_known_default();
    let folder = allowed.path().trim_end_matches('/');
    let below = url.path().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    // The server may interpret an encoded separator or dot as a parent path.
    let plain = !["%2e", "%2f", "%5c"].iter().any(|code| url.path().to_ascii_lowercase().contains(code));
    same && below && plain
}

#[async_trait]
impl ExternalData for Allowed {
    async fn read(&self, location: &str, most: ByteSize) -> Result<Vec<u8>, ExternalError> {
        if location.contains(';') {
            return Err(ExternalError::Credential(location.to_owned()));
        }
        match Url::parse(location) {
            Ok(url) if matches!(url.scheme(), "https" | "http") => self.address(location, url, most).await,
            Ok(url) if location.contains("://") && url.scheme() != "file" => Err(ExternalError::Location(location.to_owned())),
            _ => self.folders.read(location, most).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_below_an_allowed_one() {
        let allowed = Url::parse("https://data.example.org/lists").unwrap();
        for (address, below) in [
            ("https://data.example.org/lists/a.csv?sig=1", true),
            ("https://data.example.org:443/lists", true),
            ("https://data.example.org/lists/../secret.csv", false),
            ("https://data.example.org/lists/%2e%2e/secret.csv", false),
            ("https://data.example.org/listsofothers/a.csv", false),
            ("http://data.example.org/lists/a.csv", false),
            ("https://data.example.org.evil.example/lists/a.csv", false),
            ("https://data.example.org:8443/lists/a.csv", false),
        ] {
            assert_eq!(is_below(&Url::parse(address).unwrap(), &allowed), below, "{address}");
        }
    }
}
