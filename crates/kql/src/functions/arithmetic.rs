//! `+ - * / %` and the unary minus, over numbers, datetimes and timespans.
//!
//! Recorded from Microsoft's engine: integers give `long` and wrap on overflow; division truncates towards zero, and division by zero is
//! null (for reals infinity or NaN); a remainder is never negative. Datetimes outside years 1 to 9999 are null.

use arrow::array::ArrayRef;
use model::{Timestamp, Type};

use super::cast::wider;
use super::{Arg, Args, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::value::{cast, decimal};

pub static FAMILY: Family = &[&ADD, &SUBTRACT, &MULTIPLY, &DIVIDE, &REMAINDER, &NEGATE];

macro_rules! operator {
    ($name:ident, $sign:literal, $summary:literal, $op:expr, $examples:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $sign,
            summary: $summary,
            signature: Signature::Custom(|args| resolve($op, args)),
            examples: $examples,
            prepare: |prepare| compile($op, prepare),
            ..ScalarFn::DEFAULT
        };
    };
}

operator!(
    ADD,
    "+",
    "Adds numbers, or lengths of time to dates",
    Op::Add,
    &[("1 + 2", "3"), ("datetime(2020-02-28) + 2d", "2020-03-01T00:00:00.0000000Z")]
);
operator!(
    SUBTRACT,
    "-",
    "Subtracts; the difference of two dates is a timespan",
    Op::Subtract,
    &[("datetime(2020-03-01) - datetime(2020-02-28)", "2.00:00:00")]
);
operator!(MULTIPLY, "*", "Multiplies", Op::Multiply, &[("1d * 2.5", "2.12:00:00")]);
operator!(DIVIDE, "/", "Divides; whole numbers give a whole number", Op::Divide, &[("-7 / 2", "-3"), ("1d / 1h", "24.0"), ("1 / 0", "")]);
operator!(
    REMAINDER,
    "%",
    "The remainder of a division, never negative",
    Op::Remainder,
    &[("-7 % 3", "2"), ("7 % -3", "1"), ("-7.5 % 2", "0.5")]
);

