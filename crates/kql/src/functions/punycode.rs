//! `punycode_from_string`, `punycode_to_string`, `punycode_domain_to_string`, `punycode_domain_from_string`: conversion of non-ASCII text
//! to host names and back. Source of truth: RFC 3492, and the public KQL reference, one page each. The names are the reference's:
//! `punycode_from_string` encodes, `punycode_domain_from_string` decodes. No case folding or normalisation is applied, as in its examples.
//! Invalid input gives an empty string.

use model::Type;

use super::signatures::all;
use super::{Family, ScalarFn, kernel};

pub static FAMILY: Family = &[&ENCODE, &DECODE, &ENCODE_DOMAIN, &DECODE_DOMAIN];

/// Prefix of an encoded label in a domain name.
const PREFIX: &str = "xn--";

macro_rules! of_text {
    ($name:ident, $call:literal, $argument:literal, $summary:literal, $examples:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[($argument, Type::String)], Type::String),
            examples: $examples,
            prepare: |_| {
                Ok(kernel(|args| {
                    let source = args.texts(0);
                    let compute: fn(&str) -> Option<String> = $compute;
                    args.map_texts(|row, out| out.push_str(&compute(source.get(row)).unwrap_or_default()))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_text!(
    ENCODE,
    "punycode_from_string",
    "input_string",
    "The text in punycode, without `xn--`",
    &[(r#"punycode_from_string("académie-française")"#, "acadmie-franaise-npb1a"), (r#"punycode_from_string("艺术")"#, "cqv902d")],
    idna::punycode::encode_str
);
of_text!(
    DECODE,
    "punycode_to_string",
    "input_string",
    "The text that punycode without `xn--` stands for",
    &[(r#"punycode_to_string("acadmie-franaise-npb1a")"#, "académie-française"), (r#"punycode_to_string("é")"#, "")],
    idna::punycode::decode_to_string
);
of_text!(
    ENCODE_DOMAIN,
    "punycode_domain_to_string",
    "domain",
    "The domain name with all labels beyond ASCII in punycode",
    &[(r#"punycode_domain_to_string("Riðill｡Skáldskaparmál｡org")"#, "xn--Riill-jta.xn--Skldskaparml-dbbj.org")],
    |domain| {
        // RFC 3490: these characters are also label separators.
        let labels = domain.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).map(|label| match label.is_ascii() {
            true => Some(label.to_owned()),
            false => Some(format!("{PREFIX}{}", idna::punycode::encode_str(label)?)),
        });
        Some(labels.collect::<Option<Vec<String>>>()?.join("."))
    }
);
of_text!(
    DECODE_DOMAIN,
    "punycode_domain_from_string",
    "encoded_string",
    "The domain name with all labels in punycode decoded",
    &[(r#"punycode_domain_from_string("xn--Ge-mia.Bulg.edu")"#, "Gáe.Bulg.edu")],
    |domain| {
        let labels = domain.split('.').map(|label| match label.get(..PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => idna::punycode::decode_to_string(&label[PREFIX.len()..]),
            _ => Some(label.to_owned()),
        });
        Some(labels.collect::<Option<Vec<String>>>()?.join("."))
    }
);
