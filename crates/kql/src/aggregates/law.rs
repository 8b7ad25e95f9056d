//! Property test of [`Groups`] for all aggregates: input may be split anywhere, each part aggregated separately and its state emitted in
//! pieces, and the merged result is the same. It tests independence of the split only, not the result itself.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringViewArray, make_comparator};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::i256;
use model::Type;

use super::cells::decimals;
use super::{AggregateFn, Emit, Groups, Start, all};
use crate::Value;
use crate::functions::{Arg, Signature};

/// xorshift64*: the same rows in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Few distinct values, so that duplicates occur; one in six is null.
fn column(ty: Type, rows: usize, random: &mut Random) -> ArrayRef {
    let mut draw = || (random.below(6) > 0).then(|| random.below(7));
    let picks: Vec<Option<usize>> = (0..rows).map(|_| draw()).collect();
    let longs = || picks.iter().map(|pick| pick.map(|n| n as i64 * 37 - 3));
    match ty {
        Type::Bool => Arc::new(picks.iter().map(|pick| pick.map(|n| n % 2 == 0)).collect::<BooleanArray>()),
        Type::Int => Arc::new(picks.iter().map(|pick| pick.map(|n| n as i32 - 3)).collect::<Int32Array>()),
        Type::Long | Type::Timespan | Type::Datetime => Arc::new(longs().collect::<Int64Array>()),
        Type::Real => Arc::new(picks.iter().map(|pick| pick.map(|n| n as f64 * 0.75 - 2.0)).collect::<Float64Array>()),
        Type::Decimal => Arc::new(decimals(longs().map(|n| n.map(|n| i256::from_i128(i128::from(n) * 10i128.pow(30)))).collect())),
        Type::String => Arc::new(StringViewArray::from_iter_values(
            picks.iter().map(|pick| ["", "a", "b\"", "é", "long enough not to be inlined", "0", "z"][pick.unwrap_or(0)]),
        )),
        Type::Guid => {
            Arc::new(picks.iter().map(|pick| pick.map(|n| format!("0000000{n}-0000-0000-0000-000000000000"))).collect::<StringViewArray>())
        }
        Type::Dynamic => Arc::new(
            picks
                .iter()
                .map(|pick| {
                    pick.map(|n| {
                        [r#"{"a":1}"#, r#"{"a":2,"b":[1,{"c":null}]}"#, "[1,2,[3]]", "\"x\"", "1.5", "[]", r#"{"b":{"d":"e"}}"#][n]
                    })
                })
                .collect::<StringViewArray>(),
        ),
    }
}

/// Possibly valid calls: types and constants of their arguments.
fn candidates() -> Vec<Vec<(Type, Option<Value>)>> {
    let three = || (Type::Long, Some(Value::Long(3)));
    let half = || (Type::Real, Some(Value::Real(50.0)));
    let mut calls = vec![vec![], vec![(Type::Bool, None)]];
    for ty in Type::ALL {
        calls.push(vec![(ty, None)]);
        calls.push(vec![(ty, None), (Type::Bool, None)]);
        calls.push(vec![(ty, None), three()]);
        calls.push(vec![(ty, None), (Type::Bool, None), three()]);
        calls.push(vec![(ty, None), half()]);
        calls.push(vec![(ty, None), (Type::Long, None), half()]);
        calls.push(vec![(ty, None), (Type::String, None)]);
        calls.push(vec![(ty, None), (ty, None)]);
        calls.push(vec![(ty, None), (ty, None), (Type::Bool, None)]);
    }
    calls
}

fn resolve(function: &AggregateFn, call: &[(Type, Option<Value>)]) -> Option<Type> {
    let args: Vec<Arg> = call.iter().map(|(ty, constant)| Arg { ty: *ty, constant: constant.as_ref() }).collect();
    let Signature::Custom(resolve) = function.signature else { panic!("`{}` has another kind of signature", function.name) };
    let resolved = resolve(&args).ok()?;
    // Only calls that need no cast: casts are inserted by the binder.
    resolved.args.iter().zip(call).all(|(want, (ty, _))| want == ty).then_some(resolved.returns)
}

fn slice(args: &[ArrayRef], from: usize, length: usize) -> Vec<ArrayRef> {
    args.iter().map(|array| array.slice(from, length)).collect()
}

fn together(parts: &[ArrayRef]) -> ArrayRef {
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
    concat(&parts).expect("parts of one column have one type")
}

fn same(a: &ArrayRef, b: &ArrayRef) -> bool {
    if let (Some(a), Some(b)) = (a.as_any().downcast_ref::<Float64Array>(), b.as_any().downcast_ref::<Float64Array>()) {
        // The last digits of floating-point sums depend on the order.
        return a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
                (a, b) => a.is_none() && b.is_none(),
            });
    }
    let compare = make_comparator(a, b, SortOptions::default()).expect("comparable columns");
    a.len() == b.len() && (0..a.len()).all(|row| compare(row, row).is_eq())
}

