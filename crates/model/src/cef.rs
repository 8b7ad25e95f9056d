//! The Common Event Format: seven header fields between unescaped `|`, then `key=value` pairs whose values extend to the next key and may
//! contain spaces.
//!
//! Source: ArcSight, "Implementing ArcSight Common Event Format", the chapters on the header, the extension and character encoding. Common
//! deviations are accepted: an unescaped `=` in a value, a Windows path with unescaped backslashes.

use std::borrow::Cow;

use memchr::memchr_iter;

/// Fields of a header: version, vendor, product, product version, event class, name, severity.
pub const FIELDS: usize = 7;

/// The header fields as written, and the extension. `text` starts after `CEF:`. `None` if fields are missing.
pub fn header(text: &str) -> Option<([&str; FIELDS], &str)> {
    let mut fields = [""; FIELDS];
    let mut rest = text;
    for (n, field) in fields.iter_mut().enumerate() {
        match unescaped(rest, b'|') {
            Some(at) => (*field, rest) = (&rest[..at], &rest[at + 1..]),
            // The last bar is missing if there is no extension.
            None if n + 1 == FIELDS => (*field, rest) = (rest, ""),
            None => return None,
        }
    }
    Some((fields, rest))
}

/// Calls `each` for every `key=value` of an extension, with values as written. A key is a word before an unescaped `=`, at the start or
/// after a space.
pub fn pairs<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str)) {
    let bytes = text.as_bytes();
    let mut open: Option<(&str, usize)> = None;
    for at in memchr_iter(b'=', bytes).filter(|at| !is_escaped(bytes, *at)) {
        let of_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']');
        let len = bytes[..at].iter().rev().take_while(|byte| of_key(byte)).count();
        let start = at - len;
        if len == 0 || (start > 0 && bytes[start - 1] != b' ') || open.is_some_and(|(_, value)| start < value) {
            continue; // an unescaped `=` in a value
        }
        if let Some((key, value)) = open.replace((&text[start..at], at + 1)) {
            each(key, text[value..start].trim_end_matches(' '));
        }
    }
    if let Some((key, value)) = open {
        each(key, text[value..].trim_end());
    }
}

/// Whether the value of a key may contain line breaks: in the dictionary, only the message may.
pub fn is_free_text(key: &str) -> bool {
    matches!(key, "msg" | "message")
}

/// Unescapes a field or value: `\\`, `\=`, `\|`, and in free text `\n` and `\r`. Other backslashes are kept: `duser=BLAH\robert`, `C:\new`.
pub fn unescape(value: &str, is_free_text: bool) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(char) = chars.next() {
        let read = match (char, chars.peek()) {
            ('\\', Some(next @ ('\\' | '=' | '|'))) => Some(*next),
            ('\\', Some('n')) if is_free_text => Some('\n'),
            ('\\', Some('r')) if is_free_text => Some('\r'),
            _ => None,
        };
        plain.push(read.unwrap_or(char));
        if read.is_some() {
            chars.next();
        }
    }
    Cow::Owned(plain)
}

/// Index of `byte` without a preceding backslash.
fn unescaped(text: &str, byte: u8) -> Option<usize> {
    memchr_iter(byte, text.as_bytes()).find(|at| !is_escaped(text.as_bytes(), *at))
}

fn is_escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_backslashes() {
        // The first one is from github.com/Graylog2/graylog-plugin-cef/issues/26.
        assert_eq!(unescape(r"BLAH\robert", false), r"BLAH\robert");
        assert_eq!(unescape(r"BLAH\\robert", false), r"BLAH\robert");
        assert_eq!(unescape(r"C:\new\report\=1", false), r"C:\new\report=1");
        assert_eq!(unescape(r"one\ntwo\\n", true), "one\ntwo\\n");
    }

    #[test]
    fn headers_and_pairs_are_told_apart() {
        let (fields, extension) = header(r"0|V\|x|P|1|c|n|5|a=1 b=x y=z c\=d").unwrap();
        assert_eq!((fields[1], fields[6]), (r"V\|x", "5"));
        let mut found = Vec::new();
        pairs(extension, |key, value| found.push((key, value)));
        assert_eq!(found, [("a", "1"), ("b", "x"), ("y", r"z c\=d")]);
        assert!(header("0|a|b|c").is_none());
    }
}
