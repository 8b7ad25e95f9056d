//! Arrays: length, sorting, slicing, element access. Elements are copied as text. A value that is not an array gives null (recorded).
//! Source of truth: the public KQL reference, one page each, and recorded results.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::Type;

use super::signatures::{all, as_is, count, wants};
use super::{Arg, Args, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic::{self, Kind, elements};
use crate::value::{cast, text};
use crate::watch;

pub static FAMILY: Family = &[
    &ARRAY_LENGTH,
    &ARRAY_CONCAT,
    &ARRAY_SLICE,
    &ARRAY_SPLIT,
    &ARRAY_REVERSE,
    &ARRAY_ROTATE_LEFT,
    &ARRAY_ROTATE_RIGHT,
    &ARRAY_SHIFT_LEFT,
    &ARRAY_SHIFT_RIGHT,
    &ARRAY_INDEX_OF,
    &ARRAY_SUM,
    &ARRAY_IFF,
    &ARRAY_SORT_ASC,
    &ARRAY_SORT_DESC,
    &STRCAT_ARRAY,
    &PACK_ARRAY,
    &ZIP,
    &REPEAT,
    &RANGE,
];

/// Maximum number of elements returned by `range` and `repeat`.
const MOST_ELEMENTS: i64 = 1_048_576;

/// Appends an array of elements.
pub(super) fn push_array<'a>(out: &mut String, elements: impl IntoIterator<Item = &'a str>) {
    out.push('[');
    for (at, element) in elements.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(element);
    }
    out.push(']');
}

fn collect(json: Option<&str>) -> Option<Vec<&str>> {
    // An element takes at least two bytes including its comma, and a slice in memory.
    let json = json?;
    if !watch::build(json.len() / 2 * size_of::<&str>()) {
        return None;
    }
    Some(elements(json)?.collect())
}