#[test]
fn results_do_not_depend_on_splits() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for function in all() {
        let mut tried = 0;
        for call in candidates() {
            let Some(returns) = resolve(function, &call) else { continue };
            tried += 1;
            let types: Vec<Type> = call.iter().map(|(ty, _)| *ty).collect();
            let constants: Vec<Option<Value>> = call.iter().map(|(_, constant)| constant.clone()).collect();
            let start = Start { types: &types, constants: &constants, returns };
            let fields = (function.state)(&start);
            let fresh = || (function.start)(&start).expect("the call resolved");
            for _ in 0..24 {
                let rows = random.below(40);
                let total = 1 + random.below(5);
                let groups: Vec<usize> = (0..rows).map(|_| random.below(total)).collect();
                let filter = (random.below(2) == 0)
                    .then(|| (0..rows).map(|_| (random.below(5) > 0).then_some(random.below(4) > 0)).collect::<BooleanArray>());
                let args: Vec<ArrayRef> = call
                    .iter()
                    .map(|(ty, constant)| match constant {
                        Some(Value::Long(n)) => Arc::new(Int64Array::from(vec![*n; rows])) as ArrayRef,
                        Some(Value::Real(x)) => Arc::new(Float64Array::from(vec![*x; rows])),
                        _ => column(*ty, rows, &mut random),
                    })
                    .collect();

                let mut whole = fresh();
                whole.update(&args, &groups, filter.as_ref(), total);
                let expected = whole.evaluate(Emit::All);
                assert_eq!(expected.data_type(), &returns.arrow(), "{function:?} {types:?}");
                assert_eq!(expected.len(), total, "{function:?} {types:?}");

                let mut merged = fresh();
                let mut from = 0;
                while from < rows {
                    let length = 1 + random.below(rows - from);
                    let mut piece = fresh();
                    // A part may arrive in two batches, the first of which may not contain all groups.
                    let cut = random.below(length + 1);
                    for (at, length) in [(from, cut), (from + cut, length - cut)] {
                        let filter = filter.as_ref().map(|filter| filter.slice(at, length));
                        let seen = groups[..at + length].iter().max().map_or(0, |most| most + 1);
                        piece.update(&slice(&args, at, length), &groups[at..at + length], filter.as_ref(), seen);
                    }
                    let known = groups[..from + length].iter().max().map_or(0, |most| most + 1);
                    emit_into(piece, known, &mut *merged, total, &fields, &mut random);
                    from += length;
                }
                // All groups exist even without rows.
                merged.update(&slice(&args, 0, 0), &[], filter.as_ref().map(|filter| filter.slice(0, 0)).as_ref(), total);
                let first = random.below(total + 1);
                let got = together(&[merged.evaluate(Emit::First(first)), merged.evaluate(Emit::All)]);
                assert!(
                    same(&expected, &got),
                    "{function:?} {types:?}\n{args:?}\n{groups:?}\n{filter:?}\nwhole {expected:?}\nmerged {got:?}"
                );
            }
        }
        assert!(tried > 0, "no call of `{}` was tried", function.name);
    }
}

/// Emits the state of `piece` into `merged`, the first groups separately.
fn emit_into(
    mut piece: Box<dyn Groups>,
    known: usize,
    merged: &mut dyn Groups,
    total: usize,
    fields: &[arrow::datatypes::DataType],
    random: &mut Random,
) {
    let first = random.below(known + 1);
    for (which, from, until) in [(Emit::First(first), 0, first), (Emit::All, first, known)] {
        let state = piece.state(which);
        assert_eq!(state.iter().map(|column| column.data_type().clone()).collect::<Vec<_>>(), fields);
        let groups: Vec<usize> = (from..until).collect();
        assert!(state.iter().all(|column| column.len() == groups.len()));
        merged.merge(&state, &groups, total);
    }
    assert!(piece.size() < 1 << 20);
}
