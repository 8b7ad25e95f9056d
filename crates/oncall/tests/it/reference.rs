//! docs/reference/oncall.md is what the types say. `BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use oncall::directory::Directory;
use serde_json::Value;

#[test]
fn the_reference_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/oncall.md");
    let wanted = reference();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/reference/oncall.md is not what the types say; write it anew: BLESS=1 cargo test -p oncall reference");
}

/// The examples are right in every respect that can be checked.
#[test]
fn the_examples_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/oncall");
    let mut texts: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    texts.sort();
    assert_eq!(texts.len(), 3);
    let directory = oncall::document::parse_all(texts.iter().map(|(file, text)| (file.as_str(), text.as_str()))).unwrap();
    assert_eq!(oncall::check::check(&directory), []);
    let at = |text| model::Timestamp::parse_iso(text).unwrap();
    let who = |schedule: &str, time| {
        let on = oncall::schedule::who(&directory.schedules[schedule], schedule, &directory.overrides, at(time)).unwrap();
        on.into_iter().map(|duty| duty.user).collect::<Vec<_>>()
    };
    // What the comments in the examples promise. Oslo is at +01:00 in December; 21 December 2026 begins one of Ann's weeks.
    assert_eq!(who("oslo", "2026-12-21T12:00:00Z"), ["ann"]);
    assert_eq!(who("oslo", "2026-12-22T12:00:00Z"), ["bo"], "the dentist");
    assert_eq!(who("oslo", "2026-12-25T18:59:59Z"), ["ann"], "Christmas, by hand");
    assert_eq!(who("oslo", "2026-12-25T19:00:00Z"), ["bo"], "Christmas, by hand");
    assert_eq!(who("around-the-clock", "2026-12-01T20:00:00Z"), ["ann", "di"], "one more for a release");
    let day = oncall::schedule::health(
        &directory.schedules["around-the-clock"],
        "around-the-clock",
        &directory.overrides,
        at("2026-01-12T00:00:00Z"),
        at("2027-01-01T00:00:00Z"),
    );
    assert!(day.unwrap().gaps.is_empty(), "the sun is followed without a gap");
}

fn reference() -> String {
    let schema = schemars::schema_for!(Directory).to_value();
    let mut text = String::from(
        "# On call: what stands in a document\n\nMade from the types by a test (`BLESS=1 cargo test -p oncall reference`); edit the comments there, not this file.\n\
         A document is YAML or JSON. It holds any of these kinds, each object under its name; docs/guide/oncall.md shows them at work.\n\
         Spans are ISO 8601 or a number and a unit (`90s`, `10m`, `8h`, `1d`). Names have letters, digits, `-`, `_` and `.`.\n",
    );
    section(&mut text, "The document", &schema);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        section(&mut text, name, definition);
    }
    text
}

fn section(text: &mut String, name: &str, schema: &Value) {
    writeln!(text, "\n## {name}\n").unwrap();
    if let Some(description) = schema["description"].as_str() {
        writeln!(text, "{description}\n").unwrap();
    }
    if let Some(fields) = schema["properties"].as_object() {
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        writeln!(text, "| field | type | what |\n|---|---|---|").unwrap();
        for (field, shape) in fields {
            let must = if required.contains(&field.as_str()) { ", required" } else { "" };
            let what = shape["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
            writeln!(text, "| `{field}` | {}{must} | {what} |", kind(shape)).unwrap();
        }
    } else {
        let variants: Vec<&Value> = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()).into_iter().flatten().collect();
        let mut names = false;
        for variant in &variants {
            if let Some(value) = variant["const"].as_str() {
                let what = variant["description"].as_str().unwrap_or_default().replace('\n', " ");
                writeln!(text, "- `{value}`{}{what}", if what.is_empty() { "" } else { ": " }).unwrap();
                names = true;
            } else if let Some(values) = variant["enum"].as_array() {
                for value in values.iter().filter_map(Value::as_str) {
                    writeln!(text, "- `{value}`").unwrap();
                }
                names = true;
            }
        }
        if !names {
            writeln!(text, "{}", kind(schema)).unwrap();
        }
    }
}

/// The type in a word or two.
fn kind(shape: &Value) -> String {
    if let Some(reference) = shape["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(of) = shape[several].as_array() {
            return of.iter().filter(|one| one["type"] != "null").map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(values) = shape["enum"].as_array() {
        return values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    let name = match &shape["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect::<Vec<_>>().join(" or "),
        _ => String::from("any"),
    };
    match name.as_str() {
        "array" => format!("list of {}", kind(&shape["items"])),
        "object" if shape["additionalProperties"].is_object() => format!("{} by name", kind(&shape["additionalProperties"])),
        _ => name,
    }
}
