//! Retention, and limits on memory and disk.

use model::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How tables are kept: retention, the sizes of log and files, and what is remembered against sending twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkspaceConfig {
    /// How long rows are kept in tables that do not say it themselves. Whole files go when their newest row is older. Example: `90d`.
    pub retention: Span,
    /// Rows stay in memory (and in the log) at most this long before they are written to a Parquet file. Example: `5m`.
    pub flush_after: Span,
    /// A table's rows are written to a file when they take this much memory. Example: `128MiB`.
    pub flush_size: ByteSize,
    /// Rows that wait for a file may take this much memory over all tables; beyond it senders are told to come later. Example: `512MiB`.
    pub memory: ByteSize,
    /// The log may grow to this size before the oldest rows are written to files. A restart reads it whole. Example: `256MiB`.
    pub log_size: ByteSize,
    /// A log file is closed at this size. Example: `32MiB`.
    pub log_file_size: ByteSize,
    /// Rows on their way into the log may take this much memory; beyond it senders are told to come later. Example: `64MiB`.
    pub queue: ByteSize,
    /// Small files of a table are merged until they have this size. Example: `128MiB`.
    pub file_size: ByteSize,
    /// How many small files a table may have before they are merged.
    pub small_files: usize,
    /// How long a sender's key is remembered: the same key again stores nothing. Example: `1d`.
    pub key_window: Span,
    /// How many keys are remembered; the oldest are forgotten first.
    pub keys: usize,
}

impl Default for WorkspaceConfig {
    fn default() -> Self {
        Self {
            retention: Span(90 * Span::DAY.0),
            flush_after: Span(5 * Span::MINUTE.0),
            flush_size: ByteSize(128 << 20),
            memory: ByteSize(512 << 20),
            log_size: ByteSize(256 << 20),
            log_file_size: ByteSize(32 << 20),
            queue: ByteSize(64 << 20),
            file_size: ByteSize(128 << 20),
            small_files: 8,
            key_window: Span::DAY,
            keys: 200_000,
        }
    }
}
