//! `dcount`, `dcountif`, `hll`, `hll_if`, `hll_merge` — the approximate number of distinct values; see [`super::sketch`]. Nulls are
//! ignored.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Decimal256Type, Float64Type};
use model::Type;

use super::predicate::{self, present};
use super::sketch::{ACCURACY, Sketch, hash, precision};
use super::sum::widen;
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::Value;
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&DCOUNT, &DCOUNTIF, &HLL, &HLL_IF, &HLL_MERGE];

const DCOUNT: AggregateFn = AggregateFn {
    name: "dcount",
    summary: "The number of distinct values, estimated; exact for small sets",
    parameters: &["expr", "accuracy"],
    signature: Signature::Custom(|args| resolve(args, Type::Long)),
    naming: Naming::Prefix("dcount"),
    state,
    start: |start| sketches(start, true),
    examples: &[("datatable(x:long)[1, 2, 2, long(null)] | summarize dcount(x)", "2")],
    ..AggregateFn::DEFAULT
};

const DCOUNTIF: AggregateFn = AggregateFn {
    name: "dcountif",
    summary: "The number of distinct values of the rows for which a predicate is true, estimated",
    parameters: &["expr", "predicate", "accuracy"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, |args| resolve(args, Type::Long))),
    naming: Naming::Prefix("dcountif"),
    state: |start| predicate::state::<1>(start, state),
    start: |start| predicate::start::<1>(start, |start| sketches(start, true)),
    examples: &[("datatable(x:long)[1, 2, 2, 3] | summarize dcountif(x, x > 1)", "2")],
    ..DCOUNT
};

const HLL: AggregateFn = AggregateFn {
    name: "hll",
    summary: "The intermediate result of `dcount`, to be merged and read later",
    parameters: &["expr", "accuracy"],
    signature: Signature::Custom(|args| match args.first() {
        Some(Arg { ty: Type::Real | Type::Bool, .. }) => {
            Err(SignatureError::Type { index: 0, wants: "anything but a real or bool".into() })
        }
        _ => resolve(args, Type::Dynamic),
    }),
    naming: Naming::Prefix("hll"),
    start: |start| sketches(start, false),
    examples: &[("datatable(x:long)[1, 2, 2] | summarize dcount_hll(hll(x))", "2")],
    ..DCOUNT
};

const HLL_IF: AggregateFn = AggregateFn {
    name: "hll_if",
    summary: "The intermediate result of `dcountif`, to be merged and read later",
    parameters: &["expr", "predicate", "accuracy"],
    signature: Signature::Custom(|args| predicate::resolve::<1>(args, |args| resolve(args, Type::Dynamic))),
    naming: Naming::Prefix("hll_if"),
    start: |start| predicate::start::<1>(start, |start| sketches(start, false)),
    examples: &[],
    ..DCOUNTIF
};

const HLL_MERGE: AggregateFn = AggregateFn {
    name: "hll_merge",
    summary: "Several results of `hll` as one",
    parameters: &["hll"],
    signature: Signature::Custom(|args| {
        argument::count(args, 1, 1)?;
        argument::exactly(args, 0, Type::Dynamic)?;
        Ok(Resolved { args: vec![Type::Dynamic], returns: Type::Dynamic })
    }),
    naming: Naming::Prefix("hll_merge"),
    start: |_| Ok(Box::new(Merged { sketches: Sketches::new(None, false) })),
    examples: &[("datatable(k:long, x:long)[1,1, 1,2, 2,2] | summarize h = hll(x) by k | summarize dcount_hll(hll_merge(h))", "2")],
    ..DCOUNT
};

fn resolve(args: &[Arg], returns: Type) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 2)?;
    let mut types = vec![args[0].ty];
    if let Some(ty) = argument::constant_long(args, 1)? {
        if args[1].constant.and_then(Value::as_i64).and_then(precision).is_none() {
            return Err(SignatureError::Constant { index: 1, wants: "an accuracy from 0 to 4".into() });
        }
        types.push(ty);
    }
    Ok(Resolved { args: types, returns })
}

fn state(_: &Start) -> Vec<DataType> {
    vec![DataType::Binary]
}

fn sketches(start: &Start, count: bool) -> Result<Box<dyn Groups>, PrepareError> {
    let accuracy = start.constants.get(1).and_then(|constant| constant.as_ref()).and_then(Value::as_i64).unwrap_or(ACCURACY);
    let precision = precision(accuracy).ok_or_else(|| PrepareError::Constant(format!("accuracy {accuracy} is not one of 0 to 4")))?;
    Ok(Box::new(Sketches::new(Some(precision), count)))
}

