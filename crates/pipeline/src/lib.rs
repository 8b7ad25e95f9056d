//! Data collection rules: stream, transform, table, dead letters; for uploads ([`Pipeline::ingest`]) and sources ([`model::StreamSink`]).
//!
//! ```text
//! body ─► decode into the stream's columns ─► flow: KQL over `source` ─► fit to the table ─┐
//!            │ records that are not objects     │ records of a failed flow                   ├─► one append
//!            └──────────────────────────────────┴─► DCRLogErrors ───────────────────────────┘
//! ```
//!
//! Invariants: a request is one append, so it is stored completely or not at all; a value of the wrong type becomes null and its record is
//! kept; a record that cannot be stored goes to the dead-letter table and does not affect other records; no input causes a panic, unbounded
//! recursion or memory use beyond a small multiple of the body size.

mod bounds;
mod cell;
mod decode;
mod deliver;
mod letters;
mod output;
mod pipeline;
mod rule;
mod usage;

pub use bounds::{MAX_CELLS, MAX_DEPTH, MAX_RECORDS, MAX_STRAYS};
pub use decode::BodyError;
pub use output::MAX_FIELD;
pub use pipeline::{DEAD_LETTERS, Ingest, IngestError, Ingested, Pipeline};
pub use rule::{Flow, Rule, RuleError, table_of};
pub use usage::{Usage, UsageError};
