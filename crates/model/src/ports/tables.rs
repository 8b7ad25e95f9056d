use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use crate::{TableName, Timestamp};

/// Name of the hidden column that says when a row was stored; read by KQL's `ingestion_time()`.
pub const INGESTION_TIME: &str = "$IngestionTime";

/// Rows for one table, with the in-memory layout of its schema ([`crate::Type::arrow`]). Columns may be a subset, in any order.
#[derive(Clone, Debug)]
pub struct Rows {
    pub table: TableName,
    pub batch: RecordBatch,
}

/// What must be stored together or not at all: rows of any number of tables, and where their sender stands afterwards.
#[derive(Clone, Debug, Default)]
pub struct Append {
    pub rows: Vec<Rows>,
    /// A key of the sender's. A second append with the same key within the deduplication window stores nothing and is acknowledged.
    pub key: Option<String>,
    /// A source's name and its cursor after these rows; kept in the same frame as the rows.
    pub position: Option<(String, Vec<u8>)>,
}

/// Proof that an [`Append`] survives a power cut and that queries see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Grows by one with every append of the workspace.
    pub sequence: u64,
    /// The `$IngestionTime` of the rows; never smaller than that of an earlier append.
    pub ingested: Timestamp,
    /// The key was known: nothing was stored this time.
    pub duplicate: bool,
}

/// Why rows were not stored. Nothing of the append is visible.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("there is no table `{0}`")]
    NoTable(TableName),
    #[error("table `{table}` has no column `{column}` of type {ty}")]
    Column { table: TableName, column: String, ty: String },
    /// Ask again later: the disk is full or the log is behind.
    #[error("the workspace takes no rows now: {reason}; try again in {retry_after_seconds} s")]
    Busy { reason: &'static str, retry_after_seconds: u64 },
    #[error("cannot write to the log")]
    Log(#[source] std::io::Error),
    #[error("the workspace is closed")]
    Closed,
}

/// The one way into the tables.
#[async_trait]
pub trait TableWriter: Send + Sync {
    /// Stores the rows. Returns after they are synced and visible to queries.
    async fn append(&self, append: Append) -> Result<Ack, AppendError>;

    /// The cursor last stored for a source.
    fn position(&self, source: &str) -> Option<Vec<u8>>;
}
