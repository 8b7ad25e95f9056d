//! Data collection rules: stream, transform, table, dead letters; for uploads ([`Pipeline::ingest`]) and sources ([`model::StreamSink`]).
//!
//! ```text
//! body ─► decode into the stream's columns ─► flow: KQL over `source` ─► fit to the table ─┐
//!            │ records that are no objects      │ records of a flow that failed             ├─► one append
//!            └──────────────────────────────────┴─► DCRLogErrors ───────────────────────────┘
//! ```
//!
//! Invariants: a request is one append, so it is stored whole or not at all; a value that does not fit is null, and its record stays; a
//! record that cannot be stored never holds up its neighbours and is never lost; no input makes this panic, recurse without bound or keep more than the body's size a few times over.

mod bounds;
mod cell;
mod decode;
mod deliver;
mod letters;
mod output;
mod pipeline;
mod rule;
mod surrogates;
mod usage;

pub use bounds::{MAX_CELLS, MAX_DEPTH, MAX_RECORDS, MAX_STRAYS};
pub use decode::BodyError;
pub use output::MAX_FIELD;
pub use pipeline::{DEAD_LETTERS, Ingest, IngestError, Ingested, Pipeline};
pub use rule::{Flow, Rule, RuleError, table_of};
pub use usage::{Usage, UsageError};
