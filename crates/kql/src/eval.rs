//! Evaluates expressions over Arrow batches: for constant folding and inside operators of ours. The engine uses the same kernels.

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use model::Timestamp;

use crate::Value;
use crate::plan::{Expr, Field};

/// What a running query knows beyond its rows.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// What `now()` answers.
    pub now: Timestamp,
}

/// Why an expression or operator cannot run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvalError {
    #[error("`{function}`: {message}")]
    Prepare { function: &'static str, message: String },
    #[error("{0}")]
    Limit(String),
    #[error("column `{0}` is missing from a batch")]
    MissingColumn(String),
    #[error("{0}")]
    Run(String),
}

/// A compiled expression.
pub struct Evaluator {
    _private: (),
}

impl Evaluator {
    /// Compiles `expr`; its columns are found by id in batches whose columns are named by `ColumnId`.
    pub fn new(_expr: &Expr, _inputs: &[Field], _runtime: &Runtime) -> Result<Self, EvalError> {
        Ok(Self { _private: () })
    }

    /// One entry a row.
    pub fn eval(&self, _batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        Err(EvalError::Run("not wired".to_owned()))
    }
}

/// The value of an expression without columns, or nothing where it is not constant (`rand()`, subqueries).
pub fn fold(_expr: &Expr, _runtime: &Runtime) -> Option<Value> {
    None
}

/// `one[0]`, `rows` times.
pub fn repeat(one: &ArrayRef, rows: usize) -> ArrayRef {
    let indices = arrow::array::UInt32Array::from_value(0, rows);
    arrow::compute::take(one, &indices, None).expect("an index of 0 is within an array of length 1")
}
