//! The scanner: finds the start and end of values without allocating. Every function accepts any text and never panics.

use memchr::memchr2;

use super::{Kind, MAX_DEPTH, push_real, push_string, unquote};

pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The position after the string that starts at `at`.
pub(super) fn skip_string(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = at + 1;
    loop {
        let found = next + memchr2(b'"', b'\\', bytes.get(next..)?)?;
        match bytes[found] {
            b'"' => return Some(found + 1),
            _ => next = found + 2,
        }
    }
}

/// The position after the value that starts at `at`. Brackets are counted, not matched.
pub fn skip_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => skip_string(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut next = at;
            loop {
                match bytes.get(next)? {
                    b'"' => {
                        next = skip_string(bytes, next)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(next + 1);
                        }
                    }
                    _ => {}
                }
                next += 1;
            }
        }
        _ => {
            let end = bytes[at..].iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
            let end = end.map_or(bytes.len(), |end| at + end);
            (end > at).then_some(end)
        }
    }
}

/// The elements of an array, as slices of the text.
#[derive(Clone)]
pub struct Elements<'a> {
    json: &'a str,
    at: usize,
}

/// The elements of `json`; `None` if it is not an array.
pub fn elements(json: &str) -> Option<Elements<'_>> {
    let open = skip_space(json.as_bytes(), 0);
    (json.as_bytes().get(open) == Some(&b'[')).then_some(Elements { json, at: open + 1 })
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.json.as_bytes();
        let start = skip_space(bytes, self.at);
        if matches!(bytes.get(start), None | Some(b']')) {
            return None;
        }
        let end = skip_value(bytes, start)?;
        let next = skip_space(bytes, end);
        self.at = if bytes.get(next) == Some(&b',') { next + 1 } else { next };
        self.json.get(start..end)
    }
}

/// The properties of a bag: quoted key, value.
#[derive(Clone)]
pub struct Entries<'a> {
    json: &'a str,
    at: usize,
}

/// The properties of `json`; `None` if it is not a bag.
pub fn entries(json: &str) -> Option<Entries<'_>> {
    let open = skip_space(json.as_bytes(), 0);
    (json.as_bytes().get(open) == Some(&b'{')).then_some(Entries { json, at: open + 1 })
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.json.as_bytes();
        let key_start = skip_space(bytes, self.at);
        if bytes.get(key_start) != Some(&b'"') {
            return None;
        }
        let key_end = skip_string(bytes, key_start)?;
        let colon = skip_space(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = skip_space(bytes, colon + 1);
        let end = skip_value(bytes, start)?;
        let next = skip_space(bytes, end);
        self.at = if bytes.get(next) == Some(&b',') { next + 1 } else { next };
        Some((self.json.get(key_start..key_end)?, self.json.get(start..end)?))
    }
}

/// The value of property `key`, possibly `null`; `None` if it is absent.
pub fn property<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    entries(json)?.find(|(quoted, _)| key_is(quoted, key)).map(|(_, value)| value)
}

pub(super) fn key_is(quoted: &str, key: &str) -> bool {
    let inner = &quoted[1..quoted.len() - 1];
    inner == key && !key.contains('\\') || inner.contains('\\') && unquote(quoted) == key
}

/// Element `index`; a negative index counts from the end.
pub fn index(json: &str, index: i64) -> Option<&str> {
    let mut all = elements(json)?;
    if let Ok(forward) = usize::try_from(index) {
        return all.nth(forward);
    }
    let back = usize::try_from(index.checked_neg()?).ok()?;
    let count = all.clone().count();
    all.nth(count.checked_sub(back)?)
}

/// Appends the value at `at`, validated and in compact form; returns the position after it.
pub(super) fn normalize_value(json: &str, at: usize, depth: usize, out: &mut String) -> Option<usize> {
    let bytes = json.as_bytes();
    if depth > MAX_DEPTH {
        return None;
    }
    match bytes.get(at)? {
        b'"' => {
            let end = skip_string(bytes, at)?;
            let quoted = json.get(at..end)?;
            // Control characters are invalid in JSON strings, but logs contain them.
            if quoted.bytes().any(|b| b == b'\\' || b < 0x20) {
                push_string(out, &unquote(quoted));
            } else {
                out.push_str(quoted);
            }
            Some(end)
        }
        b'[' => {
            out.push('[');
            let mut next = skip_space(bytes, at + 1);
            if bytes.get(next) == Some(&b']') {
                out.push(']');
                return Some(next + 1);
            }
            loop {
                next = skip_space(bytes, normalize_value(json, next, depth + 1, out)?);
                match bytes.get(next)? {
                    b',' => out.push(','),
                    b']' => {
                        out.push(']');
                        return Some(next + 1);
                    }
                    _ => return None,
                }
                next = skip_space(bytes, next + 1);
            }
        }
        b'{' => {
            out.push('{');
            let mut next = skip_space(bytes, at + 1);
            if bytes.get(next) == Some(&b'}') {
                out.push('}');
                return Some(next + 1);
            }
            loop {
                if bytes.get(next)? != &b'"' {
                    return None;
                }
                next = skip_space(bytes, normalize_value(json, next, depth + 1, out)?);
                if bytes.get(next)? != &b':' {
                    return None;
                }
                out.push(':');
                next = skip_space(bytes, normalize_value(json, skip_space(bytes, next + 1), depth + 1, out)?);
                match bytes.get(next)? {
                    b',' => out.push(','),
                    b'}' => {
                        out.push('}');
                        return Some(next + 1);
                    }
                    _ => return None,
                }
                next = skip_space(bytes, next + 1);
            }
        }
        _ => {
            let end = skip_value(bytes, at)?;
            let word = json.get(at..end)?;
            match super::kind(word) {
                Kind::Long(n) => out.push_str(&n.to_string()),
                Kind::Real(x) => push_real(out, x),
                Kind::Bool(_) | Kind::Null => out.push_str(word),
                _ => return None,
            }
            Some(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_place() {
        let json = r#" { "a" : { "b,}" : [1, {"x":[]}, "q\"]" ] }, "k\u0065y": null, "": 2 } "#;
        assert_eq!(property(json, "key"), Some("null"));
        assert_eq!(property(json, ""), Some("2"));
        assert_eq!(property(json, "missing"), None);
        let list = property(property(json, "a").unwrap(), "b,}").unwrap();
        assert_eq!(index(list, 0), Some("1"));
        assert_eq!(index(list, -1), Some(r#""q\"]""#));
        assert_eq!(index(list, 3), None);
        assert_eq!(index(list, -4), None);
        assert_eq!(index(list, i64::MIN), None);
        assert_eq!(elements(list).unwrap().count(), 3);
    }

    #[test]
    fn any_text_is_handled() {
        // Every prefix and every single-byte corruption of a document: no panic, no endless loop.
        let json = r#"{"a":[1,{"b":"c\\"},"é"],"d":-1.5e3}"#;
        for end in 0..json.len() {
            if let Some(prefix) = json.get(..end) {
                walk(prefix);
            }
            for broken in [b'"', b'\\', b'{', b']', b',', b':', b' '] {
                let mut bytes = json.as_bytes().to_vec();
                bytes[end] = broken;
                if let Ok(text) = String::from_utf8(bytes) {
                    walk(&text);
                }
            }
        }
    }

    fn walk(text: &str) {
        for (key, value) in entries(text).into_iter().flatten() {
            key_is(key, "b");
            index(value, -1);
            walk(value);
        }
        for element in elements(text).into_iter().flatten() {
            walk(element);
        }
        crate::dynamic::normalize(text);
        crate::dynamic::to_text(text);
    }
}
