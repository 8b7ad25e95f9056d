//! Local folders that `externaldata` may read.
//!
//! Paths are canonicalised before they are checked, so neither `..` nor a symbolic link escapes a folder. Missing and forbidden files
//! return the same error.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use model::{ByteSize, ExternalData, ExternalError};

use crate::files::FileError;

/// Implements the port over folders.
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// Fails if a folder does not exist.
    pub fn new(folders: &[PathBuf]) -> Result<Self, FileError> {
        let real = |folder: &PathBuf| folder.canonicalize().map_err(|cause| FileError::Read { path: folder.clone(), cause });
        Ok(Self(folders.iter().map(real).collect::<Result<_, _>>()?))
    }
}

#[async_trait]
impl ExternalData for Folders {
    async fn read(&self, location: &str, most: ByteSize) -> Result<Vec<u8>, ExternalError> {
        if location.contains(';') {
            return Err(ExternalError::Credential(location.to_owned()));
        }
        let refused = || ExternalError::Refused(location.to_owned());
        let failed = |why: std::io::Error| ExternalError::Read { location: location.to_owned(), why: why.to_string() };
        let path = Path::new(location.strip_prefix("file://").unwrap_or(location));
        let real = tokio::fs::canonicalize(path).await.map_err(|_| refused())?;
        if !self.0.iter().any(|folder| real.starts_with(folder)) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paths_cannot_escape_a_folder() {
        let base = tempfile::tempdir().unwrap();
        let (inside, outside) = (base.path().join("inside"), base.path().join("outside.csv"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.csv"), "1").unwrap();
        std::fs::write(&outside, "2").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link.csv")).unwrap();
        let allowed = Folders::new(std::slice::from_ref(&inside)).unwrap();
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
}
