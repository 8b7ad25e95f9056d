//! The format of test files: `*.test.yaml` beside the rules, or `tests` in a rule's own file.
//!
//! ```yaml
//! rule: ../brute-force.yaml
//! tables:                                   # columns of tables that are not published
//!   Okta_CL: { TimeGenerated: datetime, outcome_result_s: string, actor_s: string }
//! tests:
//!   - name: fires on three failures
//!     at: 2026-01-01T10:00:00Z              # when the rule runs; now where it is left out
//!     given:
//!       Okta_CL: fixtures/okta_failures.json
//!       SigninLogs: [{ TimeGenerated: now-5m, UserPrincipalName: ann@example.com }]
//!     expect:
//!       alerts: 1
//!       severity: Medium
//!       entities: [{ type: Account, FullName: ann@example.com }]
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use detection::rule::{EntityMapping, FieldMapping};
use model::{Alert, Column, EntityKind, Severity, Timestamp, Type};
use serde::Deserialize;
use serde_json::Value;

use super::fixtures::Given;

/// A test file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Relative to the folder of this file. Omitted in a rule's own file.
    #[serde(default)]
    pub rule: Option<PathBuf>,
    /// Columns of unpublished tables, by table.
    #[serde(default)]
    pub tables: BTreeMap<String, serde_yaml_ng::Mapping>,
    #[serde(default)]
    pub tests: Vec<Test>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub name: String,
    #[serde(default)]
    pub at: Option<String>,
    #[serde(default)]
    pub given: BTreeMap<String, Given>,
    pub expect: Expect,
}

/// Expected properties of the alerts; omitted ones are not checked. Without `alerts` at least one is expected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    #[serde(default)]
    pub alerts: Option<usize>,
    /// Number of result rows.
    #[serde(default)]
    pub rows: Option<usize>,
    /// Of every alert.
    #[serde(default)]
    pub severity: Option<String>,
    /// Of some alert.
    #[serde(default)]
    pub title: Option<String>,
    /// Of every alert.
    #[serde(default)]
    pub tactics: Option<Vec<String>>,
    #[serde(default)]
    pub techniques: Option<Vec<String>>,
    /// Each must be among the entities of some alert: a type and identifiers.
    #[serde(default)]
    pub entities: Vec<BTreeMap<String, String>>,
    /// Custom details by name; a value, or a list of values, of some alert.
    #[serde(default)]
    pub details: BTreeMap<String, Value>,
    /// Part of the expected error of the query.
    #[serde(default)]
    pub error: Option<String>,
}

/// Why a file has no valid tests.
#[derive(Debug, thiserror::Error)]
pub enum TestFileError {
    #[error("field `{field}`: {problem}")]
    Shape { line: Option<usize>, field: String, problem: String },
    #[error("`rule` is missing: the file of the rule that is tested, from the folder of this file")]
    NoRule,
    #[error(
        "`tables`: `{table}` column `{column}` has the unknown type `{ty}`; known are bool, int, long, real, string, datetime, timespan, guid, decimal and dynamic"
    )]
    Type { table: String, column: String, ty: String },
    #[error("test `{test}`: `at` is `{at}`, which is not a time; write for example `2026-01-01T10:00:00Z`")]
    At { test: String, at: String },
}

