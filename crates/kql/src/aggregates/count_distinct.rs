//! `count_distinct`, `count_distinctif` — the exact number of distinct values. Nulls are ignored.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::DataType;
use model::Type;

use super::distinct::{self, Distinct};
use super::predicate::{self, present};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument, json};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&COUNT_DISTINCT, &COUNT_DISTINCTIF];

const COUNT_DISTINCT: AggregateFn = AggregateFn {
    name: "count_distinct",
    summary: "The number of distinct values, exactly",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("count_distinct"),
    state,
    start,
    examples: &[("datatable(x:long)[1, 2, 2, long(null)] | summarize count_distinct(x)", "2")],
    ..AggregateFn::DEFAULT
};

const COUNT_DISTINCTIF: AggregateFn = AggregateFn {
    name: "count_distinctif",
    summary: "The number of distinct values of the rows for which a predicate is true, exactly",
    parameters: &["expr", "predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    naming: Naming::Prefix("count_distinctif"),
    state: |start| predicate::state::<1>(start, state),
    start: |start_with| predicate::start::<1>(start_with, start),
    examples: &[("datatable(x:long)[1, 2, 2, 3] | summarize count_distinctif(x, x > 1)", "2")],
    ..COUNT_DISTINCT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 1)?;
    Ok(Resolved { args: vec![args[0].ty], returns: Type::Long })
}

fn state(_: &Start) -> Vec<DataType> {
    vec![distinct::state_type()]
}

fn start(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Counts { ty: start.types[0], values: Distinct::default(), scratch: String::new() }))
}

struct Counts {
    ty: Type,
    values: Distinct,
    scratch: String,
}

impl Groups for Counts {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.values.resize(total);
        if let Some(texts) = args[0].as_string_view_opt() {
            // Strings are compared directly, other types as JSON.
            for (row, group) in present(&args[0], groups, filter) {
                self.values.add(group, texts.value(row));
            }
            return;
        }
        for (row, group) in present(&args[0], groups, filter) {
            self.scratch.clear();
            json::push_cell(&mut self.scratch, &args[0], row, self.ty);
            self.values.add(group, &self.scratch);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.values.resize(total);
        self.values.merge(&state[0], groups, usize::MAX);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.values.state(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(self.values.take(which).into_iter().map(|ids| ids.len() as i64)))
    }

    fn size(&self) -> usize {
        self.values.size()
    }
}
