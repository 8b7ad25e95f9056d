//! What a query reads: one table at one moment.
//!
//! A snapshot is a handful of `Arc`s. It never changes, and the files it names stay on disk until the last snapshot that names them is
//! dropped, whatever compaction and retention do meanwhile.
//!
//! **In memory** a batch has a subset of the table's columns, each with [`model::Type::arrow`], in any order, and [`INGESTION_TIME`] as
//! `Int64` ticks. A column that a batch lacks is null in all its rows (an empty text for a `string`).
//!
//! **On disk** a column is stored under its physical name ([`Snapshot::physical`]), because Parquet readers ignore case and `Url` and
//! `url` are two columns here. `datetime` is `Timestamp(µs, UTC)`, with an `Int8` companion named by [`tenth_name`] that holds the ticks
//! (0–9) that do not fit, present only in files where one is not zero (and null where all of a batch were); `string`, `guid` and `dynamic` are `Utf8`, everything else is as in
//! memory. [`INGESTION_TIME`] is stored like a `datetime` under its own name. A file lacks the columns that are null (or empty text) in
//! all its rows.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use model::{INGESTION_TIME, TableSchema, Timestamp};

use crate::damage::DamagedFiles;
use crate::proof::TailProof;

/// First and last instant of a column, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TimeRange {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl TimeRange {
    /// The smallest range that holds both.
    pub fn union(self, other: TimeRange) -> TimeRange {
        TimeRange { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// The smallest range that holds all `ranges`.
    pub fn over(ranges: impl IntoIterator<Item = TimeRange>) -> Option<TimeRange> {
        ranges.into_iter().reduce(TimeRange::union)
    }
}

/// Rows in a Parquet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Absolute.
    pub path: PathBuf,
    pub bytes: u64,
    pub rows: u64,
    /// Of `TimeGenerated`; nothing where all are null.
    pub time: Option<TimeRange>,
    /// Of [`INGESTION_TIME`].
    pub ingested: TimeRange,
    /// Physical names of the columns in the file, without companions and [`INGESTION_TIME`].
    pub columns: Vec<String>,
    /// Nothing in files of a version that wrote no checksums.
    pub proof: Option<TailProof>,
}

/// Rows that are in the log and not yet in a file.
#[derive(Clone, Debug)]
pub struct MemoryBatch {
    pub batch: RecordBatch,
    /// Of `TimeGenerated`; nothing where all are null.
    pub time: Option<TimeRange>,
    /// Of [`INGESTION_TIME`].
    pub ingested: TimeRange,
    /// Heap the batch holds.
    pub bytes: usize,
}

impl MemoryBatch {
    /// Values of a column; nothing where all are null.
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.batch.column_by_name(name)
    }
}

/// One table at one moment: every acknowledged row is in exactly one of `files` and `memory`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub schema: Arc<TableSchema>,
    /// The name in the files of each column of `schema`, in the same order.
    pub physical: Arc<[String]>,
    /// Oldest first.
    pub files: Vec<Arc<DataFile>>,
    /// Oldest first; all newer than the files.
    pub memory: Vec<Arc<MemoryBatch>>,
}

impl Snapshot {
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum::<u64>() + self.memory.iter().map(|batch| batch.batch.num_rows() as u64).sum::<u64>()
    }

    /// The name in the files of column `name`.
    pub fn physical_name(&self, name: &str) -> Option<&str> {
        let index = self.schema.columns.iter().position(|column| column.name == name)?;
        self.physical.get(index).map(String::as_str)
    }
}

/// Gives snapshots of tables. The one thing the engine needs of a workspace.
pub trait Snapshots: Send + Sync {
    /// The table now, or nothing where there is none.
    fn snapshot(&self, table: &str) -> Option<Snapshot>;

    /// Several tables at the same moment: of each append one sees the rows in all of them or in none.
    fn snapshots(&self, tables: &[&str]) -> Vec<Option<Snapshot>>;

    /// The files that cannot be read, known and yet to be found.
    fn damaged_files(&self) -> DamagedFiles {
        DamagedFiles::default()
    }
}

/// Name of the companion of a physical column that holds the tenths of a microsecond.
pub fn tenth_name(physical: &str) -> String {
    format!("{physical}$tenth")
}

/// Whether `physical` is no column of the table but belongs to the storage.
pub fn is_hidden(physical: &str) -> bool {
    physical == INGESTION_TIME || physical.ends_with("$tenth")
}
