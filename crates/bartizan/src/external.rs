//! What `externaldata` may read: folders and addresses that the operator names, and nothing else.
//!
//! A path is followed to where it really is before it is judged, so that neither `..` nor a link leads out of a folder. An address must
//! have the scheme, host and port of an allowed one and stand below its path; redirects are not followed, bodies are read to the limit,
//! and credentials in a location (`;managed_identity=…`, user and password) are refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use model::{ByteSize, ExternalData, ExternalError};
use reqwest::Url;

/// The longest that one location may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The port over folders of this machine and addresses of the web.
pub struct Allowed {
    folders: Vec<PathBuf>,
    addresses: Vec<Url>,
    http: reqwest::Client,
}

impl Allowed {
    /// Reads what the operator wrote: folders that are there, `https:` or `http:` addresses.
    pub fn new(places: &[String]) -> anyhow::Result<Self> {
        let (mut folders, mut addresses) = (Vec::new(), Vec::new());
        for place in places {
            match Url::parse(place) {
                Ok(url) if matches!(url.scheme(), "https" | "http") => addresses.push(url),
                Ok(url) if place.contains("://") => {
                    bail!("`{place}`: `externaldata` reads folders, `https:` and `http:`, not `{}:`", url.scheme())
                }
                _ => folders.push(Path::new(place).canonicalize().with_context(|| format!("there is no folder `{place}`"))?),
            }
        }
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
        Ok(Self { folders, addresses, http })
    }

    async fn file(&self, location: &str, path: &Path, most: ByteSize) -> Result<Vec<u8>, ExternalError> {
        let refused = || ExternalError::Refused(location.to_owned());
        let failed = |why: std::io::Error| ExternalError::Read { location: location.to_owned(), why: why.to_string() };
        // What is not there and what is not allowed look the same from outside.
        let real = tokio::fs::canonicalize(path).await.map_err(|_| refused())?;
        if !self.folders.iter().any(|folder| real.starts_with(folder)) {
            return Err(refused());
        }
        let facts = tokio::fs::metadata(&real).await.map_err(failed)?;
        if !facts.is_file() {
            return Err(refused());
        }
        if facts.len() > most.0 {
            return Err(ExternalError::TooLarge { location: location.to_owned(), most });
        }
        tokio::fs::read(&real).await.map_err(failed)
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

/// Is it the allowed address, or one below it?
fn is_below(url: &Url, allowed: &Url) -> bool {
    let same =
        url.scheme() == allowed.scheme() && url.host() == allowed.host() && url.port_or_known_default() == allowed.port_or_known_default();
    let folder = allowed.path().trim_end_matches('/');
    let below = url.path().strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    // An encoded separator or dot may mean a way up to the server.
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
            Ok(url) if url.scheme() == "file" => match url.to_file_path() {
                Ok(path) => self.file(location, &path, most).await,
                Err(()) => Err(ExternalError::Location(location.to_owned())),
            },
            Ok(url) if matches!(url.scheme(), "https" | "http") => self.address(location, url, most).await,
            Ok(_) if location.contains("://") => Err(ExternalError::Location(location.to_owned())),
            _ => self.file(location, Path::new(location), most).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_leads_out_of_a_folder() {
        let base = tempfile::tempdir().unwrap();
        let (inside, outside) = (base.path().join("inside"), base.path().join("outside.csv"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.csv"), "1").unwrap();
        std::fs::write(&outside, "2").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link.csv")).unwrap();
        let allowed = Allowed::new(&[inside.display().to_string()]).unwrap();
        let read = async |location: String| allowed.read(&location, ByteSize(10)).await;
        assert_eq!(read(inside.join("a.csv").display().to_string()).await.unwrap(), b"1");
        assert_eq!(read(format!("file://{}", inside.join("a.csv").display())).await.unwrap(), b"1");
        for location in [
            outside.display().to_string(),
            inside.join("link.csv").display().to_string(),
            inside.join("../outside.csv").display().to_string(),
            inside.display().to_string(),
            inside.join("none.csv").display().to_string(),
            "https://example.org/a.csv".to_owned(),
        ] {
            assert!(matches!(read(location.clone()).await, Err(ExternalError::Refused(_))), "{location}");
        }
        assert!(matches!(read("a.csv;key=x".to_owned()).await, Err(ExternalError::Credential(_))));
        std::fs::write(inside.join("big.csv"), "01234567890").unwrap();
        assert!(matches!(read(inside.join("big.csv").display().to_string()).await, Err(ExternalError::TooLarge { .. })));
    }

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
