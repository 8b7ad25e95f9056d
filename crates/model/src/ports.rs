//! Ports for side effects. Each port has one real implementation, chosen in `bartizan`, and one in `testkit`.

mod catalog;
mod clock;
mod disk;
mod external;
mod outbound;
mod query;
mod secrets;
mod tables;

pub use catalog::*;
pub use clock::*;
pub use disk::*;
pub use external::*;
pub use outbound::*;
pub use query::*;
pub use secrets::*;
pub use tables::*;
