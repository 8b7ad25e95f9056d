//! `== != < <= > >= between !between`.
//!
//! Kusto's null semantics differ from SQL: `null == null` is null, `null == x` is false, `null != x` is true; orderings with a null are
//! null (the public reference, page `null-values`). NaN equals nothing, not even itself.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::cmp;
use model::{Timestamp, Type};

use super::cast::wider;
use super::{Arg, Args, Column, Family, Kernel, Native, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic::{self, Kind};

pub static FAMILY: Family = &[&EQUAL, &NOT_EQUAL, &LESS, &LESS_OR_EQUAL, &GREATER, &GREATER_OR_EQUAL, &BETWEEN, &NOT_BETWEEN];

macro_rules! comparison {
    ($name:ident, $sign:literal, $summary:literal, $op:expr, $native:expr, $examples:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $sign,
            summary: $summary,
            signature: Signature::Custom(if matches!($op, Op::Equal | Op::NotEqual) { resolve_equality } else { resolve_order }),
            examples: $examples,
            prepare: |prepare| compile($op, prepare),
            native: $native,
            ..ScalarFn::DEFAULT
        };
    };
}

comparison!(EQUAL, "==", "True where both are the same", Op::Equal, Native::Equal, &[("1 == 1.0", "True"), (r#""a" == "A""#, "False")]);
comparison!(NOT_EQUAL, "!=", "True where both differ", Op::NotEqual, Native::NotEqual, &[("int(null) != 1", "True")]);
comparison!(LESS, "<", "True where the left side is less", Op::Less, Native::Less, &[("1 < 2", "True")]);
comparison!(LESS_OR_EQUAL, "<=", "True where the left side is not greater", Op::LessOrEqual, Native::LessOrEqual, &[("1d <= 24h", "True")]);
comparison!(
    GREATER,
    ">",
    "True where the left side is greater",
    Op::Greater,
    Native::Greater,
    &[("datetime(2020-01-02) > datetime(2020-01-01)", "True")]
);
comparison!(
    GREATER_OR_EQUAL,
    ">=",
    "True where the left side is not less",
    Op::GreaterOrEqual,
    Native::GreaterOrEqual,
    &[("1 >= 2", "False")]
);

static BETWEEN: ScalarFn = ScalarFn {
    name: "between",
    summary: "True where the value is in an inclusive range; a range of a datetime may end with a timespan",
    signature: Signature::Custom(resolve_between),
    examples: &[("5 between (5 .. 10)", "True"), ("datetime(2020-01-03) between (datetime(2020-01-01) .. 1d)", "False")],
    prepare: |prepare| between(prepare, false),
    ..ScalarFn::DEFAULT
};

static NOT_BETWEEN: ScalarFn = ScalarFn {
    name: "!between",
    summary: "True where the value is outside an inclusive range",
    signature: Signature::Custom(resolve_between),
    examples: &[("5 !between (5 .. 10)", "False")],
    prepare: |prepare| between(prepare, true),
    ..ScalarFn::DEFAULT
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Op {
    fn holds(self, ordering: Option<Ordering>) -> bool {
        match self {
            Op::Equal => ordering == Some(Ordering::Equal),
            Op::NotEqual => ordering != Some(Ordering::Equal),
            Op::Less => ordering == Some(Ordering::Less),
            Op::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
            Op::Greater => ordering == Some(Ordering::Greater),
            Op::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        }
    }

    /// The result for nulls; `a` and `b` tell which sides are null.
    fn of_nulls(self, a: bool, b: bool) -> Option<bool> {
        match self {
            Op::Equal if a != b => Some(false),
            Op::NotEqual if a != b => Some(true),
            _ => None,
        }
    }
}

fn two<'a, 'b>(args: &'a [Arg<'b>]) -> Result<(&'a Arg<'b>, &'a Arg<'b>), SignatureError> {
    match args {
        [a, b] => Ok((a, b)),
        _ => Err(SignatureError::Count { least: 2, most: Some(2) }),
    }
}

fn resolve_equality(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let (a, b) = two(args)?;
    let types = meet(a.ty, b.ty).or(match (a.ty, b.ty) {
        // The checker accepts these, a run does not: see `compile`.
        (Type::String, _) | (_, Type::String) => Some((a.ty, b.ty)),
        (Type::Bool, number) | (number, Type::Bool) if number.is_numeric() => Some((number, number)),
        _ => None,
    });
    let (x, y) = types.ok_or(SignatureError::Type { index: 1, wants: a.ty.name().into() })?;
    Ok(Resolved { args: vec![x, y], returns: Type::Bool })
}

fn resolve_order(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let (a, b) = two(args)?;
    for (index, arg) in args.iter().enumerate() {
        if matches!(arg.ty, Type::String | Type::Guid) {
            return Err(SignatureError::Type { index, wants: "number, datetime or timespan".into() });
        }
    }
    let (x, y) = meet(a.ty, b.ty).ok_or(SignatureError::Type { index: 1, wants: a.ty.name().into() })?;
    Ok(Resolved { args: vec![x, y], returns: Type::Bool })
}

/// The types to which both sides are converted. A dynamic compared with an integer stays dynamic, because its number may have a fraction.
fn meet(a: Type, b: Type) -> Option<(Type, Type)> {
    match (a, b) {
        _ if a == b => Some((a, b)),
        (Type::Dynamic, Type::Int | Type::Long) => Some((Type::Dynamic, Type::Long)),
        (Type::Int | Type::Long, Type::Dynamic) => Some((Type::Long, Type::Dynamic)),
        (Type::Dynamic, other) | (other, Type::Dynamic) => Some((other, other)),
        _ => wider(a, b).map(|ty| (ty, ty)),
    }
}

fn resolve_between(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let [value, low, high] = args else {
        return Err(SignatureError::Count { least: 3, most: Some(3) });
    };
    if let Some(index) = args.iter().position(|arg| matches!(arg.ty, Type::String | Type::Guid | Type::Bool)) {
        return Err(SignatureError::Type { index, wants: "number, datetime or timespan".into() });
    }
    let anchor = [value, low].iter().any(|arg| arg.ty == Type::Datetime);
    if anchor && high.ty == Type::Timespan {
        return Ok(Resolved { args: vec![Type::Datetime, Type::Datetime, Type::Timespan], returns: Type::Bool });
    }
    let ty = super::cast::common(args.iter().map(|arg| arg.ty)).ok_or(SignatureError::Type { index: 1, wants: value.ty.name().into() })?;
    let ty = if ty == Type::Dynamic { Type::Real } else { ty };
    Ok(Resolved { args: vec![ty; 3], returns: Type::Bool })
}

fn compile(op: Op, prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    let [a, b] = prepare.types else { return Err(PrepareError::Unsupported) };
    let compare = match (*a, *b) {
        // Recorded: Microsoft's engine rejects it too.
        (Type::Dynamic, Type::Dynamic) if prepare.constants.iter().all(Option::is_none) => {
            let text = "cannot compare two dynamic values; convert them, for example with `tostring()`";
            return Err(PrepareError::Constant(text.to_owned()));
        }
        (a, b) if a == b => order_of(a),
        (Type::Dynamic, Type::Long) => |args: &Args| -> Order {
            let (json, n) = (args.arrays[0].clone(), args.arrays[1].clone());
            order_by(json, n, |json, n| dynamic_to_long(json.as_str(), n.as_i64()))
        },
        (Type::Long, Type::Dynamic) => |args: &Args| -> Order {
            let (json, n) = (args.arrays[1].clone(), args.arrays[0].clone());
            let flipped = order_by(json, n, |json, n| dynamic_to_long(json.as_str(), n.as_i64()));
            Box::new(move |row| flipped(row).map(|(a, b, order)| (b, a, order.map(Ordering::reverse))))
        },
        (a, b) => {
            let text = format!("cannot compare a {a} with a {b}; convert one of them, for example with `tostring()`");
            return Err(PrepareError::Constant(text));
        }
    };
    let quick =
        matches!(*a, Type::Int | Type::Long | Type::Datetime | Type::Timespan | Type::Bool | Type::String | Type::Guid | Type::Decimal)
            && a == b;
    Ok(kernel(move |args| {
        if quick && let Some(answer) = native(op, args) {
            return answer;
        }
        let order = compare(args);
        args.map_bools(|row| match order(row) {
            Some((false, false, ordering)) => Some(op.holds(ordering)),
            Some((a, b, _)) => op.of_nulls(a, b),
            None => None,
        })
    }))
}

/// Null left, null right, and the ordering, which is `None` if the values are not comparable (NaN, text with a number).
type Order = Box<dyn Fn(usize) -> Option<(bool, bool, Option<Ordering>)>>;

/// Uses Arrow's comparison kernels if neither side has nulls.
fn native(op: Op, args: &Args) -> Option<ArrayRef> {
    let sides: Vec<Box<dyn Datum>> = args.arrays[..2]
        .iter()
        .map(|column| -> Option<Box<dyn Datum>> {
            if column.inner().null_count() > 0 {
                return None;
            }
            Some(match column {
                Column::Array(array) => Box::new(array.clone()),
                Column::Scalar(one) => Box::new(Scalar::new(one.clone())),
            })
        })
        .collect::<Option<_>>()?;
    let (a, b) = (sides[0].as_ref(), sides[1].as_ref());
    let answer: BooleanArray = match op {
        Op::Equal => cmp::eq(a, b),
        Op::NotEqual => cmp::neq(a, b),
        Op::Less => cmp::lt(a, b),
        Op::LessOrEqual => cmp::lt_eq(a, b),
        Op::Greater => cmp::gt(a, b),
        Op::GreaterOrEqual => cmp::gt_eq(a, b),
    }
    .ok()?;
    // Two constants give a single entry.
    let answer: ArrayRef = Arc::new(answer);
    Some(if answer.len() == args.rows { answer } else { crate::eval::repeat(&answer, args.rows) })
}

fn order_of(ty: Type) -> fn(&Args) -> Order {
    match ty {
        Type::Bool => |args| typed(args, Type::Bool, |a, b| a.as_bool().partial_cmp(&b.as_bool())),
        Type::Int => |args| typed(args, Type::Int, |a, b| a.as_i64().partial_cmp(&b.as_i64())),
        Type::Long => |args| typed(args, Type::Long, |a, b| a.as_i64().partial_cmp(&b.as_i64())),
        Type::Datetime => |args| typed(args, Type::Datetime, |a, b| a.as_i64().partial_cmp(&b.as_i64())),
        Type::Timespan => |args| typed(args, Type::Timespan, |a, b| a.as_i64().partial_cmp(&b.as_i64())),
        Type::Real => |args| {
            let (a, b) = (args.arrays[0].clone(), args.arrays[1].clone());
            Box::new(move |row| {
                let at = |column: &Column| {
                    let row = if column.is_scalar() { 0 } else { row };
                    let reals = column.inner().as_primitive::<arrow::datatypes::Float64Type>();
                    (!reals.is_null(row)).then(|| reals.value(row))
                };
                let (x, y) = (at(&a), at(&b));
                Some((x.is_none(), y.is_none(), x.zip(y).and_then(|(x, y)| x.partial_cmp(&y))))
            })
        },
        Type::Decimal => |args| {
            typed(args, Type::Decimal, |a, b| match (a, b) {
                (Value::Decimal(a), Value::Decimal(b)) => a.partial_cmp(b),
                _ => None,
            })
        },
        Type::String => |args| typed(args, Type::String, |a, b| a.as_str().partial_cmp(&b.as_str())),
        Type::Guid => |args| typed(args, Type::Guid, |a, b| a.as_str().partial_cmp(&b.as_str())),
        Type::Dynamic => |args| typed(args, Type::Dynamic, |a, b| dynamics(a.as_str()?, b.as_str()?)),
    }
}

fn typed(args: &Args, ty: Type, order: fn(&Value, &Value) -> Option<Ordering>) -> Order {
    let (a, b) = (args.arrays[0].clone(), args.arrays[1].clone());
    Box::new(move |row| {
        let at = |column: &Column| Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty);
        let (x, y) = (at(&a), at(&b));
        Some((x.is_null(), y.is_null(), order(&x, &y)))
    })
}

fn order_by(json: Column, n: Column, order: fn(&Value, &Value) -> Option<Ordering>) -> Order {
    Box::new(move |row| {
        let at = |column: &Column, ty| Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty);
        let (x, y) = (at(&json, Type::Dynamic), at(&n, Type::Long));
        Some((x.is_null(), y.is_null(), order(&x, &y)))
    })
}

fn dynamic_to_long(json: Option<&str>, n: Option<i64>) -> Option<Ordering> {
    let n = n?;
    match dynamic::kind(json?) {
        Kind::Long(x) => Some(x.cmp(&n)),
        Kind::Real(x) => x.partial_cmp(&(n as f64)),
        Kind::Bool(b) => Some(i64::from(b).cmp(&n)),
        Kind::String => crate::value::text::parse_real(&dynamic::unquote(json?))?.partial_cmp(&(n as f64)),
        _ => None,
    }
}

/// Compares two dynamics: numbers and strings are ordered, other values are only equal or not.
fn dynamics(a: &str, b: &str) -> Option<Ordering> {
    match (dynamic::kind(a), dynamic::kind(b)) {
        (Kind::Long(x), Kind::Long(y)) => Some(x.cmp(&y)),
        (Kind::Long(x), Kind::Real(y)) => (x as f64).partial_cmp(&y),
        (Kind::Real(x), Kind::Long(y)) => x.partial_cmp(&(y as f64)),
        (Kind::Real(x), Kind::Real(y)) => x.partial_cmp(&y),
        (Kind::String, Kind::String) => Some(dynamic::unquote(a).cmp(&dynamic::unquote(b))),
        _ => dynamic::equal(a, b).then_some(Ordering::Equal),
    }
}

fn between(prepare: &Prepare, negated: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    let [ty, _, last] = prepare.types else { return Err(PrepareError::Unsupported) };
    let (ty, until) = (*ty, *last == Type::Timespan && *ty == Type::Datetime);
    let judge = move |inside: bool| Some(inside != negated);
    Ok(match ty {
        Type::Long | Type::Datetime | Type::Timespan => kernel(move |args| {
            let (value, low, high) = (args.longs(0), args.longs(1), args.longs(2));
            args.map_bools(|row| {
                let (value, low, mut high) = (value.get(row)?, low.get(row)?, high.get(row)?);
                if until {
                    high = Timestamp::clamp_ticks(low.saturating_add(high)).ticks();
                }
                judge(low <= value && value <= high)
            })
        }),
        Type::Int => kernel(move |args| {
            let (value, low, high) = (args.ints(0), args.ints(1), args.ints(2));
            args.map_bools(|row| judge((low.get(row)?..=high.get(row)?).contains(&value.get(row)?)))
        }),
        Type::Real => kernel(move |args| {
            let (value, low, high) = (args.reals(0), args.reals(1), args.reals(2));
            args.map_bools(|row| judge((low.get(row)?..=high.get(row)?).contains(&value.get(row)?)))
        }),
        Type::Decimal => kernel(move |args| {
            let (value, low, high) = (args.decimals(0), args.decimals(1), args.decimals(2));
            args.map_bools(|row| judge((low.get(row)?..=high.get(row)?).contains(&value.get(row)?)))
        }),
        _ => return Err(PrepareError::Unsupported),
    })
}
