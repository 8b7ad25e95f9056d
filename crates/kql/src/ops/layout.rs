//! Builds an operator's output batches from passed-through columns and its own columns, found by id. Columns pruned by the engine are
//! omitted.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field as ArrowField, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::{EvalError, Evaluator, Runtime};
use crate::Value;
use crate::plan::{ColumnId, Expr, Field};

/// Approximate number of rows per batch.
pub const BATCH_ROWS: usize = 8192;

pub struct Layout {
    schema: SchemaRef,
    sources: Vec<Source>,
}

enum Source {
    /// The input's column of this name.
    Passed(String),
    /// The operator's own column with this index.
    Own(usize),
}

impl Layout {
    /// `own` are the ids of the operator's columns; all other outputs must be inputs.
    pub fn new(inputs: &[Field], outputs: &[Field], own: &[ColumnId]) -> Result<Self, EvalError> {
        let source = |field: &Field| match own.iter().position(|id| *id == field.id) {
            Some(at) => Ok(Source::Own(at)),
            None if inputs.iter().any(|input| input.id == field.id) => Ok(Source::Passed(field.id.to_string())),
            None => Err(EvalError::MissingColumn(field.id.to_string())),
        };
        Ok(Self { schema: schema(outputs), sources: outputs.iter().map(source).collect::<Result<_, _>>()? })
    }

    /// A batch of `rows` rows: passed-through columns of `input` (rows `picked`, or all), and `own` columns. Unused own columns may have
    /// any content.
    pub fn batch(
        &self,
        input: &RecordBatch,
        picked: Option<&UInt32Array>,
        own: &[ArrayRef],
        rows: usize,
    ) -> Result<RecordBatch, EvalError> {
        let column = |source: &Source| match source {
            Source::Own(at) => own.get(*at).cloned().ok_or_else(|| EvalError::Run("an operator left a column out".to_owned())),
            Source::Passed(name) => {
                let array = input.column_by_name(name).ok_or_else(|| EvalError::MissingColumn(name.clone()))?;
                match picked {
                    None => Ok(array.clone()),
                    Some(picked) => take(array, picked, None).map_err(run),
                }
            }
        };
        let columns = self.sources.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        build(self.schema.clone(), columns, rows)
    }
}

/// The Arrow schema of `fields`: names are ids, all are nullable.
pub fn schema(fields: &[Field]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|field| ArrowField::new(field.id.to_string(), field.ty.arrow(), true)).collect::<Vec<_>>()))
}

/// Builds a batch, which may have no columns.
pub fn build(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, EvalError> {
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows))).map_err(run)
}

/// Converts an Arrow error, which indicates a bug rather than bad data.
pub fn run(error: arrow::error::ArrowError) -> EvalError {
    EvalError::Run(error.to_string())
}

/// The value of a constant expression.
pub fn constant(expr: &Expr, runtime: &Runtime) -> Result<Value, EvalError> {
    Evaluator::new(expr, &[], runtime)?.constant().ok_or_else(|| EvalError::Run("a constant is needed here".to_owned()))
}

/// A constant row count; null and negative values are 0.
pub fn constant_count(expr: &Expr, runtime: &Runtime) -> Result<usize, EvalError> {
    Ok(constant(expr, runtime)?.as_i64().map_or(0, |n| usize::try_from(n).unwrap_or(0)))
}

/// Compiles several expressions over one input.
pub fn compile<'a>(exprs: impl IntoIterator<Item = &'a Expr>, inputs: &[Field], runtime: &Runtime) -> Result<Vec<Evaluator>, EvalError> {
    exprs.into_iter().map(|expr| Evaluator::new(expr, inputs, runtime)).collect()
}

/// One column per expression.
pub fn evaluate(evaluators: &[Evaluator], batch: &RecordBatch) -> Result<Vec<ArrayRef>, EvalError> {
    evaluators.iter().map(|evaluator| evaluator.eval(batch)).collect()
}
