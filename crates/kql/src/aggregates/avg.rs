//! `avg`, `avgif` — nulls are ignored; the average of no values is NaN, or null if the type has no NaN. Longs are summed as longs with
//! wrap-around: recorded from Microsoft's engine.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Decimal256Type, Float64Type, Int64Type, i256};
use model::Type;

use super::cells::decimals;
use super::predicate::{self, present};
use super::sum::widen;
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&AVG, &AVGIF];

static AVG: AggregateFn = AggregateFn {
    name: "avg",
    summary: "The average of the values",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("avg"),
    state,
    start,
    examples: &[("datatable(x:long)[3, long(null), 2] | summarize avg(x)", "2.5"), ("datatable(x:long)[] | summarize avg(x)", "NaN")],
    ..AggregateFn::DEFAULT
};

static AVGIF: AggregateFn = AggregateFn {
    name: "avgif",
    summary: "The average of the values for which a predicate is true",
    parameters: &["expr", "predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    naming: Naming::Prefix("avgif"),
    state: |start| predicate::state::<1>(start, state),
    start: |start_with| predicate::start::<1>(start_with, start),
    examples: &[("datatable(x:long)[3, 2, 1] | summarize avgif(x, x > 1)", "2.5")],
    ..AggregateFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 1)?;
    let ty = argument::summable(args, 0)?;
    let returns = if matches!(ty, Type::Int | Type::Long) { Type::Real } else { ty };
    Ok(Resolved { args: vec![ty], returns })
}

fn state(start: &Start) -> Vec<DataType> {
    match start.types[0] {
        // A sum of ticks needs more than 64 bits: stored as high and low half.
        Type::Datetime | Type::Timespan => vec![DataType::Int64, DataType::Int64, DataType::Int64],
        ty => vec![argument::promoted(ty).arrow(), DataType::Int64],
    }
}

fn start(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(match start.types[0] {
        Type::Real => Box::new(Average::<Reals>::default()),
        Type::Decimal => Box::new(Average::<Decimals>::default()),
        Type::Datetime | Type::Timespan => Box::new(Average::<Ticks>::default()),
        _ => Box::new(Average::<Longs>::default()),
    })
}

/// Sums for one type.
trait Sums: Default + Send {
    fn resize(&mut self, total: usize);
    /// Adds each entry to its group's sum and calls `count` for it.
    fn add(&mut self, array: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, count: impl FnMut(usize));
    fn merge(&mut self, state: &[ArrayRef], groups: &[usize]);
    fn state(&mut self, which: Emit) -> Vec<ArrayRef>;
    fn divide(&mut self, counts: &[i64], which: Emit) -> ArrayRef;
    fn size(&self) -> usize;
}

#[derive(Default)]
struct Average<S> {
    sums: S,
    counts: Vec<i64>,
}

impl<S: Sums> Groups for Average<S> {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.sums.resize(total);
        self.counts.resize(total, 0);
        let counts = &mut self.counts;
        self.sums.add(&args[0], groups, filter, |group| counts[group] += 1);
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.sums.resize(total);
        self.counts.resize(total, 0);
        let (counts, sums) = state.split_last().expect("the state ends with the counts");
        for (row, group) in groups.iter().enumerate() {
            self.counts[*group] += counts.as_primitive::<Int64Type>().value(row);
        }
        self.sums.merge(sums, groups);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let mut state = self.sums.state(which);
        state.push(Arc::new(Int64Array::from(which.take(&mut self.counts))));
        state
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let counts = which.take(&mut self.counts);
        self.sums.divide(&counts, which)
    }

    fn size(&self) -> usize {
        self.sums.size() + self.counts.capacity() * size_of::<i64>()
    }
}

#[derive(Default)]
struct Longs(Vec<i64>);

impl Sums for Longs {
    fn resize(&mut self, total: usize) {
        self.0.resize(total, 0);
    }

