//! Regular expressions: compiled once if the pattern is constant, otherwise cached for recent patterns.

use std::borrow::Cow;
use std::cell::RefCell;

use regex::{Regex, RegexBuilder};

use super::{Prepare, PrepareError};
use crate::Value;

/// Maximum bytes of a compiled pattern, and of its search cache.
const SIZE_LIMIT: usize = 10 << 20;
const CACHE: usize = 16;
/// Maximum characters of a pattern in a message.
const SHOWN: usize = 80;

/// A pattern argument.
pub enum Pattern {
    Fixed(Regex),
    /// Not constant.
    Open,
}

/// Compiles `pattern`; the error message says what is wrong with it.
///
/// A `[` inside a class and a `{` that starts no repetition are literal, as in published patterns (`[[]`, `\w+{.*}`): they are escaped if
/// the pattern does not compile otherwise.
pub fn build(pattern: &str) -> Result<Regex, String> {
    let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build();
    let compiled = match compile(pattern) {
        Err(error @ regex::Error::Syntax(_)) => compile(&plain_brackets(pattern)).map_err(|_| error),
        other => other,
    };
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!(
            "the regular expression `{}` is too large: compiled it would take more than {} MiB; repeat less, or look for words first",
            shown(pattern),
            limit >> 20
        ),
        error => {
            let text = error.to_string();
            let reason = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it cannot be read").to_owned();
            format!("`{}` is no regular expression: {reason}", shown(pattern))
        }
    })
}

/// The beginning of a pattern, for a message.
fn shown(pattern: &str) -> Cow<'_, str> {
    match pattern.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &pattern[..end]).into(),
        None => pattern.into(),
    }
}

/// Escapes `[` inside classes, and `{` that starts no repetition.
fn plain_brackets(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut class = false;
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let rest = &pattern[at..];
        match c {
            '\\' => {
                out.push(c);
                if let Some((_, escaped)) = chars.next() {
                    out.push(escaped);
                    // `\x{41}`, `\p{L}`: the braces are part of the escape.
                    if matches!(escaped, 'x' | 'u' | 'U' | 'p' | 'P') && chars.peek().is_some_and(|(_, next)| *next == '{') {
                        for (_, inner) in chars.by_ref() {
                            out.push(inner);
                            if inner == '}' {
                                break;
                            }
                        }
                    }
                }
                continue;
            }
            // `[:digit:]` within a class.
            '[' if class && rest.starts_with("[:") && rest[2..].contains(":]") => {
                let length = 2 + rest[2..].find(":]").unwrap_or(0) + 2;
                out.push_str(&rest[..length]);
                while chars.next_if(|(next, _)| *next < at + length).is_some() {}
                continue;
            }
            '[' if class => out.push('\\'),
            '[' if !class => {
                class = true;
                out.push(c);
                // A `]` directly after the opening bracket is a member.
                if chars.peek().is_some_and(|(_, next)| *next == '^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek().is_some_and(|(_, next)| *next == ']') {
                    chars.next();
                    out.push_str("\\]");
                }
                continue;
            }
            ']' if class => class = false,
            '{' if !class && !is_count(rest) => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out
}

/// `{2}`, `{2,}`, `{2,5}`
fn is_count(text: &str) -> bool {
    let Some((inside, _)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && [least, most].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()))
}

impl Pattern {
    /// The pattern in argument `index`.
    pub fn new(prepare: &Prepare, index: usize) -> Result<Self, PrepareError> {
        match prepare.constants.get(index).and_then(Option::as_ref) {
            Some(value) => build(value.as_str().unwrap_or_default()).map(Pattern::Fixed).map_err(PrepareError::Constant),
            None => Ok(Pattern::Open),
        }
    }

    /// Like [`Self::new`], with the pattern transformed by `wrap`.
    pub fn wrapped(prepare: &Prepare, index: usize, wrap: fn(&str) -> String) -> Result<Self, PrepareError> {
        match prepare.constants.get(index).and_then(Option::as_ref).and_then(Value::as_str) {
            Some(text) => {
                build(text).map_err(PrepareError::Constant)?;
                build(&wrap(text)).map(Pattern::Fixed).map_err(PrepareError::Constant)
            }
            None => Ok(Pattern::Open),
        }
    }

    /// Calls `f` with the pattern for a row, whose text is `text`; `None` if it is invalid.
    pub fn with<R>(&self, text: &str, f: impl FnOnce(&Regex) -> R) -> Option<R> {
        thread_local! {
            static RECENT: RefCell<Vec<(String, Option<Regex>)>> = const { RefCell::new(Vec::new()) };
        }
        match self {
            Pattern::Fixed(regex) => Some(f(regex)),
            Pattern::Open => {
                let regex = RECENT.with_borrow_mut(|recent| {
                    let at = match recent.iter().position(|(known, _)| known == text) {
                        Some(at) => at,
                        None => {
                            if recent.len() >= CACHE {
                                recent.remove(0);
                            }
                            recent.push((text.to_owned(), build(text).ok()));
                            recent.len() - 1
                        }
                    };
                    recent[at].1.clone()
                });
                regex.map(|regex| f(&regex))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_pattern_is_rejected_with_a_reason() {
        let huge = r"(\pL{100}){100}{100}";
        let message = build(huge).unwrap_err();
        assert!(message.contains("too large") && message.contains("10 MiB"), "{message}");
        let message = build(&format!("({}", "é".repeat(1000))).unwrap_err();
        assert!(message.contains("no regular expression") && message.chars().count() < 200, "{message}");
    }

    /// Source: patterns of published rules that .NET and RE2 accept.
    #[test]
    fn meaningless_brackets_are_literal() {
        for (pattern, text, matches) in [
            ("[[]", "a[b", true),
            ("^[[]+$", "[[", true),
            (r"(SMB\w+{.*})", "SMBx{y}", true),
            (r"s{\d+}:", "s{12}:", true),
            (r"[[:digit:][]{2}", "1[", true),
            (r"a{2}[[]", "aa[", true),
        ] {
            assert_eq!(build(pattern).map(|regex| regex.is_match(text)), Ok(matches), "{pattern}");
        }
        assert!(build("(").is_err());
    }
}
