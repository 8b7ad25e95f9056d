//! `take_any(value)`, `take_anyif` — any value of the group; always the first here, so that results are reproducible. A non-null, non-empty
//! value is preferred, as the reference specifies for a single column. Over several columns it returns one record, nulls included: see
//! [`RECORD`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use model::Type;

use super::cells::Cells;
use super::predicate::{self, selected};
use super::{AggregateFn, Columns, Emit, Family, Groups, Naming, RECORD, Start, argument};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&TAKE_ANY, &ANY, &TAKE_ANYIF, &ANYIF, &TAKE_RECORD];

const TAKE_ANY: AggregateFn = AggregateFn {
    name: "take_any",
    summary: "Any value, or any record, of the group",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Argument,
    columns: Columns::Record,
    state,
    start: |start| Ok(Box::new(First::new(start.types[0], true))),
    examples: &[("datatable(x:long)[long(null), 7] | summarize take_any(x)", "7")],
    ..AggregateFn::DEFAULT
};

/// Deprecated name; its column is called `any_value`.
static ANY: AggregateFn = AggregateFn { name: "any", naming: Naming::Prefix("any"), examples: &[], ..TAKE_ANY };

const TAKE_ANYIF: AggregateFn = AggregateFn {
    name: "take_anyif",
    summary: "Any value of the rows for which a predicate is true",
    parameters: &["expr", "predicate"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    naming: Naming::Argument,
    state: |start| predicate::state::<1>(start, state),
    start: |start| predicate::start::<1>(start, |start| Ok(Box::new(First::new(start.types[0], true)))),
    examples: &[("datatable(x:long)[1, 7] | summarize take_anyif(x, x > 1)", "7")],
    ..AggregateFn::DEFAULT
};

static ANYIF: AggregateFn = AggregateFn { name: "anyif", naming: Naming::Prefix("anyif"), examples: &[], ..TAKE_ANYIF };

static TAKE_RECORD: AggregateFn = AggregateFn {
    name: RECORD,
    summary: "A column of one record of the group",
    signature: Signature::Custom(resolve),
    naming: Naming::Argument,
    state,
    start: start_record,
    ..AggregateFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 1)?;
    Ok(Resolved { args: vec![args[0].ty], returns: args[0].ty })
}

fn state(start: &Start) -> Vec<DataType> {
    vec![start.types[0].arrow(), DataType::Boolean]
}

fn start_record(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(First::new(start.types[0], false)))
}

struct First {
    value: Cells,
    seen: Vec<bool>,
    /// Replace a null or empty value by a later one.
    prefer_full: bool,
}

impl First {
    fn new(ty: Type, prefer_full: bool) -> Self {
        Self { value: Cells::new(ty), seen: Vec::new(), prefer_full }
    }
}

fn is_full(array: &dyn Array, row: usize) -> bool {
    array.is_valid(row) && array.as_string_view_opt().is_none_or(|texts| !texts.value(row).is_empty())
}

impl Groups for First {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.value.resize(total);
        self.seen.resize(total, false);
        let array = &args[0];
        for (row, group) in selected(groups, filter) {
            if !self.seen[group] || self.prefer_full && self.value.is_empty_at(group) && is_full(array, row) {
                self.seen[group] = true;
                self.value.set(group, array, row);
            }
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(&state[..1], groups, Some(state[1].as_boolean()), total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.value.take(which), Arc::new(BooleanArray::from(which.take(&mut self.seen)))]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        which.take(&mut self.seen);
        self.value.take(which)
    }

    fn size(&self) -> usize {
        self.value.size() + self.seen.capacity()
    }
}
