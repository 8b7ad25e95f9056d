//! Renders JSON schemas, generated from types, as tables of fields.

use std::fmt::Write as _;

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
            let what = cell(shape["description"].as_str().unwrap_or_default());
            let _ = writeln!(text, "| `{field}` | {}{must} | {what} |", kind(shape));
        }
    } else if !choices(text, schema) {
        let _ = writeln!(text, "{}", kind(schema));
    }
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
