//! `sum`, `sumif` — nulls are ignored; the sum of no values is 0. Long overflow wraps, as in Microsoft's engine; decimal overflow gives
//! null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal256Type, Float64Type, Int64Type, i256};
use model::Type;

use super::cells::decimals;
use super::predicate::{self, present};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&SUM, &SUMIF];

static SUM: AggregateFn = AggregateFn {
    name: "sum",
    summary: "The sum of the values",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("sum"),
    state,
    start,
    examples: &[("datatable(x:long)[3, long(null), 1] | summarize sum(x)", "4"), ("datatable(x:real)[] | summarize sum(x)", "0.0")],
    ..AggregateFn::DEFAULT
};

static SUMIF: AggregateFn = AggregateFn {
    name: "sumif",
    summary: "The sum of the values for which a predicate is true",
    parameters: &["expr", "predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    naming: Naming::Prefix("sumif"),
    state: |start| predicate::state::<1>(start, state),
    start: |start_with| predicate::start::<1>(start_with, start),
    examples: &[("datatable(x:long)[3, 2, 1] | summarize sumif(x, x > 1)", "5")],
    ..AggregateFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 1)?;
    let ty = argument::summable(args, 0)?;
    Ok(Resolved { args: vec![ty], returns: argument::promoted(ty) })
}

fn state(start: &Start) -> Vec<DataType> {
    vec![argument::promoted(start.types[0]).arrow()]
}

fn start(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(match start.types[0] {
        Type::Real => Box::new(Reals { sums: Vec::new() }),
        Type::Decimal => Box::new(Decimals { sums: Vec::new() }),
        _ => Box::new(Longs { sums: Vec::new() }),
    })
}

/// Widens `int` to `long`; other 64-bit types are unchanged.
pub fn widen(array: &ArrayRef) -> Int64Array {
    match array.as_any().downcast_ref::<Int32Array>() {
        Some(ints) => ints.unary(i64::from),
        None => array.as_primitive::<Int64Type>().clone(),
    }
}

struct Longs {
    sums: Vec<i64>,
}

impl Groups for Longs {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.sums.resize(total, 0);
        let values = widen(&args[0]);
        for (row, group) in present(&values, groups, filter) {
            self.sums[group] = self.sums[group].wrapping_add(values.value(row));
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(state, groups, None, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(Int64Array::from(which.take(&mut self.sums)))
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i64>()
    }
}

struct Reals {
    sums: Vec<f64>,
}

impl Groups for Reals {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.sums.resize(total, 0.0);
        let values = args[0].as_primitive::<Float64Type>();
        for (row, group) in present(values, groups, filter) {
            self.sums[group] += values.value(row);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(state, groups, None, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(Float64Array::from(which.take(&mut self.sums)))
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<f64>()
    }
}

/// `None` after an overflow.
struct Decimals {
    sums: Vec<Option<i256>>,
}

impl Groups for Decimals {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.sums.resize(total, Some(i256::ZERO));
        let values = args[0].as_primitive::<Decimal256Type>();
        for (row, group) in present(values, groups, filter) {
            self.sums[group] = self.sums[group].and_then(|sum| sum.checked_add(values.value(row)));
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.sums.resize(total, Some(i256::ZERO));
        let sums = state[0].as_primitive::<Decimal256Type>();
        for (row, group) in groups.iter().enumerate() {
            let part = sums.is_valid(row).then(|| sums.value(row));
            self.sums[*group] = self.sums[*group].zip(part).and_then(|(sum, part)| sum.checked_add(part));
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(decimals(which.take(&mut self.sums)))
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Option<i256>>()
    }
}

/// Any summable column as reals; times as ticks.
pub fn reals(array: &ArrayRef) -> Float64Array {
    match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        DataType::Decimal256(..) => match cast(array, &DataType::Float64) {
            Ok(cast) => cast.as_primitive::<Float64Type>().clone(),
            Err(_) => Float64Array::new_null(array.len()),
        },
        _ => widen(array).unary(|n| n as f64),
    }
}
