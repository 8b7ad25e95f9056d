//! The table of aggregate functions. One columnar accumulator holds the state of all groups.
//!
//! An [`AggregateCall`](crate::plan::AggregateCall) produces one column. A KQL function that produces several becomes one call per column,
//! as specified by [`AggregateFn::columns`]:
//!
//! | written | calls |
//! |---|---|
//! | `arg_max(e, a, b)`, `arg_min` | `arg_max(e, e)`, `arg_max(e, a)`, `arg_max(e, b)`; `*` stands for every input column that is neither `e` nor a key |
//! | `take_any(a)` | `take_any(a)`: prefers a value that is not null or empty |
//! | `take_any(a, b)`, `take_any(*)` | [`RECORD`]`(a)`, `RECORD(b)`: one record, its nulls included |
//! | `percentiles(v, 50, 95)` | `percentile(v, 50)`, `percentile(v, 95)` |
//! | `percentilesw(v, w, 50, 95)` | `percentilew(v, w, 50)`, `percentilew(v, w, 95)` |
//!
//! The calls of one record select the same row, because all receive the same rows in the same order and the first of equal rows wins. They
//! are independent, so the engine may drop those with unused columns. `arg_max(e)` without columns is `arg_max(e, e)`.

use std::fmt;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use model::Type;

use crate::Value;
use crate::functions::{PrepareError, Signature};

/// An aggregate function.
pub struct AggregateFn {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub summary: &'static str,
    pub signature: Signature,
    /// Parameter names for documentation, for functions with a [`Signature::Custom`], which has none.
    pub parameters: &'static [&'static str],
    /// How an unnamed result column is named.
    pub naming: Naming,
    /// How many columns one call in a query produces.
    pub columns: Columns,
    /// Types of the partial-aggregation state for the given argument types: one field per column.
    pub state: fn(&Start) -> Vec<DataType>,
    pub start: fn(&Start) -> Result<Box<dyn Groups>, PrepareError>,
    /// A query and the value of its only cell as formatted by `tostring`; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

impl AggregateFn {
    /// Default values of optional fields: `AggregateFn { name: …, ..AggregateFn::DEFAULT }`.
    pub const DEFAULT: AggregateFn = AggregateFn {
        name: "",
        aliases: &[],
        summary: "",
        signature: Signature::Fixed { args: &[], required: 0, returns: Type::Long },
        parameters: &[],
        naming: Naming::Argument,
        columns: Columns::One,
        state: |_| Vec::new(),
        start: |_| Err(PrepareError::Unsupported),
        examples: &[],
    };
}

impl fmt::Debug for AggregateFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The name of an unnamed result column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `prefix_argument`, such as `sum_x`, `set_x`, `countif_b`; `prefix_` if the argument is not a plain column or missing (`count_`).
    Prefix(&'static str),
    /// `x`: the argument's name (`arg_max`, `take_any`).
    Argument,
    /// `percentile_x_95`, `percentile_x_99_9`: one column per percentile.
    Percentile,
}

/// The plan calls for one call in a query, see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    One,
    /// The first argument is the sort key; one call with (key, column) per argument, including the first.
    Extreme,
    /// With one argument: the call itself. With several or `*`: one call of [`RECORD`] each.
    Record,
    /// One call of `each` for every argument after the first `values`.
    Percentiles {
        values: usize,
        each: &'static str,
    },
}

/// The aggregate behind `take_any` over several columns: the value of the first row, null or not. Not a valid function name in a query.
pub const RECORD: &str = "take_any*";

/// What is known before the first row.
pub struct Start<'a> {
    pub types: &'a [Type],
    pub constants: &'a [Option<Value>],
    pub returns: Type,
}

/// States of all groups of one aggregate.
///
/// Invariant, tested for all aggregates: splitting the rows anywhere and merging the states gives the same result.
pub trait Groups: Send {
    /// Row `i` belongs to `groups[i]` and is included if `filter` is absent or true at `i`. `total` is the number of groups so far.
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize);

    /// Like `update`, for columns returned by [`Groups::state`].
    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize);

    /// Removes the first groups and returns their state; the remaining groups move down.
    fn state(&mut self, which: Emit) -> Vec<ArrayRef>;

    /// Removes the first groups and returns their results; the remaining groups move down.
    fn evaluate(&mut self, which: Emit) -> ArrayRef;

    /// Bytes held, for memory accounting.
    fn size(&self) -> usize;
}

/// Which groups to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    All,
    First(usize),
}

impl Emit {
    /// Removes and returns the entries of the emitted groups.
    pub fn take<T>(self, groups: &mut Vec<T>) -> Vec<T> {
        match self {
            Emit::All => std::mem::take(groups),
            Emit::First(n) => {
                let rest = groups.split_off(n.min(groups.len()));
                std::mem::replace(groups, rest)
            }
        }
    }
}

/// Finds the aggregate `name`, including aliases.
pub fn find(name: &str) -> Option<&'static AggregateFn> {
    all().find(|aggregate| aggregate.name == name || aggregate.aliases.contains(&name))
}

pub fn all() -> impl Iterator<Item = &'static AggregateFn> {
    AGGREGATES.iter().flat_map(|family| family.iter().copied())
}

pub type Family = &'static [&'static AggregateFn];

mod argument;
mod cells;
pub mod digest;
mod distinct;
mod json;
#[cfg(test)]
mod law;
mod predicate;
pub mod sketch;

macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static AGGREGATES: &[Family] = &[$($name::FAMILY),*];
    };
}

families! {  // alphabetical
    arg_max,
    avg,
    binary_all,
    buildschema,
    count,
    count_distinct,
    dcount,
    make_bag,
    make_list,
    make_set,
    max,
    percentile,
    sum,
    take_any,
    tdigest,
    variance,
}
