//! Verification of a data directory without a service, read-only.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};

use super::chain::{self, Chain};
use super::head::{self, HEAD};
use crate::error::StoreError;
use crate::recover::{DATABASE, LOG};

/// Verifies the audit trail of the data directory from the entry after number `after`. The service may be running or not; nothing is
/// written.
pub async fn verify_in(data_dir: &Path, after: i64) -> Result<Chain, StoreError> {
    let path = data_dir.join(DATABASE);
    // The head first: while a service runs, an entry is committed before its seal reaches the file.
    let found = head::find(&data_dir.join(HEAD));
    // Without a log no other process has the file open, and SQLite needs no files of its own beside it.
    let alone = std::fs::metadata(data_dir.join(LOG)).map_or(true, |log| log.len() == 0);
    let options = SqliteConnectOptions::new().filename(&path).read_only(true).immutable(alone);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|cause| StoreError::Open { path: path.clone(), cause })?;
    let version = sqlx::query("SELECT version FROM audit_chain").fetch_one(&mut connection).await;
    let version: i64 = match version {
        Ok(row) => row.try_get(0)?,
        Err(cause) if cause.to_string().contains("no such table") => 1,
        Err(cause) => return Err(cause.into()),
    };
    if version < 2 {
        return Err(StoreError::EarlierVersion { path });
    }
    let head = found.head.as_ref().map(|head| (head.entry, head.seal.as_str()));
    let result = chain::verify(&mut connection, after, head).await;
    // The result is known; a failure to close a read-only connection changes nothing.
    let _ = connection.close().await;
    result
}
