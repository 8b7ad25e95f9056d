//! `$filter` and `$orderby`. One parser; incidents are filtered in the store, their related resources in memory.

mod incidents;
mod syntax;
mod values;

pub(super) use incidents::{filter, order};
pub(super) use values::{Filter, Order};
