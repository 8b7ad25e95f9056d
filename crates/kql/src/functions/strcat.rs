//! `strcat`, `strcat_delim`, `strrep`, `strcmp`, `reverse`, `tolower`, `toupper`, `string_size`, `substring`: string construction and
//! substrings. Source of truth: the public KQL reference, one page each, and recorded results. Positions count code points.

use model::Type;

use super::signatures::{all, text_then, texts};
use super::{Family, ScalarFn, Signature, kernel};
use crate::watch;

pub static FAMILY: Family = &[&STRCAT, &STRCAT_DELIM, &STRREP, &STRCMP, &REVERSE, &TO_LOWER, &TO_UPPER, &STRING_SIZE, &SUBSTRING];

/// Maximum number of repetitions of `strrep`.
const MOST_REPEATS: i64 = 1024;

static STRCAT: ScalarFn = ScalarFn {
    name: "strcat",
    summary: "All arguments as text, one after the other",
    parameters: &["value1", "value2"],
    signature: Signature::Custom(|args| texts(args, 1, None, Type::String)),
    examples: &[(r#"strcat("a", 1, "-", true)"#, "a1-True")],
    prepare: |_| {
        Ok(kernel(|args| {
            let parts: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_texts(|row, out| parts.iter().for_each(|part| out.push_str(part.get(row))))
        }))
    },
    ..ScalarFn::DEFAULT
};

static STRCAT_DELIM: ScalarFn = ScalarFn {
    name: "strcat_delim",
    summary: "All arguments after the first as text, with the first between them",
    parameters: &["delimiter", "value1", "value2"],
    signature: Signature::Custom(|args| texts(args, 2, None, Type::String)),
    examples: &[(r#"strcat_delim("-", 1, "2", "A")"#, "1-2-A")],
    prepare: |_| {
        Ok(kernel(|args| {
            let parts: Vec<_> = (0..args.len()).map(|index| args.texts(index)).collect();
            args.map_texts(|row, out| {
                if !watch::build(parts[0].get(row).len().saturating_mul(parts.len() - 2)) {
                    return;
                }
                for (at, part) in parts[1..].iter().enumerate() {
                    if at > 0 {
                        out.push_str(parts[0].get(row));
                    }
                    out.push_str(part.get(row));
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static STRREP: ScalarFn = ScalarFn {
    name: "strrep",
    summary: "A text repeated, at most 1024 times, with a delimiter between",
    parameters: &["value", "times", "delimiter"],
    signature: Signature::Custom(|args| text_then(args, &[Type::Long, Type::String], 2, Type::String)),
    examples: &[(r#"strrep("ABC", 2)"#, "ABCABC"), (r#"strrep(123, 3, ".")"#, "123.123.123")],
    prepare: |prepare| {
        let delimited = prepare.types.len() > 2;
        Ok(kernel(move |args| {
            let (value, count) = (args.texts(0), args.longs(1));
            let delimiter = delimited.then(|| args.texts(2));
            args.map_texts(|row, out| {
                let (value, delimiter) = (value.get(row), delimiter.as_ref().map_or("", |delimiter| delimiter.get(row)));
                let turns = count.get(row).unwrap_or(0).clamp(0, MOST_REPEATS);
                if !watch::build((value.len() + delimiter.len()).saturating_mul(turns as usize)) {
                    return;
                }
                for turn in 0..turns {
                    if turn > 0 {
                        out.push_str(delimiter);
                    }
                    out.push_str(value);
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static STRCMP: ScalarFn = ScalarFn {
    name: "strcmp",
    summary: "-1, 0 or 1: whether the first text comes before, is, or comes after the second",
    signature: Signature::Custom(|args| texts(args, 2, Some(2), Type::Long)),
    examples: &[(r#"strcmp("abcde", "ABCDE")"#, "1"), (r#"strcmp("a", "a")"#, "0")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (a, b) = (args.texts(0), args.texts(1));
            args.map_longs(|row| Some(a.get(row).cmp(b.get(row)) as i64))
        }))
    },
    ..ScalarFn::DEFAULT
};

static REVERSE: ScalarFn = ScalarFn {
    name: "reverse",
    summary: "The text backwards",
    parameters: &["string1", "string2"],
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::String)),
    examples: &[(r#"reverse("Hello")"#, "olleH"), ("reverse(123.45)", "54.321")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_texts(|row, out| out.extend(source.get(row).chars().rev()))
        }))
    },
    ..ScalarFn::DEFAULT
};

static TO_LOWER: ScalarFn = ScalarFn {
    name: "tolower",
    summary: "The text in lower case",
    parameters: &["value"],
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::String)),
    examples: &[(r#"tolower("MiXeD Ångström")"#, "mixed ångström")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_texts(|row, out| super::terms::fold_into(source.get(row), out))
        }))
    },
    ..ScalarFn::DEFAULT
};

static TO_UPPER: ScalarFn = ScalarFn {
    name: "toupper",
    summary: "The text in upper case",
    parameters: &["value"],
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::String)),
    examples: &[(r#"toupper("naïveté")"#, "NAÏVETÉ")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_texts(|row, out| {
                let source = source.get(row);
                if source.is_ascii() {
                    out.push_str(source);
                    out.make_ascii_uppercase();
                } else {
                    out.extend(source.chars().map(upper));
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// One-to-one case mapping: `ß` is unchanged.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

static STRING_SIZE: ScalarFn = ScalarFn {
    name: "string_size",
    summary: "The bytes of the text in UTF-8",
    signature: all(&[("source", Type::String)], Type::Long),
    examples: &[(r#"string_size("café")"#, "5")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_longs(|row| Some(source.get(row).len() as i64))
        }))
    },
    ..ScalarFn::DEFAULT
};

static SUBSTRING: ScalarFn = ScalarFn {
    name: "substring",
    summary: "Part of a text, from a position (negative: from the end), to its end or of a length",
    parameters: &["source"],
    signature: Signature::Custom(|args| text_then(args, &[Type::Long, Type::Long], 2, Type::String)),
    examples: &[
        (r#"substring("123456", 1)"#, "23456"),
        (r#"substring("hello", -2, 2)"#, "lo"),
        (r#"substring("abc", 5, 3)"#, ""),
        (r#"substring("x", -2, 5)"#, ""),
    ],
    prepare: |prepare| {
        let limited = prepare.types.len() > 2;
        Ok(kernel(move |args| {
            let (source, start) = (args.texts(0), args.longs(1));
            let length = limited.then(|| args.longs(2));
            args.map_slices(|row| {
                let source = source.get(row);
                match (start.get(row), &length) {
                    (Some(start), Some(length)) => length.get(row).map_or("", |length| cut(source, start, length)),
                    (Some(start), None) => cut(source, start, i64::MAX),
                    (None, Some(_)) => "",
                    // Recorded: without a length, a null position is the start.
                    (None, None) => source,
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn cut(source: &str, start: i64, length: i64) -> &str {
    if length <= 0 {
        return "";
    }
    let ascii = source.is_ascii();
    let start = match usize::try_from(start) {
        Ok(start) => start,
        Err(_) => {
            let count = if ascii { source.len() } else { source.chars().count() };
            let Some(start) = count.checked_sub(start.unsigned_abs() as usize) else { return "" };
            start
        }
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if ascii {
        return source.get(start..start.saturating_add(length).min(source.len())).unwrap_or("");
    }
    let mut places = source.char_indices().map(|(at, _)| at).chain([source.len()]);
    let Some(from) = places.nth(start) else { return "" };
    let to = places.nth(length - 1).unwrap_or(source.len());
    &source[from..to]
}
