//! Why state was not read or written.

use std::path::PathBuf;

/// Why state was not read or written. Nothing of the change is visible.
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
    /// Ask again later.
    #[error("the disk of the state database is full")]
    DiskFull(#[source] sqlx::Error),
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL, whose extended codes share the low byte.
        const FULL: i32 = 13;
        let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i32>().ok());
        match code {
            Some(code) if code & 0xff == FULL => StoreError::DiskFull(error),
            _ => StoreError::Database(error),
        }
    }
}

/// The stored JSON of one of `aggregate`.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(aggregate: &'static str, id: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|cause| StoreError::Corrupt { aggregate, id: id.to_owned(), cause })
}

pub(crate) fn encode<T: serde::Serialize>(aggregate: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|cause| StoreError::Encode { aggregate, cause })
}
