//! `min`, `max`, `minif`, `maxif` — the least and greatest value; null if there are none. Nulls are ignored.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;

use super::cells::Cells;
use super::predicate::{self, selected};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&MIN, &MAX, &MINIF, &MAXIF];

static MIN: AggregateFn = AggregateFn {
    name: "min",
    summary: "The least value",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("min"),
    state,
    start: start_min,
    examples: &[("datatable(x:long)[3, long(null), 1] | summarize min(x)", "1"), ("datatable(x:long)[] | summarize min(x)", "")],
    ..AggregateFn::DEFAULT
};

static MAX: AggregateFn = AggregateFn {
    name: "max",
    summary: "The greatest value",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("max"),
    state,
    start: start_max,
    examples: &[("datatable(x:long)[3, long(null), 1] | summarize max(x)", "3"), ("datatable(s:string)['b', 'a'] | summarize max(s)", "b")],
    ..AggregateFn::DEFAULT
};

static MINIF: AggregateFn = AggregateFn {
    name: "minif",
    summary: "The least value of the rows for which a predicate is true",
    parameters: &["expr", "predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    naming: Naming::Prefix("minif"),
    state: |start| predicate::state::<1>(start, state),
    start: |start| predicate::start::<1>(start, start_min),
    examples: &[("datatable(x:long)[3, 2, 1] | summarize minif(x, x > 1)", "2")],
    ..AggregateFn::DEFAULT
};

static MAXIF: AggregateFn = AggregateFn {
    name: "maxif",
    summary: "The greatest value of the rows for which a predicate is true",
    parameters: &["expr", "predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    naming: Naming::Prefix("maxif"),
    state: |start| predicate::state::<1>(start, state),
    start: |start| predicate::start::<1>(start, start_max),
    examples: &[("datatable(x:long)[3, 2, 1] | summarize maxif(x, x < 3)", "2")],
    ..AggregateFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 1)?;
    let ty = argument::orderable(args, 0)?;
    Ok(Resolved { args: vec![ty], returns: ty })
}

fn state(start: &Start) -> Vec<DataType> {
    vec![start.types[0].arrow()]
}

fn start_min(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Extreme { want: Ordering::Less, best: Cells::new(start.types[0]) }))
}

fn start_max(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Extreme { want: Ordering::Greater, best: Cells::new(start.types[0]) }))
}

struct Extreme {
    want: Ordering,
    best: Cells,
}

impl Groups for Extreme {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.best.resize(total);
        self.best.keep(self.want, &args[0], selected(groups, filter), |_, _| {});
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(state, groups, None, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.best.take(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        self.best.take(which)
    }

    fn size(&self) -> usize {
        self.best.size()
    }
}
