//! Element-wise operations on series (arrays of numbers): `series_add` … `series_not_equals`, `series_sin` …, fills, and aggregates. Source
//! of truth: the public KQL reference, one page each. An element that is not a number is treated as null.

use model::Type;

use super::arrays::push_array;
use super::signatures::{all, count, some, wants};
use super::{Arg, Args, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::dynamic::{self, Kind, elements, push_real};
use crate::watch;

pub static FAMILY: Family = &[
    &ADD,
    &SUBTRACT,
    &MULTIPLY,
    &DIVIDE,
    &POW,
    &GREATER,
    &GREATER_EQUALS,
    &LESS,
    &LESS_EQUALS,
    &EQUALS,
    &NOT_EQUALS,
    &EXP,
    &SIGN,
    &ABS,
    &SIN,
    &ASIN,
    &COS,
    &ACOS,
    &TAN,
    &ATAN,
    &LOG,
    &FLOOR,
    &CEILING,
    &FILL_FORWARD,
    &FILL_BACKWARD,
    &FILL_CONST,
    &FILL_LINEAR,
    &MAGNITUDE,
    &PRODUCT,
    &DOT_PRODUCT,
    &COSINE_SIMILARITY,
    &PEARSON,
    &STATS_DYNAMIC,
];

/// The numbers of a series; `None` if it is not an array.
pub(super) fn numbers(json: &str) -> Option<Vec<Option<f64>>> {
    // An element takes at least two bytes including its comma.
    if !watch::build(json.len() / 2 * size_of::<Option<f64>>()) {
        return None;
    }
    Some(elements(json)?.map(number).collect())
}

fn number(element: &str) -> Option<f64> {
    let element = element.trim_ascii();
    match element.as_bytes().first()? {
        b'-' | b'0'..=b'9' => element.parse().ok().filter(|x: &f64| x.is_finite()),
        b't' if element == "true" => Some(1.0),
        b'f' if element == "false" => Some(0.0),
        _ => None,
    }
}

/// Appends numbers as an array; missing and non-finite ones as null.
pub(super) fn push_numbers(out: &mut String, numbers: impl IntoIterator<Item = Option<f64>>) {
    out.push('[');
    for (at, number) in numbers.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match number {
            Some(x) => push_real(out, x),
            None => out.push_str("null"),
        }
    }
    out.push(']');
}

/// Two series, or a series and a number used for every element.
fn two(args: &[Arg], returns: Type) -> Result<Resolved, SignatureError> {
    count(args, 2, Some(2))?;
    if let Some(index) = args.iter().position(|arg| arg.ty != Type::Dynamic && !arg.ty.is_numeric()) {
        return Err(wants(index, "dynamic or a number"));
    }
    Ok(Resolved { args: args.iter().map(|arg| if arg.ty == Type::Dynamic { Type::Dynamic } else { Type::Real }).collect(), returns })
}

/// The element pairs of both arguments; the longer determines their number.
fn pairs(args: &Args, types: &[Type], row: usize) -> Option<Vec<(Option<f64>, Option<f64>)>> {
    let side = |index: usize| -> Option<Result<Vec<Option<f64>>, Option<f64>>> {
        Some(match types[index] {
            Type::Dynamic => {
                let json = args.texts(index).opt(row)?;
                match numbers(json) {
                    Some(list) => Ok(list),
                    None => Err(number(json)),
                }
            }
            _ => Err(args.reals(index).get(row)),
        })
    };
    let (a, b) = (side(0)?, side(1)?);
    let length = a.as_ref().map_or(0, Vec::len).max(b.as_ref().map_or(0, Vec::len));
    let at = |side: &Result<Vec<Option<f64>>, Option<f64>>, index: usize| match side {
        Ok(list) => list.get(index).copied().flatten(),
        Err(single) => *single,
    };
    (a.is_ok() || b.is_ok()).then(|| (0..length).map(|index| (at(&a, index), at(&b, index))).collect())
}