struct Sketches {
    /// `None`: use the precision of the merged sketches.
    precision: Option<u8>,
    groups: Vec<Option<Sketch>>,
    bytes: usize,
    /// Return the count if true, the sketch otherwise.
    count: bool,
}

impl Sketches {
    fn new(precision: Option<u8>, count: bool) -> Self {
        Self { precision, groups: Vec::new(), bytes: 0, count }
    }

    fn change(&mut self, group: usize, precision: u8, change: impl FnOnce(&mut Sketch)) {
        let sketch = self.groups[group].get_or_insert_with(|| Sketch::new(precision));
        self.bytes -= sketch.size();
        change(sketch);
        self.bytes += sketch.size();
    }

    fn add_hashes(&mut self, rows: impl Iterator<Item = (usize, usize)>, hash: impl Fn(usize) -> u64) {
        let Some(precision) = self.precision else { return };
        for (row, group) in rows {
            let hash = hash(row);
            match &mut self.groups[group] {
                Some(sketch) if sketch.is_full() => sketch.add(hash),
                _ => self.change(group, precision, |sketch| sketch.add(hash)),
            }
        }
    }

    fn take(&mut self, which: Emit) -> Vec<Option<Sketch>> {
        let taken = which.take(&mut self.groups);
        self.bytes -= taken.iter().flatten().map(Sketch::size).sum::<usize>();
        taken
    }
}

impl Groups for Sketches {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.groups.resize(total, None);
        let array = &args[0];
        let rows = present(array, groups, filter);
        match array.data_type() {
            DataType::Utf8View => {
                let texts = array.as_string_view();
                self.add_hashes(rows, |row| hash(texts.value(row).as_bytes()));
            }
            DataType::Float64 => {
                let reals = array.as_primitive::<Float64Type>();
                // Adding 0 maps -0 to 0.
                self.add_hashes(rows, |row| hash(&(reals.value(row) + 0.0).to_bits().to_le_bytes()));
            }
            DataType::Decimal256(..) => {
                let decimals = array.as_primitive::<Decimal256Type>();
                self.add_hashes(rows, |row| hash(&decimals.value(row).to_le_bytes()));
            }
            DataType::Boolean => {
                let bools = array.as_boolean();
                self.add_hashes(rows, |row| hash(&[u8::from(bools.value(row))]));
            }
            _ => {
                let longs = widen(array);
                self.add_hashes(rows, |row| hash(&longs.value(row).to_le_bytes()));
            }
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.groups.resize(total, None);
        let sketches = state[0].as_binary::<i32>();
        for (row, group) in present(sketches, groups, None) {
            if let Some(sketch) = Sketch::from_bytes(sketches.value(row)) {
                match &mut self.groups[group] {
                    empty @ None => {
                        self.bytes += sketch.size();
                        *empty = Some(sketch);
                    }
                    Some(_) => self.change(group, 0, |mine| mine.merge(&sketch)),
                }
            }
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let taken = self.take(which);
        vec![Arc::new(taken.iter().map(|sketch| sketch.as_ref().map(Sketch::to_bytes)).collect::<BinaryArray>())]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let taken = self.take(which);
        if self.count {
            return Arc::new(Int64Array::from_iter_values(taken.iter().map(|sketch| sketch.as_ref().map_or(0, Sketch::count))));
        }
        Arc::new(taken.iter().map(|sketch| sketch.as_ref().map(Sketch::to_json)).collect::<StringViewArray>())
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Option<Sketch>>() + self.bytes
    }
}

/// For input that consists of sketches.
struct Merged {
    sketches: Sketches,
}

impl Groups for Merged {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        let texts = args[0].as_string_view();
        let (mut parts, mut owners) = (Vec::new(), Vec::new());
        for (row, group) in present(texts, groups, filter) {
            if let Some(sketch) = Sketch::from_json(texts.value(row)) {
                parts.push(sketch.to_bytes());
                owners.push(group);
            }
        }
        self.merge(&[Arc::new(BinaryArray::from_iter_values(parts))], &owners, total);
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.sketches.merge(state, groups, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        self.sketches.state(which)
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        self.sketches.evaluate(which)
    }

    fn size(&self) -> usize {
        self.sketches.size()
    }
}
