//! Abbreviations of time zones after a time.
//!
//! RFC 822 §5 defines the North American ones. The others are those with a single meaning worldwide. Ambiguous names (`IST`, `BST`, `AST`,
//! …) are recognised as zones, so that they are not taken for a host, but have no offset here.

use model::{Span, TICKS_PER_MINUTE};

/// Names with their offset from UTC in minutes, sorted by name.
const OFFSETS: &[(&str, i64)] = &[
    ("ACDT", 630),
    ("ACST", 570),
    ("AEDT", 660),
    ("AEST", 600),
    ("AKDT", -480),
    ("AKST", -540),
    ("AWST", 480),
    ("BRT", -180),
    ("CDT", -300),
    ("CEST", 120),
    ("CET", 60),
    ("CST", -360),
    ("EDT", -240),
    ("EEST", 180),
    ("EET", 120),
    ("EST", -300),
    ("GMT", 0),
    ("HKT", 480),
    ("HST", -600),
    ("JST", 540),
    ("KST", 540),
    ("MDT", -360),
    ("MEST", 120),
    ("MET", 60),
    ("MSK", 180),
    ("MST", -420),
    ("NZDT", 780),
    ("NZST", 720),
    ("PDT", -420),
    ("PST", -480),
    ("SAST", 120),
    ("SGT", 480),
    ("UT", 0),
    ("UTC", 0),
    ("WEST", 60),
    ("WET", 0),
    ("Z", 0),
];

/// Ambiguous names: the listener's zone decides.
const AMBIGUOUS: &[&str] =
    &["ADT", "ART", "AST", "BDT", "BST", "CLT", "COT", "ECT", "GST", "IDT", "IRST", "IST", "NDT", "NST", "PKT", "TRT", "WAT", "WIB"];

/// Whether a word is a zone name.
pub fn is(name: &str) -> bool {
    position(name).is_some() || AMBIGUOUS.contains(&name)
}

/// Offset from UTC; `None` if the name is unknown or ambiguous.
pub fn offset(name: &str) -> Option<Span> {
    position(name).map(|at| Span(OFFSETS[at].1 * TICKS_PER_MINUTE))
}

fn position(name: &str) -> Option<usize> {
    OFFSETS.binary_search_by_key(&name, |(known, _)| known).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        assert!(OFFSETS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(offset("EST"), Some(Span(-5 * model::TICKS_PER_HOUR)));
        assert!(is("IST") && offset("IST").is_none() && !is("WEB") && !is(""));
    }
}