macro_rules! of_two {
    ($name:ident, $call:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: Signature::Custom(|args| two(args, Type::Dynamic)),
            examples: &[$example],
            prepare: |prepare| {
                let types = prepare.types.to_vec();
                Ok(kernel(move |args| {
                    let compute: fn(f64, f64) -> f64 = $compute;
                    args.map_json(|row, out| {
                        push_numbers(out, pairs(args, &types, row)?.into_iter().map(|(a, b)| Some(compute(a?, b?))));
                        Some(())
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_two!(
    ADD,
    "series_add",
    "The sums of the elements of two series",
    ("series_add(dynamic([1,2,4]), dynamic([4,2,1]))", "[5.0,4.0,5.0]"),
    |a, b| a + b
);
of_two!(
    SUBTRACT,
    "series_subtract",
    "The differences of the elements of two series",
    ("series_subtract(dynamic([1,2]), dynamic([4,1]))", "[-3.0,1.0]"),
    |a, b| a - b
);
of_two!(
    MULTIPLY,
    "series_multiply",
    "The products of the elements of two series",
    ("series_multiply(dynamic([1,2]), 3)", "[3.0,6.0]"),
    |a, b| a * b
);
of_two!(
    DIVIDE,
    "series_divide",
    "The quotients of the elements of two series",
    ("series_divide(dynamic([1,2,4]), dynamic([4,2,1]))", "[0.25,1.0,4.0]"),
    |a, b| a / b
);
of_two!(
    POW,
    "series_pow",
    "The elements of a series to the powers of another",
    ("series_pow(dynamic([1,2,3,4]), dynamic([1,2,3,0.5]))", "[1.0,4.0,27.0,2.0]"),
    f64::powf
);

macro_rules! comparing {
    ($name:ident, $call:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: Signature::Custom(|args| two(args, Type::Dynamic)),
            examples: &[$example],
            prepare: |prepare| {
                let types = prepare.types.to_vec();
                Ok(kernel(move |args| {
                    let compute: fn(&f64, &f64) -> bool = $compute;
                    args.map_json(|row, out| {
                        push_array(
                            out,
                            pairs(args, &types, row)?.into_iter().map(|pair| match pair {
                                (Some(a), Some(b)) => {
                                    if compute(&a, &b) {
                                        "true"
                                    } else {
                                        "false"
                                    }
                                }
                                _ => "null",
                            }),
                        );
                        Some(())
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

comparing!(
    GREATER,
    "series_greater",
    "Where the elements of a series are greater than those of another",
    ("series_greater(dynamic([1,2,4]), dynamic([4,2,1]))", "[false,false,true]"),
    f64::gt
);
comparing!(
    GREATER_EQUALS,
    "series_greater_equals",
    "Where the elements of a series are not less than those of another",
    ("series_greater_equals(dynamic([1,2,4]), dynamic([4,2,1]))", "[false,true,true]"),
    f64::ge
);
comparing!(
    LESS,
    "series_less",
    "Where the elements of a series are less than those of another",
    ("series_less(dynamic([1,2,4]), dynamic([4,2,1]))", "[true,false,false]"),
    f64::lt
);
comparing!(
    LESS_EQUALS,
    "series_less_equals",
    "Where the elements of a series are not greater than those of another",
    ("series_less_equals(dynamic([1,2,4]), dynamic([4,2,1]))", "[true,true,false]"),
    f64::le
);
comparing!(
    EQUALS,
    "series_equals",
    "Where the elements of two series are the same",
    ("series_equals(dynamic([1,2,4]), dynamic([4,2,1]))", "[false,true,false]"),
    f64::eq
);
comparing!(
    NOT_EQUALS,
    "series_not_equals",
    "Where the elements of two series differ",
    ("series_not_equals(dynamic([1,2,4]), dynamic([4,2,1]))", "[true,false,true]"),
    f64::ne
);

macro_rules! of_one {
    ($name:ident, $call:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[("series", Type::Dynamic)], Type::Dynamic),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let series = args.texts(0);
                    let compute: fn(f64) -> f64 = $compute;
                    args.map_json(|row, out| {
                        push_numbers(out, numbers(series.opt(row)?)?.into_iter().map(|x| x.map(compute)));
                        Some(())
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_one!(EXP, "series_exp", "e to the power of each element", ("series_exp(dynamic([0]))", "[1.0]"), f64::exp);
of_one!(SIGN, "series_sign", "The sign of each element", ("series_sign(dynamic([-6,0,8]))", "[-1.0,0.0,1.0]"), |x| if x == 0.0 {
    0.0
} else {
    x.signum()
});
of_one!(ABS, "series_abs", "Each element without its sign", ("series_abs(dynamic([-6.5,0]))", "[6.5,0.0]"), f64::abs);
of_one!(SIN, "series_sin", "The sine of each element", ("series_sin(dynamic([0]))", "[0.0]"), f64::sin);
of_one!(ASIN, "series_asin", "The angle whose sine each element is", ("series_asin(dynamic([0]))", "[0.0]"), f64::asin);
of_one!(COS, "series_cos", "The cosine of each element", ("series_cos(dynamic([0]))", "[1.0]"), f64::cos);
of_one!(ACOS, "series_acos", "The angle whose cosine each element is", ("series_acos(dynamic([1]))", "[0.0]"), f64::acos);
of_one!(TAN, "series_tan", "The tangent of each element", ("series_tan(dynamic([0]))", "[0.0]"), f64::tan);
of_one!(ATAN, "series_atan", "The angle whose tangent each element is", ("series_atan(dynamic([0]))", "[0.0]"), f64::atan);
of_one!(LOG, "series_log", "The natural logarithm of each element", ("series_log(dynamic([1]))", "[0.0]"), f64::ln);
of_one!(
    FLOOR,
    "series_floor",
    "The greatest whole number below each element",
    ("series_floor(dynamic([-1.5,3.4]))", "[-2.0,3.0]"),
    f64::floor
);
of_one!(
    CEILING,
    "series_ceiling",
    "The least whole number above each element",
    ("series_ceiling(dynamic([-1.5,3.4]))", "[-1.0,4.0]"),
    f64::ceil
);

/// Elements as text, and which of them are missing: null, or equal to a placeholder.
fn with_gaps<'a>(args: &Args, json: &'a str, placeholder: Option<usize>, types: &[Type], row: usize) -> Option<Vec<(&'a str, bool)>> {
    let placeholder = placeholder.map(|index| super::arrays::json_at(args, index, row, types[index]));
    Some(
        elements(json)?
            .map(|element| {
                let missing = dynamic::kind(element) == Kind::Null || placeholder.as_ref().is_some_and(|p| dynamic::equal(element, p));
                (element, missing)
            })
            .collect(),
    )
}

fn fill_signature(args: &[Arg], least: usize, most: usize) -> Result<Resolved, SignatureError> {
    count(args, least, Some(most))?;
    if args[0].ty != Type::Dynamic {
        return Err(wants(0, "dynamic"));
    }
    super::signatures::as_is(args, Type::Dynamic)
}

macro_rules! fill_along {
    ($name:ident, $call:literal, $backward:literal, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: Signature::Custom(|args| fill_signature(args, 1, 2)),
            examples: &[$example],
            prepare: |prepare| {
                let types = prepare.types.to_vec();
                Ok(kernel(move |args| {
                    let series = args.texts(0);
                    args.map_json(|row, out| {
                        let mut all = with_gaps(args, series.opt(row)?, (types.len() > 1).then_some(1), &types, row)?;
                        if $backward {
                            all.reverse();
                        }
                        let mut last = None;
                        for (element, missing) in &mut all {
                            if *missing {
                                *element = last.unwrap_or(*element);
                            } else {
                                last = Some(*element);
                            }
                        }
                        if $backward {
                            all.reverse();
                        }
                        push_array(out, all.into_iter().map(|(element, _)| element));
                        Some(())
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

fill_along!(
    FILL_FORWARD,
    "series_fill_forward",
    false,
    "Missing elements replaced by the one before them",
    ("series_fill_forward(dynamic([null,1,null,3]))", "[null,1,1,3]")
);
fill_along!(
    FILL_BACKWARD,
    "series_fill_backward",
    true,
    "Missing elements replaced by the one after them",
    ("series_fill_backward(dynamic([111,null,36,null]))", "[111,36,36,null]")
);

static FILL_CONST: ScalarFn = ScalarFn {
    name: "series_fill_const",
    summary: "Missing elements replaced by a value",
    parameters: &["series", "constant", "missing_value"],
    signature: Signature::Custom(|args| fill_signature(args, 2, 3)),
    examples: &[
        ("series_fill_const(dynamic([111,null,36]), 0.0)", "[111,0.0,36]"),
        ("series_fill_const(dynamic([111,null,36]), -1)", "[111,-1,36]"),
    ],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            let series = args.texts(0);
            args.map_json(|row, out| {
                let all = with_gaps(args, series.opt(row)?, (types.len() > 2).then_some(2), &types, row)?;
                let value = super::arrays::json_at(args, 1, row, types[1]);
                push_array(out, all.iter().map(|(element, missing)| if *missing { value.as_str() } else { element }));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static FILL_LINEAR: ScalarFn = ScalarFn {
    name: "series_fill_linear",
    summary: "Missing elements replaced by what lies on the line between their neighbours; at the edges by the nearest, unless told not to; by a \
              value (0) where all are missing",
    parameters: &["series", "missing_value", "fill_edges", "constant"],
    signature: Signature::Custom(|args| fill_signature(args, 1, 4)),
    examples: &[
        ("series_fill_linear(dynamic([null,1.0,null,3.0,null]))", "[1.0,1.0,2.0,3.0,3.0]"),
        ("series_fill_linear(dynamic([null,1]), double(null), false)", "[null,1]"),
        // From the reference: integers stay integers.
        ("series_fill_linear(dynamic([null,111,null,36,41,null,null,16]))", "[111,111,73,36,41,32,24,16]"),
        ("series_fill_linear(dynamic([null,null]))", "[0.0,0.0]"),
        ("series_fill_linear(dynamic([null,null]), double(null), true, 3.14)", "[3.14,3.14]"),
    ],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            let series = args.texts(0);
            args.map_json(|row, out| {
                let all = with_gaps(args, series.opt(row)?, (types.len() > 1).then_some(1), &types, row)?;
                let edges = types.get(2) != Some(&Type::Bool) || args.bools(2).get(row).unwrap_or(true);
                let present = || all.iter().enumerate().filter(|(_, (_, missing))| !missing);
                let known: Vec<(usize, f64)> = present().filter_map(|(at, (element, _))| Some((at, number(element)?))).collect();
                let whole = present().all(|(_, (element, _))| matches!(dynamic::kind(element), Kind::Long(_)));
                if known.is_empty() {
                    let value = if types.len() > 3 { super::arrays::json_at(args, 3, row, types[3]) } else { "0.0".to_owned() };
                    push_array(out, all.iter().map(|_| value.as_str()));
                    return Some(());
                }
                let filled = (0..all.len()).map(|at| {
                    let after = known.partition_point(|(place, _)| *place < at);
                    match (after.checked_sub(1).and_then(|before| known.get(before)), known.get(after)) {
                        (_, Some((place, x))) if *place == at => Some(*x),
                        (Some((a, x)), Some((b, y))) => Some(x + (y - x) * (at - a) as f64 / (b - a) as f64),
                        (Some((_, x)), None) | (None, Some((_, x))) => edges.then_some(*x),
                        (None, None) => None,
                    }
                });
                if !whole {
                    push_numbers(out, filled);
                    return Some(());
                }
                // Existing elements are unchanged, even if a real cannot represent them.
                let texts: Vec<String> = filled
                    .zip(&all)
                    .map(|(x, (element, missing))| match (missing, x) {
                        (false, _) => (*element).to_owned(),
                        (true, Some(x)) => (x as i64).to_string(),
                        (true, None) => "null".to_owned(),
                    })
                    .collect();
                push_array(out, texts.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// All numbers of a series; `None` if one is missing.
pub(super) fn complete(json: Option<&str>) -> Option<Vec<f64>> {
    numbers(json?)?.into_iter().collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

macro_rules! to_real {
    ($name:ident, $call:literal, $args:expr, $required:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: some($args, $required, Type::Real),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let compute: fn(&[f64], &[f64]) -> Option<f64> = $compute;
                    args.map_reals(|row| {
                        let a = complete(args.texts(0).opt(row))?;
                        let b = if args.len() > 1 { complete(args.texts(1).opt(row))? } else { Vec::new() };
                        compute(&a, &b)
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

to_real!(
    MAGNITUDE,
    "series_magnitude",
    &[("series", Type::Dynamic)],
    1,
    "The length of the series as a vector",
    ("series_magnitude(dynamic([3,4]))", "5.0"),
    |a, _| Some(dot(a, a).sqrt())
);
to_real!(
    PRODUCT,
    "series_product",
    &[("series", Type::Dynamic)],
    1,
    "The product of the elements",
    ("series_product(dynamic([1,2,3,4]))", "24.0"),
    |a, _| Some(a.iter().product())
);
static DOT_PRODUCT: ScalarFn = ScalarFn {
    name: "series_dot_product",
    summary: "The sum of the products of the elements of two series, or of a series and a number",
    signature: Signature::Custom(|args| two(args, Type::Real)),
    examples: &[
        ("series_dot_product(dynamic([1,2]), dynamic([3,4,5]))", "11.0"),
        ("series_dot_product(dynamic([1,2,null]), 10)", "30.0"),
        ("series_dot_product(dynamic([]), 10)", ""),
    ],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        // Elements that are not numbers, and those beyond the end of the shorter series, are ignored.
        Ok(kernel(move |args| {
            args.map_reals(|row| {
                let pairs = pairs(args, &types, row)?;
                let known: Vec<f64> = pairs.into_iter().filter_map(|(a, b)| Some(a? * b?)).collect();
                (!known.is_empty()).then(|| known.iter().sum())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
to_real!(
    PEARSON,
    "series_pearson_correlation",
    &[("series1", Type::Dynamic), ("series2", Type::Dynamic)],
    2,
    "Pearson's correlation of two series",
    ("series_pearson_correlation(dynamic([1,2,3]), dynamic([2,4,6]))", "1.0"),
    |a, b| {
        if a.len() != b.len() || a.is_empty() {
            return None;
        }
        let n = a.len() as f64;
        let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
        let off = |list: &[f64], mean: f64| list.iter().map(|x| x - mean).collect::<Vec<_>>();
        let (a, b) = (off(a, mean_a), off(b, mean_b));
        Some(dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt())
    }
);

static COSINE_SIMILARITY: ScalarFn = ScalarFn {
    name: "series_cosine_similarity",
    summary: "The cosine of the angle between two series as vectors, with their magnitudes if they are known",
    signature: some(
        &[("series1", Type::Dynamic), ("series2", Type::Dynamic), ("magnitude1", Type::Real), ("magnitude2", Type::Real)],
        2,
        Type::Real,
    ),
    examples: &[
        ("series_cosine_similarity(dynamic([1,0]), dynamic([0,1]))", "0.0"),
        ("series_cosine_similarity(dynamic([3,4]), dynamic([3,4]), 5.0, 5.0)", "1.0"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_reals(|row| {
                // The longer series is truncated; elements that are not numbers are ignored.
                let (a, b) = (numbers(args.texts(0).opt(row)?)?, numbers(args.texts(1).opt(row)?)?);
                let (a, b): (Vec<f64>, Vec<f64>) = a.into_iter().zip(b).filter_map(|(a, b)| a.zip(b)).unzip();
                let length =
                    |index: usize, list: &[f64]| if args.len() > index { args.reals(index).get(row) } else { Some(dot(list, list).sqrt()) };
                if a.is_empty() {
                    return None;
                }
                Some(dot(&a, &b) / (length(2, &a)? * length(3, &b)?))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static STATS_DYNAMIC: ScalarFn = ScalarFn {
    name: "series_stats_dynamic",
    summary: "The least and greatest element with their places, the average, the standard deviation, the variance, the sum and the length, as \
              a bag",
    signature: some(&[("series", Type::Dynamic), ("ignore_nonfinite", Type::Bool)], 1, Type::Dynamic),
    examples: &[
        ("series_stats_dynamic(dynamic([23,46,23,87])).max_idx", "3"),
        ("series_stats_dynamic(dynamic([1,3])).avg", "2.0"),
        ("series_stats_dynamic(dynamic([1,null,3]))", ""),
        ("series_stats_dynamic(dynamic([1,null,3]), true).max_idx", "2"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let series = args.texts(0);
            args.map_json(|row, out| {
                let all = numbers(series.opt(row)?)?;
                let ignore = args.len() > 1 && args.bools(1).get(row)?;
                if !ignore && all.contains(&None) {
                    return None;
                }
                let known: Vec<(usize, f64)> = all.iter().enumerate().filter_map(|(at, x)| Some((at, (*x)?))).collect();
                let (first, rest) = known.split_first()?;
                let (mut least, mut greatest) = (*first, *first);
                for item in rest {
                    if item.1 < least.1 {
                        least = *item;
                    }
                    if item.1 > greatest.1 {
                        greatest = *item;
                    }
                }
                let n = known.len() as f64;
                let average = known.iter().map(|(_, x)| x).sum::<f64>() / n;
                let variance =
                    if known.len() > 1 { known.iter().map(|(_, x)| (x - average).powi(2)).sum::<f64>() / (n - 1.0) } else { 0.0 };
                let mut bag = super::bags::Bag::new(out);
                let real = |x: f64| {
                    let mut text = String::new();
                    push_real(&mut text, x);
                    text
                };
                bag.put("min", &real(least.1));
                bag.put("min_idx", &least.0.to_string());
                bag.put("max", &real(greatest.1));
                bag.put("max_idx", &greatest.0.to_string());
                bag.put("avg", &real(average));
                bag.put("stdev", &real(variance.sqrt()));
                bag.put("variance", &real(variance));
                bag.put("sum", &real(known.iter().map(|(_, x)| x).sum()));
                bag.put("len", &all.len().to_string());
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
