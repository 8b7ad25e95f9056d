//! The state of one table at one moment, as read by a query.
//!
//! A snapshot consists of a few `Arc`s and is immutable. Its files stay on disk until the last snapshot that references them is dropped,
//! regardless of compaction and retention.
//!
//! **In memory** a batch has a subset of the table's columns, each with [`model::Type::arrow`], in any order, and [`INGESTION_TIME`] as
//! `Int64` ticks. A column missing from a batch is null in all its rows (empty text for a `string`).
//!
//! **On disk** a column is stored under its physical name ([`Snapshot::physical`]), because Parquet readers ignore case and `Url` and `url`
//! are two columns here. `datetime` is `Timestamp(µs, UTC)`, with an `Int8` companion named by [`tenth_name`] holding the remaining ticks
//! (0–9), present only in files where one is non-zero (and null for batches where all are zero); `string`, `guid` and `dynamic` are `Utf8`,
//! everything else is as in memory. [`INGESTION_TIME`] is stored like a `datetime` under its own name. Columns that are null (or empty
//! text) in all rows of a file are omitted from it.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use model::{INGESTION_TIME, TableSchema, Timestamp};

use crate::damage::DamagedFiles;
use crate::proof::TailProof;

/// Minimum and maximum instant of a column, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TimeRange {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl TimeRange {
    /// The smallest range that contains both.
    pub fn union(self, other: TimeRange) -> TimeRange {
        TimeRange { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// The smallest range that contains all `ranges`.
    pub fn over(ranges: impl IntoIterator<Item = TimeRange>) -> Option<TimeRange> {
        ranges.into_iter().reduce(TimeRange::union)
    }
}

/// A Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Absolute path.
    pub path: PathBuf,
    pub bytes: u64,
    pub rows: u64,
    /// Range of `TimeGenerated`; `None` if all are null.
    pub time: Option<TimeRange>,
    /// Range of [`INGESTION_TIME`].
    pub ingested: TimeRange,
    /// Physical names of the columns in the file, without companions and [`INGESTION_TIME`].
    pub columns: Vec<String>,
    /// `None` for files written before checksums were introduced.
    pub proof: Option<TailProof>,
}

/// Rows that are in the log and not yet in a data file.
#[derive(Clone, Debug)]
pub struct MemoryBatch {
    pub batch: RecordBatch,
    /// Range of `TimeGenerated`; `None` if all are null.
    pub time: Option<TimeRange>,
    /// Range of [`INGESTION_TIME`].
    pub ingested: TimeRange,
    /// Heap size of the batch.
    pub bytes: usize,
}

impl MemoryBatch {
    /// Values of a column; `None` if all are null.
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.batch.column_by_name(name)
    }
}

/// One table at one moment: every acknowledged row is in exactly one of `files` and `memory`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub schema: Arc<TableSchema>,
    /// Physical name of each column of `schema`, in the same order.
    pub physical: Arc<[String]>,
    /// Oldest first.
    pub files: Vec<Arc<DataFile>>,
    /// Oldest first; all rows are newer than those in `files`.
    pub memory: Vec<Arc<MemoryBatch>>,
}

impl Snapshot {
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum::<u64>() + self.memory.iter().map(|batch| batch.batch.num_rows() as u64).sum::<u64>()
    }

    /// Physical name of column `name`.
    pub fn physical_name(&self, name: &str) -> Option<&str> {
        let index = self.schema.columns.iter().position(|column| column.name == name)?;
        self.physical.get(index).map(String::as_str)
    }
}

/// Provides snapshots of tables: the interface between workspace and engine.
pub trait Snapshots: Send + Sync {
    /// The current state of a table; `None` if there is no such table.
    fn snapshot(&self, table: &str) -> Option<Snapshot>;

    /// Several tables at the same moment: each append is visible in all of them or in none.
    fn snapshots(&self, tables: &[&str]) -> Vec<Option<Snapshot>>;

    /// The registry of unreadable files.
    fn damaged_files(&self) -> DamagedFiles {
        DamagedFiles::default()
    }
}

/// Name of the companion column that holds the tenths of a microsecond of a physical column.
pub fn tenth_name(physical: &str) -> String {
    format!("{physical}$tenth")
}

/// True if `physical` is an internal column of the storage layer.
pub fn is_hidden(physical: &str) -> bool {
    physical == INGESTION_TIME || physical.ends_with("$tenth")
}
