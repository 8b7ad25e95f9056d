//! `iff`, `case`, `coalesce`, `max_of`, `min_of`, and the predicates for null and empty values. Source of truth: the public KQL reference,
//! one page each, and recorded results (`iff(null, …)` takes the second branch; `max_of` ignores nulls).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::{boolean, zip::zip};
use model::Type;

use super::signatures::{any_to, count, meeting, wants};
use super::{Arg, Args, Column, Family, Native, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::value::cells::Cells;

pub static FAMILY: Family =
    &[&IFF, &CASE, &COALESCE, &MAX_OF, &MIN_OF, &IS_NULL, &IS_NOT_NULL, &IS_EMPTY, &IS_NOT_EMPTY, &IS_NAN, &IS_INF, &IS_FINITE];

static IFF: ScalarFn = ScalarFn {
    name: "iff",
    aliases: &["iif"],
    summary: "The second argument where the first is true, otherwise the third",
    parameters: &["if", "then", "else"],
    signature: Signature::Custom(|args| {
        count(args, 3, Some(3))?;
        branches(args)
    }),
    examples: &[(r#"iff(1 > 2, "a", "b")"#, "b"), ("iff(bool(null), 1, 2)", "2")],
    prepare: |_| Ok(kernel(choose)),
    ..ScalarFn::DEFAULT
};

static CASE: ScalarFn = ScalarFn {
    name: "case",
    summary: "The value after the first condition that is true, otherwise the last argument",
    parameters: &["predicate", "then", "else"],
    signature: Signature::Custom(|args| {
        count(args, 3, None)?;
        if args.len().is_multiple_of(2) {
            return Err(SignatureError::Count { least: args.len() + 1, most: None });
        }
        branches(args)
    }),
    examples: &[(r#"case(1 > 2, "a", 2 > 1, "b", "c")"#, "b")],
    prepare: |_| Ok(kernel(choose)),
    ..ScalarFn::DEFAULT
};

/// The common type of the values of `iff`, `case` and `coalesce`. Recorded: int and long give long, a dynamic is converted to the type of
/// the others; everything else is rejected.
fn chosen(types: impl Iterator<Item = Type>) -> Option<Type> {
    types.map(Some).reduce(|a, b| match (a?, b?) {
        (a, b) if a == b => Some(a),
        (Type::Dynamic, other) | (other, Type::Dynamic) => Some(other),
        (Type::Int | Type::Long, Type::Int | Type::Long) => Some(Type::Long),
        _ => None,
    })?
}

/// The first argument whose type is incompatible with the previous ones.
fn odd_one<'a>(values: impl Iterator<Item = (usize, &'a Arg<'a>)> + Clone) -> SignatureError {
    let types: Vec<(usize, Type)> = values.map(|(index, arg)| (index, arg.ty)).collect();
    let odd = (1..types.len()).find(|end| chosen(types[..=*end].iter().map(|(_, ty)| *ty)).is_none()).unwrap_or(0);
    let before = types[..odd].iter().map(|(_, ty)| *ty).find(|ty| *ty != Type::Dynamic).unwrap_or(Type::Dynamic);
    SignatureError::Type {
        index: types.get(odd).map_or(0, |(index, _)| *index),
        wants: format!("a {before} as for the other values").into(),
    }
}

/// Conditions are at even indices except the last, values elsewhere.
fn branches(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let last = args.len() - 1;
    let is_condition = |index: usize| index % 2 == 0 && index != last;
    if let Some((index, _)) = args.iter().enumerate().find(|(index, arg)| is_condition(*index) && arg.ty != Type::Bool) {
        return Err(wants(index, "bool"));
    }
    let values = args.iter().enumerate().filter(|(index, _)| !is_condition(*index));
    let ty = chosen(values.clone().map(|(_, arg)| arg.ty)).ok_or_else(|| odd_one(values))?;
    Ok(Resolved { args: (0..args.len()).map(|index| if is_condition(index) { Type::Bool } else { ty }).collect(), returns: ty })
}

fn datum(column: &Column) -> Box<dyn Datum> {
    match column {
        Column::Array(array) => Box::new(array.clone()),
        Column::Scalar(one) => Box::new(Scalar::new(one.clone())),
    }
}

/// Selects `yes` where `mask` is true, `no` elsewhere.
fn pick(mask: &BooleanArray, yes: &Column, no: &Column) -> Column {
    match zip(mask, datum(yes).as_ref(), datum(no).as_ref()) {
        Ok(array) => Column::Array(array),
        Err(_) => no.clone(),
    }
}

fn full(column: Column, rows: usize) -> ArrayRef {
    match column {
        Column::Array(array) => array,
        Column::Scalar(one) => crate::eval::repeat(&one, rows),
    }
}

fn choose(args: &Args) -> ArrayRef {
    let last = args.len() - 1;
    let mut answer = args.arrays[last].clone();
    for index in (0..last).step_by(2).rev() {
        let mask = match &args.arrays[index] {
            Column::Array(array) => array.as_boolean().clone(),
            Column::Scalar(one) => {
                let one = one.as_boolean();
                if one.is_valid(0) && one.value(0) {
                    answer = args.arrays[index + 1].clone();
                }
                continue;
            }
        };
        answer = pick(&mask, &args.arrays[index + 1], &answer);
    }
    full(answer, args.rows)
}

static COALESCE: ScalarFn = ScalarFn {
    name: "coalesce",
    summary: "The first argument that is not null; of strings, the first that is not empty",
    parameters: &["value1", "value2"],
    signature: Signature::Custom(|args| {
        count(args, 2, None)?;
        // Recorded: the result is dynamic if any argument is.
        let ty = match args.iter().any(|arg| arg.ty == Type::Dynamic) {
            true => Type::Dynamic,
            false => chosen(args.iter().map(|arg| arg.ty)).ok_or_else(|| odd_one(args.iter().enumerate()))?,
        };
        Ok(Resolved { args: vec![ty; args.len()], returns: ty })
    }),
    examples: &[
        ("coalesce(int(null), 5, 7)", "5"),
        (r#"coalesce("", "b")"#, "b"),
        (r#"coalesce(tolong("not a number"), tolong("42"), 33)"#, "42"),
    ],
    prepare: |prepare| {
        let text = prepare.returns == Type::String;
        Ok(kernel(move |args| {
            let mut answer = args.arrays[args.len() - 1].clone();
            for column in args.arrays[..args.len() - 1].iter().rev() {
                let present = |array: &ArrayRef| -> BooleanArray {
                    if text {
                        BooleanArray::from_iter(array.as_string_view().iter().map(|t| Some(t.is_some_and(|t| !t.is_empty()))))
                    } else {
                        boolean::is_not_null(array).unwrap_or_else(|_| BooleanArray::from(vec![true; array.len()]))
                    }
                };
                match column {
                    Column::Array(array) => answer = pick(&present(array), column, &answer),
                    Column::Scalar(one) if present(one).value(0) => answer = column.clone(),
                    Column::Scalar(_) => {}
                }
            }
            full(answer, args.rows)
        }))
    },
    ..ScalarFn::DEFAULT
};

static MAX_OF: ScalarFn = ScalarFn {
    name: "max_of",
    summary: "The greatest argument; nulls are ignored",
    parameters: &["value1", "value2"],
    signature: Signature::Custom(orderable),
    examples: &[("max_of(10, 1, -3, 17)", "17"), ("max_of(1, long(null), 3)", "3")],
    prepare: |prepare| {
        let ty = prepare.returns;
        Ok(kernel(move |args| extreme(args, ty, std::cmp::Ordering::Greater)))
    },
    ..ScalarFn::DEFAULT
};

static MIN_OF: ScalarFn = ScalarFn {
    name: "min_of",
    summary: "The least argument; nulls are ignored",
    parameters: &["value1", "value2"],
    signature: Signature::Custom(orderable),
    examples: &[("min_of(10, 1, -3, 17)", "-3"), ("min_of(int(null), 5)", "5")],
    prepare: |prepare| {
        let ty = prepare.returns;
        Ok(kernel(move |args| extreme(args, ty, std::cmp::Ordering::Less)))
    },
    ..ScalarFn::DEFAULT
};

fn orderable(args: &[Arg]) -> Result<Resolved, SignatureError> {
    if let Some(index) = args.iter().position(|arg| matches!(arg.ty, Type::Dynamic | Type::Guid)) {
        return Err(wants(index, "number, timespan, datetime, string or boolean"));
    }
    meeting(args, 2)
}

fn extreme(args: &Args, ty: Type, better: std::cmp::Ordering) -> ArrayRef {
    let mut cells = Cells::new(ty, args.rows);
    for row in 0..args.rows {
        let mut best = Value::Null(ty);
        for column in args.arrays {
            let value = Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty);
            let order = match (&value, &best) {
                (Value::Null(_), _) => None,
                (_, Value::Null(_)) => Some(better),
                (Value::Real(a), Value::Real(b)) => a.partial_cmp(b),
                (Value::Decimal(a), Value::Decimal(b)) => a.partial_cmp(b),
                (Value::Bool(a), Value::Bool(b)) => a.partial_cmp(b),
                (Value::String(a), Value::String(b)) => a.partial_cmp(b),
                (a, b) => a.as_i64().partial_cmp(&b.as_i64()),
            };
            if order == Some(better) {
                best = value;
            }
        }
        cells.push(&best);
    }
    cells.finish()
}

/// Defines a predicate on an argument of any type.
macro_rules! question {
    ($name:ident, $call:literal, $aliases:expr, $summary:literal, $examples:expr, $native:expr, $ask:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            aliases: $aliases,
            summary: $summary,
            signature: Signature::Custom(any_to::<{ Type::Bool as u8 }>),
            examples: $examples,
            prepare: |prepare| {
                let ty = prepare.types[0];
                Ok(kernel(move |args| {
                    let (ask, array): (fn(&ArrayRef, usize, Type) -> bool, _) = ($ask, args.arrays[0].inner());
                    let scalar = args.arrays[0].is_scalar();
                    Arc::new(BooleanArray::from_iter((0..args.rows).map(|row| Some(ask(array, if scalar { 0 } else { row }, ty)))))
                }))
            },
            native: $native,
            ..ScalarFn::DEFAULT
        };
    };
}

fn null(array: &ArrayRef, row: usize, ty: Type) -> bool {
    ty != Type::String && array.is_null(row)
}

fn empty(array: &ArrayRef, row: usize, ty: Type) -> bool {
    match ty {
        Type::String => array.is_null(row) || array.as_string_view().value(row).is_empty(),
        Type::Dynamic => array.is_null(row) || array.as_string_view().value(row) == "\"\"",
        _ => array.is_null(row),
    }
}

question!(
    IS_NULL,
    "isnull",
    &[],
    "True where the value is null; a string never is",
    &[("isnull(int(null))", "True"), (r#"isnull("")"#, "False")],
    Native::IsNull,
    null
);
question!(
    IS_NOT_NULL,
    "isnotnull",
    &["notnull"],
    "True where the value is not null; a string always is not",
    &[("isnotnull(int(null))", "False")],
    Native::IsNotNull,
    |a, row, ty| !null(a, row, ty)
);
question!(
    IS_EMPTY,
    "isempty",
    &[],
    "True where the value is null or an empty string",
    &[(r#"isempty("")"#, "True"), ("isempty(int(null))", "True")],
    Native::None,
    empty
);
question!(
    IS_NOT_EMPTY,
    "isnotempty",
    &["notempty"],
    "True where the value is neither null nor an empty string",
    &[(r#"isnotempty("")"#, "False")],
    Native::None,
    |a, row, ty| !empty(a, row, ty)
);

macro_rules! real_question {
    ($name:ident, $call:literal, $summary:literal, $examples:expr, $ask:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: super::signatures::all(&[("number", Type::Real)], Type::Bool),
            examples: $examples,
            prepare: |_| {
                Ok(kernel(|args| {
                    let number = args.reals(0);
                    let ask: fn(f64) -> bool = $ask;
                    // A null is neither NaN nor infinite nor finite (recorded).
                    args.map_bools(|row| Some(number.get(row).is_some_and(ask)))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

real_question!(
    IS_NAN,
    "isnan",
    "True where the number is NaN",
    &[("isnan(0.0 / 0.0)", "True"), (r#"isnan(todouble("x"))"#, "False")],
    f64::is_nan
);
real_question!(IS_INF, "isinf", "True where the number is infinite", &[("isinf(1.0 / 0.0)", "True")], f64::is_infinite);
real_question!(
    IS_FINITE,
    "isfinite",
    "True where the number is finite",
    &[("isfinite(1.0)", "True"), ("isfinite(0.0 / 0.0)", "False")],
    f64::is_finite
);
