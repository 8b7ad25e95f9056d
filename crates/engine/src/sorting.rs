//! `sort` of all rows.
//!
//! Strings are compared by rank: the distinct values are few compared to the rows, and only they are sorted. Rows are first distributed by
//! the rank of the first key, then sorted within each bucket unless already in order, as rows in time order often are. The sort is stable.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use kql::eval::{EvalError, Evaluator, Runtime};
use kql::ops::held::Held;
use kql::ops::{OpState, TableOp};
use kql::plan::{ColumnId, Expr, Field, OrderKey};
use model::Type;

use crate::internal::{fill, rank};
use crate::together::together;
use crate::unique::arrow_error;

#[derive(Clone, Debug)]
pub(crate) struct SortOp {
    pub keys: Vec<OrderKey>,
}

impl TableOp for SortOp {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.keys.iter().map(|key| &key.expr).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { keys: self.keys.iter().map(|key| OrderKey { expr: f(&key.expr), ..key.clone() }).collect() })
    }

    fn passes(&self, _: ColumnId) -> bool {
        true
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], _: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let fields = inputs.first().map(Vec::as_slice).unwrap_or_default();
        let keys = self.keys.iter().map(|key| {
            let options = SortOptions { descending: !key.ascending, nulls_first: key.nulls_first };
            Ok((Evaluator::new(&key.expr, fields, runtime)?, key.expr.ty, options))
        });
        Ok(Box::new(Collect { keys: keys.collect::<Result<_, EvalError>>()?, batches: Vec::new(), held: Held::default() }))
    }
}

struct Collect {
    keys: Vec<(Evaluator, Type, SortOptions)>,
    batches: Vec<RecordBatch>,
    held: Held,
}

impl OpState for Collect {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        self.held.add(batch);
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let Some(whole) = together(&std::mem::take(&mut self.batches))? else { return Ok(()) };
        if u32::try_from(whole.num_rows()).is_err() {
            return Err(EvalError::Limit("more than 4 billion rows in one sort".to_owned()));
        }
        let mut columns = Vec::new();
        for (key, ty, options) in &self.keys {
            let values = key.eval(&whole)?;
            columns.push((if *ty == Type::String { fill(values) } else { values }, *ty, *options));
        }
        out.push(take_record_batch(&whole, &order(&columns, whole.num_rows())?).map_err(arrow_error)?);
        Ok(())
    }

    fn size(&self) -> usize {
        // The rows, plus a sorted copy.
        2 * self.held.bytes()
    }
}

/// The permutation that sorts the rows.
fn order(columns: &[(ArrayRef, Type, SortOptions)], rows: usize) -> Result<UInt32Array, EvalError> {
    let numbers: Option<Vec<Vec<u64>>> = columns.iter().map(|(values, ty, options)| numbers(values, *ty, *options)).collect();
    match numbers {
        Some(numbers) => Ok(by_numbers(&numbers, rows)),
        None => by_values(columns, rows),
    }
}

/// Maps the column to integers with the same order; `None` if there is no cheap mapping.
fn numbers(values: &ArrayRef, ty: Type, options: SortOptions) -> Option<Vec<u64>> {
    if values.null_count() > 0 {
        return None;
    }
    let mut numbers: Vec<u64> = match ty {
        Type::String | Type::Guid => ranks(values.as_string_view_opt()?)?,
        Type::Int => values.as_primitive_opt::<Int32Type>()?.values().iter().map(|n| signed(i64::from(*n))).collect(),
        Type::Long | Type::Datetime | Type::Timespan => {
            let longs: &Int64Array = values.as_primitive_opt::<Int64Type>()?;
            longs.values().iter().map(|n| signed(*n)).collect()
        }
        _ => return None,
    };
    if options.descending {
        match ty {
            // Ranks stay small, so that rows can be bucketed by them.
            Type::String | Type::Guid => {
                let most = numbers.iter().copied().max().unwrap_or(0);
                numbers.iter_mut().for_each(|number| *number = most - *number);
            }
            _ => numbers.iter_mut().for_each(|number| *number = !*number),
        }
    }
    Some(numbers)
}

fn signed(n: i64) -> u64 {
    (n as u64) ^ (1 << 63)
}

