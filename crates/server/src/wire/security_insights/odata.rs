//! `$filter` and `$orderby`. One syntax; incidents are searched in the store, what hangs on them as it is shown.

mod incidents;
mod syntax;
mod values;

pub(super) use incidents::{filter, order};
pub(super) use values::{Filter, Order};
