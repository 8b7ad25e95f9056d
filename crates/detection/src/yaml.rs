//! Analytics rules in the YAML format of Microsoft's content repository, one document per rule.
//!
//! The names differ from the API's in a few places (`name`, `relevantTechniques`, `triggerOperator: gt`, `queryFrequency: 1h`); they are
//! converted to the API's `properties`, so that rules from files and from the API are equal.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::rule::{AnalyticsRule, EntityMapping, Properties, RuleError};

/// Additional keys in the files, with metadata that is not needed to run the rule.
const ABOUT: [&str; 11] = [
    "id",
    "version",
    "status",
    "tags",
    "requiredDataConnectors",
    "metadata",
    "createUiDefinition",
    "relevantTechniques",
    "name",
    "tests",
    "tables",
];

/// A rule, and warnings about its file.
#[derive(Debug)]
pub struct Loaded {
    pub rule: AnalyticsRule,
    /// Unknown keys.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    id: Option<String>,
    name: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    relevant_techniques: Option<Vec<String>>,
    #[serde(default)]
    version: Option<String>,
    // The following fields are parsed only to report errors with their line; the values are taken from the document itself.
    #[allow(dead_code)]
    query: String,
    #[allow(dead_code)]
    #[serde(default)]
    entity_mappings: Option<Vec<EntityMapping>>,
}

/// Parses one file. `file` is its name in errors.
pub fn parse(file: &str, text: &str) -> Result<Loaded, RuleError> {
    let document: Document = serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|error| {
        let field = error.path().to_string();
        located(file, &field, error.inner(), text)
    })?;
    let values: Map<String, Value> = serde_yaml_ng::from_str(text).map_err(|error| located(file, ".", &error, text))?;
    load(file, document, values, text)
}

/// Parses a rule that is already JSON, with the file's names.
pub fn from_json(file: &str, values: Map<String, Value>) -> Result<Loaded, RuleError> {
    let document: Document = serde_path_to_error::deserialize(Value::Object(values.clone())).map_err(|error| RuleError::File {
        file: file.to_owned(),
        field: error.path().to_string(),
        problem: error.inner().to_string(),
    })?;
    load(file, document, values, "")
}

fn load(file: &str, document: Document, mut values: Map<String, Value>, text: &str) -> Result<Loaded, RuleError> {
    let mut techniques: Vec<String> = Vec::new();
    let mut sub_techniques: Vec<String> = Vec::new();
    for technique in document.relevant_techniques.unwrap_or_default() {
        // The API has `T1110.003` under subTechniques, and its parent under techniques.
        let parent = technique.split('.').next().unwrap_or_default().to_owned();
        if technique.contains('.') {
            sub_techniques.push(technique);
        }
        if !techniques.contains(&parent) {
            techniques.push(parent);
        }
    }
    values.insert("displayName".to_owned(), document.name.trim().into());
    values.insert("techniques".to_owned(), techniques.into());
    values.insert("subTechniques".to_owned(), sub_techniques.into());
    if let Some(version) = document.version {
        values.insert("templateVersion".to_owned(), version.into());
    }
    let kind = document.kind.unwrap_or_else(|| "Scheduled".to_owned());
    let id = document.id.unwrap_or_else(|| Path::new(file).file_stem().map_or(file.into(), |stem| stem.to_string_lossy().into_owned()));
    let at = |error: RuleError| match error {
        RuleError::Field { field, problem } => match line_of(text, &field) {
            Some(line) => RuleError::Yaml { file: file.to_owned(), line, field: yaml_name(&field), problem },
            None => RuleError::File { file: file.to_owned(), field: yaml_name(&field), problem },
        },
        RuleError::Kind(kind) => {
            RuleError::File { file: file.to_owned(), field: "kind".to_owned(), problem: RuleError::Kind(kind).to_string() }
        }
        other => other,
    };
    let known = known_keys();
    let warnings = values.keys().filter(|key| !known.contains(key) && !ABOUT.contains(&key.as_str()) && *key != "kind");
    let warnings = warnings.map(|key| format!("{file}: `{key}` is not a property of a rule; it is ignored")).collect();
    let rule = AnalyticsRule::from_properties(&id, &kind, &values).map_err(at)?;
    Ok(Loaded { rule, warnings })
}