/// The rank of each text among the distinct values; `None` if there are too many.
fn ranks(texts: &StringViewArray) -> Option<Vec<u64>> {
    // Texts from one dictionary have equal views; equal texts from two dictionaries do not, and are given one rank below.
    let mut known: HashMap<u128, u32> = HashMap::new();
    let mut firsts: Vec<u32> = Vec::new();
    let most = texts.len() / 2 + 16;
    let mut ids = Vec::with_capacity(texts.len());
    for (row, view) in texts.views().iter().enumerate() {
        let next = firsts.len() as u32;
        let id = *known.entry(*view).or_insert(next);
        if id == next {
            if firsts.len() >= most {
                return None;
            }
            firsts.push(row as u32);
        }
        ids.push(id);
    }
    let text = |id: &u32| texts.value(firsts[*id as usize] as usize);
    let mut sorted: Vec<u32> = (0..firsts.len() as u32).collect();
    sorted.sort_unstable_by(|a, b| text(a).cmp(text(b)));
    let mut ranks = vec![0; firsts.len()];
    let mut rank = 0;
    for (at, id) in sorted.iter().enumerate() {
        if at > 0 && text(id) != text(&sorted[at - 1]) {
            rank += 1;
        }
        ranks[*id as usize] = rank;
    }
    Some(ids.into_iter().map(|id| ranks[id as usize]).collect())
}

fn by_numbers(keys: &[Vec<u64>], rows: usize) -> UInt32Array {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let Some((first, rest)) = keys.split_first() else { return order.into() };
    let most = first.iter().copied().max().unwrap_or(0);
    let compare = |keys: &[Vec<u64>], a: u32, b: u32| {
        keys.iter().map(|key| key[a as usize].cmp(&key[b as usize])).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    };
    if most >= rows as u64 {
        order.sort_by(|a, b| compare(keys, *a, *b));
        return order.into();
    }
    // Stable bucketing by the first key.
    let mut ends = vec![0usize; most as usize + 2];
    first.iter().for_each(|key| ends[*key as usize + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut next = ends.clone();
    for (row, key) in first.iter().enumerate() {
        let place = &mut next[*key as usize];
        order[*place] = row as u32;
        *place += 1;
    }
    if !rest.is_empty() {
        for pair in ends.windows(2) {
            let group = &mut order[pair[0]..pair[1]];
            if !group.is_sorted_by(|a, b| compare(rest, *a, *b) != Ordering::Greater) {
                group.sort_by(|a, b| compare(rest, *a, *b));
            }
        }
    }
    order.into()
}

fn by_values(columns: &[(ArrayRef, Type, SortOptions)], rows: usize) -> Result<UInt32Array, EvalError> {
    let mut all = Vec::new();
    for (values, ty, options) in columns {
        if *ty == Type::Real {
            let ranks = rank(values, options.nulls_first);
            all.push(SortColumn { values: ranks, options: Some(SortOptions { descending: false, nulls_first: true }) });
        }
        all.push(SortColumn { values: values.clone(), options: Some(*options) });
    }
    // The position in the input is the last sort key, so that the sort is stable.
    let places: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..rows as u32));
    all.push(SortColumn { values: places, options: None });
    lexsort_to_indices(&all, None).map_err(arrow_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: the order obtained by comparing the values.
    #[test]
    fn numbers_sort_like_their_values() {
        let rows = 5000u32;
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..rows).map(|n| match n % 13 {
            0 => String::new(),
            n => format!("a text that is long enough {}", n * 7 % 5),
        })));
        let unique: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..rows).map(|n| format!("{}", n * 7919 % rows))));
        let longs: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|n| i64::from(n * 31 % 97) - 40)));
        for descending in [true, false] {
            let options = SortOptions { descending, nulls_first: true };
            let other = SortOptions { descending: !descending, nulls_first: true };
            let text = |options| (texts.clone(), Type::String, options);
            let long = |options| (longs.clone(), Type::Long, options);
            let cases = [
                vec![text(options), long(other)],
                vec![long(options), text(options)],
                vec![(unique.clone(), Type::String, options)],
                vec![long(options)],
            ];
            for columns in cases {
                assert_eq!(order(&columns, rows as usize).unwrap(), by_values(&columns, rows as usize).unwrap());
            }
        }
    }
}
