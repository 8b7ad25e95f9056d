//! `dynamic` values: JSON text with accessors.
//!
//! Reading a property scans the text and returns a slice; no tree is built. Text produced here is compact, as printed by Kusto; other text
//! may contain white space, and anything that is not JSON reads as null. Recursion never exceeds [`MAX_DEPTH`].

use std::borrow::Cow;

use crate::Value;
use crate::value::{real, text};

mod scan;

pub use scan::{Elements, Entries, elements, entries, index, property, skip_value};

/// Deeper nesting is treated as invalid JSON.
pub const MAX_DEPTH: usize = 256;

/// The kind of a dynamic value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Long(i64),
    Real(f64),
    String,
    Array,
    Object,
    /// Not JSON.
    Invalid,
}

/// The kind of `json` by its first character; numbers and words are parsed completely.
pub fn kind(json: &str) -> Kind {
    let json = json.trim_ascii();
    match json.as_bytes().first() {
        Some(b'"') => Kind::String,
        Some(b'[') => Kind::Array,
        Some(b'{') => Kind::Object,
        Some(b't') if json == "true" => Kind::Bool(true),
        Some(b'f') if json == "false" => Kind::Bool(false),
        Some(b'n') if json == "null" => Kind::Null,
        Some(b'-' | b'0'..=b'9') => number(json),
        _ => Kind::Invalid,
    }
}

fn number(json: &str) -> Kind {
    if !json.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'))
        && let Ok(n) = json.parse()
    {
        return Kind::Long(n);
    }
    match json.parse::<f64>() {
        Ok(x) if x.is_finite() => Kind::Real(x),
        _ => Kind::Invalid,
    }
}

/// The name returned by `gettype`.
pub fn type_name(json: &str) -> &'static str {
    match kind(json) {
        Kind::Null | Kind::Invalid => "null",
        Kind::Bool(_) => "bool",
        Kind::Long(_) => "long",
        Kind::Real(_) => "double",
        Kind::String => "string",
        Kind::Array => "array",
        Kind::Object => "dictionary",
    }
}

/// Formats the value like `tostring`: a string without its quotes, null as `""`, everything else as compact JSON.
pub fn to_text(json: &str) -> String {
    let mut scratch = String::new();
    text(json, &mut scratch).to_owned()
}

/// Like [`to_text`]; borrows from `json` if possible, otherwise writes to `scratch`.
pub fn text<'a>(json: &'a str, scratch: &'a mut String) -> &'a str {
    let json = json.trim_ascii();
    match json.as_bytes().first() {
        Some(b'"') => match unquote(json) {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => {
                *scratch = text;
                scratch
            }
        },
        Some(b'[' | b'{') => compact(json, scratch),
        Some(b'n') if json == "null" => "",
        _ => json,
    }
}

/// `json` without white space between its tokens.
pub fn compact<'a>(json: &'a str, scratch: &'a mut String) -> &'a str {
    let bytes = json.as_bytes();
    let mut at = 0;
    let mut kept = 0;
    let mut copied = false;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = scan::skip_string(bytes, at).unwrap_or(bytes.len()),
            b' ' | b'\n' | b'\r' | b'\t' => {
                if !copied {
                    scratch.clear();
                    copied = true;
                }
                scratch.push_str(&json[kept..at]);
                at += 1;
                kept = at;
            }
            _ => at += 1,
        }
    }
    if !copied {
        return json;
    }
    scratch.push_str(&json[kept..]);
    scratch
}

/// The unescaped content of a JSON string; anything else unchanged.
pub fn unquote(json: &str) -> Cow<'_, str> {
    let json = json.trim_ascii();
    let Some(inner) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(json);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let Some(escape) = rest.as_bytes().get(at + 1) else { break };
        let mut used = 2;
        match escape {
            b'n' => out.push('\n'),
            b't' => out.push('\t'),
            b'r' => out.push('\r'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'u' => match unit(rest, at) {
                Some(high @ 0xD800..=0xDBFF) => match unit(rest, at + 6) {
                    Some(low @ 0xDC00..=0xDFFF) => {
                        used = 12;
                        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    _ => {
                        used = 6;
                        out.push(char::REPLACEMENT_CHARACTER);
                    }
                },
                Some(code) => {
                    used = 6;
                    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                None => out.push('u'),
            },
            b'"' | b'\\' | b'/' => out.push(*escape as char),
            _ => {
                // Not a JSON escape: kept unchanged.
                out.push('\\');
                used = 1;
            }
        }
        rest = &rest[at + used..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Parses the four digits of the `\uXXXX` at `at`.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    use std::fmt::Write;
    out.push('"');
    let mut kept = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[kept..at]);
        kept = at + 1;
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[kept..]);
    out.push('"');
}

/// Appends a real as a JSON number, or as a string if JSON cannot represent it.
pub fn push_real(out: &mut String, x: f64) {
    if x.is_finite() {
        real::push(out, x);
    } else {
        push_string(
            out,
            if x.is_nan() {
                "NaN"
            } else if x > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            },
        );
    }
}

