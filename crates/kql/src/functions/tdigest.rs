//! `percentile_tdigest`, `percentiles_array_tdigest`, `rank_tdigest`, `percentrank_tdigest`, `merge_tdigest`, `tdigest_isvalid` — read and
//! merge results of the aggregate `tdigest`. See [`crate::aggregates::digest`]. Source of truth: the public KQL reference, one page each.

use model::Type;

use super::arrays::{dynamics, push_array};
use super::signatures::{as_is, count, type_argument, wants};
use super::{Arg, Args, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::aggregates::digest::Digest;
use crate::dynamic::{elements, push_value};

pub static FAMILY: Family = &[&PERCENTILE, &PERCENTILES, &RANK, &PERCENT_RANK, &MERGE, &IS_VALID];

static PERCENTILE: ScalarFn = ScalarFn {
    name: "percentile_tdigest",
    summary: "A percentile of the values behind a result of `tdigest`, in a type of your own if you name one",
    signature: Signature::Custom(|args| {
        count(args, 2, Some(3))?;
        leading(args)?;
        let returns = if args.len() > 2 { type_argument(&args[2], 2)? } else { Type::Dynamic };
        Ok(Resolved { args: [Type::Dynamic, Type::Real, Type::String][..args.len()].to_vec(), returns })
    }),
    examples: &[
        (r#"percentile_tdigest(dynamic([["long"],[1,2,3],[1,1,1]]), 50)"#, "2"),
        (r#"percentile_tdigest(dynamic([["long"],[1,2,3],[1,1,8]]), 50, typeof(real))"#, "3.0"),
        (r#"percentile_tdigest(dynamic("no digest"), 50)"#, ""),
    ],
    prepare: |prepare| {
        let returns = prepare.returns;
        Ok(kernel(move |args| {
            let values: Vec<Value> = (0..args.rows)
                .map(|row| {
                    let found = digest(args, row).zip(percentage(args.reals(1).get(row))).map(|(digest, p)| digest.percentile(p));
                    found.map_or(Value::null(returns), |value| value.cast(returns))
                })
                .collect();
            Value::array(&values, returns)
        }))
    },
    ..ScalarFn::DEFAULT
};

static PERCENTILES: ScalarFn = ScalarFn {
    name: "percentiles_array_tdigest",
    aliases: &["percentile_array_tdigest"],
    summary: "Several percentiles of the values behind a result of `tdigest`, as an array",
    signature: Signature::Custom(|args| {
        count(args, 2, None)?;
        leading(&args[..1])?;
        let list = args[1].ty == Type::Dynamic;
        let mut types = vec![Type::Dynamic];
        for (index, arg) in args.iter().enumerate().skip(1) {
            // A type may follow an array of percentages or a single percentage.
            if index == 2 && args.len() == 3 && arg.ty == Type::String {
                type_argument(arg, index)?;
                types.push(Type::String);
            } else if list && index == 1 {
                types.push(Type::Dynamic);
            } else if arg.ty.is_numeric() && !list {
                types.push(Type::Real);
            } else {
                return Err(wants(index, "a number from 0 to 100"));
            }
        }
        Ok(Resolved { args: types, returns: Type::Dynamic })
    }),
    examples: &[
        (r#"percentiles_array_tdigest(dynamic([["long"],[1,2,3],[1,1,1]]), 1, 99)"#, "[1,3]"),
        (r#"percentiles_array_tdigest(dynamic([["long"],[1,2,3],[1,1,1]]), dynamic([1,99]), typeof(real))"#, "[1.0,3.0]"),
    ],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            args.map_json(|row, out| {
                let digest = digest(args, row)?;
                let wanted = match types.get(2) {
                    Some(Type::String) => Type::parse(args.texts(2).get(row)),
                    _ => None,
                };
                let ranks: Vec<Option<f64>> = match types[1] {
                    Type::Dynamic => elements(args.texts(1).opt(row)?)?.map(|p| percentage(p.parse().ok())).collect(),
                    _ => (1..types.len())
                        .filter(|index| types[*index] == Type::Real)
                        .map(|index| percentage(args.reals(index).get(row)))
                        .collect(),
                };
                let texts: Vec<String> = ranks
                    .into_iter()
                    .map(|p| {
                        let value = p.map_or(Value::Null(Type::Dynamic), |p| digest.percentile(p));
                        let mut text = String::new();
                        push_value(&mut text, &wanted.map_or(value.clone(), |ty| value.cast(ty)));
                        text
                    })
                    .collect();
                push_array(out, texts.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static RANK: ScalarFn = ScalarFn {
    name: "rank_tdigest",
    summary: "How many of the values behind a result of `tdigest` are not greater than a value",
    signature: Signature::Custom(ranking),
    examples: &[(r#"rank_tdigest(dynamic([["long"],[1,2,3],[1,5,1]]), 2)"#, "6.0")],
    prepare: |prepare| {
        let ty = prepare.types[1];
        Ok(kernel(move |args| args.map_reals(|row| rank(args, row, ty).map(|(rank, _)| rank))))
    },
    ..ScalarFn::DEFAULT
};

static PERCENT_RANK: ScalarFn = ScalarFn {
    name: "percentrank_tdigest",
    summary: "What percentage of the values behind a result of `tdigest` is not greater than a value",
    signature: Signature::Custom(ranking),
    examples: &[(r#"percentrank_tdigest(dynamic([["long"],[1,2,3],[1,2,1]]), 2)"#, "75.0")],
    prepare: |prepare| {
        let ty = prepare.types[1];
        Ok(kernel(move |args| {
            args.map_reals(|row| rank(args, row, ty).filter(|(_, total)| *total > 0.0).map(|(rank, total)| rank * 100.0 / total))
        }))
    },
    ..ScalarFn::DEFAULT
};

static MERGE: ScalarFn = ScalarFn {
    name: "merge_tdigest",
    aliases: &["tdigest_merge"],
    summary: "Several results of `tdigest` as one; nulls are ignored",
    signature: Signature::Custom(|args| dynamics(args, 1)),
    examples: &[(r#"percentile_tdigest(merge_tdigest(dynamic([["long"],[1],[1]]), dynamic([["long"],[2,3],[1,1]])), 100)"#, "3")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let mut digests = (0..args.len()).filter_map(|index| Digest::from_json(args.texts(index).opt(row)?));
                let mut all = digests.next()?;
                digests.for_each(|digest| all.merge(&digest));
                all.settle();
                out.push_str(&all.to_json());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static IS_VALID: ScalarFn = ScalarFn {
    name: "tdigest_isvalid",
    summary: "True for a result of `tdigest`, and where a value is given, of values of its type",
    signature: Signature::Custom(|args| {
        count(args, 1, Some(2))?;
        leading(&args[..1])?;
        as_is(args, Type::Bool)
    }),
    examples: &[
        (r#"tdigest_isvalid(dynamic([["long"],[1],[1]]))"#, "True"),
        (r#"tdigest_isvalid(dynamic([["long"],[1],[1]]), 5)"#, "True"),
        (r#"tdigest_isvalid(dynamic([["long"],[1],[1]]), now())"#, "False"),
        ("tdigest_isvalid(dynamic([1]))", "False"),
    ],
    prepare: |prepare| {
        let ty = prepare.types.get(1).copied();
        Ok(kernel(move |args| {
            args.map_bools(|row| {
                Some(match ty {
                    None => digest(args, row).is_some(),
                    Some(ty) => rank(args, row, ty).is_some(),
                })
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// A digest, optionally followed by a percentage.
fn leading(args: &[Arg]) -> Result<(), SignatureError> {
    if args[0].ty != Type::Dynamic {
        return Err(wants(0, "what `tdigest` gives"));
    }
    match args.get(1) {
        Some(arg) if !arg.ty.is_numeric() && arg.ty != Type::Dynamic => Err(wants(1, "a number from 0 to 100")),
        _ => Ok(()),
    }
}

fn ranking(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 2, Some(2))?;
    leading(&args[..1])?;
    as_is(args, Type::Real)
}

fn digest(args: &Args, row: usize) -> Option<Digest> {
    Digest::from_json(args.texts(0).opt(row)?)
}

fn percentage(p: Option<f64>) -> Option<f64> {
    p.filter(|p| (0.0..=100.0).contains(p))
}

fn rank(args: &Args, row: usize, ty: Type) -> Option<(f64, f64)> {
    let column = &args.arrays[1];
    let value = Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty);
    let value = match value {
        Value::Decimal(d) => Value::Real(crate::value::decimal::to_f64(d)),
        Value::Dynamic(json) => crate::value::cast::from_dynamic(&json, Type::Real),
        other => other,
    };
    digest(args, row)?.rank(&value)
}