/// Names accepted by [`Properties`], derived from the type.
fn known_keys() -> Vec<String> {
    let every = serde_json::json!({"displayName": "x", "query": "x", "queryFrequency": "1h", "queryPeriod": "1h", "triggerOperator": "gt",
        "triggerThreshold": 0, "suppressionDuration": "1h", "alertRuleTemplateName": "x", "templateVersion": "x"});
    let properties: Result<Properties, _> = serde_json::from_value(every);
    match properties.map(serde_json::to_value) {
        Ok(Ok(Value::Object(object))) => object.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn yaml_name(field: &str) -> String {
    field.replace("displayName", "name").replace("techniques", "relevantTechniques")
}

fn located(file: &str, field: &str, error: &serde_yaml_ng::Error, text: &str) -> RuleError {
    let message = error.to_string();
    let problem = message.split(" at line ").next().unwrap_or(&message);
    let problem = problem.strip_prefix(&format!("{field}: ")).unwrap_or(problem).to_owned();
    match error.location().map(|location| location.line()).or_else(|| line_of(text, field)) {
        Some(line) => RuleError::Yaml { file: file.to_owned(), line, field: field.to_owned(), problem },
        None => RuleError::File { file: file.to_owned(), field: field.to_owned(), problem },
    }
}

/// The line of the top-level key of a field's path.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let key = yaml_name(field.split(['.', '[']).next()?);
    text.lines().position(|line| line.starts_with(&format!("{key}:"))).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Kind;

    const RULE: &str = "id: 6f8a4f3c-0000-4000-8000-000000000001\nname: Many tries\nkind: Scheduled\nseverity: High\nqueryFrequency: 1h\nqueryPeriod: 1d\ntriggerOperator: gt\ntriggerThreshold: 0\ntactics:\n  - CredentialAccess\nrelevantTechniques:\n  - T1110.003\nquery: |\n  T\n  | take 1\nentityMappings:\n  - entityType: Account\n    fieldMappings:\n      - identifier: FullName\n        columnName: User\nversion: 1.0.0\nfavouriteColour: blue\n";

    #[test]
    fn a_file_is_read_unchanged() {
        let loaded = parse("rules/tries.yaml", RULE).unwrap();
        let rule = loaded.rule;
        assert!(matches!(rule.kind, Kind::Scheduled { .. }));
        assert_eq!(rule.properties.techniques, ["T1110"]);
        assert_eq!(rule.properties.sub_techniques, ["T1110.003"]);
        assert_eq!(rule.properties.template_version.as_deref(), Some("1.0.0"));
        assert_eq!(loaded.warnings, ["rules/tries.yaml: `favouriteColour` is not a property of a rule; it is ignored"]);
    }

    #[test]
    fn a_broken_file_says_where() {
        let message = |text: String| parse("r.yaml", &text).unwrap_err().to_string();
        assert!(
            message(RULE.replace("queryFrequency: 1h", "queryFrequency: 1m"))
                .starts_with("r.yaml, line 5, field `queryFrequency`: is PT1M")
        );
        assert!(message(RULE.replace("severity: High", "severity: Dire")).starts_with("r.yaml, line 4, field `severity`"));
        assert!(message(RULE.replace("entityType: Account", "entityType: Acount")).contains("entityMappings[0].entityType"));
        assert!(message(RULE.replace("name: Many tries\n", "")).contains("missing field `name`"));
        assert!(message("name: [".to_owned()).starts_with("r.yaml, line "));
    }
}
