//! `make_set`, `make_set_if` — the distinct values of the group as a dynamic array, in order of first appearance. Nulls are skipped;
//! dynamic arrays are flattened by one level.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::datatypes::DataType;
use model::Type;

use super::distinct::{self, Distinct};
use super::make_list::{MOST, MOST_OLD, limit, resolve};
use super::predicate::{self, selected};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, json};
use crate::dynamic;
use crate::functions::{PrepareError, Signature};

pub static FAMILY: Family = &[&MAKE_SET, &MAKESET, &MAKE_SET_IF];

const MAKE_SET: AggregateFn = AggregateFn {
    name: "make_set",
    summary: "The distinct values as a dynamic array",
    parameters: &["expr", "max_size"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("set"),
    state,
    start: |start| sets(start, MOST),
    // Recorded from Microsoft's engine.
    examples: &[
        ("datatable(i:int)[5, 3, 9, 3, int(null)] | summarize make_set(i)", "[5,3,9]"),
        ("datatable(v:long)[1, 2, 3] | summarize make_set(v, 2)", "[1,2]"),
        (r#"datatable(s:string)["", ""] | summarize make_set(s)"#, r#"[""]"#),
    ],
    ..AggregateFn::DEFAULT
};

const MAKESET: AggregateFn = AggregateFn { name: "makeset", start: |start| sets(start, MOST_OLD), examples: &[], ..MAKE_SET };

const MAKE_SET_IF: AggregateFn = AggregateFn {
    name: "make_set_if",
    summary: "The distinct values of the rows for which a predicate is true, as a dynamic array",
    parameters: &["expr", "predicate", "max_size"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    state: |start| predicate::state::<1>(start, state),
    start: |start| predicate::start::<1>(start, |start| sets(start, MOST)),
    examples: &[("datatable(x:long)[1, 2, 2] | summarize make_set_if(x, x > 1)", "[2]")],
    ..MAKE_SET
};

fn state(_: &Start) -> Vec<DataType> {
    vec![distinct::state_type()]
}

fn sets(start: &Start, most: usize) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Sets { ty: start.types[0], limit: limit(start, most), values: Distinct::default(), scratch: String::new() }))
}

/// Strings are kept raw, other types as JSON.
struct Sets {
    ty: Type,
    limit: usize,
    values: Distinct,
    scratch: String,
}

impl Groups for Sets {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.values.resize(total);
        let array = &args[0];
        if matches!(self.ty, Type::String | Type::Guid) {
            let texts = array.as_string_view();
            for (row, group) in selected(groups, filter) {
                if self.values.len(group) < self.limit && (texts.is_valid(row) || self.ty == Type::String) {
                    self.values.add(group, if texts.is_valid(row) { texts.value(row) } else { "" });
                }
            }
            return;
        }
        let Self { ty, limit, values, scratch } = self;
        for (row, group) in selected(groups, filter) {
            if values.len(group) >= *limit {
                continue;
            }
            json::for_each_part(array, row, *ty, scratch, |element| {
                if let Some(element) = element.filter(|element| *element != "null")
                    && values.len(group) < *limit
                {
                    values.add(group, element);
                }
            });
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.values.resize(total);
        self.values.merge(&state[0], groups, self.limit);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.values.state(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let quote = matches!(self.ty, Type::String | Type::Guid);
        let taken = self.values.take(which);
        let texts = taken.into_iter().map(|ids| {
            let mut array = String::from("[");
            for (at, id) in ids.into_iter().enumerate() {
                if at > 0 {
                    array.push(',');
                }
                match quote {
                    true => dynamic::push_string(&mut array, self.values.text(id)),
                    false => array.push_str(self.values.text(id)),
                }
            }
            array.push(']');
            array
        });
        Arc::new(StringViewArray::from_iter_values(texts))
    }

    fn size(&self) -> usize {
        self.values.size()
    }
}
