//! `top` during a scan: only the sort keys are read for all rows, the other columns only for the result.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

use arrow::array::UInt64Array;
use datafusion::common::Result;
use model::Type;

use super::column::{Memo, Program, Root};
use super::source::Passed;
use crate::internal::{fill, rank};

/// Maximum number of result rows for this strategy.
pub(crate) const MOST: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Top {
    pub keys: Vec<(Root, Type, SortOptions)>,
    pub count: usize,
}

/// The best rows so far: their positions and sort keys.
#[derive(Default)]
pub(crate) struct Best {
    /// Part and row index, comparable in table order.
    places: Vec<u64>,
    keys: Vec<ArrayRef>,
}

impl Best {
    /// Part and index of each row, best first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, u32)> {
        self.places.iter().map(|place| ((place >> 32) as usize, *place as u32))
    }

    pub(crate) fn size(&self) -> usize {
        self.places.capacity() * 8 + self.keys.iter().map(|key| key.get_array_memory_size()).sum::<usize>()
    }
}

impl Top {
    pub(crate) fn push(&self, best: &mut Best, program: &Program, part: usize, passed: &Passed, memo: &mut Memo) -> Result<()> {
        let mut keys = Vec::new();
        for (root, ty, options) in &self.keys {
            let array = program.eval(root, &passed.rows, memo)?.array()?;
            let array = if *ty == Type::String { fill(array) } else { array };
            if *ty == Type::Real {
                keys.push(rank(&array, options.nulls_first));
            }
            keys.push(array);
        }
        let rows = self.candidates(best, &keys, passed.rows.len);
        let place = |row: u32| (part as u64) << 32 | u64::from(passed.positions.at(row as usize));
        let new = match rows {
            None => Best { places: (0..passed.rows.len as u32).map(place).collect(), keys },
            Some(rows) if rows.is_empty() => return Ok(()),
            Some(rows) => {
                let keys = keys.iter().map(|key| Ok(take(key, &rows, None)?)).collect::<Result<_>>()?;
                Best { places: rows.values().iter().map(|row| place(*row)).collect(), keys }
            }
        };
        self.merge(best, new)
    }

    /// Rows that are not worse than the worst kept row by the first key; `None` if this cannot be decided.
    fn candidates(&self, best: &Best, keys: &[ArrayRef], rows: usize) -> Option<UInt32Array> {
        let (_, ty, options) = self.keys.first()?;
        if best.places.len() < self.count || *ty == Type::Real {
            return None;
        }
        let worst = best.keys.first()?.as_primitive_opt::<Int64Type>()?;
        let key = keys.first()?.as_primitive_opt::<Int64Type>()?;
        let last = worst.len().checked_sub(1)?;
        if worst.is_null(last) || key.null_count() > 0 {
            return None;
        }
        let worst = worst.value(last);
        let values = key.values();
        let found = (0..rows as u32).filter(|row| {
            let value = values[*row as usize];
            if options.descending { value >= worst } else { value <= worst }
        });
        Some(found.collect())
    }

    /// True if no row whose first key is `promise` or worse can enter the result.
    pub(crate) fn is_beaten(&self, best: &Best, promise: i64) -> bool {
        let Some(((_, ty, options), worst)) = self.keys.first().zip(best.keys.first()) else { return false };
        if best.places.len() < self.count || *ty == Type::Real {
            return false;
        }
        let last = best.places.len() - 1;
        let Some(worst) = worst.as_primitive_opt::<Int64Type>().filter(|worst| worst.is_valid(last)).map(|worst| worst.value(last)) else {
            return false;
        };
        if options.descending { promise < worst } else { promise > worst }
    }

    /// Merges two results.
    pub(crate) fn merge(&self, best: &mut Best, new: Best) -> Result<()> {
        // Without rows there are no key columns: a part in which no row passed, or a thread without rows.
        if new.places.is_empty() {
            return Ok(());
        }
        let mut all = new;
        if !best.places.is_empty() {
            let keys = best.keys.iter().zip(&all.keys).map(|(old, new)| Ok(concat(&[old, new])?)).collect::<Result<_>>()?;
            let mut places = std::mem::take(&mut best.places);
            places.extend(&all.places);
            all = Best { places, keys };
        }
        let mut columns = Vec::new();
        let mut at = 0;
        for (_, ty, options) in &self.keys {
            if *ty == Type::Real {
                columns
                    .push(SortColumn { values: all.keys[at].clone(), options: Some(SortOptions { descending: false, nulls_first: true }) });
                at += 1;
            }
            columns.push(SortColumn { values: all.keys[at].clone(), options: Some(*options) });
            at += 1;
        }
        // Ties are broken by table order.
        columns.push(SortColumn { values: Arc::new(UInt64Array::from(all.places.clone())), options: None });
        let order = lexsort_to_indices(&columns, Some(self.count))?;
        best.places = order.values().iter().map(|row| all.places[*row as usize]).collect();
        best.keys = all.keys.iter().map(|key| Ok(take(key, &order, None)?)).collect::<Result<_>>()?;
        Ok(())
    }
}

/// Reorders the rows of `batches`, located at `have`, to the order of `want`.
pub(crate) fn arrange(batches: &[RecordBatch], have: &[(usize, u32)], want: &[(usize, u32)]) -> Result<Option<RecordBatch>> {
    let Some(first) = batches.first() else { return Ok(None) };
    let all = arrow::compute::concat_batches(&first.schema(), batches)?;
    let places: std::collections::HashMap<(usize, u32), u32> = have.iter().enumerate().map(|(row, place)| (*place, row as u32)).collect();
    let order: UInt32Array = want.iter().filter_map(|place| places.get(place).copied()).collect();
    if all.num_columns() == 0 {
        return Ok(Some(all));
    }
    Ok(Some(arrow::compute::take_record_batch(&all, &order)?))
}
