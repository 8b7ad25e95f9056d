//! `make-series` — arrays of aggregated values along an axis. Source: the public KQL reference, `make-series-operator`.

use crate::Value;
use crate::plan::{AggregateCall, ColumnId, Expr};

/// A bound `make-series`. Outputs are the columns named here, in any order.
#[derive(Clone, Debug)]
pub struct MakeSeries {
    pub aggregates: Vec<SeriesAggregate>,
    /// Datetime, timespan or a number.
    pub axis: Expr,
    /// The dynamic column with the axis' values.
    pub axis_id: ColumnId,
    /// Where the axis begins and ends, constant, of the axis' type. Where `from` is absent it begins at the bin of the least value.
    pub from: Option<Expr>,
    pub to: Option<Expr>,
    /// A timespan for datetimes.
    pub step: Expr,
    /// Written as `in range(from, to, step)`: `to` belongs to the axis, and where no row falls in there are series of defaults.
    pub in_range: bool,
    pub by: Vec<(Expr, ColumnId)>,
}

#[derive(Clone, Debug)]
pub struct SeriesAggregate {
    pub call: AggregateCall,
    /// What stands where there is no row: `default =`, otherwise 0.
    pub default: Option<Value>,
    /// A dynamic column.
    pub id: ColumnId,
}
