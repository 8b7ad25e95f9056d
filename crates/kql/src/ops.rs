//! Operators that the engine does not have: `mv-expand`, `parse`, `make-series`, `scan`, plug-ins. Each is one file: the binder builds the
//! value, the engine wraps it in one node and feeds it batches.

use std::any::Any;
use std::fmt;

use arrow::record_batch::RecordBatch;

use crate::plan::{ColumnId, Expr, Field};

pub mod get_schema;
pub mod graph;
pub mod held;
mod keys;
mod layout;
pub mod make_series;
mod mining;
pub mod mv_expand;
pub mod parse;
pub mod parse_kv;
mod patterns;
pub mod plugins;
pub mod reduce;
pub mod sample;
pub mod scan;
#[cfg(test)]
mod tests;
pub mod top_hitters;
pub mod top_nested;
mod whole;

pub use crate::eval::{EvalError, Evaluator, Runtime};

/// A bound operator, as a value in the plan.
pub trait TableOp: fmt::Debug + Send + Sync + Any {
    /// As in KQL: `mv-expand`.
    fn name(&self) -> &'static str;

    /// All expressions it evaluates over each input: which columns it needs, and where subqueries stand.
    fn exprs(&self) -> Vec<&Expr>;

    /// The same operator with subqueries replaced by constants: `f` is applied to each expression.
    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp>;

    /// Output fields that are input fields passed on unchanged row by row (possibly repeated or dropped): a filter on them may run first.
    fn passes(&self, field: ColumnId) -> bool {
        let _ = field;
        false
    }

    /// Output fields that are input fields handed on unchanged, so that nobody misses them where nothing above reads them.
    fn hands_on(&self, field: ColumnId) -> bool {
        self.passes(field)
    }

    /// True when each row is handled by itself, so that batches may be run on several threads in any order.
    fn per_row(&self) -> bool;

    /// True when one row may become a million: such an operator is given few rows at a time until it is seen what becomes of them.
    fn multiplies(&self) -> bool {
        false
    }

    /// True when rows must come in `Rel::order` of the input, all on one thread.
    fn ordered(&self) -> bool {
        false
    }

    /// `outputs` are the fields of this relation, `inputs` those of each input.
    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError>;
}

/// A running operator. Batches that it gives have one column an output field, named by `ColumnId`, laid out as [`model::Type::arrow`].
pub trait OpState: Send {
    /// One batch of input `input`; its columns are named by `ColumnId`. Inputs come one after the other: all of 1 before 0 when there
    /// are two (build side first).
    fn push(&mut self, input: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError>;

    /// No more input.
    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError>;

    /// A piece of what [`Self::finish`] does, true when that was the last: between two of them a query can be stopped and its memory looked
    /// at. For operators whose answer may take long or be large.
    fn finish_some(&mut self, out: &mut Vec<RecordBatch>) -> Result<bool, EvalError> {
        self.finish(out)?;
        Ok(true)
    }

    /// Bytes held, for the memory limit.
    fn size(&self) -> usize {
        0
    }

    /// Bytes held and made at the worst moment of [`OpState::finish`], as far as can be told before.
    fn peak(&self) -> usize {
        self.size()
    }
}
