use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use crate::{TableName, Timestamp};

/// Name of the hidden column with the ingestion time of a row, read by KQL's `ingestion_time()`.
pub const INGESTION_TIME: &str = "$IngestionTime";

/// Rows for one table, in the in-memory layout of its schema ([`crate::Type::arrow`]). Columns may be a subset, in any order.
#[derive(Clone, Debug)]
pub struct Rows {
    pub table: TableName,
    pub batch: RecordBatch,
}

/// An atomic write: rows of any number of tables, and the sender's position afterwards.
#[derive(Clone, Debug, Default)]
pub struct Append {
    pub rows: Vec<Rows>,
    /// Idempotency key. A second append with the same key within the deduplication window stores nothing and is acknowledged.
    pub key: Option<String>,
    /// A source's name and its cursor after these rows, stored in the same log frame.
    pub position: Option<(String, Vec<u8>)>,
}

/// Acknowledges that an [`Append`] is durable and visible to queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Increases by one with every append of the workspace.
    pub sequence: u64,
    /// The `$IngestionTime` of the rows; monotonic across appends.
    pub ingested: Timestamp,
    /// The key was known: nothing was stored.
    pub duplicate: bool,
}

/// Why rows were not stored. No part of the append is visible.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("there is no table `{0}`")]
    NoTable(TableName),
    #[error("table `{table}` has no column `{column}` of type {ty}")]
    Column { table: TableName, column: String, ty: String },
    /// Retry later: the disk is full or the log is behind.
    #[error("the workspace takes no rows now: {reason}; try again in {retry_after_seconds} s")]
    Busy { reason: &'static str, retry_after_seconds: u64 },
    #[error("cannot write to the log")]
    Log(#[source] std::io::Error),
    #[error("the workspace is closed")]
    Closed,
}

/// Port for all writes to tables.
#[async_trait]
pub trait TableWriter: Send + Sync {
    /// Stores the rows. Returns once they are durable and visible to queries.
    async fn append(&self, append: Append) -> Result<Ack, AppendError>;

    /// The last stored cursor of a source.
    fn position(&self, source: &str) -> Option<Vec<u8>>;
}