impl TestFile {
    pub fn parse(text: &str) -> Result<Self, TestFileError> {
        serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|error| {
            let field = error.path().to_string();
            let cause = error.into_inner();
            let message = cause.to_string();
            let problem = message.split(" at line ").next().unwrap_or(&message);
            let problem = problem.strip_prefix(&format!("{field}: ")).unwrap_or(problem).to_owned();
            TestFileError::Shape { line: cause.location().map(|place| place.line()), field, problem }
        })
    }

    /// The tests in a rule's own file, if any.
    pub fn in_rule(text: &str) -> Result<Option<Self>, TestFileError> {
        #[derive(Deserialize)]
        struct Inline {
            #[serde(default)]
            tests: Option<serde_yaml_ng::Value>,
            #[serde(default)]
            tables: Option<serde_yaml_ng::Value>,
        }
        // Errors in the rule itself are reported when it is parsed.
        let Ok(Inline { tests: Some(tests), tables }) = serde_yaml_ng::from_str::<Inline>(text) else { return Ok(None) };
        let mut document = serde_yaml_ng::Mapping::new();
        document.insert("tests".into(), tests);
        if let Some(tables) = tables {
            document.insert("tables".into(), tables);
        }
        let document = serde_yaml_ng::to_string(&document).unwrap_or_default();
        // Line numbers of the generated document are not those of the file.
        Self::parse(&document).map(Some).map_err(|error| match error {
            TestFileError::Shape { field, problem, .. } => TestFileError::Shape { line: None, field, problem },
            other => other,
        })
    }

    /// The path of the rule file.
    pub fn rule_path(&self, file: &Path) -> Result<PathBuf, TestFileError> {
        let rule = self.rule.as_ref().ok_or(TestFileError::NoRule)?;
        Ok(file.parent().unwrap_or(Path::new(".")).join(rule))
    }

    pub fn columns(&self) -> Result<BTreeMap<String, Vec<Column>>, TestFileError> {
        let mut tables = BTreeMap::new();
        for (table, written) in &self.tables {
            let mut columns = Vec::new();
            for (name, ty) in written {
                let (name, text) = (name.as_str().unwrap_or_default(), ty.as_str().unwrap_or_default());
                let ty = Type::parse(text).ok_or_else(|| TestFileError::Type {
                    table: table.clone(),
                    column: name.to_owned(),
                    ty: text.to_owned(),
                })?;
                columns.push(Column::new(name, ty));
            }
            tables.insert(table.clone(), columns);
        }
        Ok(tables)
    }
}

impl Test {
    pub fn time(&self, now: Timestamp) -> Result<Timestamp, TestFileError> {
        let Some(text) = &self.at else { return Ok(now) };
        let wrong = || TestFileError::At { test: self.name.clone(), at: text.clone() };
        super::fixtures::from_now(text, now).or_else(|| Timestamp::parse_iso(text.trim())).ok_or_else(wrong)
    }
}