/// Appends any value as JSON: numbers and booleans as such, datetimes and timespans as formatted by `tostring`, null as `null`.
pub fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Null(_) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(_) | Value::Long(_) | Value::Decimal(_) => out.push_str(&text::format(value)),
        Value::Real(x) => push_real(out, *x),
        Value::Dynamic(json) => out.push_str(json),
        Value::String(text) | Value::Guid(text) => push_string(out, text),
        Value::Datetime(_) | Value::Timespan(_) => push_string(out, &text::format(value)),
    }
}

/// The result of `parse_json`: JSON in Kusto's compact form; text that is not JSON becomes a string; `None` for `null` and empty text.
pub fn parse(text: &str) -> Option<String> {
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() || trimmed == "null" {
        return None;
    }
    Some(normalize(trimmed).unwrap_or_else(|| {
        let mut out = String::with_capacity(text.len() + 2);
        push_string(&mut out, text);
        out
    }))
}

/// Validates and normalises `json` to Kusto's form: compact, numbers as printed by Kusto, escapes only if needed. `None` if it is not JSON.
pub fn normalize(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    let end = scan::normalize_value(json, scan::skip_space(json.as_bytes(), 0), 0, &mut out)?;
    (scan::skip_space(json.as_bytes(), end) == json.len()).then_some(out)
}

/// True if both are equal: numbers by value, arrays and objects element by element, ignoring the order of keys.
pub fn equal(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (kind(a), kind(b)) {
        (Kind::Long(x), Kind::Long(y)) => x == y,
        (Kind::Long(x), Kind::Real(y)) | (Kind::Real(y), Kind::Long(x)) => x as f64 == y,
        (Kind::Real(x), Kind::Real(y)) => x == y,
        (Kind::String, Kind::String) => unquote(a) == unquote(b),
        (Kind::Array, Kind::Array) | (Kind::Object, Kind::Object) => {
            let (mut x, mut y) = (String::new(), String::new());
            sorted(a, 0, &mut x).is_some() && sorted(b, 0, &mut y).is_some() && x == y
        }
        _ => false,
    }
}

/// Appends `json` in compact form with the keys of all bags sorted, as in `dynamic_to_json`.
pub fn sorted(json: &str, depth: usize, out: &mut String) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match kind(json) {
        Kind::Array => {
            out.push('[');
            for (at, element) in elements(json)?.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                sorted(element, depth + 1, out)?;
            }
            out.push(']');
        }
        Kind::Object => {
            let mut pairs: Vec<(Cow<str>, &str)> = entries(json)?.map(|(key, value)| (unquote(key), value)).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_string(out, key);
                out.push(':');
                sorted(value, depth + 1, out)?;
            }
            out.push('}');
        }
        Kind::Invalid => return None,
        _ => out.push_str(json.trim_ascii()),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_normalised() {
        // Numbers follow the formatting of `tostring`; the rest is standard JSON.
        assert_eq!(parse(r#" { "a" : [ 1 , 2.50, 1e3 ] , "b":"x\u00e9\n" } "#).unwrap(), "{\"a\":[1,2.5,1000.0],\"b\":\"xé\\n\"}");
        assert_eq!(parse("not json").unwrap(), "\"not json\"");
        assert_eq!(parse("null"), None);
        assert_eq!(parse("{\"a\":1").unwrap(), "\"{\\\"a\\\":1\"");
        assert_eq!(parse("-0").unwrap(), "0");
        assert_eq!(parse("[1,]").unwrap(), "\"[1,]\"");
        assert_eq!(parse(&"[".repeat(100_000)).unwrap().len(), 100_002);
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(parse(&deep).unwrap(), deep);
    }

    #[test]
    fn strings_are_quoted_and_unquoted() {
        assert_eq!(unquote(r#""a\"\\\/\u0041\ud83d\ude00\q""#), "a\"\\/A😀\\q");
        assert_eq!(unquote(r#""\ud83d""#), "\u{fffd}");
        let mut out = String::new();
        push_string(&mut out, "a\"\\\n\u{1}é");
        assert_eq!(out, r#""a\"\\\n\u0001é""#);
        assert_eq!(unquote(&out), "a\"\\\n\u{1}é");
    }

    #[test]
    fn equality_ignores_spelling() {
        assert!(equal("[1, 2.0]", "[1,2.0]"));
        assert!(equal(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#));
        assert!(equal("1", "1.0"));
        assert!(!equal("1", "\"1\""));
    }
}
