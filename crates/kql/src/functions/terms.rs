//! Substring search with the semantics of Kusto's string operators: with or without case, anywhere, at an end, or as a *term*.
//!
//! A term is a maximal run of letters and digits of any script; `_` is a separator (recorded). A needle that contains separators must start
//! and end at term boundaries. Without case, characters are compared by their simple lower case, one to one: `ß` does not equal `ss`
//! (recorded).

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use memchr::{memchr, memchr2, memmem};

/// The required position of a needle in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Equal,
    StartsWith,
    EndsWith,
    Contains,
    Has,
    HasPrefix,
    HasSuffix,
}

/// A compiled needle.
pub struct Needle {
    rule: Rule,
    cased: bool,
    /// As given, or folded if case is ignored.
    text: String,
    finder: Finder,
}

enum Finder {
    Exact(memmem::Finder<'static>),
    /// ASCII, case-insensitive: the position of the rarest byte, in both cases.
    Ascii {
        at: usize,
        lower: u8,
        upper: u8,
    },
    /// The text is folded first.
    Folded(memmem::Finder<'static>),
}

/// The simple lower case of a character.
pub fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Appends `text` folded.
pub fn fold_into(text: &str, out: &mut String) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        out[start..].make_ascii_lowercase();
    } else {
        out.extend(text.chars().map(fold));
    }
}

pub fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}

/// `a =~ b`.
pub fn equal_folded(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().map(fold).eq(b.chars().map(fold))
}

pub fn is_term(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && c.is_alphanumeric()
}

/// Approximate frequency of a byte in logs.
fn commonness(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        b'e' | b' ' | b't' | b'a' => 9,
        b'o' | b'i' | b'n' | b's' | b'r' => 8,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'p' => 7,
        b'0'..=b'9' | b'.' | b'-' | b'h' | b'f' => 6,
        b'g' | b'b' | b'w' | b'/' | b'"' | b':' => 5,
        b'y' | b'v' | b'k' | b'_' | b'\\' => 4,
        b'x' | b'j' | b'q' | b'z' => 2,
        _ => 3,
    }
}

impl Needle {
    pub fn new(text: &str, rule: Rule, cased: bool) -> Self {
        let text = if cased { text.to_owned() } else { folded(text) };
        let finder = if cased {
            Finder::Exact(memmem::Finder::new(&text).into_owned())
        } else if text.is_ascii() {
            let at = (0..text.len()).min_by_key(|at| commonness(text.as_bytes()[*at])).unwrap_or(0);
            let lower = text.as_bytes().get(at).copied().unwrap_or(0);
            Finder::Ascii { at, lower, upper: lower.to_ascii_uppercase() }
        } else {
            Finder::Folded(memmem::Finder::new(&text).into_owned())
        };
        Self { rule, cased, text, finder }
    }

    pub fn matches(&self, hay: &str) -> bool {
        if let Finder::Folded(finder) = &self.finder
            && self.rule != Rule::Equal
        {
            return self.search(&folded(hay), &|hay, from| finder.find(&hay.as_bytes()[from..]).map(|at| from + at));
        }
        match (&self.finder, self.rule) {
            (_, Rule::Equal) if self.cased => hay == self.text,
            (_, Rule::Equal) => equal_folded(hay, &self.text),
            (Finder::Exact(finder), _) => self.search(hay, &|hay, from| finder.find(&hay.as_bytes()[from..]).map(|at| from + at)),
            (Finder::Ascii { at, lower, upper }, _) => {
                self.search(hay, &|hay, from| find_ascii(hay.as_bytes(), from, self.text.as_bytes(), *at, *lower, *upper))
            }
            (Finder::Folded(_), _) => false,
        }
    }

    /// `find` returns the next occurrence of the needle at or after a position.
    fn search(&self, hay: &str, find: &dyn Fn(&str, usize) -> Option<usize>) -> bool {
        let needle = self.text.as_str();
        let same = |part: Option<&[u8]>| match part {
            Some(part) if matches!(self.finder, Finder::Ascii { .. }) => part.eq_ignore_ascii_case(needle.as_bytes()),
            Some(part) => part == needle.as_bytes(),
            None => false,
        };
        match self.rule {
            Rule::Equal => same(Some(hay.as_bytes())),
            Rule::StartsWith => same(hay.as_bytes().get(..needle.len())),
            Rule::EndsWith => same(hay.len().checked_sub(needle.len()).and_then(|from| hay.as_bytes().get(from..))),
            Rule::Contains => needle.is_empty() || find(hay, 0).is_some(),
            Rule::Has | Rule::HasPrefix | Rule::HasSuffix => {
                if needle.is_empty() {
                    return true;
                }
                let mut from = 0;
                while let Some(at) = find(hay, from) {
                    let end = at + needle.len();
                    if (self.rule == Rule::HasSuffix || edge_before(hay, at)) && (self.rule == Rule::HasPrefix || edge_after(hay, end)) {
                        return true;
                    }
                    from = at + 1;
                    if from >= hay.len() {
                        break;
                    }
                }
                false
            }
        }
    }
}

