//! `strlen(source)` — the number of code points in a string.
//! Source of truth: the public KQL reference, `strlen-function`.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use model::Type;

use super::{Family, ScalarFn, Signature, kernel};

pub static FAMILY: Family = &[&STRLEN];

static STRLEN: ScalarFn = ScalarFn {
    name: "strlen",
    summary: "Counts the code points of a string",
    signature: Signature::Fixed { args: &[("source", Type::String)], required: 1, returns: Type::Long },
    examples: &[(r#"strlen("hello")"#, "5"), (r#"strlen("é")"#, "1")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.array(0);
            Arc::new(Int64Array::from_iter_values(source.as_string_view().iter().map(|text| text.unwrap_or("").chars().count() as i64)))
        }))
    },
    ..ScalarFn::DEFAULT
};
