//! `tdigest`, `tdigest_merge` — the intermediate state of `percentiles`, which can be stored and merged; see [`super::digest`]. Nulls, and
//! weights below 1, are ignored.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringViewArray};
use arrow::datatypes::{DataType, Decimal256Type, Float64Type};
use model::Type;

use super::digest::Digest;
use super::predicate::present;
use super::sum::widen;
use super::{AggregateFn, Emit, Family, Groups, Naming, Start, argument};
use crate::functions::{Arg, Resolved, Signature, SignatureError};
use crate::value::decimal;

pub static FAMILY: Family = &[&TDIGEST, &MERGE];

const TDIGEST: AggregateFn = AggregateFn {
    name: "tdigest",
    summary: "The intermediate result of `percentiles`, to be merged and read later",
    signature: Signature::Custom(resolve),
    naming: Naming::Prefix("tdigest"),
    state: |_| vec![DataType::Binary],
    start: |start: &Start| Ok(Box::new(Digests { ty: start.types[0], merging: false, groups: Vec::new(), bytes: 0 })),
    examples: &[
        ("range x from 1 to 5 step 1 | summarize percentile_tdigest(tdigest(x), 50)", "3"),
        // The public KQL reference, page `tdigest-aggregation-function`.
        ("datatable(V:real, W:long)[1.0,1, 2.0,2] | summarize percentile_tdigest(tdigest(V, W), 50)", "2.0"),
        ("datatable(x:long)[] | summarize tdigest(x)", ""),
    ],
    ..AggregateFn::DEFAULT
};

const MERGE: AggregateFn = AggregateFn {
    name: "tdigest_merge",
    aliases: &["merge_tdigest"],
    summary: "Several results of `tdigest` as one",
    signature: Signature::Custom(|args| {
        argument::count(args, 1, 1)?;
        argument::exactly(args, 0, Type::Dynamic)?;
        Ok(Resolved { args: vec![Type::Dynamic], returns: Type::Dynamic })
    }),
    // The name given by Microsoft's parser.
    naming: Naming::Prefix("merge_tdigests"),
    start: |_| Ok(Box::new(Digests { ty: Type::Long, merging: true, groups: Vec::new(), bytes: 0 })),
    examples: &[(
        "datatable(k:long, x:long)[1,1, 1,2, 2,3] | summarize t = tdigest(x) by k | summarize percentile_tdigest(tdigest_merge(t), 100)",
        "3",
    )],
    ..TDIGEST
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 1, 2)?;
    let mut types = vec![argument::summable(args, 0)?];
    if let Some(weight) = args.get(1) {
        if !matches!(weight.ty, Type::Int | Type::Long) {
            return Err(SignatureError::Type { index: 1, wants: "a whole number".into() });
        }
        types.push(weight.ty);
    }
    Ok(Resolved { args: types, returns: Type::Dynamic })
}

struct Digests {
    ty: Type,
    /// The input consists of digests.
    merging: bool,
    groups: Vec<Option<Digest>>,
    bytes: usize,
}

impl Digests {
    fn change(&mut self, group: usize, change: impl FnOnce(&mut Digest)) {
        let ty = self.ty;
        let digest = self.groups[group].get_or_insert_with(|| Digest::new(ty));
        self.bytes -= digest.size();
        change(digest);
        self.bytes += digest.size();
    }

    fn take_in(&mut self, group: usize, other: Digest) {
        match &mut self.groups[group] {
            empty @ None => {
                self.bytes += other.size();
                *empty = Some(other);
            }
            Some(_) => self.change(group, |mine| mine.merge(&other)),
        }
    }

    fn take(&mut self, which: Emit) -> Vec<Option<Digest>> {
        let mut taken = which.take(&mut self.groups);
        for digest in taken.iter_mut().flatten() {
            self.bytes -= digest.size();
            digest.settle();
        }
        taken
    }
}

impl Groups for Digests {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.groups.resize(total, None);
        let array = &args[0];
        if self.merging {
            let texts = array.as_string_view();
            for (row, group) in present(texts, groups, filter) {
                if let Some(digest) = Digest::from_json(texts.value(row)) {
                    self.take_in(group, digest);
                }
            }
            return;
        }
        let weights = args.get(1).map(widen);
        let weight = |row: usize| match &weights {
            Some(weights) if weights.is_null(row) => 0,
            Some(weights) => weights.value(row),
            None => 1,
        };
        let rows = present(array, groups, filter).map(|(row, group)| (row, group, weight(row))).filter(|(_, _, weight)| *weight > 0);
        match self.ty {
            Type::Real => {
                let reals = array.as_primitive::<Float64Type>();
                rows.for_each(|(row, group, weight)| self.change(group, |digest| digest.add_real(reals.value(row), weight)));
            }
            Type::Decimal => {
                let decimals = array.as_primitive::<Decimal256Type>();
                rows.for_each(|(row, group, weight)| {
                    self.change(group, |digest| digest.add_real(decimal::to_f64(decimals.value(row)), weight));
                });
            }
            _ => {
                let longs = widen(array);
                rows.for_each(|(row, group, weight)| self.change(group, |digest| digest.add_whole(longs.value(row), weight)));
            }
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.groups.resize(total, None);
        let digests = state[0].as_binary::<i32>();
        for (row, group) in present(digests, groups, None) {
            if let Some(digest) = std::str::from_utf8(digests.value(row)).ok().and_then(Digest::from_json) {
                self.take_in(group, digest);
            }
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let taken = self.take(which);
        vec![Arc::new(taken.iter().map(|digest| digest.as_ref().map(|digest| digest.to_json().into_bytes())).collect::<BinaryArray>())]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        let taken = self.take(which);
        Arc::new(taken.iter().map(|digest| digest.as_ref().map(Digest::to_json)).collect::<StringViewArray>())
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Option<Digest>>() + self.bytes
    }
}