fn find_ascii(hay: &[u8], from: usize, needle: &[u8], at: usize, lower: u8, upper: u8) -> Option<usize> {
    if needle.is_empty() {
        return Some(from);
    }
    let mut look = from + at;
    loop {
        let rest = hay.get(look..)?;
        let found = look + if lower == upper { memchr(lower, rest)? } else { memchr2(lower, upper, rest)? };
        let start = found - at;
        if hay.get(start..start + needle.len())?.eq_ignore_ascii_case(needle) {
            return Some(start);
        }
        look = found + 1;
    }
}

/// True if no term spans the position `at`. A needle that starts with a separator is always at a boundary.
fn edge_before(hay: &str, at: usize) -> bool {
    let (Some(before), Some(after)) = (hay.get(..at), hay.get(at..)) else { return false };
    !(before.chars().next_back().is_some_and(is_term) && after.chars().next().is_some_and(is_term))
}

fn edge_after(hay: &str, at: usize) -> bool {
    edge_before(hay, at)
}

/// Several needles at once: `has_any`.
pub struct Needles {
    /// All ASCII needles, if there are at least three; otherwise they are in `rest`.
    automaton: Option<AhoCorasick>,
    rest: Vec<Needle>,
}

impl Needles {
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let (ascii, other): (Vec<&str>, Vec<&str>) = texts.into_iter().partition(|text| text.is_ascii() && !text.is_empty());
        let automaton = (ascii.len() >= 3)
            .then(|| {
                // The contiguous automaton stays small with tens of thousands of needles.
                AhoCorasickBuilder::new()
                    .ascii_case_insensitive(true)
                    .match_kind(MatchKind::Standard)
                    .kind((ascii.len() > 64).then_some(AhoCorasickKind::ContiguousNFA))
                    .build(&ascii)
                    .ok()
            })
            .flatten();
        let apart = if automaton.is_some() { other } else { ascii.into_iter().chain(other).collect() };
        Self { automaton, rest: apart.into_iter().map(|text| Needle::new(text, Rule::Has, false)).collect() }
    }

    pub fn any(&self, hay: &str) -> bool {
        if let Some(automaton) = &self.automaton
            && automaton.find_overlapping_iter(hay).any(|found| edge_before(hay, found.start()) && edge_after(hay, found.end()))
        {
            return true;
        }
        self.rest.iter().any(|needle| needle.matches(hay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(hay: &str, needle: &str) -> bool {
        Needle::new(needle, Rule::Has, false).matches(hay)
    }

    // Expected results: recorded from Microsoft's engine, and from the reference's page on string operators.
    #[test]
    fn terms_are_maximal_runs() {
        assert!(!has("foobar", "bar"));
        assert!(has("foo.bar", "BAR"));
        assert!(has("1_2_3", "1"));
        assert!(has("v1.2.3", "2.3"));
        assert!(!has("v1.2.34", "2.3"));
        assert!(has("I like café au lait", "CAFÉ"));
        assert!(has("anything", ""));
        assert!(has("xab ab", "ab"));
        assert!(!has("cafeteria", "cafe"));
        assert!(!has("abcé", "abc"));
        assert!(Needle::new("cat", Rule::HasPrefix, false).matches("a Category"));
        assert!(Needle::new("end", Rule::HasSuffix, false).matches("weekend."));
        assert!(!Needle::new("end", Rule::HasSuffix, false).matches("ending"));
    }

    #[test]
    fn needles_match_individual_search() {
        let needles = ["foo", "b.r", "ab", "é", "Zed", "", "a"];
        for hay in ["xfoo", "foo bar", "b.r!", "cab ab", "caf é", "ZED", "", "nothing here", "abab", "\u{e9}\u{e9}"] {
            for count in 0..needles.len() {
                let all = Needles::new(needles[..count].iter().copied());
                assert_eq!(all.any(hay), needles[..count].iter().any(|needle| has(hay, needle)), "{hay} {count}");
            }
        }
    }

    #[test]
    fn case_is_folded_one_to_one() {
        assert!(equal_folded("Straße", "straße"));
        assert!(!equal_folded("STRASSE", "straße"));
        assert!(equal_folded("MÜLLER", "müller"));
        assert!(Needle::new("ПРИВЕТ", Rule::Contains, false).matches("ой, привет"));
        assert!(Needle::new("É", Rule::EndsWith, false).matches("café"));
    }
}
