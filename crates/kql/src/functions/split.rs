//! `split(source, delimiter [, index])`. Source of truth: the public KQL reference, `split-function`; with an index the result is an array
//! of that single part (recorded).

use model::Type;

use super::signatures::text_then;
use super::{Family, ScalarFn, Signature, kernel};
use crate::dynamic::push_string;

pub static FAMILY: Family = &[&SPLIT];

static SPLIT: ScalarFn = ScalarFn {
    name: "split",
    summary: "The parts of a text between delimiters, as an array of strings",
    parameters: &["source", "delimiter", "index"],
    signature: Signature::Custom(|args| text_then(args, &[Type::String, Type::Long], 2, Type::Dynamic)),
    examples: &[
        (r#"split("a,,b", ",")"#, r#"["a","","b"]"#),
        (r#"split("aa_bb_cc", "_", 1)"#, r#"["bb"]"#),
        (r#"split("", ",")"#, r#"[""]"#),
    ],
    prepare: |prepare| {
        let one = prepare.types.len() > 2;
        Ok(kernel(move |args| {
            let (source, delimiter) = (args.texts(0), args.texts(1));
            let index = one.then(|| args.longs(2));
            args.map_json(|row, out| {
                let (source, delimiter) = (source.get(row), delimiter.get(row));
                let mut parts = source.split(delimiter);
                // Without a delimiter there is a single part.
                let mut whole = std::iter::once(source);
                let parts: &mut dyn Iterator<Item = &str> = if delimiter.is_empty() { &mut whole } else { &mut parts };
                out.push('[');
                match &index {
                    Some(index) => push_string(out, parts.nth(usize::try_from(index.get(row)?).ok()?)?),
                    None => {
                        for (at, part) in parts.enumerate() {
                            if at > 0 {
                                out.push(',');
                            }
                            push_string(out, part);
                        }
                    }
                }
                out.push(']');
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
