//! The table of aggregate functions. Grouped and columnar: one accumulator holds the state of all groups.
//!
//! An [`AggregateCall`](crate::plan::AggregateCall) gives one column. A function that gives several in KQL becomes several calls, one a
//! column, as [`AggregateFn::columns`] says:
//!
//! | written | calls |
//! |---|---|
//! | `arg_max(e, a, b)`, `arg_min` | `arg_max(e, e)`, `arg_max(e, a)`, `arg_max(e, b)`; `*` stands for every input column that is neither `e` nor a key |
//! | `take_any(a)` | `take_any(a)`: prefers a value that is not null or empty |
//! | `take_any(a, b)`, `take_any(*)` | [`RECORD`]`(a)`, `RECORD(b)`: one record, its nulls included |
//! | `percentiles(v, 50, 95)` | `percentile(v, 50)`, `percentile(v, 95)` |
//! | `percentilesw(v, w, 50, 95)` | `percentilew(v, w, 50)`, `percentilew(v, w, 95)` |
//!
//! The calls of one record agree on the row because all of them see the same rows in the same order, and among equals the row first seen
//! wins: no call needs to know of the others, and the engine may drop those whose column nobody reads. A lone `arg_max(e)` is
//! `arg_max(e, e)`.

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
    /// How the result column is called when the query gives no name.
    pub naming: Naming,
    /// How many columns one call in a query gives.
    pub columns: Columns,
    /// What the state between partial and final looks like, given the argument types: one field a column.
    pub state: fn(&Start) -> Vec<DataType>,
    pub start: fn(&Start) -> Result<Box<dyn Groups>, PrepareError>,
    /// A query and the value of its only cell as `tostring` prints it; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

impl AggregateFn {
    /// Defaults for the fields that most aggregates leave alone: `AggregateFn { name: …, ..AggregateFn::DEFAULT }`.
    pub const DEFAULT: AggregateFn = AggregateFn {
        name: "",
        aliases: &[],
        summary: "",
        signature: Signature::Fixed { args: &[], required: 0, returns: Type::Long },
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
    /// `prefix_argument`, such as `sum_x`, `set_x`, `countif_b`; `prefix_` where the argument is no plain column or there is none (`count_`).
    Prefix(&'static str),
    /// `x`: the argument's own name (`arg_max`, `take_any`).
    Argument,
    /// `percentile_x_95`, `percentile_x_99_9`: one column for each percentile.
    Percentile,
}

/// Which calls of the plan stand for one call in a query, see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    One,
    /// The first argument orders; a call with (order, column) for each argument, the first included.
    Extreme,
    /// One argument: itself. Several or `*`: a call of [`RECORD`] for each.
    Record,
    /// A call of `each` for every argument behind the first `values`.
    Percentiles {
        values: usize,
        each: &'static str,
    },
}

/// The name of the aggregate behind `take_any` over several columns: the value of the first row, null or not. No query can write it.
pub const RECORD: &str = "take_any*";

/// What is known before the first row.
pub struct Start<'a> {
    pub types: &'a [Type],
    pub constants: &'a [Option<Value>],
    pub returns: Type,
}

/// States of all groups of one aggregate.
///
/// Law, tested for all of them at once: splitting the rows anywhere and merging gives the same answer.
pub trait Groups: Send {
    /// Row `i` belongs to `groups[i]`, and counts where `filter` is absent or true at `i`. There are `total` groups so far.
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize);

    /// As `update`, with the columns that [`Groups::state`] gave.
    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize);

    /// The state of the first groups, which are forgotten; the others move down.
    fn state(&mut self, which: Emit) -> Vec<ArrayRef>;

    /// The answers of the first groups, which are forgotten; the others move down.
    fn evaluate(&mut self, which: Emit) -> ArrayRef;

    /// Bytes held, for the memory limit.
    fn size(&self) -> usize;
}

/// Which groups leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    All,
    First(usize),
}

impl Emit {
    /// Takes the leaving entries out of `groups`.
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

/// The aggregate called `name`, aliases included.
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