static ARRAY_LENGTH: ScalarFn = ScalarFn {
    name: "array_length",
    aliases: &["arraylength"],
    summary: "How many elements an array has",
    signature: all(&[("array", Type::Dynamic)], Type::Long),
    examples: &[(r#"array_length(dynamic([1, 2, 3, "four"]))"#, "4"), (r#"array_length(dynamic({"a":1}))"#, "")],
    prepare: |_| {
        Ok(kernel(|args| {
            let array = args.texts(0);
            args.map_longs(|row| Some(elements(array.opt(row)?)?.count() as i64))
        }))
    },
    ..ScalarFn::DEFAULT
};

static ARRAY_CONCAT: ScalarFn = ScalarFn {
    name: "array_concat",
    summary: "The elements of all arrays; what is no array is left out",
    parameters: &["array"],
    signature: Signature::Custom(|args| dynamics(args, 1)),
    examples: &[("array_concat(dynamic([1,2]), dynamic(null), dynamic([3]))", "[1,2,3]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let arrays: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_json(|row, out| {
                push_array(out, arrays.iter().filter_map(|array| elements(array.opt(row)?)).flatten());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// At least `least` arguments, all dynamic.
pub(super) fn dynamics(args: &[Arg], least: usize) -> Result<Resolved, SignatureError> {
    count(args, least, None)?;
    match args.iter().position(|arg| arg.ty != Type::Dynamic) {
        Some(index) => Err(wants(index, "dynamic")),
        None => Ok(Resolved { args: vec![Type::Dynamic; args.len()], returns: Type::Dynamic }),
    }
}

static ARRAY_SLICE: ScalarFn = ScalarFn {
    name: "array_slice",
    summary: "The elements from a first to a last index, both included; negative indices count from the end",
    signature: all(&[("array", Type::Dynamic), ("start", Type::Long), ("end", Type::Long)], Type::Dynamic),
    examples: &[
        ("array_slice(dynamic([1,2,3,4,5]), 2, -1)", "[3,4,5]"),
        ("array_slice(dynamic([1,2,3,4,5]), -3, -2)", "[3,4]"),
        ("array_slice(dynamic([1,2]), 0, 100)", "[1,2]"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (array, start, end) = (args.texts(0), args.longs(1), args.longs(2));
            args.map_json(|row, out| {
                let all = collect(array.opt(row))?;
                let place = |index: i64| if index < 0 { index.saturating_add(all.len() as i64) } else { index };
                let (start, end) = (place(start.get(row)?).max(0) as usize, place(end.get(row)?));
                let end = usize::try_from(end.saturating_add(1)).unwrap_or(0).min(all.len());
                push_array(out, all.get(start..end).unwrap_or_default().iter().copied());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static ARRAY_SPLIT: ScalarFn = ScalarFn {
    name: "array_split",
    summary: "The array cut at an index or at several, as an array of arrays",
    parameters: &["array", "start", "end"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(2))?;
        match args[1].ty {
            Type::Dynamic => Ok(Resolved { args: vec![Type::Dynamic; 2], returns: Type::Dynamic }),
            Type::Int | Type::Long => Ok(Resolved { args: vec![Type::Dynamic, Type::Long], returns: Type::Dynamic }),
            _ => Err(wants(1, "long or dynamic")),
        }
    }),
    examples: &[
        ("array_split(dynamic([1,2,3,4,5]), 2)", "[[1,2],[3,4,5]]"),
        ("array_split(dynamic([1,2,3,4,5]), dynamic([1,3]))", "[[1],[2,3],[4,5]]"),
    ],
    prepare: |prepare| {
        let single = prepare.types[1] == Type::Long;
        Ok(kernel(move |args| {
            let array = args.texts(0);
            args.map_json(|row, out| {
                let all = collect(array.opt(row))?;
                let cuts: Vec<i64> = if single {
                    vec![args.longs(1).get(row)?]
                } else {
                    let list = args.texts(1).opt(row)?;
                    let number = |json: &str| cast::from_dynamic(json, Type::Long).as_i64();
                    elements(list).map_or_else(|| number(list).into_iter().collect(), |list| list.filter_map(number).collect())
                };
                let mut last = 0;
                out.push('[');
                for cut in cuts {
                    let cut = if cut < 0 { cut.saturating_add(all.len() as i64).max(0) } else { cut } as usize;
                    let cut = cut.clamp(last, all.len());
                    push_array(out, all[last..cut].iter().copied());
                    out.push(',');
                    last = cut;
                }
                push_array(out, all[last..].iter().copied());
                out.push(']');
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static ARRAY_REVERSE: ScalarFn = ScalarFn {
    name: "array_reverse",
    summary: "The elements in the opposite order",
    signature: all(&[("array", Type::Dynamic)], Type::Dynamic),
    examples: &[("array_reverse(dynamic([1,2,3]))", "[3,2,1]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let array = args.texts(0);
            args.map_json(|row, out| {
                push_array(out, collect(array.opt(row))?.into_iter().rev());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! rotation {
    ($name:ident, $call:literal, $sign:literal, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[("array", Type::Dynamic), ("rotate_count", Type::Long)], Type::Dynamic),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let (array, by) = (args.texts(0), args.longs(1));
                    args.map_json(|row, out| {
                        let mut all = collect(array.opt(row))?;
                        if !all.is_empty() {
                            let by = by.get(row)?.wrapping_mul($sign).rem_euclid(all.len() as i64);
                            all.rotate_left(by as usize);
                        }
                        push_array(out, all);
                        Some(())
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

rotation!(
    ARRAY_ROTATE_LEFT,
    "array_rotate_left",
    1,
    "The elements moved to the left; what falls out comes in at the right",
    ("array_rotate_left(dynamic([1,2,3,4,5]), 2)", "[3,4,5,1,2]")
);
rotation!(
    ARRAY_ROTATE_RIGHT,
    "array_rotate_right",
    -1,
    "The elements moved to the right; what falls out comes in at the left",
    ("array_rotate_right(dynamic([1,2,3,4,5]), 2)", "[4,5,1,2,3]")
);

macro_rules! shift {
    ($name:ident, $call:literal, $sign:literal, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            parameters: &["array"],
            signature: Signature::Custom(|args| {
                count(args, 2, Some(3))?;
                let mut types = vec![Type::Dynamic, Type::Long];
                types.extend(args.get(2).map(|arg| arg.ty));
                Ok(Resolved { args: types, returns: Type::Dynamic })
            }),
            examples: &[$example],
            prepare: |prepare| {
                let default = prepare.types.get(2).copied();
                Ok(kernel(move |args| {
                    let (array, by) = (args.texts(0), args.longs(1));
                    args.map_json(|row, out| {
                        let all = collect(array.opt(row))?;
                        let by = by.get(row)?.wrapping_mul($sign);
                        let filling = default.map_or_else(|| "null".to_owned(), |ty| json_at(args, 2, row, ty));
                        let filled = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX).min(all.len());
                        if !watch::build(filling.len().saturating_mul(filled)) {
                            return None;
                        }
                        let at = |place: usize| {
                            let from = (place as i64).checked_add(by).and_then(|from| usize::try_from(from).ok());
                            from.and_then(|from| all.get(from).copied()).unwrap_or(&filling)
                        };
                        push_array(out, (0..all.len()).map(at));
                        Some(())
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

shift!(
    ARRAY_SHIFT_LEFT,
    "array_shift_left",
    1,
    "The elements moved to the left, with nulls or a value in the free places",
    ("array_shift_left(dynamic([1,2,3,4,5]), 2)", "[3,4,5,null,null]")
);
shift!(
    ARRAY_SHIFT_RIGHT,
    "array_shift_right",
    -1,
    "The elements moved to the right, with nulls or a value in the free places",
    ("array_shift_right(dynamic([1,2,3]), 1, -1)", "[-1,1,2]")
);

/// Argument `index` at `row`, as JSON.
pub(super) fn json_at(args: &Args, index: usize, row: usize, ty: Type) -> String {
    let column = &args.arrays[index];
    let mut json = String::new();
    dynamic::push_value(&mut json, &Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty));
    json
}

static ARRAY_INDEX_OF: ScalarFn = ScalarFn {
    name: "array_index_of",
    summary: "The index of an element, or -1; optionally from a start, within a length, of an occurrence",
    parameters: &["array", "value", "start", "length", "occurrence"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(5))?;
        let types = [Type::Dynamic, args[1].ty, Type::Long, Type::Long, Type::Long];
        Ok(Resolved { args: types[..args.len()].to_vec(), returns: Type::Long })
    }),
    examples: &[
        (r#"array_index_of(dynamic(["this","is","an","example","an"]), "an")"#, "2"),
        (r#"array_index_of(dynamic(["this","is","an","example","an"]), "example", 1, 2)"#, "-1"),
        (r#"array_index_of(dynamic(["this","is","an","example","an"]), "an", 1, -1, 2)"#, "4"),
    ],
    prepare: |prepare| {
        let ty = prepare.types[1];
        Ok(kernel(move |args| {
            let array = args.texts(0);
            args.map_longs(|row| {
                let all = collect(array.opt(row))?;
                let number = |index: usize, default: i64| if args.len() > index { args.longs(index).get(row) } else { Some(default) };
                let (start, length, occurrence) = (number(2, 0)?, number(3, -1)?, number(4, 1)?);
                if occurrence < 1 || length < -1 {
                    return None;
                }
                let start = if start < 0 { start.saturating_add(all.len() as i64).max(0) } else { start } as usize;
                let end = usize::try_from(length).map_or(all.len(), |length| start.saturating_add(length).min(all.len()));
                let value = json_at(args, 1, row, ty);
                let mut found = (start..end).filter(|at| dynamic::equal(all[*at], &value));
                Some(found.nth(occurrence as usize - 1).map_or(-1, |at| at as i64))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static ARRAY_SUM: ScalarFn = ScalarFn {
    name: "array_sum",
    aliases: &["series_sum"],
    summary: "The sum of the numbers of an array; null where an element is neither number nor null",
    signature: all(&[("array", Type::Dynamic)], Type::Real),
    examples: &[("array_sum(dynamic([1,null,3]))", "4.0")],
    prepare: |_| {
        Ok(kernel(|args| {
            let array = args.texts(0);
            args.map_reals(|row| {
                elements(array.opt(row)?)?.try_fold(0.0, |sum, element| match dynamic::kind(element) {
                    Kind::Long(n) => Some(sum + n as f64),
                    Kind::Real(x) => Some(sum + x),
                    Kind::Bool(b) => Some(sum + f64::from(b)),
                    Kind::Null => Some(sum),
                    _ => None,
                })
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static ARRAY_IFF: ScalarFn = ScalarFn {
    name: "array_iff",
    aliases: &["array_iif"],
    summary: "Element by element: of the second array where the first is true, of the third elsewhere; a single value serves for all",
    parameters: &["array"],
    signature: Signature::Custom(|args| {
        count(args, 3, Some(3))?;
        if args[0].ty != Type::Dynamic {
            return Err(wants(0, "dynamic"));
        }
        as_is(args, Type::Dynamic)
    }),
    examples: &[
        ("array_iff(dynamic([true,false,true]), dynamic([1,2,3]), dynamic([4,5,6]))", "[1,5,3]"),
        (r#"array_iff(dynamic([1,0,50]), "yes", "no")"#, r#"["yes","no","yes"]"#),
        ("array_iff(dynamic([true,true,true]), dynamic([1,2]), dynamic([3,4]))", "[1,2,null]"),
    ],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            let condition = args.texts(0);
            args.map_json(|row, out| {
                let condition = collect(condition.opt(row))?;
                let (yes, no) = (json_at(args, 1, row, types[1]), json_at(args, 2, row, types[2]));
                let (yes_list, no_list) = (collect(Some(&yes)), collect(Some(&no)));
                // A scalar is used for every element.
                let single = |value: &str, list: &Option<Vec<&str>>| if list.is_some() { 0 } else { value.len() };
                if !watch::build(single(&yes, &yes_list).max(single(&no, &no_list)).saturating_mul(condition.len())) {
                    return None;
                }
                push_array(
                    out,
                    condition.iter().enumerate().map(|(at, condition)| {
                        let (single, list) = match cast::from_dynamic(condition, Type::Bool) {
                            Value::Bool(true) => (&yes, &yes_list),
                            Value::Bool(false) => (&no, &no_list),
                            _ => return "null",
                        };
                        list.as_ref().map_or(single.as_str(), |list| list.get(at).copied().unwrap_or("null"))
                    }),
                );
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! sorting {
    ($name:ident, $call:literal, $descending:literal, $summary:literal, $examples:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: Signature::Custom(sort_signature),
            examples: $examples,
            prepare: |prepare| sorter(prepare, $descending),
            ..ScalarFn::DEFAULT
        };
    };
}

sorting!(
    ARRAY_SORT_ASC,
    "array_sort_asc",
    false,
    "The elements from the least to the greatest, nulls last",
    &[
        ("array_sort_asc(dynamic([1,null,3,2]))", "[1,2,3,null]"),
        (r#"tostring(array_sort_asc(dynamic([3,1]), dynamic(["c","a"]), dynamic([1])))"#, r#"[[1,3],["a","c"],null]"#),
    ]
);
sorting!(
    ARRAY_SORT_DESC,
    "array_sort_desc",
    true,
    "The elements from the greatest to the least, nulls last",
    &[(r#"array_sort_desc(dynamic(["John","Paul","Jane"]))"#, r#"["Paul","John","Jane"]"#)]
);

/// Arrays, and optionally whether nulls come last.
fn sort_signature(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, None)?;
    let last = args.len() - 1;
    let types =
        args.iter().enumerate().map(|(at, arg)| if at == last && at > 0 && arg.ty == Type::Bool { Type::Bool } else { Type::Dynamic });
    Ok(Resolved { args: types.collect(), returns: Type::Dynamic })
}

/// Sorts the first array, and applies its order to the others. Several results are returned as an array of arrays, from which the binder
/// makes columns; an array whose length differs from the first is null.
fn sorter(prepare: &Prepare, descending: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    let flag = usize::from(prepare.types.last() == Some(&Type::Bool));
    let arrays = prepare.types.len() - flag;
    let nulls_last = match prepare.constants.last() {
        Some(Some(Value::Bool(last))) if flag == 1 => *last,
        _ => true,
    };
    Ok(kernel(move |args| {
        args.map_json(|row, out| {
            let first = collect(args.texts(0).opt(row))?;
            let mut order: Vec<usize> = (0..first.len()).collect();
            order.sort_by(|a, b| compare(first[*a], first[*b], descending, nulls_last));
            let sorted = |array: &[&str]| {
                let mut text = String::new();
                push_array(&mut text, order.iter().map(|at| array[*at]));
                text
            };
            if arrays == 1 {
                out.push_str(&sorted(&first));
                return Some(());
            }
            let others = (1..arrays).map(|index| match collect(args.texts(index).opt(row)) {
                Some(array) if array.len() == order.len() => sorted(&array),
                _ => "null".to_owned(),
            });
            let all: Vec<String> = std::iter::once(sorted(&first)).chain(others).collect();
            push_array(out, all.iter().map(String::as_str));
            Some(())
        })
    }))
}

fn compare(a: &str, b: &str, descending: bool, nulls_last: bool) -> Ordering {
    match (dynamic::kind(a) == Kind::Null, dynamic::kind(b) == Kind::Null) {
        (true, true) => Ordering::Equal,
        (a_null, b_null) if a_null != b_null => {
            if a_null == nulls_last {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        _ if descending => order(b, a),
        _ => order(a, b),
    }
}

/// Numbers by value, strings by code points; numbers before strings before everything else.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    let rank = |kind: &Kind| match kind {
        Kind::Bool(_) | Kind::Long(_) | Kind::Real(_) => 0,
        Kind::String => 1,
        _ => 2,
    };
    match (dynamic::kind(a), dynamic::kind(b)) {
        (Kind::Long(x), Kind::Long(y)) => x.cmp(&y),
        (Kind::String, Kind::String) => dynamic::unquote(a).cmp(&dynamic::unquote(b)),
        (x, y) if rank(&x) == 0 && rank(&y) == 0 => number(a).total_cmp(&number(b)),
        (x, y) => rank(&x).cmp(&rank(&y)).then_with(|| a.cmp(b)),
    }
}

fn number(json: &str) -> f64 {
    match dynamic::kind(json) {
        Kind::Long(n) => n as f64,
        Kind::Real(x) => x,
        Kind::Bool(b) => b.into(),
        _ => f64::NAN,
    }
}

static STRCAT_ARRAY: ScalarFn = ScalarFn {
    name: "strcat_array",
    aliases: &["array_strcat"],
    summary: "The elements of an array as text, with a delimiter between",
    signature: Signature::Custom(|args| {
        count(args, 2, Some(2))?;
        match args[0].ty {
            Type::Dynamic => Ok(Resolved { args: vec![Type::Dynamic, Type::String], returns: Type::String }),
            _ => Err(wants(0, "dynamic")),
        }
    }),
    examples: &[(r#"strcat_array(dynamic([1,null,3]), "-")"#, "1--3")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (array, delimiter) = (args.texts(0), args.texts(1));
            args.map_texts(|row, out| {
                let mut scratch = String::new();
                let Some(json) = array.opt(row) else { return };
                if delimiter.get(row).len() > 1 && !watch::build(delimiter.get(row).len().saturating_mul(json.len() / 2)) {
                    return;
                }
                // Recorded: a scalar is treated as an array of one element.
                if matches!(dynamic::kind(json), Kind::Bool(_) | Kind::Long(_) | Kind::Real(_) | Kind::String) {
                    out.push_str(dynamic::text(json, &mut scratch));
                }
                for (at, element) in elements(json).into_iter().flatten().enumerate() {
                    if at > 0 {
                        out.push_str(delimiter.get(row));
                    }
                    out.push_str(dynamic::text(element, &mut scratch));
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static PACK_ARRAY: ScalarFn = ScalarFn {
    name: "pack_array",
    summary: "An array of all arguments",
    parameters: &["array", "delimiter"],
    signature: Signature::Custom(|args| {
        count(args, 1, None)?;
        as_is(args, Type::Dynamic)
    }),
    examples: &[(r#"pack_array(1, "a", 2.5)"#, r#"[1,"a",2.5]"#)],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            args.map_json(|row, out| {
                let values: Vec<String> = types.iter().enumerate().map(|(index, ty)| json_at(args, index, row, *ty)).collect();
                push_array(out, values.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static ZIP: ScalarFn = ScalarFn {
    name: "zip",
    summary: "Arrays of the first elements, of the second elements, and so on; shorter arrays are filled with nulls",
    parameters: &["array1", "array2"],
    signature: Signature::Custom(|args| dynamics(args, 2)),
    examples: &[("zip(dynamic([1,3,5]), dynamic([2,4]))", "[[1,2],[3,4],[5,null]]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let arrays: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_json(|row, out| {
                let all: Vec<Vec<&str>> = arrays.iter().map(|array| collect(array.opt(row)).unwrap_or_default()).collect();
                let longest = all.iter().map(Vec::len).max().unwrap_or(0);
                out.push('[');
                for at in 0..longest {
                    if at > 0 {
                        out.push(',');
                    }
                    push_array(out, all.iter().map(|list| list.get(at).copied().unwrap_or("null")));
                }
                out.push(']');
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static REPEAT: ScalarFn = ScalarFn {
    name: "repeat",
    summary: "An array of one value, so many times",
    parameters: &["value", "count"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(2))?;
        if args[0].ty == Type::Dynamic {
            return Err(wants(0, "bool, number, string, datetime or timespan"));
        }
        Ok(Resolved { args: vec![args[0].ty, Type::Long], returns: Type::Dynamic })
    }),
    examples: &[("repeat(1, 3)", "[1,1,1]")],
    prepare: |prepare| {
        let ty = prepare.types[0];
        Ok(kernel(move |args| {
            let times = args.longs(1);
            args.map_json(|row, out| {
                let value = json_at(args, 0, row, ty);
                let times = times.get(row)?.clamp(0, MOST_ELEMENTS) as usize;
                if !watch::build((value.len() + 1).saturating_mul(times)) {
                    return None;
                }
                push_array(out, std::iter::repeat_n(value.as_str(), times));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Reserves memory for elements that are created one by one.
#[derive(Default)]
struct Asking(usize);

impl Asking {
    /// Elements between two checks, and estimated bytes of a pending element.
    const MANY: usize = 4096;
    const ELEMENT: usize = 64;

    /// Returns false if memory is exhausted or the query is cancelled.
    fn more(&mut self) -> bool {
        self.0 += 1;
        !self.0.is_multiple_of(Self::MANY) || watch::build(Self::MANY * Self::ELEMENT) && !watch::stopped()
    }
}

static RANGE: ScalarFn = ScalarFn {
    name: "range",
    summary: "An array of equally spaced numbers, dates or lengths of time, both ends included",
    parameters: &["start", "stop", "step"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(3))?;
        let ty = match (args[0].ty, args[1].ty) {
            (Type::Datetime, _) => Type::Datetime,
            (Type::Timespan, _) => Type::Timespan,
            (a, b) => super::cast::common([a, b].into_iter().chain(args.get(2).map(|arg| arg.ty)))
                .filter(|ty| ty.is_numeric())
                .map(|ty| {
                    if ty == Type::Decimal {
                        Type::Real
                    } else if ty == Type::Int {
                        Type::Long
                    } else {
                        ty
                    }
                })
                .ok_or(wants(0, "number, datetime or timespan"))?,
        };
        let step = if ty == Type::Datetime { Type::Timespan } else { ty };
        Ok(Resolved { args: [ty, ty, step][..args.len()].to_vec(), returns: Type::Dynamic })
    }),
    examples: &[
        ("range(1, 8, 3)", "[1,4,7]"),
        ("range(1h, 3h)", r#"["01:00:00","02:00:00","03:00:00"]"#),
        ("range(0.0, 1.0, 0.5)", "[0.0,0.5,1.0]"),
    ],
    prepare: |prepare| {
        let ty = prepare.types[0];
        Ok(kernel(move |args| {
            args.map_json(|row, out| {
                let mut texts: Vec<Cow<str>> = Vec::new();
                let mut asking = Asking::default();
                if ty == Type::Real {
                    let (from, to) = (args.reals(0).get(row)?, args.reals(1).get(row)?);
                    let step = if args.len() > 2 { args.reals(2).get(row)? } else { 1.0 };
                    let steps = ((to - from) / step + 1e-9).floor();
                    for n in 0..if steps >= 0.0 { (steps as i64).saturating_add(1).min(MOST_ELEMENTS) } else { 0 } {
                        if !asking.more() {
                            return None;
                        }
                        let mut text = String::new();
                        dynamic::push_real(&mut text, from + n as f64 * step);
                        texts.push(text.into());
                    }
                } else {
                    let (from, to) = (args.longs(0).get(row)?, args.longs(1).get(row)?);
                    let step = if args.len() > 2 {
                        args.longs(2).get(row)?
                    } else if ty == Type::Long {
                        1
                    } else {
                        model::TICKS_PER_HOUR
                    };
                    if step == 0 {
                        return None;
                    }
                    let mut at = from;
                    while (step > 0 && at <= to || step < 0 && at >= to) && (texts.len() as i64) < MOST_ELEMENTS {
                        if !asking.more() {
                            return None;
                        }
                        let value = match ty {
                            Type::Datetime => Value::Datetime(at),
                            Type::Timespan => Value::Timespan(at),
                            _ => Value::Long(at),
                        };
                        let text = text::format(&value);
                        texts.push(if ty == Type::Long { text.into() } else { format!("\"{text}\"").into() });
                        match at.checked_add(step) {
                            Some(next) => at = next,
                            None => break,
                        }
                    }
                }
                push_array(out, texts.iter().map(AsRef::as_ref));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
