//! Sources bring records in, destinations send rows on.
//!
//! A source is one file in `sources/` and one line in `sources.rs`: a listener is a [`Source`], one that asks a vendor for pages a
//! [`PollSource`]. It hands records with its position to a [`model::StreamSink`], which takes them through a data collection rule into
//! tables. A destination is one file in `destinations/` and one line in `destinations.rs`: a [`Destination`] gets the rows that arrive in
//! its tables. Neither knows rules or incidents; what they need of the world comes in a [`SourceContext`] or [`DestinationContext`].
//!
//! Invariants: a source takes no more from a sender than a window of records that are not synced yet, so that a full workspace slows the
//! sender down instead of filling memory. A position is stored with or after what it stands behind, never before.

mod destination;
pub mod destinations;
mod following;
mod polling;
mod report;
mod source;
pub mod sources;

pub use destination::{Destination, DestinationContext, DestinationError, DestinationMaker, DestinationType, Follow, From, Outgoing};
pub use destinations::{DESTINATIONS, DestinationsConfig};
pub use following::{Position, run as follow};
pub use polling::{Next, Page, PollError, PollSource, Polling, REQUEST_TIME, checked};
pub use report::{Report, shown};
pub use source::{Bound, Source, SourceContext, SourceError, SourceMaker, SourceType};
pub use sources::{SOURCES, SourcesConfig};
