//! `tostring`, `toint`, `tolong`, `toreal`, `todecimal`, `tobool`, `todatetime`, `totimespan`, `toguid`, `parse_json`, `gettype`.
//! Conversions are implemented in [`crate::value::cast`]. Source of truth: the public KQL reference, one page each, and recorded results.

use model::Type;

use super::signatures::{any_to, as_is, count};
use super::{Arg, Column, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::dynamic;
use crate::value::cast;

pub static FAMILY: Family =
    &[&TO_STRING, &TO_INT, &TO_LONG, &TO_REAL, &TO_DECIMAL, &TO_BOOL, &TO_DATETIME, &TO_TIMESPAN, &TO_GUID, &PARSE_JSON, &GET_TYPE];

macro_rules! conversion {
    ($name:ident, $call:literal, $aliases:expr, $ty:expr, $summary:literal, $examples:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            aliases: $aliases,
            summary: $summary,
            signature: Signature::Custom(any_to::<{ $ty as u8 }>),
            examples: $examples,
            prepare: convert,
            ..ScalarFn::DEFAULT
        };
    };
}

conversion!(
    TO_STRING,
    "tostring",
    &[],
    Type::String,
    "The value as text; null is the empty string",
    &[
        ("tostring(true)", "True"),
        ("tostring(1d)", "1.00:00:00"),
        ("tostring(1.0)", "1.0"),
        (r#"tostring(dynamic({"a": 1}))"#, "{\"a\":1}")
    ]
);
conversion!(
    TO_INT,
    "toint",
    &[],
    Type::Int,
    "The value as a 32-bit whole number, cut towards zero",
    &[(r#"toint("123")"#, "123"), ("toint(-2.9)", "-2"), (r#"toint("1.5")"#, "")]
);
conversion!(
    TO_LONG,
    "tolong",
    &[],
    Type::Long,
    "The value as a 64-bit whole number, cut towards zero",
    &[(r#"tolong("0x10")"#, "16"), ("tolong(1d)", "864000000000")]
);
conversion!(
    TO_REAL,
    "toreal",
    &["todouble"],
    Type::Real,
    "The value as a floating-point number",
    &[(r#"toreal("1e3")"#, "1000.0"), (r#"toreal("INF")"#, "")]
);
conversion!(TO_DECIMAL, "todecimal", &[], Type::Decimal, "The value as a decimal number", &[(r#"todecimal("3.14159")"#, "3.14159")]);
conversion!(
    TO_BOOL,
    "tobool",
    &["toboolean"],
    Type::Bool,
    "The value as true or false",
    &[(r#"tobool("tRuE")"#, "True"), ("tobool(2)", "True"), (r#"tobool("yes")"#, "")]
);
conversion!(
    TO_DATETIME,
    "todatetime",
    &[],
    Type::Datetime,
    "The value as an instant",
    &[(r#"todatetime("2015-12-24")"#, "2015-12-24T00:00:00.0000000Z"), (r#"todatetime("2020-02-30")"#, "")]
);
conversion!(
    TO_TIMESPAN,
    "totimespan",
    &["totime"],
    Type::Timespan,
    "The value as a length of time",
    &[(r#"totimespan("0.00:01:00")"#, "00:01:00"), (r#"totimespan("1d")"#, "1.00:00:00")]
);
conversion!(
    TO_GUID,
    "toguid",
    &[],
    Type::Guid,
    "The value as a guid",
    &[(r#"toguid("70FC66F7-8279-44FC-9092-D364D70FCE44")"#, "70fc66f7-8279-44fc-9092-d364d70fce44")]
);

static PARSE_JSON: ScalarFn = ScalarFn {
    name: "parse_json",
    aliases: &["todynamic", "toobject", "parsejson"],
    summary: "Reads JSON; a text that is not JSON becomes a dynamic string",
    parameters: &["json"],
    signature: Signature::Custom(resolve_json),
    examples: &[
        (r#"parse_json('{"a" : [1, 2]}').a[1]"#, "2"),
        (r#"gettype(parse_json("x"))"#, "string"),
        (r#"isnull(parse_json("null"))"#, "True"),
    ],
    prepare: convert,
    ..ScalarFn::DEFAULT
};

/// The checker requires a string or a dynamic; a run accepts any type.
fn resolve_json(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, Some(1))?;
    as_is(args, Type::Dynamic)
}

fn convert(prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    let (from, to) = (prepare.types[0], prepare.returns);
    Ok(kernel(move |args| match &args.arrays[0] {
        Column::Array(array) => cast::array(array, from, to),
        Column::Scalar(one) => crate::eval::repeat(&cast::array(one, from, to), args.rows),
    }))
}

static GET_TYPE: ScalarFn = ScalarFn {
    name: "gettype",
    summary: "The name of the value's type; of a dynamic value, that of what it holds",
    parameters: &["value"],
    signature: Signature::Custom(any_to::<{ Type::String as u8 }>),
    examples: &[
        ("gettype(1)", "long"),
        (r#"gettype(dynamic({"a":1}))"#, "dictionary"),
        ("gettype(dynamic(null))", "null"),
        ("gettype(dynamic(1.5))", "double"),
    ],
    prepare: |prepare| {
        let ty = prepare.types[0];
        Ok(kernel(move |args| match ty {
            Type::Dynamic => {
                let json = args.texts(0);
                args.map_slices(|row| json.opt(row).map_or("null", dynamic::type_name))
            }
            ty => args.map_slices(|_| ty.name()),
        }))
    },
    ..ScalarFn::DEFAULT
};
