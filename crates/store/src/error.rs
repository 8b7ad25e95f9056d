//! Store errors.

use std::path::PathBuf;

/// Why state was not read or written. No part of the change is visible.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the state database `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        cause: sqlx::Error,
    },
    #[error("cannot create the state database `{path}`")]
    Create {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot bring the state database up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Start the service once: it seals the trail again.
    #[error("the audit trail in `{path}` is of an earlier version")]
    EarlierVersion { path: PathBuf },
    /// Retry later.
    #[error("the disk of the state database is full")]
    DiskFull(#[source] sqlx::Error),
    /// Retry later: the disk fails, is read-only, or cannot create files.
    #[error("the disk of the state database does not take writes now")]
    Unavailable(#[source] sqlx::Error),
    #[error("cannot read or write the state database")]
    Database(#[source] sqlx::Error),
    #[error("`{aggregate}` `{id}` in the state database does not read back")]
    Corrupt {
        aggregate: &'static str,
        id: String,
        #[source]
        cause: serde_json::Error,
    },
    #[error("cannot write `{aggregate}` as JSON")]
    Encode {
        aggregate: &'static str,
        #[source]
        cause: serde_json::Error,
    },
}

/// SQLite's primary result codes; extended ones share the low byte (<https://sqlite.org/rescode.html>).
mod code {
    pub const READONLY: i32 = 8;
    pub const IOERR: i32 = 10;
    pub const CORRUPT: i32 = 11;
    pub const FULL: i32 = 13;
    pub const CANTOPEN: i32 = 14;
    pub const NOTADB: i32 = 26;
}

/// SQLite's primary result code, if the error is from SQLite.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Whether the content of the file is corrupt.
pub(crate) fn is_corruption(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(code::CORRUPT | code::NOTADB))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(code::FULL) => StoreError::DiskFull(error),
            Some(code::READONLY | code::IOERR | code::CANTOPEN) => StoreError::Unavailable(error),
            _ => StoreError::Database(error),
        }
    }
}

/// Decodes the stored JSON of one `aggregate`.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(aggregate: &'static str, id: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|cause| StoreError::Corrupt { aggregate, id: id.to_owned(), cause })
}

pub(crate) fn encode<T: serde::Serialize>(aggregate: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|cause| StoreError::Encode { aggregate, cause })
}
