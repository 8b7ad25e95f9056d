//! `in`, `!in`, `in~`, `!in~`, `has_any`, `has_all`: membership in a list. An element of type `dynamic` is an array of elements, as for a
//! tabular right side.

use arrow::array::AsArray;
use hashbrown::HashSet;
use model::Type;

use super::cast::common;
use super::sieve::Sieve;
use super::terms::{Needle, Needles, Rule, fold_into, folded};
use super::{Arg, Args, Column, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic;
use crate::value::cast;

pub static FAMILY: Family = &[&IN, &NOT_IN, &IN_FOLDED, &NOT_IN_FOLDED, &HAS_ANY, &HAS_ALL];

macro_rules! membership {
    ($name:ident, $sign:literal, $folds:literal, $negated:literal, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $sign,
            summary: $summary,
            signature: Signature::Custom(if $folds { resolve_texts } else { resolve }),
            examples: &[$example],
            prepare: |prepare| compile(prepare, $folds, $negated),
            ..ScalarFn::DEFAULT
        };
    };
}

membership!(IN, "in", false, false, "True where the value is one of these", (r#""a" in ("a", "b")"#, "True"));
membership!(NOT_IN, "!in", false, true, "True where the value is none of these; null is none", (r#"3 !in (1, 2)"#, "True"));
membership!(IN_FOLDED, "in~", true, false, "As `in`, whatever the case", (r#""A" in~ ("a", "b")"#, "True"));
membership!(NOT_IN_FOLDED, "!in~", true, true, "As `!in`, whatever the case", (r#""A" !in~ ("a", "b")"#, "False"));

static HAS_ANY: ScalarFn = ScalarFn {
    name: "has_any",
    summary: "True where the text has one of these terms",
    signature: Signature::Custom(resolve_texts),
    examples: &[(r#""north carolina" has_any ("south", "North")"#, "True")],
    prepare: |prepare| terms(prepare, true),
    ..ScalarFn::DEFAULT
};

static HAS_ALL: ScalarFn = ScalarFn {
    name: "has_all",
    summary: "True where the text has all of these terms",
    signature: Signature::Custom(resolve_texts),
    examples: &[(r#""north carolina" has_all ("carolina", "North")"#, "True")],
    prepare: |prepare| terms(prepare, false),
    ..ScalarFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let [value, elements @ ..] = args else {
        return Err(SignatureError::Count { least: 1, most: None });
    };
    let plain = elements.iter().map(|arg| arg.ty).filter(|ty| *ty != Type::Dynamic);
    let ty = match common(std::iter::once(value.ty).chain(plain.clone())) {
        Some(ty) => ty,
        // As with `==`, types that are not directly comparable are converted to the value's type.
        None => match plain.clone().find(|ty| *ty != value.ty) {
            Some(other) if value.ty == Type::String || other == Type::String => value.ty,
            _ => return Err(SignatureError::Type { index: 1, wants: value.ty.name().into() }),
        },
    };
    let wants = |arg: &Arg| if arg.ty == Type::Dynamic { Type::Dynamic } else { ty };
    Ok(Resolved { args: std::iter::once(ty).chain(elements.iter().map(wants)).collect(), returns: Type::Bool })
}

fn resolve_texts(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let [value, elements @ ..] = args else {
        return Err(SignatureError::Count { least: 1, most: None });
    };
    if !matches!(value.ty, Type::String | Type::Dynamic) {
        return Err(SignatureError::Type { index: 0, wants: "string".into() });
    }
    let wants = |arg: &Arg| if arg.ty == Type::Dynamic { Type::Dynamic } else { Type::String };
    Ok(Resolved { args: std::iter::once(Type::String).chain(elements.iter().map(wants)).collect(), returns: Type::Bool })
}

/// The elements of one argument, converted to `ty`: the value itself, or those of an array.
fn expand(value: &Value, ty: Type, out: &mut Vec<Value>) {
    match value {
        Value::Dynamic(json) => match dynamic::elements(json) {
            Some(elements) => out.extend(elements.map(|element| cast::from_dynamic(element, ty))),
            None => out.push(cast::from_dynamic(json, ty)),
        },
        Value::Null(Type::Dynamic) => {}
        other => out.push(other.cast(ty)),
    }
}

/// The constant elements, and the non-constant arguments.
fn split(prepare: &Prepare, ty: Type) -> (Vec<Value>, Vec<usize>) {
    let (mut known, mut open) = (Vec::new(), Vec::new());
    for (index, constant) in prepare.constants.iter().enumerate().skip(1) {
        match constant {
            Some(value) => expand(value, ty, &mut known),
            None => open.push(index),
        }
    }
    (known, open)
}

/// The elements of the arguments in `open`, at `row`.
fn elements_at(args: &Args, types: &[Type], open: &[usize], row: usize, ty: Type) -> Vec<Value> {
    let mut found = Vec::new();
    for index in open {
        let column: &Column = &args.arrays[*index];
        let row = if column.is_scalar() { 0 } else { row };
        expand(&Value::from_cell(column.inner(), row, types[*index]), ty, &mut found);
    }
    found
}

enum Set {
    Texts(HashSet<String>),
    Folded(HashSet<String>),
    Longs(HashSet<i64>),
    Values(Vec<Value>),
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null(_), _) | (_, Value::Null(_)) => false,
        (Value::Dynamic(a), Value::Dynamic(b)) => dynamic::equal(a, b),
        _ => a == b,
    }
}

fn compile(prepare: &Prepare, folds: bool, negated: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    let Some(ty) = prepare.types.first().copied() else { return Err(PrepareError::Unsupported) };
    let (known, open) = split(prepare, ty);
    let types = prepare.types.to_vec();
    let set = match ty {
        Type::String if folds => Set::Folded(known.iter().filter_map(Value::as_str).map(folded).collect()),
        Type::String | Type::Guid => Set::Texts(known.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Type::Int | Type::Long | Type::Datetime | Type::Timespan => Set::Longs(known.iter().filter_map(Value::as_i64).collect()),
        _ => Set::Values(known),
    };
    Ok(kernel(move |args| {
        let rest = |row: usize| {
            !open.is_empty() && {
                let value = Value::from_cell(args.arrays[0].inner(), if args.arrays[0].is_scalar() { 0 } else { row }, ty);
                let elements = elements_at(args, &types, &open, row, ty);
                match (folds, value.as_str()) {
                    (true, Some(text)) => elements.iter().filter_map(Value::as_str).any(|e| super::terms::equal_folded(e, text)),
                    _ => elements.iter().any(|element| same(&value, element)),
                }
            }
        };
        match &set {
            Set::Texts(set) => {
                let value = args.texts(0);
                args.map_bools(|row| Some((value.opt(row).is_some_and(|text| set.contains(text)) || rest(row)) != negated))
            }
            Set::Folded(set) => {
                let value = args.texts(0);
                let mut scratch = String::new();
                args.map_bools(|row| {
                    scratch.clear();
                    fold_into(value.get(row), &mut scratch);
                    Some((set.contains(scratch.as_str()) || rest(row)) != negated)
                })
            }
            Set::Longs(set) if ty == Type::Int => {
                let value = args.ints(0);
                args.map_bools(|row| Some((value.get(row).is_some_and(|n| set.contains(&i64::from(n))) || rest(row)) != negated))
            }
            Set::Longs(set) => {
                let value = args.longs(0);
                args.map_bools(|row| Some((value.get(row).is_some_and(|n| set.contains(&n)) || rest(row)) != negated))
            }
            Set::Values(set) => args.map_bools(|row| {
                let value = Value::from_cell(args.arrays[0].inner(), if args.arrays[0].is_scalar() { 0 } else { row }, ty);
                Some((set.iter().any(|element| same(&value, element)) || rest(row)) != negated)
            }),
        }
    }))
}

fn terms(prepare: &Prepare, any: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    let (known, open) = split(prepare, Type::String);
    let types = prepare.types.to_vec();
    let known: Vec<String> = known.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let has = |hay: &str, element: &Value| element.as_str().is_some_and(|needle| Needle::new(needle, Rule::Has, false).matches(hay));
    Ok(if any {
        let needles = Needles::new(known.iter().map(String::as_str));
        let sieve = Sieve::new(&known.iter().map(String::as_str).collect::<Vec<_>>(), false).filter(|_| open.is_empty());
        kernel(move |args| {
            if let (Some(sieve), Column::Array(array)) = (&sieve, &args.arrays[0]) {
                return sieve.rows(array.as_string_view(), |hay| needles.any(hay));
            }
            let hay = args.texts(0);
            args.map_bools(|row| {
                let hay = hay.get(row);
                let open = || !open.is_empty() && elements_at(args, &types, &open, row, Type::String).iter().any(|e| has(hay, e));
                Some(needles.any(hay) || open())
            })
        })
    } else {
        let needles: Vec<Needle> = known.iter().map(|text| Needle::new(text, Rule::Has, false)).collect();
        kernel(move |args| {
            let hay = args.texts(0);
            args.map_bools(|row| {
                let hay = hay.get(row);
                let open = || open.is_empty() || elements_at(args, &types, &open, row, Type::String).iter().all(|e| has(hay, e));
                Some(needles.iter().all(|needle| needle.matches(hay)) && open())
            })
        })
    })
}
