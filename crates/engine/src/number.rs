//! Adds a row number column, for sorts that must be stable.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::eval::{EvalError, Runtime};
use kql::ops::{OpState, TableOp};
use kql::plan::{ColumnId, Expr, Field};

use crate::unique::arrow_error;
use crate::values::schema_of;

/// Passes all columns through and adds `place`.
#[derive(Clone, Debug)]
pub(crate) struct NumberOp {
    pub place: ColumnId,
}

impl TableOp for NumberOp {
    fn name(&self) -> &'static str {
        "place"
    }

    fn exprs(&self) -> Vec<&Expr> {
        Vec::new()
    }

    fn map_exprs(&self, _: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(self.clone())
    }

    fn passes(&self, field: ColumnId) -> bool {
        // Filtering does not change the relative order of rows.
        field != self.place
    }

    fn per_row(&self) -> bool {
        false
    }

    fn ordered(&self) -> bool {
        true
    }

    fn start(&self, _: &[Vec<Field>], outputs: &[Field], _: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        Ok(Box::new(Counting { place: self.place, outputs: outputs.to_vec(), next: 0 }))
    }
}

struct Counting {
    place: ColumnId,
    outputs: Vec<Field>,
    next: i64,
}

impl OpState for Counting {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let rows = batch.num_rows() as i64;
        let places: ArrayRef = Arc::new(Int64Array::from_iter_values(self.next..self.next + rows));
        self.next += rows;
        let columns = self.outputs.iter().map(|field| {
            if field.id == self.place {
                return Ok(places.clone());
            }
            batch.column_by_name(&field.id.to_string()).cloned().ok_or_else(|| EvalError::MissingColumn(field.id.to_string()))
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        out.push(RecordBatch::try_new_with_options(schema_of(&self.outputs), columns, &options).map_err(arrow_error)?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}
