//! Memory accounting of batches. Arrow arrays share buffers: a thousand slices of one batch hold that batch once, and a single row left by
//! a filter may keep a megabyte of text alive. Summing array sizes is wrong in both cases.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// Total bytes of the buffers of all arrays added, each buffer counted once. The arrays must be kept alive while counted.
#[derive(Default)]
pub struct Held {
    seen: HashSet<usize>,
    bytes: usize,
}

impl Held {
    /// Adds the buffers of a batch; returns the bytes that were new.
    pub fn add(&mut self, batch: &RecordBatch) -> usize {
        let before = self.bytes;
        batch.columns().iter().for_each(|column| self.add_array(column));
        self.bytes - before
    }

    pub fn add_array(&mut self, array: &ArrayRef) {
        self.add_data(&array.to_data());
    }

    fn add_data(&mut self, data: &ArrayData) {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        for buffer in data.buffers().iter().chain(nulls) {
            if self.seen.insert(buffer.data_ptr().as_ptr() as usize) {
                self.bytes += buffer.capacity();
            }
        }
        data.child_data().iter().for_each(|child| self.add_data(child));
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes of the values of a batch, excluding unused parts of shared buffers.
pub fn size_of_rows(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| size_of_values(column)).sum()
}

/// Bytes of the values of an array.
pub fn size_of_values(array: &ArrayRef) -> usize {
    match array.as_string_view_opt() {
        Some(texts) => texts.lengths().map(|length| length as usize).sum::<usize>() + 2 * array.len(),
        None => array.data_type().primitive_width().unwrap_or(1) * array.len(),
    }
}

/// Copies the rows to their own, minimal buffers.
pub fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().iter().map(copy).collect::<Result<_, _>>()?;
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn copy(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8View => Ok(Arc::new(array.as_string_view().gc())),
        // `concat` of a single array would return it unchanged.
        ty => concat(&[array.as_ref(), new_empty_array(ty).as_ref()]),
    }
}

/// Returns the batch, or a compact copy if it holds much more memory than its rows need.
pub fn compacted(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut held = Held::default();
    held.add(&batch);
    let needed = size_of_rows(&batch) + 16 * batch.num_rows() * batch.num_columns();
    if held.bytes() > 2 * needed + (64 << 10) { compact(&batch) } else { Ok(batch) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    fn batch(rows: usize) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..rows).map(|row| format!("a text of some length, {row}"))));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap()
    }

    #[test]
    fn slices_count_their_batch_once() {
        let whole = batch(10_000);
        let (mut once, mut sliced) = (Held::default(), Held::default());
        once.add(&whole);
        for start in (0..10_000).step_by(100) {
            sliced.add(&whole.slice(start, 100));
        }
        assert_eq!(once.bytes(), sliced.bytes());
        assert!(once.bytes() > 10_000 * 40, "{}", once.bytes());
    }

    #[test]
    fn remainder_of_a_large_batch_is_copied() {
        let left = batch(100_000).slice(99_990, 10);
        let small = compacted(left.clone()).unwrap();
        assert_eq!(left, small);
        let mut held = Held::default();
        held.add(&small);
        assert!(held.bytes() < 10_000, "{}", held.bytes());
    }
}
