//! `percentile`, `percentilew`, `percentiles_array`, `percentilesw_array` — by nearest rank: the result is one of the values. All values
//! are kept, so the result is exact, where Kusto's is an estimate. Nulls, and weights below 1, are ignored.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray, StringViewArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Decimal256Type, Field, Float64Type, Int32Type, Int64Type};
use model::Type;

use super::predicate::selected;
use super::sum::widen;
use super::{AggregateFn, Columns, Emit, Family, Groups, Naming, Start, argument, json};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};
use crate::{Value, dynamic};

pub static FAMILY: Family = &[&PERCENTILE, &PERCENTILES, &PERCENTILEW, &PERCENTILESW, &ARRAY, &ARRAY_W];

const PERCENTILE: AggregateFn = AggregateFn {
    name: "percentile",
    summary: "The value below which a percentage of the values lies",
    parameters: &["expr", "percentile"],
    signature: Signature::Custom(|args| resolve(args, 1)),
    naming: Naming::Percentile,
    columns: Columns::Percentiles { values: 1, each: "percentile" },
    state,
    start: |start| percentiles(start, 1),
    examples: &[
        ("datatable(x:long)[1, 2, 3] | summarize percentile(x, 50)", "2"),
        ("datatable(x:long)[] | summarize percentile(x, 50)", ""),
    ],
    ..AggregateFn::DEFAULT
};

const PERCENTILES: AggregateFn = AggregateFn { name: "percentiles", examples: &[], ..PERCENTILE };

const PERCENTILEW: AggregateFn = AggregateFn {
    name: "percentilew",
    summary: "The value below which a percentage of the values lies, each counted by its weight",
    parameters: &["expr", "weight", "percentile"],
    signature: Signature::Custom(|args| resolve(args, 2)),
    columns: Columns::Percentiles { values: 2, each: "percentilew" },
    start: |start| percentiles(start, 2),
    // The public KQL reference, page `percentilesw-aggregation-function`.
    examples: &[("datatable(n:long, x:long)[8,10, 6,20, 3,30, 1,40] | summarize percentilew(x, n, 75)", "20")],
    ..PERCENTILE
};

const PERCENTILESW: AggregateFn = AggregateFn { name: "percentilesw", examples: &[], ..PERCENTILEW };

const ARRAY: AggregateFn = AggregateFn {
    name: "percentiles_array",
    summary: "Several percentiles as a dynamic array",
    parameters: &["expr", "percentiles"],
    signature: Signature::Custom(|args| resolve_array(args, 1)),
    naming: Naming::Prefix("percentiles"),
    columns: Columns::One,
    examples: &[("datatable(x:long)[1, 2, 3] | summarize percentiles_array(x, 10, 90)", "[1,3]")],
    ..PERCENTILE
};

const ARRAY_W: AggregateFn = AggregateFn {
    name: "percentilesw_array",
    summary: "Several percentiles as a dynamic array, each value counted by its weight",
    parameters: &["expr", "weight", "percentiles"],
    signature: Signature::Custom(|args| resolve_array(args, 2)),
    naming: Naming::Prefix("percentiles"),
    columns: Columns::One,
    // The public KQL reference, page `percentilesw-aggregation-function`.
    examples: &[("datatable(n:long, x:long)[8,10, 6,20, 3,30, 1,40] | summarize percentilesw_array(x, n, 50, 75, 99.9)", "[20,20,40]")],
    ..PERCENTILEW
};

/// The value and, if there are two arguments, the weight.
fn resolve_values(args: &[Arg], values: usize) -> Result<Vec<Type>, SignatureError> {
    let mut types = vec![argument::summable(args, 0)?];
    if values == 2 {
        match args[1].ty {
            ty @ (Type::Int | Type::Long) => types.push(ty),
            _ => return Err(SignatureError::Type { index: 1, wants: "a whole number".into() }),
        }
    }
    Ok(types)
}

