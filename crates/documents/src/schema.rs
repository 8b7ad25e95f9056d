//! The schemas of documents, for the reference, the API and forms.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::kinds::{self, Whole};

/// A kind, described for programs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Description {
    /// As in documents: `tables`.
    pub kind: &'static str,
    pub singular: &'static str,
    pub summary: &'static str,
    /// The role that writing needs: `contributor` or `owner`.
    pub role: &'static str,
    /// JSON schema of a body.
    pub schema: Value,
}

/// JSON schema of a whole document.
pub fn document_schema() -> Value {
    schemars::schema_for!(Whole).to_value()
}

/// Every kind with its schema.
pub fn describe() -> Vec<Description> {
    let whole = document_schema();
    let described = kinds::all().map(|kind| {
        let mut schema = body(&whole["properties"][kind.name()]);
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("$defs".to_owned(), whole["$defs"].clone());
        }
        let role = if kind.access().owner { "owner" } else { "contributor" };
        Description { kind: kind.name(), singular: kind.singular(), summary: kind.summary(), role, schema }
    });
    described.collect()
}

/// The schema of the values of a map, which may be behind the alternative of an optional field.
fn body(field: &Value) -> Value {
    let direct = &field["additionalProperties"];
    if direct.is_object() {
        return direct.clone();
    }
    let alternatives = field["anyOf"].as_array().into_iter().flatten();
    alternatives.map(|one| &one["additionalProperties"]).find(|body| body.is_object()).cloned().unwrap_or(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema() {
        for kind in describe() {
            assert!(kind.schema["$ref"].is_string() || kind.schema["properties"].is_object(), "{}: {}", kind.kind, kind.schema);
        }
    }
}
