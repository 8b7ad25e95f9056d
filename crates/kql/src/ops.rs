//! Operators that DataFusion does not have: `mv-expand`, `parse`, `make-series`, `scan`, plug-ins. Each is one file: the binder builds the
//! operator, the engine wraps it in a plan node and feeds it batches.

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

/// A bound operator in a plan.
pub trait TableOp: fmt::Debug + Send + Sync + Any {
    /// The KQL name, such as `mv-expand`.
    fn name(&self) -> &'static str;

    /// All expressions evaluated over an input: they determine the columns needed and may contain subqueries.
    fn exprs(&self) -> Vec<&Expr>;

    /// The same operator with `f` applied to each expression, for example to replace subqueries by constants.
    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp>;

    /// True for output fields that are input fields passed through row by row (possibly repeated or dropped): a filter on them may be
    /// pushed down.
    fn passes(&self, field: ColumnId) -> bool {
        let _ = field;
        false
    }

    /// True for output fields that are input fields passed through unchanged, which may be pruned if unused above.
    fn hands_on(&self, field: ColumnId) -> bool {
        self.passes(field)
    }

    /// True if rows are processed independently, so that batches may run on several threads in any order.
    fn per_row(&self) -> bool;

    /// True if one row may produce very many: such an operator receives few rows at a time until its expansion is known.
    fn multiplies(&self) -> bool {
        false
    }

    /// True if rows must arrive in the `Rel::order` of the input, on a single thread.
    fn ordered(&self) -> bool {
        false
    }

    /// `outputs` are the fields of this relation, `inputs` those of each input.
    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError>;
}

/// A running operator. Its output batches have one column per output field, named by `ColumnId`, in the representation of
/// [`model::Type::arrow`].
pub trait OpState: Send {
    /// Processes one batch of input `input`; its columns are named by `ColumnId`. Inputs arrive one after another: all of 1 before 0 if
    /// there are two (build side first).
    fn push(&mut self, input: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError>;

    /// Signals the end of the input.
    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError>;

    /// Performs a part of [`Self::finish`]; returns true after the last part. Cancellation and memory are checked between parts. For
    /// operators with long or large output.
    fn finish_some(&mut self, out: &mut Vec<RecordBatch>) -> Result<bool, EvalError> {
        self.finish(out)?;
        Ok(true)
    }

    /// Bytes held, for memory accounting.
    fn size(&self) -> usize {
        0
    }

    /// Estimated peak memory of [`OpState::finish`] in bytes.
    fn peak(&self) -> usize {
        self.size()
    }
}
