//! What the stages may ask of the world. Each port has one real implementation, chosen in `bartizan`, and one in `testkit`.

mod catalog;
mod clock;
mod disk;
mod query;
mod tables;

pub use catalog::*;
pub use clock::*;
pub use disk::*;
pub use query::*;
pub use tables::*;