    fn add(&mut self, array: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, mut count: impl FnMut(usize)) {
        let values = widen(array);
        for (row, group) in present(&values, groups, filter) {
            self.0[group] = self.0[group].wrapping_add(values.value(row));
            count(group);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize]) {
        self.add(&state[0], groups, None, |_| {});
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(which.take(&mut self.0)))]
    }

    fn divide(&mut self, counts: &[i64], which: Emit) -> ArrayRef {
        // 0 / 0 gives the required NaN.
        Arc::new(Float64Array::from_iter_values(which.take(&mut self.0).into_iter().zip(counts).map(|(sum, n)| sum as f64 / *n as f64)))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }
}

#[derive(Default)]
struct Reals(Vec<f64>);

impl Sums for Reals {
    fn resize(&mut self, total: usize) {
        self.0.resize(total, 0.0);
    }

    fn add(&mut self, array: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, mut count: impl FnMut(usize)) {
        let values = array.as_primitive::<Float64Type>();
        for (row, group) in present(values, groups, filter) {
            self.0[group] += values.value(row);
            count(group);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize]) {
        self.add(&state[0], groups, None, |_| {});
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![Arc::new(Float64Array::from(which.take(&mut self.0)))]
    }

    fn divide(&mut self, counts: &[i64], which: Emit) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(which.take(&mut self.0).into_iter().zip(counts).map(|(sum, n)| sum / *n as f64)))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<f64>()
    }
}

/// `None` after an overflow.
#[derive(Default)]
struct Decimals(Vec<Option<i256>>);

impl Sums for Decimals {
    fn resize(&mut self, total: usize) {
        self.0.resize(total, Some(i256::ZERO));
    }

    fn add(&mut self, array: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, mut count: impl FnMut(usize)) {
        let values = array.as_primitive::<Decimal256Type>();
        for (row, group) in present(values, groups, filter) {
            self.0[group] = self.0[group].and_then(|sum| sum.checked_add(values.value(row)));
            count(group);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize]) {
        let sums = state[0].as_primitive::<Decimal256Type>();
        for (row, group) in groups.iter().enumerate() {
            let part = sums.is_valid(row).then(|| sums.value(row));
            self.0[*group] = self.0[*group].zip(part).and_then(|(sum, part)| sum.checked_add(part));
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![Arc::new(decimals(which.take(&mut self.0)))]
    }

    fn divide(&mut self, counts: &[i64], which: Emit) -> ArrayRef {
        let sums = which.take(&mut self.0);
        // Dividing a scaled sum by an unscaled count gives a scaled average.
        Arc::new(decimals(
            sums.into_iter().zip(counts).map(|(sum, n)| sum.and_then(|sum| sum.checked_div(i256::from_i128((*n).into())))).collect(),
        ))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<Option<i256>>()
    }
}

#[derive(Default)]
struct Ticks(Vec<i128>);

impl Sums for Ticks {
    fn resize(&mut self, total: usize) {
        self.0.resize(total, 0);
    }

    fn add(&mut self, array: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, mut count: impl FnMut(usize)) {
        let values = array.as_primitive::<Int64Type>();
        for (row, group) in present(values, groups, filter) {
            self.0[group] += i128::from(values.value(row));
            count(group);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize]) {
        let (high, low) = (state[0].as_primitive::<Int64Type>(), state[1].as_primitive::<Int64Type>());
        for (row, group) in groups.iter().enumerate() {
            self.0[*group] += i128::from(high.value(row)) << 64 | i128::from(low.value(row) as u64);
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let sums = which.take(&mut self.0);
        let high = Int64Array::from_iter_values(sums.iter().map(|sum| (sum >> 64) as i64));
        let low = Int64Array::from_iter_values(sums.iter().map(|sum| *sum as i64));
        vec![Arc::new(high), Arc::new(low)]
    }

    fn divide(&mut self, counts: &[i64], which: Emit) -> ArrayRef {
        let sums = which.take(&mut self.0);
        Arc::new(
            sums.into_iter().zip(counts).map(|(sum, n)| sum.checked_div(i128::from(*n)).map(|mean| mean as i64)).collect::<Int64Array>(),
        )
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<i128>()
    }
}
