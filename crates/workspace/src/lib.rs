//! Tables: write-ahead log, Parquet files under a manifest, catalog.
//!
//! ```text
//! append ─► check, encode ─► queue ─► one thread: group, one write, one sync ─► memory ─► acknowledgement, bell
//!                                                    wal/<workspace>/*.log        │
//!                                     another thread: Parquet, manifest, compaction, retention
//!                                                    tables/<workspace>/{catalog,manifest}.json, <table>.<number>/*.parquet
//! ```
//!
//! Invariants: an acknowledged row is either in the synced log or in a file named by the durable manifest, and a query reads it from
//! exactly one of them; a failed sync is never retried; clock and disk are accessed only through the ports (except in
//! `backup`, which another process runs, and for pauses in `supervise`); damaged data is quarantined and
//! reported, never skipped silently.

mod backup;
mod bell;
mod billing;
mod builtin;
mod catalog;
mod codec;
mod commit;
mod config;
mod damage;
mod datafile;
mod detached;
mod disk;
mod frame;
mod keys;
mod log;
mod log_index;
mod maintain;
mod manifest;
mod markers;
mod proof;
mod published;
mod recover;
mod scrub;
mod snapshot;
mod state;
mod state_files;
mod supervise;
mod workspace;

pub use backup::{HeldContent, HeldFile, HeldFiles, HoldError, hold};
pub use builtin::tables as built_in_tables;
pub use config::WorkspaceConfig;
pub use damage::{DamagedFiles, Unreadable, fault_of, inside};
pub use datafile::DataFileError;
pub use detached::{DetachedError, DetachedPart, detached};
pub use disk::SystemDisk;
pub use maintain::MaintainError;
pub use manifest::StateFileError;
pub use proof::{ChunkSums, TailProof};
pub use published::{PublishedTables, names as published_names, table as published_table};
pub use recover::{OpenError, Quarantined, Recovery};
pub use snapshot::{DataFile, MemoryBatch, Snapshot, Snapshots, TimeRange, is_hidden, tenth_name};
pub use workspace::{FlushError, Options, ReadError, Workspace};
