//! The table of plug-ins, called by `evaluate`. One that is not exact is not here: the binder then says that it is unknown.
//!
//! A plug-in is one file with a `pub static PLUGIN: Plugin` and one line in [`register!`](model::register) below. The binder binds the
//! arguments as [`Plugin::args`] asks, runs the input first where [`Plugin::needs_rows`] says so (the output columns of `pivot` depend on
//! the rows), and calls [`Plugin::bind`].

use std::fmt;

use arrow::record_batch::RecordBatch;
use model::Type;

use super::{Runtime, TableOp};
use crate::Value;
use crate::plan::{AggregateCall, ColumnId, Expr, Field};

pub struct Plugin {
    pub name: &'static str,
    pub summary: &'static str,
    pub args: &'static [PluginArg],
    /// How many arguments must be there.
    pub required: usize,
    /// The last argument may be repeated. Named arguments whose name is no parameter's (`return_unmatched = true`, `step1 = (…)`) count as
    /// repetitions, too.
    pub repeats: bool,
    /// The output columns depend on the rows: `Call::rows` must be given, unless the query declares the columns (`: (a:long)`) .
    pub needs_rows: bool,
    pub bind: fn(Call) -> Result<Bound, PluginError>,
    /// A query and the value of its last row's last cell as `tostring` prints it; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A parameter; an argument may be given by this name (`columnsConflict = "keep_source"`) and then stands at the parameter's place.
#[derive(Debug)]
pub struct PluginArg {
    pub name: &'static str,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A scalar expression over the input, usually a column.
    Expr,
    /// A constant of this type.
    Const(Type),
    /// An aggregate over the input, such as `count()`.
    Aggregate,
    /// A table: the second input of the operator.
    Table,
    /// A column of the table argument before it, or a constant.
    TableColumn,
    /// An expression, or a table: the second input of the operator.
    ExprOrTable,
}

/// An argument as bound.
#[derive(Debug)]
pub enum Argument {
    /// Also for `TableColumn`. `name` is the one given (`name = …`), otherwise the column's, otherwise empty.
    Expr {
        expr: Expr,
        name: String,
    },
    Const(Value),
    /// `name` as the result column of `summarize` would be called.
    Aggregate {
        call: AggregateCall,
        name: String,
    },
    Table(Vec<Field>),
}

pub struct Call<'a> {
    /// By position; `None` where it was left out.
    pub args: &'a [Option<Argument>],
    pub input: &'a [Field],
    /// The rows of the input, columns named by id.
    pub rows: Option<&'a [RecordBatch]>,
    /// The columns that the query declares behind `:`.
    pub schema: Option<&'a [(String, Type)]>,
    /// `: (*, a:long)`: the input's columns come first.
    pub schema_star: bool,
    /// Gives a new id.
    pub fresh: &'a mut dyn FnMut() -> ColumnId,
    pub runtime: Runtime,
}

impl<'a> Call<'a> {
    /// Argument `index`, where it is there.
    pub fn arg(&self, index: usize) -> Option<&'a Argument> {
        self.args.get(index).and_then(|arg| arg.as_ref())
    }
}

/// What a call comes to: an operator and the columns that it gives.
#[derive(Debug)]
pub struct Bound {
    pub op: Box<dyn TableOp>,
    pub fields: Vec<Field>,
}

/// Why a call does not fit; the binder adds the name and the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// About argument `index`.
    #[error("argument {}: {message}", index + 1)]
    Argument { index: usize, message: String },
    #[error("{0}")]
    Columns(String),
}

/// The plug-in called `name`.
pub fn find(name: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().copied().find(|plugin| plugin.name == name)
}

mod geo_lookup;
mod ip_lookup;
mod lookup;
mod mined;
pub mod refused;
mod timeline;

model::register! { PLUGINS: Plugin = PLUGIN;  // alphabetical
    active_users_count,
    activity_counts_metrics,
    activity_engagement,
    activity_metrics,
    autocluster,
    bag_unpack,
    basket,
    dcount_intersect,
    diffpatterns,
    diffpatterns_text,
    estimate_rows_count,
    funnel_sequence,
    funnel_sequence_completion,
    geo_line_lookup,
    geo_polygon_lookup,
    identity,
    ipv4_lookup,
    ipv6_lookup,
    narrow,
    new_activity_metrics,
    pivot,
    rolling_percentile,
    rows_near,
    schema_merge,
    sequence_detect,
    session_count,
    sliding_window_counts,
}
