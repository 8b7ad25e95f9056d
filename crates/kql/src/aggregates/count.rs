//! `count()`, `countif(predicate)` — the number of rows. Nulls are counted; a null predicate is false. Recorded from Microsoft's engine:
//! `count(x)` counts all rows regardless of `x`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use model::Type;

use super::predicate::{self, present, selected};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&COUNT, &COUNTIF];

static COUNT: AggregateFn = AggregateFn {
    name: "count",
    aliases: &["cnt"],
    summary: "Counts rows",
    signature: Signature::Custom(resolve_count),
    naming: Naming::Prefix("count"),
    state,
    start,
    examples: &[("datatable(x:long)[1, long(null), 3] | summarize count()", "3"), ("datatable(x:long)[] | summarize count()", "0")],
    ..AggregateFn::DEFAULT
};

static COUNTIF: AggregateFn = AggregateFn {
    name: "countif",
    summary: "Counts rows for which a predicate is true",
    parameters: &["predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<0>(args, resolve_nothing)),
    naming: Naming::Prefix("countif"),
    state,
    start: |start_with| predicate::start::<0>(start_with, start),
    examples: &[("datatable(x:long)[1, long(null), 3] | summarize countif(x > 0)", "2")],
    ..AggregateFn::DEFAULT
};

fn resolve_count(args: &[Arg]) -> Result<Resolved, SignatureError> {
    match args {
        [] => Ok(Resolved { args: vec![], returns: Type::Long }),
        [arg] => Ok(Resolved { args: vec![arg.ty], returns: Type::Long }),
        _ => Err(SignatureError::Count { least: 0, most: Some(1) }),
    }
}

fn resolve_nothing(args: &[Arg]) -> Result<Resolved, SignatureError> {
    if args.is_empty() {
        Ok(Resolved { args: vec![], returns: Type::Long })
    } else {
        Err(SignatureError::Count { least: 0, most: Some(0) })
    }
}

fn state(_: &Start) -> Vec<DataType> {
    vec![DataType::Int64]
}

fn start(_: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Count { counts: Vec::new() }))
}

struct Count {
    counts: Vec<i64>,
}

impl Groups for Count {
    fn update(&mut self, _: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.counts.resize(total, 0);
        for (_, group) in selected(groups, filter) {
            self.counts[group] += 1;
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.counts.resize(total, 0);
        let counts = state[0].as_primitive::<Int64Type>();
        for (row, group) in present(counts, groups, None) {
            self.counts[group] += counts.value(row);
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(Int64Array::from(which.take(&mut self.counts)))
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
