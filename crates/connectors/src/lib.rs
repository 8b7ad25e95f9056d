//! Sources that speak to us in their own protocols.
//!
//! A source is one file in `sources/` and one line in `sources.rs`. It turns what arrives into rows and hands them to the workspace; it does
//! not know queries, rules or incidents. What it needs of the world comes in a [`SourceContext`].
//!
//! Invariant: a source takes no more from a sender than a window of records that are not synced yet, so that a full workspace slows the
//! sender down instead of filling memory.

mod source;
pub mod sources;

pub use source::{Bound, Source, SourceContext, SourceError, SourceType};
pub use sources::{SOURCES, SourcesConfig};
