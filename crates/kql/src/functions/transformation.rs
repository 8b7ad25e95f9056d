//! `parse_cef_dictionary`, `geo_location`: functions available only in transformations.
//!
//! Source: learn.microsoft.com/azure/azure-monitor/data-collection/data-collection-transformations-kql, "Special functions".

use model::Type;
use model::cef;

use super::signatures::all;
use super::{Family, ScalarFn, kernel};
use crate::dynamic::push_string;

/// All of them. They are not in the general function table.
pub static ALL: Family = &[&PARSE_CEF_DICTIONARY, &GEO_LOCATION];

/// Finds a function by name.
pub fn find(name: &str) -> Option<&'static ScalarFn> {
    ALL.iter().copied().find(|function| function.name == name)
}

/// Names of the header fields. The page mentions only `Extension`; these are the terms of the CEF specification.
const HEADER: [&str; cef::FIELDS] = ["Version", "DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEventClassId", "Name", "Severity"];

static PARSE_CEF_DICTIONARY: ScalarFn = ScalarFn {
    name: "parse_cef_dictionary",
    summary: "The fields of a message in CEF as a bag, those of its extension as a bag in `Extension`",
    signature: all(&[("message", Type::String)], Type::Dynamic),
    examples: &[
        (
            r#"parse_cef_dictionary("CEF:0|V|P|1|c|n|5|src=10.0.0.1 msg=two words")"#,
            r#"{"Version":"0","DeviceVendor":"V","DeviceProduct":"P","DeviceVersion":"1","DeviceEventClassId":"c","Name":"n","Severity":"5","Extension":{"src":"10.0.0.1","msg":"two words"}}"#,
        ),
        (r#"parse_cef_dictionary("src=10.0.0.1 spt=22").Extension.spt"#, "22"),
        (r#"parse_cef_dictionary("no event")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| dictionary(source.get(row), out))
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Writes the header, if present, and the extension; a text without `CEF:` is all extension.
fn dictionary(text: &str, out: &mut String) -> Option<()> {
    let start = text.find("CEF:");
    let (header, extension) = match start {
        Some(at) => {
            let (fields, extension) = cef::header(text[at + 4..].trim_start_matches(' '))?;
            (Some(fields), extension)
        }
        None => (None, text),
    };
    let mut bag = String::from("{");
    let mut pairs = 0;
    for (name, value) in header.iter().flat_map(|fields| HEADER.iter().zip(fields)) {
        push(&mut bag, name, &cef::unescape(value.trim(), false));
        bag.push(',');
    }
    bag.push_str("\"Extension\":{");
    cef::pairs(extension, |key, value| {
        if pairs > 0 {
            bag.push(',');
        }
        pairs += 1;
        push(&mut bag, key, &cef::unescape(value, cef::is_free_text(key)));
    });
    bag.push_str("}}");
    if header.is_none() && pairs == 0 {
        return None;
    }
    out.push_str(&bag);
    Some(())
}

fn push(bag: &mut String, name: &str, value: &str) {
    push_string(bag, name);
    bag.push(':');
    push_string(bag, value);
}

static GEO_LOCATION: ScalarFn = ScalarFn {
    name: "geo_location",
    summary: "Where an address is: `Country`, `Region`, `State`, `City`, `Latitude`, `Longitude`; null, because no database of places comes with this server",
    signature: all(&[("ip", Type::String)], Type::Dynamic),
    examples: &[(r#"geo_location("1.0.0.5")"#, "")],
    prepare: |_| Ok(kernel(|args| args.map_json(|_, _| None))),
    ..ScalarFn::DEFAULT
};
