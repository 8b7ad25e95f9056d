//! Renders JSON schemas, generated from types, as tables of fields.

use std::fmt::Write as _;

use model::Span;
use serde_json::Value;

use super::cell;

/// The schema under `title`, followed by a section for each referenced type.
pub fn page(title: &str, schema: &Value) -> String {
    let mut text = String::new();
    section(&mut text, title, schema);
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        section(&mut text, name, definition);
    }
    text
}

fn section(text: &mut String, name: &str, schema: &Value) {
    let _ = writeln!(text, "\n## {name}\n");
    if let Some(description) = schema["description"].as_str() {
        let _ = writeln!(text, "{description}\n");
    }
    if let Some(fields) = schema["properties"].as_object() {
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = writeln!(text, "| field | type | what |\n|---|---|---|");
        for (field, shape) in fields {
            let must = if required.contains(&field.as_str()) { ", required" } else { "" };
            let what = cell(&with_default(shape["description"].as_str().unwrap_or_default(), shape));
            let _ = writeln!(text, "| `{field}` | {}{must} | {what} |", kind(shape));
        }
    } else if !choices(text, schema) {
        let _ = writeln!(text, "{}", kind(schema));
    }
}

/// The description with the field's default, from the `Default` of its section, unless the text says it. An example stays last, if it is
/// another value.
fn with_default(what: &str, shape: &Value) -> String {
    if what.to_lowercase().contains("default") {
        return what.to_owned();
    }
    let value = match &shape["default"] {
        Value::String(text) if text.is_empty() => return what.to_owned(),
        Value::String(text) if shape["$ref"] == "#/$defs/Span" => text.parse().map_or_else(|_| text.clone(), short),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return what.to_owned(),
    };
    let (before, example) = what.split_at(what.find("Example: ").unwrap_or(what.len()));
    let example = if example == format!("Example: `{value}`.") { "" } else { example };
    [before.trim_end(), &format!("Default: `{value}`."), example].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A span as people write it: `90d`, `5m`.
fn short(span: Span) -> String {
    let units = [(Span::DAY, "d"), (Span::HOUR, "h"), (Span::MINUTE, "m"), (Span::SECOND, "s")];
    let unit = units.into_iter().find(|(unit, _)| span.ticks() != 0 && span.ticks() % unit.ticks() == 0);
    unit.map_or_else(|| span.to_iso(), |(unit, name)| format!("{}{name}", span.ticks() / unit.ticks()))
}

/// The values of an enumeration; returns false if the schema is not one.
fn choices(text: &mut String, schema: &Value) -> bool {
    let mut found = false;
    if let Some(values) = schema["enum"].as_array() {
        for value in values.iter().filter_map(Value::as_str) {
            let _ = writeln!(text, "- `{value}`");
            found = true;
        }
        return found;
    }
    for variant in schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()).into_iter().flatten() {
        if let Some(value) = variant["const"].as_str() {
            let what = variant["description"].as_str().unwrap_or_default().replace('\n', " ");
            let _ = writeln!(text, "- `{value}`{}{what}", if what.is_empty() { "" } else { ": " });
            found = true;
        } else if let Some(values) = variant["enum"].as_array() {
            for value in values.iter().filter_map(Value::as_str) {
                let _ = writeln!(text, "- `{value}`");
            }
            found = true;
        }
    }
    found
}

/// A short name of the type.
fn kind(shape: &Value) -> String {
    if let Some(reference) = shape["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for several in ["anyOf", "oneOf", "allOf"] {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_stand_before_the_example_unless_the_text_says_them() {
        let shape = json!({ "$ref": "#/$defs/Span", "default": "P90D" });
        assert_eq!(with_default("How long. Example: `1d`.", &shape), "How long. Default: `90d`. Example: `1d`.");
        assert_eq!(with_default("How long.", &json!({ "$ref": "#/$defs/Span", "default": "PT1M30S" })), "How long. Default: `90s`.");
        assert_eq!(with_default("Default: twice `memory`.", &shape), "Default: twice `memory`.");
        assert_eq!(with_default("How long. Example: `90d`.", &shape), "How long. Default: `90d`.");
        assert_eq!(with_default("Which.", &json!({ "default": null })), "Which.");
        assert_eq!(with_default("How many.", &json!({ "default": 8 })), "How many. Default: `8`.");
    }

    /// Every number, size and span of the configuration says its default, and no two types share a name.
    #[test]
    fn the_configuration_has_defaults_and_distinct_names() {
        let schema = schemars::schema_for!(crate::config::Config).to_value();
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            assert!(!name.ends_with(|c: char| c.is_ascii_digit()) && name != "Settings", "`{name}` is the name of several types");
            let Some(fields) = definition["properties"].as_object().filter(|_| name.ends_with("Config")) else { continue };
            for (field, shape) in
                fields.iter().filter(|(_, shape)| ["integer", "[Span](#span)", "[ByteSize](#bytesize)"].contains(&kind(shape).as_str()))
            {
                let what = with_default(shape["description"].as_str().unwrap_or_default(), shape);
                assert!(what.contains("efault"), "{name}.{field}: {what}");
            }
        }
    }
}
