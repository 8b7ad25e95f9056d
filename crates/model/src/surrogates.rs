//! Replaces unpaired surrogates in JSON escapes.
//!
//! `"\ud83d"` is grammatically valid JSON but encodes no character (RFC 8259 §8.2), and strict parsers reject documents that contain one,
//! so it must not reach a table or a response. Kusto replaces it by U+FFFD, in values and in keys; so does this module.

use std::borrow::Cow;

use memchr::memchr;

/// Length of `\uXXXX` in bytes.
const ESCAPE: usize = 6;

/// Replaces each unpaired surrogate escape by `\ufffd`. All other offsets are unchanged.
pub fn replaced(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &json[at..]) {
        at += found;
        let Some(unit) = unit(json, at) else {
            // Another escape: skip the byte after the backslash.
            at = (at + 2).min(json.len());
            continue;
        };
        let is_pair = matches!(unit, 0xD800..=0xDBFF) && matches!(self::unit(json, at + ESCAPE), Some(0xDC00..=0xDFFF));
        if is_pair {
            at += ESCAPE;
        } else if matches!(unit, 0xD800..=0xDFFF) {
            out.to_mut()[at + 2..at + ESCAPE].copy_from_slice(b"fffd");
        }
        at += ESCAPE;
    }
    out
}

/// Decodes the code unit of the `\uXXXX` at `at`.
fn unit(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpaired_surrogates_are_replaced() {
        let read = |json: &str| String::from_utf8(replaced(json.as_bytes()).into_owned()).unwrap();
        for (json, expected) in [
            // github.com/elizaOS/eliza/pull/18079
            (r#"[{"D":{"a":"\ud83d","b":1}}]"#, r#"[{"D":{"a":"\ufffd","b":1}}]"#),
            (r#"{"\uDE00k":"x"}"#, r#"{"\ufffdk":"x"}"#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d\ud83d\ude00\ude00""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\ud83dx""#, r#""\ufffdx""#),
            // After an escaped backslash, `\ud83d` is not an escape.
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
            (r#""\n\u00e9\ud8"#, r#""\n\u00e9\ud8"#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(read(json), expected);
        }
        assert!(matches!(replaced(b"{\"a\":\"\\u00e9\"}"), Cow::Borrowed(_)));
    }
}
