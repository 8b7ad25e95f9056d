//! `extract`, `extract_all`, `replace_regex` (and the deprecated `replace`), `replace_string`, `replace_strings`, `trim`, `trim_start`,
//! `trim_end`, `regex_quote`. Source of truth: the public KQL reference, one page each; recorded results (trimming removes one match per
//! side).

use std::borrow::Cow;

use model::Type;
use regex::{Captures, Regex};

use super::patterns::Pattern;
use super::signatures::{count, text_then, texts, type_argument, wants};
use super::{Arg, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic::{self, Kind, push_string};
use crate::value::cells::Cells;
use crate::value::text;
use crate::watch;

pub static FAMILY: Family =
    &[&EXTRACT, &EXTRACT_ALL, &REPLACE_REGEX, &REPLACE, &REPLACE_STRING, &REPLACE_STRINGS, &TRIM, &TRIM_START, &TRIM_END, &REGEX_QUOTE];

static EXTRACT: ScalarFn = ScalarFn {
    name: "extract",
    summary: "A capturing group of the first match, or an empty string; with `typeof(…)`, converted to that type",
    parameters: &["regex", "capture_group", "source", "type"],
    signature: Signature::Custom(|args| {
        count(args, 3, Some(4))?;
        if !matches!(args[2].ty, Type::String | Type::Dynamic) {
            return Err(wants(2, "string"));
        }
        let mut types = vec![Type::String, Type::Long, Type::String];
        let mut returns = Type::String;
        if let Some(arg) = args.get(3) {
            returns = type_argument(arg, 3)?;
            types.push(Type::String);
        }
        Ok(Resolved { args: types, returns })
    }),
    examples: &[
        (r#"extract(@"(\d+)-(\d+)", 2, "2020-12-31")"#, "12"),
        (r#"extract(@"x", 0, "abc")"#, ""),
        (r#"extract(@"Duration=([0-9.]+)", 1, "Duration=123.45", typeof(real)) * 2"#, "246.9"),
    ],
    prepare: |prepare| {
        let pattern = Pattern::new(prepare, 0)?;
        let returns = prepare.returns;
        Ok(kernel(move |args| {
            let (text, group, source) = (args.texts(0), args.longs(1), args.texts(2));
            let find = |row: usize| {
                let group = usize::try_from(group.get(row)?).ok()?;
                pattern.with(text.get(row), |regex| capture(regex, group, source.get(row)))?
            };
            if returns == Type::String {
                return args.map_slices(|row| find(row).unwrap_or(""));
            }
            let mut cells = Cells::new(returns, args.rows);
            for row in 0..args.rows {
                cells.push(&find(row).map_or(Value::null(returns), |found| text::parse(found, returns)));
            }
            cells.finish()
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Group `group` of the first match; group 0 needs no captures, which is faster.
fn capture<'a>(regex: &Regex, group: usize, source: &'a str) -> Option<&'a str> {
    if group == 0 {
        return regex.find(source).map(|found| found.as_str());
    }
    regex.captures(source)?.get(group).map(|found| found.as_str())
}

static EXTRACT_ALL: ScalarFn = ScalarFn {
    name: "extract_all",
    aliases: &["extractall"],
    summary: "The capturing groups of all matches, as an array; null where there is no match",
    parameters: &["regex", "capture_groups", "source"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(3))?;
        let types = if args.len() == 2 { vec![Type::String; 2] } else { vec![Type::String, Type::Dynamic, Type::String] };
        Ok(Resolved { args: types, returns: Type::Dynamic })
    }),
    examples: &[
        (r#"extract_all(@"([\da-f]{2})", "82b8")"#, r#"["82","b8"]"#),
        (r#"extract_all(@"(\w)(\w+)(\w)", dynamic([1,3]), "abcd efg")"#, r#"[["a","d"],["e","g"]]"#),
    ],
    prepare: extract_all,
    ..ScalarFn::DEFAULT
};

/// Maximum number of capturing groups of `extract_all` (recorded).
const MOST_GROUPS: usize = 16;

fn extract_all(prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    let pattern = Pattern::new(prepare, 0)?;
    if let Pattern::Fixed(regex) = &pattern
        && regex.captures_len() < 2
    {
        return Err(PrepareError::Constant("the regular expression needs a capturing group".to_owned()));
    }
    if let Pattern::Fixed(regex) = &pattern
        && regex.captures_len() > MOST_GROUPS + 1
    {
        let message = format!("the regular expression has more than {MOST_GROUPS} capturing groups");
        return Err(PrepareError::Constant(message));
    }
    let chosen = prepare.types.len() > 2;
    Ok(kernel(move |args| {
        let (text, source) = (args.texts(0), args.texts(args.len() - 1));
        args.map_json(|row, out| {
            pattern.with(text.get(row), |regex| {
                let mut groups: Vec<usize> = match chosen.then(|| args.texts(1).opt(row)) {
                    None => Vec::new(),
                    Some(list) => dynamic::elements(list?)?.filter_map(|group| group_number(regex, group)).collect(),
                };
                // Recorded: if none of the requested groups exists, all groups are returned.
                if groups.is_empty() {
                    groups.extend(1..regex.captures_len());
                }
                let mut any = false;
                let mut growth = Growth::default();
                out.push('[');
                for found in regex.captures_iter(source.get(row)) {
                    if !growth.goes_on(out.len()) {
                        return None;
                    }
                    if any {
                        out.push(',');
                    }
                    any = true;
                    let group = |index: &usize| found.get(*index).map_or("", |group| group.as_str());
                    if let [index] = &groups[..] {
                        push_string(out, group(index));
                        continue;
                    }
                    out.push('[');
                    for (at, index) in groups.iter().enumerate() {
                        if at > 0 {
                            out.push(',');
                        }
                        push_string(out, group(index));
                    }
                    out.push(']');
                }
                out.push(']');
                any.then_some(())
            })?
        })
    }))
}

/// A group by number or by name.
fn group_number(regex: &Regex, group: &str) -> Option<usize> {
    match dynamic::kind(group) {
        dynamic::Kind::Long(n) => usize::try_from(n).ok().filter(|n| *n < regex.captures_len()),
        dynamic::Kind::String => {
            let name = dynamic::unquote(group);
            regex.capture_names().position(|known| known == Some(&name))
        }
        _ => None,
    }
}

static REPLACE_REGEX: ScalarFn = ScalarFn {
    name: "replace_regex",
    summary: r"Replaces all matches; `\1` in the replacement is the first capturing group, `\0` the match",
    parameters: &["source", "regex", "rewrite"],
    signature: Signature::Custom(|args| text_then(args, &[Type::String, Type::String], 3, Type::String)),
    examples: &[
        (r#"replace_regex("Number is 1", @"is (\d+)", @"was: \1")"#, "Number was: 1"),
        (r#"replace_regex("a-b", "-", "$0")"#, "a$0b"),
    ],
    prepare: |prepare| replacing(prepare, 0, 1, 2),
    ..ScalarFn::DEFAULT
};

static REPLACE: ScalarFn = ScalarFn {
    name: "replace",
    summary: "The older form of `replace_regex`: pattern, replacement, source",
    parameters: &["regex", "rewrite", "source"],
    signature: Signature::Custom(|args| texts(args, 3, Some(3), Type::String)),
    examples: &[(r#"replace(@"is (\d+)", @"was: \1", "Number is 1")"#, "Number was: 1")],
    prepare: |prepare| replacing(prepare, 2, 0, 1),
    ..ScalarFn::DEFAULT
};

fn replacing(prepare: &Prepare, source: usize, lookup: usize, rewrite: usize) -> Result<Box<dyn Kernel>, PrepareError> {
    let pattern = Pattern::new(prepare, lookup)?;
    let fixed = prepare.constants[rewrite].as_ref().and_then(Value::as_str).map(template);
    Ok(kernel(move |args| {
        let (source, lookup, rewrite) = (args.texts(source), args.texts(lookup), args.texts(rewrite));
        args.map_texts(|row, out| {
            let hay = source.get(row);
            let done = pattern.with(lookup.get(row), |regex| {
                let open;
                let parts = match &fixed {
                    Some(parts) => parts,
                    None => {
                        open = template(rewrite.get(row));
                        &open
                    }
                };
                if parts.iter().all(|part| matches!(part, Part::Text(_) | Part::Group(0))) {
                    let mut last = 0;
                    let mut growth = Growth::default();
                    for found in regex.find_iter(hay) {
                        if !growth.goes_on(out.len()) {
                            return;
                        }
                        out.push_str(&hay[last..found.start()]);
                        parts.iter().for_each(|part| out.push_str(if let Part::Text(text) = part { text } else { found.as_str() }));
                        last = found.end();
                    }
                    out.push_str(&hay[last..]);
                } else {
                    let (mut growth, mut length) = (Growth::default(), 0);
                    let put = |found: &Captures| {
                        if !growth.goes_on(length) {
                            return String::new();
                        }
                        let put: String = parts
                            .iter()
                            .map(|part| match part {
                                Part::Text(text) => text.as_str(),
                                Part::Group(index) => found.get(*index).map_or("", |group| group.as_str()),
                            })
                            .collect();
                        length += put.len();
                        put
                    };
                    out.push_str(&regex.replace_all(hay, put));
                }
            });
            if done.is_none() {
                out.push_str(hay);
            }
        })
    }))
}

/// Reserves memory for a text that is written incrementally.
#[derive(Default)]
struct Growth(usize);

impl Growth {
    /// Bytes between two checks.
    const STEP: usize = 256 << 10;

    /// Returns false if a text of this `length` may not grow further, or the query is cancelled.
    fn goes_on(&mut self, length: usize) -> bool {
        if length < self.0 + Self::STEP {
            return true;
        }
        let grown = length - self.0;
        self.0 = length;
        watch::build(grown) && !watch::stopped()
    }
}

enum Part {
    Text(String),
    Group(usize),
}

/// Parses `\1` and `\\`; `$` is literal.
fn template(rewrite: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = rewrite.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Group(digit as usize - '0' as usize));
                }
                Some('\\') => text.push('\\'),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

static REPLACE_STRING: ScalarFn = ScalarFn {
    name: "replace_string",
    summary: "Replaces all occurrences of a text",
    parameters: &["text", "lookup", "rewrite"],
    signature: Signature::Custom(|args| text_then(args, &[Type::String, Type::String], 3, Type::String)),
    examples: &[(r#"replace_string("one two", "o", "0")"#, "0ne tw0"), (r#"replace_string("abc", "", "_")"#, "abc")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (source, lookup, rewrite) = (args.texts(0), args.texts(1), args.texts(2));
            args.map_texts(|row, out| replace_all(source.get(row), lookup.get(row), rewrite.get(row), out))
        }))
    },
    ..ScalarFn::DEFAULT
};

fn replace_all(source: &str, lookup: &str, rewrite: &str, out: &mut String) {
    if lookup.is_empty() {
        return out.push_str(source);
    }
    let mut last = 0;
    let mut growth = Growth::default();
    for (at, found) in source.match_indices(lookup) {
        if !growth.goes_on(out.len()) {
            return;
        }
        out.push_str(&source[last..at]);
        out.push_str(rewrite);
        last = at + found.len();
    }
    out.push_str(&source[last..]);
}

static REPLACE_STRINGS: ScalarFn = ScalarFn {
    name: "replace_strings",
    summary: "Replaces each of several texts by the replacement at the same place; what matched once is left alone by those that follow",
    parameters: &["text", "lookups", "rewrites"],
    signature: Signature::Custom(|args| text_then(args, &[Type::Dynamic, Type::Dynamic], 3, Type::String)),
    // From the reference.
    examples: &[
        (r#"replace_strings("A magic trick", dynamic(["trick", "magic"]), dynamic(["card", "good"]))"#, "A good card"),
        (r#"replace_strings("a cat and a dog", dynamic(["cat", "dog"]), dynamic(["dog", "pigeon"]))"#, "a dog and a pigeon"),
        (r#"replace_strings("This is", dynamic(["is", "This"]), dynamic(["was", "This"]))"#, "Thwas was"),
        (r#"replace_strings("This is", dynamic(["This", "is"]), dynamic([12345, "was"]))"#, "This was"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (source, lookups, rewrites) = (args.texts(0), args.texts(1), args.texts(2));
            args.map_texts(|row, out| {
                let source = source.get(row);
                let rewrites = rewrites.get(row);
                // A single replacement is used for all texts.
                let single = dynamic::elements(rewrites).is_none().then(|| dynamic::unquote(rewrites));
                let mut rewrites = dynamic::elements(rewrites).into_iter().flatten();
                // Parts of the source in order, each with its replacement once it has matched.
                let mut parts: Vec<(&str, Option<Cow<str>>)> = vec![(source, None)];
                let (mut growth, mut grown) = (Growth::default(), 0);
                for lookup in dynamic::elements(lookups.get(row)).into_iter().flatten() {
                    let given = rewrites.next();
                    let lookup = match dynamic::kind(lookup) {
                        Kind::String => dynamic::unquote(lookup),
                        _ => continue,
                    };
                    if lookup.is_empty() {
                        continue;
                    }
                    let rewrite = single.clone().or_else(|| given.filter(|json| dynamic::kind(json) == Kind::String).map(dynamic::unquote));
                    let mut cut = Vec::with_capacity(parts.len());
                    if watch::stopped() {
                        return;
                    }
                    for (part, done) in parts {
                        if done.is_some() {
                            cut.push((part, done));
                            continue;
                        }
                        let mut last = 0;
                        for (at, found) in part.match_indices(&*lookup) {
                            grown += 2 * size_of::<(&str, Option<Cow<str>>)>() + rewrite.as_ref().map_or(0, |rewrite| rewrite.len());
                            if !growth.goes_on(grown) {
                                return;
                            }
                            cut.push((&part[last..at], None));
                            // A replacement that is not a string leaves the match unchanged.
                            cut.push((found, Some(rewrite.clone().unwrap_or(Cow::Borrowed(found)))));
                            last = at + found.len();
                        }
                        cut.push((&part[last..], None));
                    }
                    parts = cut;
                }
                parts.iter().for_each(|(part, done)| out.push_str(done.as_deref().unwrap_or(part)));
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! trimming {
    ($name:ident, $call:literal, $start:literal, $end:literal, $summary:literal, $examples:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: Signature::Custom(pattern_and_text),
            examples: $examples,
            prepare: |prepare| trimmer(prepare, $start, $end),
            ..ScalarFn::DEFAULT
        };
    };
}

trimming!(
    TRIM,
    "trim",
    true,
    true,
    "Removes a match of the regular expression from both ends",
    &[(r#"trim("--", "--https://bing.com--")"#, "https://bing.com"), (r#"trim("x", "xxabcxx")"#, "xabcx")]
);
trimming!(
    TRIM_START,
    "trim_start",
    true,
    false,
    "Removes a match of the regular expression from the beginning",
    &[(r#"trim_start(@"\s+", "  a ")"#, "a ")]
);
trimming!(
    TRIM_END,
    "trim_end",
    false,
    true,
    "Removes a match of the regular expression from the end",
    &[(r#"trim_end(".com", "bing.com")"#, "bing")]
);

fn pattern_and_text(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 2, Some(2))?;
    if !matches!(args[0].ty, Type::String | Type::Dynamic) {
        return Err(wants(0, "string"));
    }
    Ok(Resolved { args: vec![Type::String; 2], returns: Type::String })
}

fn trimmer(prepare: &Prepare, start: bool, end: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    let head: fn(&str) -> String = |pattern| format!(r"\A(?:{pattern})");
    let tail: fn(&str) -> String = |pattern| format!(r"(?:{pattern})\z");
    let (first, last) = (Pattern::wrapped(prepare, 0, head)?, Pattern::wrapped(prepare, 0, tail)?);
    Ok(kernel(move |args| {
        let (text, source) = (args.texts(0), args.texts(1));
        let open = |pattern: &Pattern, wrap: fn(&str) -> String, row| match pattern {
            Pattern::Fixed(_) => String::new(),
            Pattern::Open => wrap(text.get(row)),
        };
        args.map_slices(|row| {
            let mut rest = source.get(row);
            if start {
                let cut = first.with(&open(&first, head, row), |regex| regex.find(rest).map(|found| found.end())).flatten();
                rest = &rest[cut.unwrap_or(0)..];
            }
            if end {
                let cut = last.with(&open(&last, tail, row), |regex| regex.find(rest).map(|found| found.start())).flatten();
                rest = &rest[..cut.unwrap_or(rest.len())];
            }
            rest
        })
    }))
}

static REGEX_QUOTE: ScalarFn = ScalarFn {
    name: "regex_quote",
    summary: "A regular expression that matches the text as it is",
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::String)),
    examples: &[(r#"regex_quote("(so$me.Te^xt)")"#, r"\(so\$me\.Te\^xt\)")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_texts(|row, out| out.push_str(&regex::escape(source.get(row))))
        }))
    },
    ..ScalarFn::DEFAULT
};