fn percentage(arg: &Arg, index: usize) -> Result<Type, SignatureError> {
    match arg.constant {
        Some(value) if arg.ty.is_numeric() && of_constant(value).is_some_and(|p| (0.0..=100.0).contains(&p)) => Ok(arg.ty),
        _ => Err(SignatureError::Constant { index, wants: "a number from 0 to 100".into() }),
    }
}

fn of_constant(value: &Value) -> Option<f64> {
    match value {
        Value::Decimal(d) => Some(crate::value::decimal::to_f64(*d)),
        _ => value.as_f64(),
    }
}

fn resolve(args: &[Arg], values: usize) -> Result<Resolved, SignatureError> {
    argument::count(args, values + 1, values + 1)?;
    let mut types = resolve_values(args, values)?;
    let returns = types[0];
    types.push(percentage(&args[values], values)?);
    Ok(Resolved { args: types, returns })
}

fn resolve_array(args: &[Arg], values: usize) -> Result<Resolved, SignatureError> {
    argument::count(args, values + 1, usize::MAX)?;
    let mut types = resolve_values(args, values)?;
    if let [only] = &args[values..]
        && only.ty == Type::Dynamic
    {
        if only.constant.is_none() {
            return Err(SignatureError::Constant { index: values, wants: "an array of numbers from 0 to 100".into() });
        }
        types.push(Type::Dynamic);
    } else {
        for (index, arg) in args.iter().enumerate().skip(values) {
            types.push(percentage(arg, index)?);
        }
    }
    Ok(Resolved { args: types, returns: Type::Dynamic })
}

/// Type of values in the state: `int` is stored as `long`.
fn value_type(ty: Type) -> DataType {
    argument::promoted(ty).arrow()
}

fn list_of(ty: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(ty, true))
}

fn state(start: &Start) -> Vec<DataType> {
    vec![DataType::List(list_of(value_type(start.types[0]))), DataType::List(list_of(DataType::Int64))]
}

fn percentiles(start: &Start, values: usize) -> Result<Box<dyn Groups>, PrepareError> {
    let mut ranks = Vec::new();
    for constant in start.constants.iter().skip(values).flatten() {
        match constant {
            Value::Dynamic(json) => {
                let elements =
                    dynamic::elements(json).ok_or_else(|| PrepareError::Constant(format!("`{json}` is no array of percentages")))?;
                for element in elements {
                    match element.parse::<f64>() {
                        Ok(p) if (0.0..=100.0).contains(&p) => ranks.push(p),
                        _ => return Err(PrepareError::Constant(format!("`{element}` is no percentage"))),
                    }
                }
            }
            other => ranks.extend(of_constant(other)),
        }
    }
    let ty = start.types[0];
    let array = start.returns == Type::Dynamic;
    if !array && ranks.len() != 1 {
        return Err(PrepareError::Constant("one percentage is needed".to_owned()));
    }
    let weighted = values == 2;
    Ok(match ty {
        Type::Real => Box::new(Values::<Float64Type> { ty, ranks, array, weighted, groups: Vec::new(), held: 0, compare: f64::total_cmp }),
        Type::Decimal => Box::new(Values::<Decimal256Type> { ty, ranks, array, weighted, groups: Vec::new(), held: 0, compare: Ord::cmp }),
        _ => Box::new(Values::<Int64Type> { ty, ranks, array, weighted, groups: Vec::new(), held: 0, compare: Ord::cmp }),
    })
}

struct Values<T: ArrowPrimitiveType> {
    ty: Type,
    ranks: Vec<f64>,
    /// Return all ranks as a dynamic array.
    array: bool,
    weighted: bool,
    groups: Vec<Vec<(T::Native, i64)>>,
    held: usize,
    compare: fn(&T::Native, &T::Native) -> Ordering,
}

impl<T: ArrowPrimitiveType> Values<T> {
    fn take(&mut self, which: Emit) -> Vec<Vec<(T::Native, i64)>> {
        let taken = which.take(&mut self.groups);
        self.held -= taken.iter().map(Vec::len).sum::<usize>();
        taken
    }

