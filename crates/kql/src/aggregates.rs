//! The table of aggregate functions. Grouped and columnar: one accumulator holds the state of all groups.

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
    /// What the state between partial and final looks like, given the argument types: one field a column.
    pub state: fn(&Start) -> Vec<DataType>,
    pub start: fn(&Start) -> Result<Box<dyn Groups>, PrepareError>,
    /// A query and the value of its only cell as `tostring` prints it; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

impl fmt::Debug for AggregateFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The name of an unnamed result column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `count_`, `countif_`
    Bare,
    /// `prefix_argument`, such as `sum_x`, `set_x`; `prefix_` where the argument is no plain column.
    Prefix(&'static str),
    /// `x`: the argument's own name (`arg_max`, `take_any`).
    Argument,
    /// `percentile_x_95`: one column for each constant after the first argument.
    Percentile,
}

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

macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static AGGREGATES: &[Family] = &[$($name::FAMILY),*];
    };
}

families! {  // alphabetical
}
