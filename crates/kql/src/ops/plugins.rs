//! The table of plug-ins, called by `evaluate`. Plug-ins without an exact implementation are absent; the binder reports them as unknown.
//!
//! A plug-in is one file with a `pub static PLUGIN: Plugin` and one line in [`register!`](model::register) below. The binder binds the
//! arguments according to [`Plugin::args`], runs the input first if [`Plugin::needs_rows`] is set (the output columns of `pivot` depend on
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
    /// Number of required arguments.
    pub required: usize,
    /// The last parameter may be repeated. Named arguments that match no parameter (`return_unmatched = true`, `step1 = (…)`) also count as
    /// repetitions.
    pub repeats: bool,
    /// The output columns depend on the rows: `Call::rows` is required, unless the query declares the columns (`: (a:long)`) .
    pub needs_rows: bool,
    pub bind: fn(Call) -> Result<Bound, PluginError>,
    /// A query and the value of its last row's last cell as formatted by `tostring`; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A parameter; an argument may be passed by this name (`columnsConflict = "keep_source"`).
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
    /// A column of the preceding table argument, or a constant.
    TableColumn,
    /// An expression, or a table: the second input of the operator.
    ExprOrTable,
}

/// A bound argument.
#[derive(Debug)]
pub enum Argument {
    /// Also used for `TableColumn`. `name` is the given name (`name = …`), otherwise the column's, otherwise empty.
    Expr {
        expr: Expr,
        name: String,
    },
    Const(Value),
    /// `name` is the default column name in `summarize`.
    Aggregate {
        call: AggregateCall,
        name: String,
    },
    Table(Vec<Field>),
}

pub struct Call<'a> {
    /// By position; `None` if omitted.
    pub args: &'a [Option<Argument>],
    pub input: &'a [Field],
    /// The rows of the input, columns named by id.
    pub rows: Option<&'a [RecordBatch]>,
    /// The columns declared in the query after `:`.
    pub schema: Option<&'a [(String, Type)]>,
    /// `: (*, a:long)`: the input's columns come first.
    pub schema_star: bool,
    /// Creates a new column id.
    pub fresh: &'a mut dyn FnMut() -> ColumnId,
    pub runtime: Runtime,
}

impl<'a> Call<'a> {
    /// Argument `index`, if present.
    pub fn arg(&self, index: usize) -> Option<&'a Argument> {
        self.args.get(index).and_then(|arg| arg.as_ref())
    }
}

/// A bound call: an operator and its output columns.
#[derive(Debug)]
pub struct Bound {
    pub op: Box<dyn TableOp>,
    pub fields: Vec<Field>,
}

/// Why a call does not match; the binder adds the name and the location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// An error in argument `index`.
    #[error("argument {}: {message}", index + 1)]
    Argument { index: usize, message: String },
    #[error("{0}")]
    Columns(String),
}

/// Finds the plug-in `name`.
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