impl Expect {
    /// Failed expectations, one sentence each.
    pub fn misses(&self, alerts: &[Alert], rows: usize) -> Vec<String> {
        let mut misses = Vec::new();
        match self.alerts {
            Some(count) if count != alerts.len() => misses.push(format!("expected {}, got {}", counted(count), shown(alerts, rows))),
            None if alerts.is_empty() => misses.push(format!("expected at least one alert, got {}", shown(alerts, rows))),
            _ => {}
        }
        if let Some(expected) = self.rows.filter(|expected| *expected != rows) {
            misses.push(format!("expected {expected} rows of the query, got {rows}"));
        }
        if alerts.is_empty() {
            return misses;
        }
        if let Some(severity) = &self.severity {
            match Severity::parse(severity) {
                None => misses.push(format!("`severity` is `{severity}`; it is one of High, Medium, Low, Informational")),
                Some(severity) => {
                    for alert in alerts.iter().filter(|alert| alert.severity != severity) {
                        misses.push(format!(
                            "expected severity {}, got {} of `{}`",
                            severity.name(),
                            alert.severity.name(),
                            alert.display_name
                        ));
                    }
                }
            }
        }
        if let Some(title) = &self.title
            && alerts.iter().all(|alert| alert.display_name != *title)
        {
            misses.push(format!("expected an alert with the title `{title}`, got {}", shown(alerts, rows)));
        }
        for (what, expected, of) in [
            ("tactics", &self.tactics, (|alert: &Alert| &alert.tactics) as fn(&Alert) -> &Vec<String>),
            ("techniques", &self.techniques, |alert: &Alert| &alert.techniques),
        ] {
            let Some(expected) = expected else { continue };
            for alert in alerts.iter().filter(|alert| of(alert) != expected) {
                misses.push(format!("expected {what} {}, got {} of `{}`", expected.join(", "), of(alert).join(", "), alert.display_name));
            }
        }
        misses.extend(self.entities.iter().filter_map(|expected| missing_entity(expected, alerts)));
        for (name, expected) in &self.details {
            let wanted: Vec<String> = match expected {
                Value::Array(items) => items.iter().map(text).collect(),
                single => vec![text(single)],
            };
            let has =
                |alert: &Alert| alert.custom_details.get(name).is_some_and(|values| wanted.iter().all(|value| values.contains(value)));
            if !alerts.iter().any(has) {
                let got: Vec<&str> =
                    alerts.iter().filter_map(|alert| alert.custom_details.get(name)).flatten().map(String::as_str).collect();
                misses.push(format!("expected custom detail `{name}` with {}, got {}", wanted.join(", "), or_none(&got)));
            }
        }
        misses
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn counted(count: usize) -> String {
    match count {
        0 => "no alert".to_owned(),
        1 => "1 alert".to_owned(),
        count => format!("{count} alerts"),
    }
}

fn shown(alerts: &[Alert], rows: usize) -> String {
    if alerts.is_empty() {
        return format!("none; the query gave {rows} rows");
    }
    let titles: Vec<String> = alerts.iter().take(5).map(|alert| format!("`{}`", alert.display_name)).collect();
    format!("{}: {}", alerts.len(), titles.join(", "))
}

fn or_none(list: &[&str]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

fn missing_entity(expected: &BTreeMap<String, String>, alerts: &[Alert]) -> Option<String> {
    let written = || expected.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ");
    let kind = expected.iter().find(|(name, _)| name.eq_ignore_ascii_case("type")).map(|(_, kind)| kind.as_str()).unwrap_or_default();
    let Some(kind) = EntityKind::parse(kind) else {
        return Some(format!("entity {{{}}}: `type` is not a type of entity, such as Account or IP", written()));
    };
    let identifiers: Vec<&String> = expected.keys().filter(|name| !name.eq_ignore_ascii_case("type")).collect();
    // A full name is split as in the rule's mapping.
    let field_mappings =
        identifiers.iter().map(|name| FieldMapping { identifier: (*name).clone(), column_name: (*name).clone() }).collect();
    let mapping = EntityMapping { entity_type: kind, field_mappings };
    let Some(wanted) = detection::entities::from_mapping(&mapping, &|column| expected.get(column).cloned()) else {
        return Some(format!("entity {{{}}} has no identifier of {kind}", written()));
    };
    let found: Vec<_> = alerts.iter().flat_map(|alert| &alert.entities).filter(|entity| entity.kind == kind).collect();
    let is = |entity: &&model::Entity| wanted.identifiers.iter().all(|(name, value)| entity.identifiers.get(name) == Some(value));
    if found.iter().any(|entity| is(&entity)) {
        return None;
    }
    let got: Vec<String> = found.iter().map(|entity| format!("{:?}", entity.identifiers)).collect();
    let got: Vec<&str> = got.iter().map(String::as_str).collect();
    Some(format!("expected entity {{{}}}, got {}", written(), or_none(&got)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_read_and_mistakes_are_placed() {
        let file =
            TestFile::parse("rule: a.yaml\ntests:\n  - name: x\n    given: { T: [{ N: 1 }], U: rows.csv }\n    expect: { alerts: 0 }\n")
                .unwrap();
        assert_eq!(file.tests[0].expect.alerts, Some(0));
        assert!(matches!(file.tests[0].given["U"], Given::Text(_)));
        let error = TestFile::parse("rule: a.yaml\ntests:\n  - name: x\n    expect: { alrts: 0 }\n").unwrap_err();
        assert!(matches!(&error, TestFileError::Shape { line: Some(4), problem, .. } if problem.contains("alrts")), "{error:?}");
    }

    #[test]
    fn tests_may_be_in_the_file_of_the_rule() {
        let text = "name: r\nquery: T\ntests:\n  - name: x\n    expect: { alerts: 1 }\n";
        assert_eq!(TestFile::in_rule(text).unwrap().unwrap().tests.len(), 1);
        assert!(TestFile::in_rule("name: r\nquery: T\n").unwrap().is_none());
    }

    #[test]
    fn without_a_number_one_alert_is_expected() {
        let expect: Expect = serde_json::from_str("{}").unwrap();
        assert_eq!(expect.misses(&[], 3), ["expected at least one alert, got none; the query gave 3 rows"]);
    }
}
