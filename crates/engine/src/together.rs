//! Batches put together, and how much memory they hold.
//!
//! Batches cut from one column share its buffers: each is counted once.

use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::eval::EvalError;

use crate::unique::arrow_error;

/// Bytes of batches that are kept.
#[derive(Default)]
pub(crate) struct Held {
    buffers: HashSet<usize>,
    bytes: usize,
}

impl Held {
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        for column in batch.columns() {
            match column.as_string_view_opt() {
                Some(texts) => {
                    self.bytes += texts.len() * size_of::<u128>();
                    for buffer in texts.data_buffers() {
                        if self.buffers.insert(buffer.as_ptr() as usize) {
                            self.bytes += buffer.len();
                        }
                    }
                }
                // A slice holds its own rows only: the rest is counted with the others that were cut from the same column.
                None => self.bytes += column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.buffers.capacity() * size_of::<usize>()
    }
}

/// All batches as one; nothing where there is none.
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
