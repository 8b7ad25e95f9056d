//! Ports for side effects. Each port has one real implementation, chosen in `bartizan`, and one in `testkit`.

mod catalog;
mod clock;
mod connectors;
mod disk;
mod external;
mod outbound;
mod query;
mod secrets;
mod sink;
mod tables;

pub use catalog::*;
pub use clock::*;
pub use connectors::*;
pub use disk::*;
pub use external::*;
pub use outbound::*;
pub use query::*;
pub use secrets::*;
pub use sink::*;
pub use tables::*;
