//! `vowels(source)` — how many vowels a string has. No function of Kusto's: what a newcomer's first file looks like.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use model::Type;

use super::{Family, ScalarFn, Signature, kernel};

pub static FAMILY: Family = &[&VOWELS];

static VOWELS: ScalarFn = ScalarFn {
    name: "vowels",
    summary: "Counts the vowels of a string",
    signature: Signature::Fixed { args: &[("source", Type::String)], required: 1, returns: Type::Long },
    examples: &[(r#"vowels("bartizan")"#, "3")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.array(0);
            let count = |text: Option<&str>| text.unwrap_or("").chars().filter(|c| "aeiouAEIOU".contains(*c)).count() as i64;
            Arc::new(Int64Array::from_iter_values(source.as_string_view().iter().map(count)))
        }))
    },
    ..ScalarFn::DEFAULT
};
