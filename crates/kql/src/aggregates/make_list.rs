//! `make_list`, `make_list_if`, `make_list_with_nulls` — all values of the group as a dynamic array, in input order.
//!
//! Nulls are skipped, except in dynamic columns; dynamic arrays are flattened by one level. Both recorded from Microsoft's engine.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use model::Type;

use super::predicate::{self, selected};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument, json};
use crate::dynamic;
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&MAKE_LIST, &MAKELIST, &MAKE_LIST_IF, &WITH_NULLS];

/// Default and maximum size.
pub const MOST: usize = 1_048_576;
/// Default and maximum size of the deprecated `makelist` and `makeset`.
pub const MOST_OLD: usize = 128;

const MAKE_LIST: AggregateFn = AggregateFn {
    name: "make_list",
    summary: "All values as a dynamic array",
    parameters: &["expr", "max_size"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("list"),
    state,
    start: |start| lists(start, MOST, false),
    // Recorded from Microsoft's engine.
    examples: &[
        ("datatable(x:long)[5, 3, long(null), 9] | summarize make_list(x)", "[5,3,9]"),
        ("datatable(x:long)[] | summarize make_list(x)", "[]"),
        (r#"datatable(d:dynamic)[dynamic({"a":1}), dynamic([1,2])] | summarize make_list(d)"#, r#"[{"a":1},1,2]"#),
    ],
    ..AggregateFn::DEFAULT
};

const MAKELIST: AggregateFn = AggregateFn { name: "makelist", start: |start| lists(start, MOST_OLD, false), examples: &[], ..MAKE_LIST };

const MAKE_LIST_IF: AggregateFn = AggregateFn {
    name: "make_list_if",
    summary: "All values of the rows for which a predicate is true, as a dynamic array",
    parameters: &["expr", "predicate", "max_size"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    start: |start| predicate::start::<1>(start, |start| lists(start, MOST, false)),
    state: |start| predicate::state::<1>(start, state),
    examples: &[("datatable(x:long)[1, 2, 3] | summarize make_list_if(x, x > 1)", "[2,3]")],
    ..MAKE_LIST
};

const WITH_NULLS: AggregateFn = AggregateFn {
    name: "make_list_with_nulls",
    summary: "All values, nulls included, as a dynamic array",
    parameters: &["expr"],
    signature: Signature::Custom(|args| {
        argument::count(args, 1, 1)?;
        resolve(args)
    }),
    start: |start| lists(start, MOST, true),
    examples: &[("datatable(x:long)[5, long(null)] | summarize make_list_with_nulls(x)", "[5,null]")],
    ..MAKE_LIST
};

/// `(value, max size)`, of any type, returning dynamic.
pub fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 2)?;
    let mut types = vec![args[0].ty];
    types.extend(argument::constant_long(args, 1)?);
    Ok(Resolved { args: types, returns: Type::Dynamic })
}

/// The size given by the call, or `most`.
pub fn limit(start: &Start, most: usize) -> usize {
    match start.constants.get(1).and_then(|constant| constant.as_ref()).and_then(crate::Value::as_i64) {
        Some(size) => usize::try_from(size).unwrap_or(0).min(MOST),
        None => most,
    }
}

fn state(_: &Start) -> Vec<DataType> {
    vec![DataType::Utf8View, DataType::Int64]
}

fn lists(start: &Start, most: usize, nulls: bool) -> Result<Box<dyn Groups>, PrepareError> {
    let ty = start.types[0];
    Ok(Box::new(Lists {
        ty,
        limit: limit(start, most),
        nulls: nulls || ty == Type::Dynamic,
        lists: Vec::new(),
        bytes: 0,
        scratch: String::new(),
    }))
}

struct Lists {
    ty: Type,
    limit: usize,
    /// Include nulls.
    nulls: bool,
    lists: Vec<List>,
    bytes: usize,
    scratch: String,
}

/// Comma-separated elements, and their number.
#[derive(Clone, Default)]
struct List {
    text: String,
    length: usize,
}

impl List {
    /// Returns the number of bytes added.
    fn push(&mut self, element: &str) -> usize {
        let before = self.text.len();
        if self.length > 0 {
            self.text.push(',');
        }
        self.text.push_str(element);
        self.length += 1;
        self.text.len() - before
    }
}

impl Groups for Lists {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.lists.resize(total, List::default());
        let array = &args[0];
        for (row, group) in selected(groups, filter) {
            let list = &mut self.lists[group];
            if list.length >= self.limit || array.is_null(row) && !self.nulls {
                continue;
            }
            json::for_each_part(array, row, self.ty, &mut self.scratch, |element| {
                if list.length < self.limit {
                    self.bytes += list.push(element.unwrap_or("null"));
                }
            });
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.lists.resize(total, List::default());
        let (texts, lengths) = (state[0].as_string_view(), state[1].as_primitive::<Int64Type>());
        for (row, group) in groups.iter().enumerate() {
            let list = &mut self.lists[*group];
            let (text, length) = (texts.value(row), lengths.value(row) as usize);
            let room = self.limit - list.length;
            if length == 0 {
                continue;
            }
            if length <= room {
                self.bytes += list.push(text);
                list.length += length - 1;
            } else {
                let whole = format!("[{text}]");
                for element in dynamic::elements(&whole).into_iter().flatten().take(room) {
                    self.bytes += list.push(element);
                }
            }
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let lists = which.take(&mut self.lists);
        self.bytes -= lists.iter().map(|list| list.text.len()).sum::<usize>();
        let texts = StringViewArray::from_iter_values(lists.iter().map(|list| &list.text));
        vec![Arc::new(texts), Arc::new(Int64Array::from_iter_values(lists.iter().map(|list| list.length as i64)))]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let lists = which.take(&mut self.lists);
        self.bytes -= lists.iter().map(|list| list.text.len()).sum::<usize>();
        Arc::new(StringViewArray::from_iter_values(lists.into_iter().map(|list| format!("[{}]", list.text))))
    }

    fn size(&self) -> usize {
        // Accounts for unused capacity of strings, which grow by doubling.
        self.lists.capacity() * size_of::<List>() + 2 * self.bytes
    }
}
