//! Log sources with protocols of their own.
//!
//! A source is one file in `sources/` and one line in `sources.rs`. It converts its input to rows and appends them to the workspace; it
//! does not depend on queries, rules or incidents. Clock, network and workspace come from a [`SourceContext`].
//!
//! Invariant: a source reads at most one window of records that are not synced yet from a sender, so that a full workspace applies
//! back-pressure instead of filling memory.

mod source;
pub mod sources;

pub use source::{Bound, Source, SourceContext, SourceError, SourceType};
pub use sources::{SOURCES, SourcesConfig};