static NEGATE: ScalarFn = ScalarFn {
    name: "neg",
    summary: "Turns the sign around (unary minus)",
    signature: Signature::Custom(|args| match args {
        [arg] => match arg.ty {
            Type::Int | Type::Long => Ok(Resolved { args: vec![Type::Long], returns: Type::Long }),
            ty @ (Type::Real | Type::Decimal | Type::Timespan) => Ok(Resolved { args: vec![ty], returns: ty }),
            Type::Dynamic => Ok(Resolved { args: vec![Type::Real], returns: Type::Real }),
            _ => Err(SignatureError::Type { index: 0, wants: "number or timespan".into() }),
        },
        _ => Err(SignatureError::Count { least: 1, most: Some(1) }),
    }),
    prepare: |prepare| {
        Ok(match prepare.returns {
            Type::Long | Type::Timespan => kernel(|args| {
                let x = args.longs(0);
                args.map_longs(|row| x.get(row).map(i64::wrapping_neg))
            }),
            Type::Real => kernel(|args| {
                let x = args.reals(0);
                args.map_reals(|row| x.get(row).map(|x| -x))
            }),
            Type::Decimal => kernel(|args| {
                let x = args.decimals(0);
                args.map_decimals(|row| x.get(row).and_then(|x| x.checked_neg()))
            }),
            _ => return Err(PrepareError::Unsupported),
        })
    },
    ..ScalarFn::DEFAULT
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

fn resolve(op: Op, args: &[Arg]) -> Result<Resolved, SignatureError> {
    use Type::{Datetime, Dynamic, Int, Long, Real, Timespan};
    let [a, b] = args else {
        return Err(SignatureError::Count { least: 2, most: Some(2) });
    };
    let (x, y, returns) = match (a.ty, op, b.ty) {
        (Timespan, Op::Add | Op::Subtract | Op::Remainder, Timespan) => (Timespan, Timespan, Timespan),
        (Timespan, Op::Divide, Timespan) => (Timespan, Timespan, Real),
        (Timespan, Op::Multiply | Op::Divide, Int | Long) => (Timespan, Long, Timespan),
        (Timespan, Op::Multiply | Op::Divide, Real | Type::Decimal) => (Timespan, Real, Timespan),
        (Int | Long, Op::Multiply, Timespan) => (Long, Timespan, Timespan),
        (Real | Type::Decimal, Op::Multiply, Timespan) => (Real, Timespan, Timespan),
        (Datetime, Op::Add | Op::Subtract, Timespan) => (Datetime, Timespan, Datetime),
        (Timespan, Op::Add, Datetime) => (Timespan, Datetime, Datetime),
        (Datetime, Op::Subtract, Datetime) => (Datetime, Datetime, Timespan),
        (Datetime, Op::Add, Datetime) => (Datetime, Datetime, Datetime),
        (Datetime, Op::Divide, Timespan) => (Datetime, Timespan, Real),
        (Datetime, Op::Remainder, Timespan) => (Datetime, Timespan, Timespan),
        (Dynamic, Op::Add | Op::Subtract, Timespan) | (Timespan, Op::Add | Op::Subtract, Dynamic) => (Timespan, Timespan, Timespan),
        (Dynamic, Op::Subtract, Datetime) | (Datetime, Op::Subtract, Dynamic) => (Datetime, Datetime, Timespan),
        // The checker accepts this, a run does not: see `compile`.
        (Dynamic, _, Dynamic) => (Dynamic, Dynamic, Dynamic),
        (Dynamic, _, number) | (number, _, Dynamic) if number.is_numeric() => {
            let ty = whole(number);
            (ty, ty, ty)
        }
        (a, _, b) => match wider(a, b) {
            Some(ty) => (whole(ty), whole(ty), whole(ty)),
            None => {
                let index = usize::from(a.is_numeric() || matches!(a, Datetime | Timespan | Dynamic));
                return Err(SignatureError::Type { index, wants: "number, datetime or timespan".into() });
            }
        },
    };
    Ok(Resolved { args: vec![x, y], returns })
}

/// Integer results are long.
fn whole(ty: Type) -> Type {
    if ty == Type::Int { Type::Long } else { ty }
}

fn compile(op: Op, prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    use Type::{Datetime, Long, Real, Timespan};
    let [a, b] = prepare.types else { return Err(PrepareError::Unsupported) };
    Ok(match (*a, op, *b) {
        (Long, _, Long) => match op {
            Op::Add => longs(|x, y| Some(x.wrapping_add(y))),
            Op::Subtract => longs(|x, y| Some(x.wrapping_sub(y))),
            Op::Multiply => longs(|x, y| Some(x.wrapping_mul(y))),
            Op::Divide => longs(|x, y| (y != 0).then(|| x.wrapping_div(y))),
            Op::Remainder => longs(|x, y| (y != 0).then(|| x.wrapping_rem_euclid(y))),
        },
        (Real, _, Real) => match op {
            Op::Add => reals(|x, y| x + y),
            Op::Subtract => reals(|x, y| x - y),
            Op::Multiply => reals(|x, y| x * y),
            Op::Divide => reals(|x, y| x / y),
            Op::Remainder => reals(|x, y| x.rem_euclid(y)),
        },
        (Type::Decimal, _, Type::Decimal) => {
            let compute = match op {
                Op::Add => decimal::add,
                Op::Subtract => decimal::subtract,
                Op::Multiply => decimal::multiply,
                Op::Divide => decimal::divide,
                Op::Remainder => decimal::remainder,
            };
            kernel(move |args| {
                let (x, y) = (args.decimals(0), args.decimals(1));
                args.map_decimals(|row| compute(x.get(row)?, y.get(row)?))
            })
        }
        (Datetime, Op::Subtract, Datetime) => longs(i64::checked_sub),
        (Timespan, Op::Add, Timespan) => longs(i64::checked_add),
        (Timespan, Op::Subtract, Timespan) => longs(i64::checked_sub),
        (Timespan | Datetime, Op::Remainder, Timespan) => longs(i64::checked_rem_euclid),
        (Timespan | Datetime, Op::Divide, Timespan) => kernel(|args| {
            let (x, y) = (args.longs(0), args.longs(1));
            args.map_reals(|row| Some(x.get(row)? as f64 / y.get(row)? as f64))
        }),
        (Datetime | Timespan, Op::Add, Datetime | Timespan) => longs(|x, y| date(x.checked_add(y)?)),
        (Datetime, Op::Subtract, Timespan) => longs(|x, y| date(x.checked_sub(y)?)),
        (Timespan, Op::Multiply, Long) | (Long, Op::Multiply, Timespan) => longs(i64::checked_mul),
        (Timespan, Op::Divide, Long) => longs(i64::checked_div),
        (Timespan, Op::Multiply, Real) => kernel(|args| span_by_real(args, 0, 1, |x, y| x * y)),
        (Real, Op::Multiply, Timespan) => kernel(|args| span_by_real(args, 1, 0, |x, y| x * y)),
        (Timespan, Op::Divide, Real) => kernel(|args| span_by_real(args, 0, 1, |x, y| x / y)),
        (Type::Dynamic, _, Type::Dynamic) => {
            let text = "cannot compute with two dynamic values; convert them, for example with `tolong()` or `todouble()`";
            return Err(PrepareError::Constant(text.to_owned()));
        }
        _ => return Err(PrepareError::Unsupported),
    })
}

fn date(ticks: i64) -> Option<i64> {
    Timestamp::from_ticks(ticks).map(Timestamp::ticks)
}

fn longs(compute: fn(i64, i64) -> Option<i64>) -> Box<dyn Kernel> {
    kernel(move |args| {
        let (x, y) = (args.longs(0), args.longs(1));
        args.map_longs(|row| compute(x.get(row)?, y.get(row)?))
    })
}

fn reals(compute: fn(f64, f64) -> f64) -> Box<dyn Kernel> {
    kernel(move |args| {
        let (x, y) = (args.reals(0), args.reals(1));
        args.map_reals(|row| Some(compute(x.get(row)?, y.get(row)?)))
    })
}

fn span_by_real(args: &Args, span: usize, factor: usize, compute: fn(f64, f64) -> f64) -> ArrayRef {
    let (span, factor) = (args.longs(span), args.reals(factor));
    args.map_longs(|row| {
        let ticks = compute(span.get(row)? as f64, factor.get(row)?);
        (ticks.abs() < i64::MAX as f64).then(|| cast::real_to_long(ticks)).flatten()
    })
}
