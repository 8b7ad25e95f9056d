//! `make_bag`, `make_bag_if` — merges the properties of all bags of the group. The first of equal keys wins (recorded from Microsoft's
//! engine; unspecified by the reference). Values that are not bags are ignored.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringViewArray};
use arrow::datatypes::DataType;
use hashbrown::HashSet;
use model::Type;

use super::make_list::{MOST, limit};
use super::predicate::{self, present};
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::dynamic;
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&MAKE_BAG, &MAKE_DICTIONARY, &MAKE_BAG_IF];

const MAKE_BAG: AggregateFn = AggregateFn {
    name: "make_bag",
    summary: "The properties of all bags as one bag",
    parameters: &["expr", "max_size"],
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("bag"),
    state,
    start,
    // Recorded from Microsoft's engine.
    examples: &[(
        r#"datatable(v:dynamic)[dynamic({"a":1}), dynamic({"a":2,"b":3}), dynamic(null)] | summarize make_bag(v)"#,
        r#"{"a":1,"b":3}"#,
    )],
    ..AggregateFn::DEFAULT
};

const MAKE_DICTIONARY: AggregateFn =
    AggregateFn { name: "make_dictionary", naming: Naming::Prefix("dictionary"), examples: &[], ..MAKE_BAG };

const MAKE_BAG_IF: AggregateFn = AggregateFn {
    name: "make_bag_if",
    summary: "The properties of the bags for which a predicate is true, as one bag",
    parameters: &["expr", "predicate", "max_size"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, resolve)),
    state: |start| predicate::state::<1>(start, state),
    start: |start_with| predicate::start::<1>(start_with, start),
    examples: &[(r#"datatable(x:long)[1, 2] | summarize make_bag_if(bag_pack("x", x), x > 1)"#, r#"{"x":2}"#)],
    ..MAKE_BAG
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 2)?;
    if args[0].ty != Type::Dynamic {
        return Err(SignatureError::Type { index: 0, wants: "a dynamic".into() });
    }
    let mut types = vec![Type::Dynamic];
    types.extend(argument::constant_long(args, 1)?);
    Ok(Resolved { args: types, returns: Type::Dynamic })
}

fn state(_: &Start) -> Vec<DataType> {
    vec![DataType::Utf8View]
}

fn start(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Bags { limit: limit(start, MOST), bags: Vec::new(), bytes: 0 }))
}

struct Bags {
    limit: usize,
    bags: Vec<Bag>,
    bytes: usize,
}

/// Quoted keys, and the text between the braces.
#[derive(Clone, Default)]
struct Bag {
    keys: HashSet<Box<str>>,
    text: String,
    bytes: usize,
}

impl Bags {
    fn add(&mut self, group: usize, json: &str) {
        let bag = &mut self.bags[group];
        self.bytes -= bag.bytes;
        for (key, value) in dynamic::entries(json).into_iter().flatten() {
            if bag.keys.len() >= self.limit || bag.keys.contains(key) {
                continue;
            }
            bag.keys.insert(key.into());
            if !bag.text.is_empty() {
                bag.text.push(',');
            }
            bag.text.push_str(key);
            bag.text.push(':');
            bag.text.push_str(value);
            bag.bytes += 3 * key.len() + value.len() + size_of::<Box<str>>();
        }
        self.bytes += bag.bytes;
    }
}

impl Groups for Bags {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.bags.resize(total, Bag::default());
        let bags = args[0].as_string_view();
        for (row, group) in present(bags, groups, filter) {
            self.add(group, bags.value(row));
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(&state[..1], groups, None, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let taken = which.take(&mut self.bags);
        self.bytes -= taken.iter().map(|bag| bag.bytes).sum::<usize>();
        Arc::new(StringViewArray::from_iter_values(taken.into_iter().map(|bag| format!("{{{}}}", bag.text))))
    }

    fn size(&self) -> usize {
        self.bags.capacity() * size_of::<Bag>() + self.bytes
    }
}