    fn typed(&self, values: PrimitiveArray<T>) -> PrimitiveArray<T> {
        values.with_data_type(value_type(self.ty))
    }
}

/// The value at each of `ranks`, by nearest rank.
fn at_ranks<N: Copy>(mut values: Vec<(N, i64)>, ranks: &[f64], compare: fn(&N, &N) -> Ordering) -> Vec<Option<N>> {
    values.sort_unstable_by(|a, b| compare(&a.0, &b.0));
    let total: i128 = values.iter().map(|(_, weight)| i128::from(*weight)).sum();
    let find = |p: f64| {
        let target = ((p * total as f64 / 100.0).ceil() as i128).max(1);
        let mut seen = 0;
        values
            .iter()
            .find(|(_, weight)| {
                seen += i128::from(*weight);
                seen >= target
            })
            .or(values.last())
            .map(|(value, _)| *value)
    };
    ranks.iter().map(|p| find(*p)).collect()
}

impl<T: ArrowPrimitiveType> Groups for Values<T> {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.groups.resize(total, Vec::new());
        let widened: ArrayRef = if self.ty == Type::Int { Arc::new(widen(&args[0])) } else { args[0].clone() };
        let values = widened.as_primitive::<T>();
        let weights = self.weighted.then(|| widen(&args[1]));
        for (row, group) in selected(groups, filter) {
            let weight = match &weights {
                Some(weights) if weights.is_null(row) => 0,
                Some(weights) => weights.value(row),
                None => 1,
            };
            if values.is_valid(row) && weight > 0 {
                self.groups[group].push((values.value(row), weight));
                self.held += 1;
            }
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.groups.resize(total, Vec::new());
        let (values, weights) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        for (row, group) in groups.iter().enumerate() {
            let (values, weights) = (values.value(row), weights.value(row));
            let (values, weights) = (values.as_primitive::<T>(), weights.as_primitive::<Int64Type>());
            self.held += values.len();
            self.groups[*group].extend(values.values().iter().copied().zip(weights.values().iter().copied()));
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let taken = self.take(which);
        let mut end = 0usize;
        let ends = std::iter::once(0).chain(taken.iter().map(|values| {
            end += values.len();
            i32::try_from(end).unwrap_or(i32::MAX)
        }));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends.collect::<Vec<i32>>()));
        let values = self.typed(PrimitiveArray::<T>::from_iter_values(taken.iter().flatten().map(|(value, _)| *value)));
        let weights = PrimitiveArray::<Int64Type>::from_iter_values(taken.iter().flatten().map(|(_, weight)| *weight));
        vec![
            Arc::new(ListArray::new(list_of(values.data_type().clone()), offsets.clone(), Arc::new(values), None)),
            Arc::new(ListArray::new(list_of(DataType::Int64), offsets, Arc::new(weights), None)),
        ]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let taken = self.take(which);
        let answers: Vec<Vec<Option<T::Native>>> = taken.into_iter().map(|values| at_ranks(values, &self.ranks, self.compare)).collect();
        if !self.array {
            let values = self.typed(answers.into_iter().map(|found| found.into_iter().next().flatten()).collect::<PrimitiveArray<T>>());
            let values: ArrayRef = Arc::new(values);
            return match self.ty {
                // Lossless: each is one of the input ints.
                Type::Int => Arc::new(values.as_primitive::<Int64Type>().unary::<_, Int32Type>(|n| n as i32)),
                _ => values,
            };
        }
        let ty = argument::promoted(self.ty);
        let texts = answers.into_iter().map(|found| {
            let found: ArrayRef = Arc::new(self.typed(found.into_iter().collect::<PrimitiveArray<T>>()));
            let mut array = String::from("[");
            for row in 0..found.len() {
                if row > 0 {
                    array.push(',');
                }
                json::push_cell(&mut array, &found, row, ty);
            }
            array.push(']');
            array
        });
        Arc::new(StringViewArray::from_iter_values(texts))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Vec<(T::Native, i64)>>() + 2 * self.held * size_of::<(T::Native, i64)>()
    }
}
