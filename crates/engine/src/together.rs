//! Concatenates batches.

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::eval::EvalError;

use crate::unique::arrow_error;

/// All batches as one; `None` if there are none.
pub(crate) fn together(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, EvalError> {
    match batches {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, ..] if first.num_columns() == 0 => {
            let rows = batches.iter().map(RecordBatch::num_rows).sum();
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(first.schema(), vec![], &options).map(Some).map_err(arrow_error)
        }
        [first, ..] => arrow::compute::concat_batches(&first.schema(), batches).map(Some).map_err(arrow_error),
    }
}
