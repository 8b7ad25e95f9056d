//! Numeric functions: `abs`, `round`, `ceiling`, `sign`, powers, logarithms, trigonometry, `pi`, `rand`, `new_guid`. Source of truth: the
//! public KQL reference, one page each; recorded: the logarithm of a negative number is null, its root is NaN.

use model::Type;

use super::signatures::{all, count, some, wants};
use super::{Arg, Family, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::value::decimal;

pub static FAMILY: Family = &[
    &ABS, &ROUND, &CEILING, &SIGN, &POW, &ATAN2, &PI, &RAND, &NEW_GUID, &SQRT, &EXP, &EXP2, &EXP10, &LOG, &LOG2, &LOG10, &SIN, &COS, &TAN,
    &ASIN, &ACOS, &ATAN, &COT, &DEGREES, &RADIANS,
];

macro_rules! of_real {
    ($name:ident, $call:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[("number", Type::Real)], Type::Real),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let x = args.reals(0);
                    let compute: fn(f64) -> Option<f64> = $compute;
                    args.map_reals(|row| compute(x.get(row)?))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_real!(SQRT, "sqrt", "The square root", ("sqrt(256)", "16.0"), |x| Some(x.sqrt()));
of_real!(EXP, "exp", "e to the power of the number", ("exp(0)", "1.0"), |x| Some(x.exp()));
of_real!(EXP2, "exp2", "2 to the power of the number", ("exp2(3)", "8.0"), |x| Some(x.exp2()));
of_real!(EXP10, "exp10", "10 to the power of the number", ("exp10(3)", "1000.0"), |x| Some(10f64.powf(x)));
of_real!(LOG, "log", "The natural logarithm; null of a negative number", ("log(1)", "0.0"), |x| (x.is_nan() || x >= 0.0).then(|| x.ln()));
of_real!(LOG2, "log2", "The logarithm to base 2; null of a negative number", ("log2(8)", "3.0"), |x| (x.is_nan() || x >= 0.0)
    .then(|| x.log2()));
of_real!(LOG10, "log10", "The logarithm to base 10; null of a negative number", ("log10(-1)", ""), |x| (x.is_nan() || x >= 0.0)
    .then(|| x.log10()));
of_real!(SIN, "sin", "The sine", ("sin(0)", "0.0"), |x| Some(x.sin()));
of_real!(COS, "cos", "The cosine", ("cos(0)", "1.0"), |x| Some(x.cos()));
of_real!(TAN, "tan", "The tangent", ("tan(0)", "0.0"), |x| Some(x.tan()));
of_real!(ASIN, "asin", "The angle whose sine is the number; null outside [-1, 1]", ("asin(0)", "0.0"), |x| (x.abs() <= 1.0)
    .then(|| x.asin()));
of_real!(ACOS, "acos", "The angle whose cosine is the number; null outside [-1, 1]", ("acos(1)", "0.0"), |x| (x.abs() <= 1.0)
    .then(|| x.acos()));
of_real!(ATAN, "atan", "The angle whose tangent is the number", ("atan(0)", "0.0"), |x| Some(x.atan()));
of_real!(COT, "cot", "The cotangent", ("round(cot(1), 6)", "0.642093"), |x| Some(1.0 / x.tan()));
of_real!(DEGREES, "degrees", "Radians as degrees", ("degrees(pi())", "180.0"), |x| Some(x * 180.0 / std::f64::consts::PI));
of_real!(RADIANS, "radians", "Degrees as radians", ("radians(180) == pi()", "True"), |x| Some(x / 180.0 * std::f64::consts::PI));

/// One number; integers are converted to `long` if `widens`, otherwise unchanged.
fn number(args: &[Arg], widens: bool) -> Result<Resolved, SignatureError> {
    count(args, 1, Some(1))?;
    let ty = match args[0].ty {
        Type::Int if widens => Type::Long,
        ty if ty.is_numeric() => ty,
        Type::Timespan if widens => Type::Timespan,
        _ => return Err(wants(0, "number")),
    };
    Ok(Resolved { args: vec![ty], returns: ty })
}

static ABS: ScalarFn = ScalarFn {
    name: "abs",
    summary: "The number or length of time without its sign",
    signature: Signature::Custom(|args| number(args, true)),
    examples: &[("abs(-5)", "5"), ("abs(-1h)", "01:00:00")],
    prepare: |prepare| {
        Ok(match prepare.returns {
            Type::Real => kernel(|args| {
                let x = args.reals(0);
                args.map_reals(|row| x.get(row).map(f64::abs))
            }),
            Type::Decimal => kernel(|args| {
                let x = args.decimals(0);
                args.map_decimals(|row| x.get(row)?.checked_abs())
            }),
            _ => kernel(|args| {
                let x = args.longs(0);
                args.map_longs(|row| x.get(row).map(i64::wrapping_abs))
            }),
        })
    },
    ..ScalarFn::DEFAULT
};

static ROUND: ScalarFn = ScalarFn {
    name: "round",
    summary: "The number rounded to a precision, halves away from zero",
    parameters: &["number", "precision"],
    signature: Signature::Custom(|args| {
        count(args, 1, Some(2))?;
        let Resolved { args: mut types, returns } = number(&args[..1], false)?;
        types.extend(args.get(1).map(|_| Type::Long));
        Ok(Resolved { args: types, returns })
    }),
    examples: &[("round(2.98765, 3)", "2.988"), ("round(-2.5)", "-3.0"), ("round(1234.5, -2)", "1200.0")],
    prepare: |prepare| {
        Ok(match prepare.returns {
            Type::Real => kernel(|args| {
                let x = args.reals(0);
                args.map_reals(|row| {
                    let digits = if args.len() > 1 { args.longs(1).get(row)?.clamp(-300, 300) as i32 } else { 0 };
                    let (x, power) = (x.get(row)?, 10f64.powi(digits.abs()));
                    let rounded = if digits >= 0 { (x * power).round() / power } else { (x / power).round() * power };
                    // Too large to have digits at this precision.
                    Some(if rounded.is_finite() { rounded } else { x })
                })
            }),
            Type::Decimal => kernel(|args| {
                let x = args.decimals(0);
                args.map_decimals(|row| {
                    let digits = if args.len() > 1 { args.longs(1).get(row)? } else { 0 };
                    let x = x.get(row)?;
                    let kept = i64::from(model::DECIMAL_SCALE) - digits;
                    let Ok(kept) = u32::try_from(kept) else { return Some(x) };
                    let size = decimal::power_of_ten(kept);
                    let half = size.checked_div(arrow::datatypes::i256::from_i128(2))?;
                    let cut = |x| decimal::floor_to(decimal::add(x, half)?, size);
                    if x.is_negative() { Some(cut(x.checked_neg()?)?.wrapping_neg()) } else { cut(x) }
                })
            }),
            Type::Int => kernel(|args| args.array(0)),
            _ => kernel(|args| {
                let x = args.longs(0);
                args.map_longs(|row| {
                    let digits = if args.len() > 1 { args.longs(1).get(row)? } else { 0 };
                    let x = x.get(row)?;
                    if digits >= 0 {
                        return Some(x);
                    }
                    let Some(size) = u32::try_from(-digits).ok().and_then(|digits| 10i64.checked_pow(digits)) else { return Some(0) };
                    let rest = x % size;
                    let whole = x - rest;
                    if rest.abs() * 2 >= size { whole.checked_add(size * rest.signum()) } else { Some(whole) }
                })
            }),
        })
    },
    ..ScalarFn::DEFAULT
};

static CEILING: ScalarFn = ScalarFn {
    name: "ceiling",
    summary: "The least whole number that is not below the number",
    parameters: &["number"],
    signature: Signature::Custom(|args| number(args, false)),
    examples: &[("ceiling(-1.1)", "-1.0"), ("ceiling(0.9)", "1.0"), ("ceiling(3)", "3")],
    prepare: |prepare| {
        Ok(match prepare.returns {
            Type::Real => kernel(|args| {
                let x = args.reals(0);
                // Adding zero removes the sign that `ceil` may leave on zero.
                args.map_reals(|row| x.get(row).map(|x| x.ceil() + 0.0))
            }),
            Type::Decimal => kernel(|args| {
                let x = args.decimals(0);
                args.map_decimals(|row| Some(decimal::floor_to(x.get(row)?.checked_neg()?, decimal::unit())?.wrapping_neg()))
            }),
            _ => kernel(|args| args.array(0)),
        })
    },
    ..ScalarFn::DEFAULT
};

static SIGN: ScalarFn = ScalarFn {
    name: "sign",
    summary: "-1, 0 or 1: the sign of the number",
    signature: all(&[("number", Type::Real)], Type::Real),
    examples: &[("sign(-42)", "-1.0"), ("sign(0)", "0.0")],
    prepare: |_| {
        Ok(kernel(|args| {
            let x = args.reals(0);
            args.map_reals(|row| x.get(row).map(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }))
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! of_two {
    ($name:ident, $call:literal, $args:expr, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all($args, Type::Real),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let (x, y) = (args.reals(0), args.reals(1));
                    let compute: fn(f64, f64) -> f64 = $compute;
                    args.map_reals(|row| Some(compute(x.get(row)?, y.get(row)?)))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_two!(POW, "pow", &[("base", Type::Real), ("exponent", Type::Real)], "A number to the power of another", ("pow(2, 3)", "8.0"), f64::powf);
of_two!(ATAN2, "atan2", &[("y", Type::Real), ("x", Type::Real)], "The angle of the ray to a point", ("atan2(0, 1)", "0.0"), f64::atan2);

static PI: ScalarFn = ScalarFn {
    name: "pi",
    summary: "The number π",
    signature: all(&[], Type::Real),
    examples: &[("round(pi(), 5)", "3.14159")],
    prepare: |_| Ok(kernel(|args| args.map_reals(|_| Some(std::f64::consts::PI)))),
    ..ScalarFn::DEFAULT
};

/// 64 random bits.
fn random() -> u64 {
    let bits = uuid::Uuid::new_v4().as_u128();
    // The version and variant bits of a guid are fixed, but the combination of both halves is random.
    (bits as u64).rotate_left(17) ^ (bits >> 64) as u64
}

static RAND: ScalarFn = ScalarFn {
    name: "rand",
    summary: "A random number in [0, 1), or with an argument a random whole number below it",
    signature: some(&[("number", Type::Long)], 0, Type::Real),
    examples: &[("rand() < 1.0", "True"), ("rand(3) < 3.0", "True")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_reals(|row| {
                let unit = (random() >> 11) as f64 / (1u64 << 53) as f64;
                if args.is_empty() {
                    return Some(unit);
                }
                let below = args.longs(0).get(row)?;
                Some(if below > 1 { (unit * below as f64).floor() } else { unit })
            })
        }))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

static NEW_GUID: ScalarFn = ScalarFn {
    name: "new_guid",
    summary: "A random guid",
    signature: all(&[], Type::Guid),
    examples: &[("strlen(tostring(new_guid()))", "36")],
    prepare: |prepare| {
        if prepare.returns != Type::Guid {
            return Err(PrepareError::Unsupported);
        }
        Ok(kernel(|args| args.map_texts(|_, out| out.push_str(&uuid::Uuid::new_v4().hyphenated().to_string()))))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};
