//! `binary_all_and`, `binary_all_or`, `binary_all_xor` — bitwise aggregation of all values; null if there are none.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::DataType;
use model::Type;

use super::predicate::present;
use super::sum::widen;
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::functions::{Arg, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&AND, &OR, &XOR];

// Results of the examples: the public KQL reference, pages `binary-all-and-aggregation-function` and related.
const AND: AggregateFn = AggregateFn {
    name: "binary_all_and",
    summary: "Bits that are set in all values",
    parameters: &["expr"],
    signature: Signature::Custom(resolve),
    naming: Naming::Argument,
    state,
    start: |_| Ok(Box::new(Bits { fold: |a, b| a & b, bits: Vec::new() })),
    examples: &[("datatable(n:long)[0xFFFFFFFF, 0xFFFFF00F, 0xCFFFFFFD, 0xFAFEFFFF] | summarize tohex(binary_all_and(n))", "cafef00d")],
    ..AggregateFn::DEFAULT
};

static OR: AggregateFn = AggregateFn {
    name: "binary_all_or",
    summary: "Bits that are set in any value",
    start: |_| Ok(Box::new(Bits { fold: |a, b| a | b, bits: Vec::new() })),
    examples: &[("datatable(n:long)[0x88888008, 0x42000000, 0x00767000, 0x00000005] | summarize tohex(binary_all_or(n))", "cafef00d")],
    ..AND
};

static XOR: AggregateFn = AggregateFn {
    name: "binary_all_xor",
    summary: "Bits that are set in an odd number of values",
    start: |_| Ok(Box::new(Bits { fold: |a, b| a ^ b, bits: Vec::new() })),
    examples: &[("datatable(n:long)[0x44404440, 0x1E1E1E1E, 0x90ABBA09, 0x000B105A] | summarize tohex(binary_all_xor(n))", "cafef00d")],
    ..AND
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 1)?;
    match args[0].ty {
        ty @ (Type::Int | Type::Long) => Ok(Resolved { args: vec![ty], returns: Type::Long }),
        _ => Err(SignatureError::Type { index: 0, wants: "a whole number".into() }),
    }
}

fn state(_: &Start) -> Vec<DataType> {
    vec![DataType::Int64]
}

struct Bits {
    fold: fn(i64, i64) -> i64,
    bits: Vec<Option<i64>>,
}

impl Groups for Bits {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.bits.resize(total, None);
        let values = widen(&args[0]);
        for (row, group) in present(&values, groups, filter) {
            let new = values.value(row);
            self.bits[group] = Some(self.bits[group].map_or(new, |old| (self.fold)(old, new)));
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(state, groups, None, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        vec![self.evaluate(which)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(Int64Array::from(which.take(&mut self.bits)))
    }

    fn size(&self) -> usize {
        self.bits.capacity() * size_of::<Option<i64>>()
    }
}
