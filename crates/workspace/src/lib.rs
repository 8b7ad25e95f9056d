//! Tables: write-ahead log, Parquet files under a manifest, catalog.

mod builtin;
mod catalog;
mod codec;
mod config;
mod datafile;
mod disk;
mod frame;
mod keys;
mod log;
mod manifest;
mod snapshot;

pub use config::WorkspaceConfig;
pub use disk::SystemDisk;
pub use snapshot::{DataFile, MemoryBatch, Snapshot, Snapshots, TimeRange, is_hidden, tenth_name};
