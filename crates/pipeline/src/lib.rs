//! Data collection rules: stream, transform, table, dead letters.
//!
//! ```text
//! body ─► decode into the stream's columns ─► flow: KQL over `source` ─► fit to the table ─┐
//!            │ records that do not fit          │ records of a flow that failed             ├─► one append
//!            └──────────────────────────────────┴─► DCRLogErrors ───────────────────────────┘
//! ```
//!
//! Invariants: a request is one append, so it is stored whole or not at all; a record that does not fit never holds up its neighbours and
//! is never lost; no input makes this panic, recurse without bound or keep more than the body's size a few times over.

mod cell;
mod decode;
mod output;
mod pipeline;
mod rule;

pub use decode::{BodyError, MAX_DEPTH};
pub use output::MAX_FIELD;
pub use pipeline::{DEAD_LETTERS, Ingest, IngestError, Ingested, Pipeline};
pub use rule::{Flow, Rule, RuleError, table_of};
