//! `indexof`, `indexof_regex`, `countof`, `has_any_index`, `translate`: search and count occurrences of text. Positions count code points.
//! Source of truth: the public KQL reference, one page each; recorded results (searching for an empty text gives null).

use model::Type;

use super::patterns::Pattern;
use super::signatures::{all, count, texts};
use super::terms::{Needle, Rule};
use super::{Arg, Args, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic;

pub static FAMILY: Family = &[&INDEX_OF, &INDEX_OF_REGEX, &COUNT_OF, &HAS_ANY_INDEX, &TRANSLATE];

static INDEX_OF: ScalarFn = ScalarFn {
    name: "indexof",
    summary: "The position of a text in another, or -1; optionally from a start, within a length, of an occurrence",
    parameters: &["string", "match", "start", "length", "occurrence"],
    signature: Signature::Custom(resolve),
    examples: &[
        (r#"indexof("abcdefg", "cde")"#, "2"),
        (r#"indexof("abcdefg", "cde", 1, 2)"#, "-1"),
        (r#"indexof("abcdefg", "cde", -5)"#, "2"),
        (r#"indexof(1234567, 5, 1, 4)"#, "4"),
        (r#"indexof("abcdefgabcdefg", "cde", 1, 10, 2)"#, "9"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (source, lookup) = (args.texts(0), args.texts(1));
            args.map_longs(|row| {
                let lookup = lookup.get(row);
                if lookup.is_empty() {
                    return None;
                }
                let source = source.get(row);
                let mut window = window(args, source, row)?;
                // Each further occurrence is searched after the previous one, within the same length (documented example).
                loop {
                    let Some(at) = window.text.find(lookup) else { return Some(-1) };
                    let place = window.offset + window.text[..at].chars().count() as i64;
                    if window.occurrence == 1 {
                        return Some(place);
                    }
                    window = Window::new(source, place + 1, window.length, window.occurrence - 1);
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static INDEX_OF_REGEX: ScalarFn = ScalarFn {
    name: "indexof_regex",
    summary: "The position of a match in a text, or -1; optionally from a start, within a length, of an occurrence",
    parameters: &["string", "match", "start", "length", "occurrence"],
    signature: Signature::Custom(resolve),
    examples: &[
        (r#"indexof_regex("abcabc", @"a.c")"#, "0"),
        (r#"indexof_regex("abcabcdefg", @"a.c", 0, 9, 2)"#, "3"),
        (r#"indexof_regex("ababaa", @"a.a", 0, -1, 2)"#, "-1"),
        (r#"indexof_regex("abcabc", @"a|ab", -1)"#, ""),
    ],
    prepare: |prepare| {
        let pattern = Pattern::new(prepare, 1)?;
        Ok(kernel(move |args| {
            let (source, lookup) = (args.texts(0), args.texts(1));
            args.map_longs(|row| {
                if args.len() > 2 && args.longs(2).get(row)? < 0 {
                    return None;
                }
                let window = window(args, source.get(row), row)?;
                pattern.with(lookup.get(row), |regex| {
                    let found = regex.find_iter(window.text).nth(window.occurrence as usize - 1);
                    found.map_or(-1, |found| window.offset + window.text[..found.start()].chars().count() as i64)
                })
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 2, Some(5))?;
    let types = [Type::String, Type::String, Type::Long, Type::Long, Type::Long];
    Ok(Resolved { args: types[..args.len()].to_vec(), returns: Type::Long })
}

/// The part of a text that is searched.
struct Window<'a> {
    text: &'a str,
    /// Number of code points before it.
    offset: i64,
    length: i64,
    occurrence: i64,
}

impl<'a> Window<'a> {
    /// Starts at a code point, with a length or (-1) to the end.
    fn new(source: &'a str, start: i64, length: i64, occurrence: i64) -> Self {
        let place = |count: i64| source.char_indices().nth(usize::try_from(count).unwrap_or(usize::MAX)).map_or(source.len(), |(at, _)| at);
        let from = place(start);
        let to = if length < 0 { source.len() } else { place(start.saturating_add(length)) };
        Window { text: &source[from..to], offset: start, length, occurrence }
    }
}

fn window<'a>(args: &Args, source: &'a str, row: usize) -> Option<Window<'a>> {
    let number = |index: usize, default: i64| if args.len() > index { args.longs(index).get(row) } else { Some(default) };
    let (start, length, occurrence) = (number(2, 0)?, number(3, -1)?, number(4, 1)?);
    if length < -1 || occurrence < 1 {
        return None;
    }
    let start = if start < 0 { (source.chars().count() as i64).saturating_add(start).max(0) } else { start };
    Some(Window::new(source, start, length, occurrence))
}

static COUNT_OF: ScalarFn = ScalarFn {
    name: "countof",
    summary: "How often a text (overlaps included) or, with kind `regex`, a match occurs",
    parameters: &["source", "search", "kind"],
    signature: Signature::Custom(|args| texts(args, 2, Some(3), Type::Long)),
    examples: &[
        (r#"countof("aaaa", "aa")"#, "3"),
        (r#"countof("ababa", "ab", "normal")"#, "2"),
        (r#"countof("abcabc", "a.c", "regex")"#, "2"),
    ],
    prepare: |prepare| {
        let kind = prepare.constants.get(2).map(|kind| kind.as_ref().and_then(Value::as_str) == Some("regex"));
        // A plain search text need not be a valid regex.
        let pattern = if kind == Some(true) { Pattern::new(prepare, 1)? } else { Pattern::Open };
        Ok(kernel(move |args| {
            let (source, search) = (args.texts(0), args.texts(1));
            args.map_longs(|row| {
                let (source, search) = (source.get(row), search.get(row));
                if args.len() > 2 && args.texts(2).get(row) == "regex" {
                    return pattern.with(search, |regex| regex.find_iter(source).count() as i64);
                }
                if search.is_empty() {
                    return Some(0);
                }
                let (mut found, mut from) = (0, 0);
                while let Some(at) = source.get(from..).and_then(|rest| rest.find(search)) {
                    found += 1;
                    from += at + search.chars().next().map_or(1, char::len_utf8);
                }
                Some(found)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static HAS_ANY_INDEX: ScalarFn = ScalarFn {
    name: "has_any_index",
    summary: "The index of the first of several terms that the text has, or -1",
    signature: all(&[("source", Type::String), ("values", Type::Dynamic)], Type::Long),
    examples: &[
        (r#"has_any_index("this is an example", dynamic(["this", "example"]))"#, "0"),
        (r#"has_any_index("x", dynamic(["y"]))"#, "-1"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (source, values) = (args.texts(0), args.texts(1));
            args.map_longs(|row| {
                let mut values = dynamic::elements(values.opt(row)?)?;
                let found = values.position(|value| Needle::new(&dynamic::unquote(value), Rule::Has, false).matches(source.get(row)));
                Some(found.map_or(-1, |at| at as i64))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static TRANSLATE: ScalarFn = ScalarFn {
    name: "translate",
    summary: "Replaces each character of a list by the character at the same place of another; the last one serves for the rest",
    signature: all(&[("searchList", Type::String), ("replacementList", Type::String), ("source", Type::String)], Type::String),
    examples: &[
        (r#"translate("krasp", "otsku", "spark")"#, "kusto"),
        (r#"translate("abc", "", "ab")"#, ""),
        (r#"translate("abc", "x", "abc")"#, "xxx"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (search, replacement, source) = (args.texts(0), args.texts(1), args.texts(2));
            args.map_texts(|row, out| {
                let replacement: Vec<char> = replacement.get(row).chars().collect();
                let search = search.get(row);
                out.extend(source.get(row).chars().filter_map(|c| match search.chars().position(|s| s == c) {
                    Some(at) => replacement.get(at).or(replacement.last()).copied(),
                    None => Some(c),
                }));
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
