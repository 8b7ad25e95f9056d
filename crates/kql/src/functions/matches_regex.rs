//! `source matches regex pattern`. Source of truth: the public KQL reference, pages `matches-regex-operator` and `regex` (the syntax of the
//! Rust crate `regex`).

use super::patterns::Pattern;
use super::text_match::two_texts;
use super::{Family, ScalarFn, Signature, kernel};

pub static FAMILY: Family = &[&MATCHES_REGEX];

static MATCHES_REGEX: ScalarFn = ScalarFn {
    name: "matches regex",
    summary: "True where the regular expression is found in the text",
    signature: Signature::Custom(two_texts),
    examples: &[(r#""Fabrikam" matches regex "b.*k""#, "True"), (r#""abc" matches regex "^B""#, "False")],
    prepare: |prepare| {
        let pattern = Pattern::new(prepare, 1)?;
        Ok(kernel(move |args| {
            let (source, text) = (args.texts(0), args.texts(1));
            args.map_bools(|row| Some(pattern.with(text.get(row), |regex| regex.is_match(source.get(row))).unwrap_or(false)))
        }))
    },
    ..ScalarFn::DEFAULT
};
