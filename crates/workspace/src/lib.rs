//! Tables: write-ahead log, Parquet files under a manifest, catalog.

mod snapshot;

pub use snapshot::{DataFile, MemoryBatch, Snapshot, Snapshots, TimeRange, is_hidden, tenth_name};
