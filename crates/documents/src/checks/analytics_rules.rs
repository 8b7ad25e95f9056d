//! Validates analytics rules: names, ranges, entity mappings, and that the engine can bind the query.
//!
//! Ranges and limits: learn.microsoft.com/azure/sentinel/scheduled-rules-overview and /create-analytics-rules. All errors are reported at
//! once, each with its property.

use std::collections::HashSet;

use model::{Column, EntityKind, IncidentConfiguration, Query, QueryEngine, QueryError, Scope, Severity, Span};
use serde_json::{Map, Value, json};

use crate::refusal::{Detail, Refusal};

const MINUTES_5: Span = Span(5 * Span::MINUTE.0);
const DAY: Span = Span::DAY;
const DAYS_2: Span = Span(2 * Span::DAY.0);
const DAYS_7: Span = Span(7 * Span::DAY.0);
const DAYS_14: Span = Span(14 * Span::DAY.0);
const MAX_QUERY: usize = 10_000;
const MAX_MAPPINGS: usize = 10;
const MAX_IDENTIFIERS: usize = 3;
const MAX_CUSTOM_DETAILS: usize = 20;

const TACTICS: &[&str] = &[
    "Reconnaissance",
    "ResourceDevelopment",
    "InitialAccess",
    "Execution",
    "Persistence",
    "PrivilegeEscalation",
    "DefenseEvasion",
    "CredentialAccess",
    "Discovery",
    "LateralMovement",
    "Collection",
    "Exfiltration",
    "CommandAndControl",
    "Impact",
    "PreAttack",
    "ImpairProcessControl",
    "InhibitResponseFunction",
];
const OPERATORS: &[&str] = &["GreaterThan", "LessThan", "Equal", "NotEqual"];
const AGGREGATIONS: &[&str] = &["SingleAlert", "AlertPerResult"];
const DYNAMIC_PROPERTIES: &[&str] = &[
    "AlertLink",
    "ConfidenceLevel",
    "ConfidenceScore",
    "ExtendedLinks",
    "ProductName",
    "ProviderName",
    "ProductComponentName",
    "RemediationSteps",
    "Techniques",
    "SubTechniques",
];

/// Supported kinds of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scheduled,
    Nrt,
}

impl Kind {
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        [Kind::Scheduled, Kind::Nrt].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            Refusal::bad_request("BadRequest", format!("Rules of kind '{shown}' do not run on this server; use 'Scheduled' or 'NRT'."))
                .target("kind")
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Scheduled => "Scheduled",
            Kind::Nrt => "NRT",
        }
    }
}

/// A validated rule.
#[derive(Debug)]
pub struct Checked {
    pub properties: Map<String, Value>,
    pub enabled: bool,
}

/// Validates the rule and fills in defaults. `scope` has tables and functions that are about to be made.
pub async fn check(engine: &dyn QueryEngine, scope: Scope, kind: Kind, mut properties: Map<String, Value>) -> Result<Checked, Refusal> {
    // Computed by the service.
    properties.remove("lastModifiedUtc");
    properties.retain(|_, value| !value.is_null());
    let mut findings = Findings::default();
    findings.names(&properties);
    if kind == Kind::Scheduled {
        findings.schedule(&properties);
    }
    fill_in(&mut properties);
    findings.suppression(&properties);
    findings.grouping(&properties);
    let query = properties.get("query").and_then(Value::as_str).unwrap_or_default();
    let columns = if query.trim().is_empty() || query.chars().count() > MAX_QUERY {
        None
    } else {
        match engine.check(&Query::new(query).with_scope(scope)).await {
            Ok(columns) => columns,
            Err(error) => {
                findings.query(query, &error)?;
                None
            }
        }
    };
    findings.mappings(&properties, columns.as_deref());
    findings.details(&properties, columns.as_deref());
    findings.conclude()?;
    let enabled = properties.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    Ok(Checked { properties, enabled })
}

/// Adds the defaults of omitted properties.
pub fn fill_in(properties: &mut Map<String, Value>) {
    properties.entry("suppressionDuration").or_insert(json!("PT5H"));
    properties.entry("suppressionEnabled").or_insert(json!(false));
    properties.entry("incidentConfiguration").or_insert(json!({ "createIncident": true }));
}

/// Errors of a rule.
#[derive(Default)]
struct Findings(Vec<Detail>);

impl Findings {
    fn add(&mut self, property: &str, message: impl Into<String>) {
        self.0.push(Detail { code: "BadRequest".into(), message: message.into(), target: Some(format!("properties.{property}")) });
    }

    /// A single error is returned directly; several become details.
    fn conclude(self) -> Result<(), Refusal> {
        let mut all = self.0.into_iter();
        let Some(first) = all.next() else { return Ok(()) };
        let mut error = Refusal::bad_request("BadRequest", first.message.clone());
        error.target = first.target.clone();
        let rest: Vec<Detail> = all.collect();
        if !rest.is_empty() {
            error.details = std::iter::once(first).chain(rest).collect();
        }
        Err(error)
    }

    fn names(&mut self, properties: &Map<String, Value>) {
        match text(properties, "displayName") {
            Some(name) if !name.trim().is_empty() && name.chars().count() <= 256 => {}
            Some(name) if !name.trim().is_empty() => self.add("displayName", "`displayName` has at most 256 characters."),
            _ => self.add("displayName", "`displayName` is required."),
        }
        match text(properties, "query") {
            Some(query) if query.trim().is_empty() => self.add("query", "`query` is required."),
            Some(query) if query.chars().count() > MAX_QUERY => self.add("query", format!("`query` has at most {MAX_QUERY} characters.")),
            Some(_) => {}
            None => self.add("query", "`query` is required."),
        }
        match text(properties, "severity") {
            None => self.add("severity", "`severity` is required."),
            Some(name) if Severity::ALL.iter().all(|severity| severity.name() != name) => {
                self.add("severity", format!("'{name}' is no severity; use 'High', 'Medium', 'Low' or 'Informational'."));
            }
            Some(_) => {}
        }
        if !matches!(properties.get("enabled"), Some(Value::Bool(_))) {
            self.add("enabled", "`enabled` is required and must be true or false.");
        }
        for tactic in self.texts(properties, "tactics") {
            if !TACTICS.contains(&tactic.as_str()) {
                self.add(
                    "tactics",
                    format!("'{tactic}' is no tactic of MITRE ATT&CK as Sentinel spells them, such as 'CredentialAccess'."),
                );
            }
        }
        for technique in self.texts(properties, "techniques") {
            if !is_technique(&technique) {
                self.add("techniques", format!("'{technique}' is no technique such as 'T1110'."));
            }
        }
        if let Some(settings) = properties.get("eventGroupingSettings")
            && let Some(kind) = settings.get("aggregationKind").filter(|kind| !kind.is_null())
            && !kind.as_str().is_some_and(|kind| AGGREGATIONS.contains(&kind))
        {
            self.add("eventGroupingSettings.aggregationKind", format!("Use one of '{}'.", AGGREGATIONS.join("', '")));
        }
    }

    fn texts(&mut self, properties: &Map<String, Value>, name: &str) -> Vec<String> {
        match properties.get(name) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Some(_) => {
                self.add(name, format!("`{name}` must be a list of texts."));
                Vec::new()
            }
        }
    }

    fn span(&mut self, properties: &Map<String, Value>, name: &str, least: Span, most: Span) -> Option<Span> {
        let Some(written) = text(properties, name) else {
            self.add(name, format!("`{name}` is required, as an ISO 8601 duration such as 'PT1H'."));
            return None;
        };
        let Some(span) = Span::parse_iso(written) else {
            let shown: String = written.chars().take(50).collect();
            self.add(name, format!("'{shown}' is no ISO 8601 duration such as 'PT1H' or 'P1D'."));
            return None;
        };
        if span < least || span > most {
            self.add(name, format!("`{name}` must be from {} to {}; it is {}.", least.to_iso(), most.to_iso(), span.to_iso()));
            return None;
        }
        Some(span)
    }

    fn schedule(&mut self, properties: &Map<String, Value>) {
        let frequency = self.span(properties, "queryFrequency", MINUTES_5, DAYS_14);
        let period = self.span(properties, "queryPeriod", MINUTES_5, DAYS_14);
        if let (Some(frequency), Some(period)) = (frequency, period) {
            if period < frequency {
                self.add(
                    "queryPeriod",
                    "`queryPeriod` must not be shorter than `queryFrequency`, or events between two runs are never seen.",
                );
            }
            if period >= DAYS_2 && frequency < Span::HOUR {
                self.add("queryFrequency", "A rule that looks back two days or more runs at most once an hour.");
            }
        }
        if !text(properties, "triggerOperator").is_some_and(|name| OPERATORS.contains(&name)) {
            self.add("triggerOperator", format!("`triggerOperator` is required; use one of '{}'.", OPERATORS.join("', '")));
        }
        if !properties.get("triggerThreshold").and_then(Value::as_i64).is_some_and(|threshold| (0..=10_000).contains(&threshold)) {
            self.add("triggerThreshold", "`triggerThreshold` is required and must be from 0 to 10000.");
        }
    }

    fn suppression(&mut self, properties: &Map<String, Value>) {
        if !properties["suppressionEnabled"].is_boolean() {
            self.add("suppressionEnabled", "`suppressionEnabled` must be true or false.");
        }
        let duration = self.span(properties, "suppressionDuration", MINUTES_5, DAY);
        let frequency = text(properties, "queryFrequency").and_then(Span::parse_iso);
        if let (Some(duration), Some(frequency), Some(true)) = (duration, frequency, properties["suppressionEnabled"].as_bool())
            && duration < frequency
        {
            self.add("suppressionDuration", "`suppressionDuration` must not be shorter than `queryFrequency`, or it suppresses nothing.");
        }
    }

    fn grouping(&mut self, properties: &Map<String, Value>) {
        let configuration: IncidentConfiguration = match serde_path_to_error::deserialize(&properties["incidentConfiguration"]) {
            Ok(configuration) => configuration,
            Err(error) => {
                let path = format!("incidentConfiguration.{}", error.path());
                return self.add(&path, format!("`{path}` is wrong: {}.", error.inner()));
            }
        };
        let Some(grouping) = configuration.grouping_configuration else { return };
        if grouping.lookback_duration < MINUTES_5 || grouping.lookback_duration > DAYS_7 {
            self.add("incidentConfiguration.groupingConfiguration.lookbackDuration", "`lookbackDuration` must be from PT5M to P7D.");
        }
        let nothing = grouping.group_by_entities.is_empty()
            && grouping.group_by_alert_details.is_empty()
            && grouping.group_by_custom_details.is_empty();
        if grouping.enabled && grouping.matching_method == model::MatchingMethod::Selected && nothing {
            let message =
                "Matching method 'Selected' needs at least one of `groupByEntities`, `groupByAlertDetails`, `groupByCustomDetails`.";
            self.add("incidentConfiguration.groupingConfiguration.matchingMethod", message);
        }
        let details = properties.get("customDetails").and_then(Value::as_object);
        let unknown: Vec<&String> =
            grouping.group_by_custom_details.iter().filter(|name| !details.is_some_and(|details| details.contains_key(*name))).collect();
        for name in unknown {
            self.add(
                "incidentConfiguration.groupingConfiguration.groupByCustomDetails",
                format!("The rule has no custom detail '{name}'."),
            );
        }
    }

    /// Adds the engine's errors with line and column. An internal error of the engine is returned as such.
    fn query(&mut self, query: &str, error: &QueryError) -> Result<(), Refusal> {
        match error {
            QueryError::Wrong(diagnostics) => {
                for diagnostic in diagnostics.iter().take(20) {
                    let (line, column) = place(query, diagnostic.start);
                    let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                    let message =
                        format!("The query is wrong at line {line}, column {column}: {}: {}{help}", diagnostic.code, diagnostic.message);
                    self.add("query", message);
                }
                if diagnostics.is_empty() {
                    self.add("query", "The query is wrong.");
                }
                Ok(())
            }
            QueryError::Internal(_) => Err(Refusal::internal(error)),
            other => {
                self.add("query", format!("The query cannot be checked: {other}."));
                Ok(())
            }
        }
    }

    /// Adds an error if the query is known not to have this column.
    fn column(&mut self, property: &str, columns: Option<&[Column]>, name: &str) {
        if let Some(columns) = columns
            && columns.iter().all(|column| column.name != name)
        {
            let near = columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
                .map(|column| format!("; did you mean '{}'?", column.name));
            self.add(property, format!("The query answers no column '{name}'{}", near.unwrap_or_else(|| ".".to_owned())));
        }
    }

    fn mappings(&mut self, properties: &Map<String, Value>, columns: Option<&[Column]>) {
        let Some(mappings) = properties.get("entityMappings") else { return };
        let Some(mappings) = mappings.as_array() else { return self.add("entityMappings", "`entityMappings` must be a list.") };
        if mappings.len() > MAX_MAPPINGS {
            self.add("entityMappings", format!("A rule has at most {MAX_MAPPINGS} entity mappings."));
        }
        for (index, mapping) in mappings.iter().enumerate() {
            let path = format!("entityMappings[{index}]");
            let written = mapping.get("entityType").and_then(Value::as_str).unwrap_or_default();
            let Some(kind) = EntityKind::parse(written) else {
                self.add(&format!("{path}.entityType"), format!("'{written}' is no kind of entity."));
                continue;
            };
            let fields = mapping.get("fieldMappings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            if fields.is_empty() || fields.len() > MAX_IDENTIFIERS {
                self.add(&format!("{path}.fieldMappings"), format!("An entity has from 1 to {MAX_IDENTIFIERS} field mappings."));
            }
            let mut seen = HashSet::new();
            for (number, field) in fields.iter().enumerate() {
                let path = format!("{path}.fieldMappings[{number}]");
                let identifier = field.get("identifier").and_then(Value::as_str).unwrap_or_default();
                if kind.identifier(identifier).is_none() {
                    let known: Vec<&str> = kind.info().identifiers.iter().map(|identifier| identifier.name).collect();
                    self.add(
                        &format!("{path}.identifier"),
                        format!("'{identifier}' identifies no {kind}; use one of {}.", known.join(", ")),
                    );
                } else if !seen.insert(identifier.to_lowercase()) {
                    self.add(&format!("{path}.identifier"), format!("'{identifier}' is mapped twice."));
                }
                match field.get("columnName").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                    Some(name) => self.column(&format!("{path}.columnName"), columns, name),
                    None => self.add(&format!("{path}.columnName"), "`columnName` is required."),
                }
            }
        }
    }

    fn details(&mut self, properties: &Map<String, Value>, columns: Option<&[Column]>) {
        match properties.get("customDetails") {
            None => {}
            Some(Value::Object(details)) => {
                if details.len() > MAX_CUSTOM_DETAILS {
                    self.add("customDetails", format!("A rule has at most {MAX_CUSTOM_DETAILS} custom details."));
                }
                for (name, column) in details {
                    match column.as_str() {
                        Some(column) => self.column(&format!("customDetails.{name}"), columns, column),
                        None => self.add(&format!("customDetails.{name}"), "A custom detail names a column."),
                    }
                }
            }
            Some(_) => self.add("customDetails", "`customDetails` must be an object of names and columns."),
        }
        let Some(details) = properties.get("alertDetailsOverride") else { return };
        let Some(details) = details.as_object() else {
            return self.add("alertDetailsOverride", "`alertDetailsOverride` must be an object.");
        };
        for name in ["alertDisplayNameFormat", "alertDescriptionFormat"] {
            for column in text(details, name).map(template_columns).unwrap_or_default() {
                self.column(&format!("alertDetailsOverride.{name}"), columns, &column);
            }
        }
        for name in ["alertSeverityColumnName", "alertTacticsColumnName"] {
            if let Some(column) = text(details, name).filter(|column| !column.is_empty()) {
                self.column(&format!("alertDetailsOverride.{name}"), columns, column);
            }
        }
        for (index, dynamic) in details.get("alertDynamicProperties").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let path = format!("alertDetailsOverride.alertDynamicProperties[{index}]");
            if !dynamic.get("alertProperty").and_then(Value::as_str).is_some_and(|name| DYNAMIC_PROPERTIES.contains(&name)) {
                self.add(&format!("{path}.alertProperty"), format!("Use one of {}.", DYNAMIC_PROPERTIES.join(", ")));
            }
            match dynamic.get("value").and_then(Value::as_str) {
                Some(column) => self.column(&format!("{path}.value"), columns, column),
                None => self.add(&format!("{path}.value"), "`value` names a column."),
            }
        }
    }
}

fn text<'a>(properties: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    properties.get(name).and_then(Value::as_str)
}

/// `T1110`, `T1110.001`, and the four-digit ones of the ICS matrix, `T0800`.
fn is_technique(text: &str) -> bool {
    let (base, sub) = text.split_once('.').map_or((text, None), |(base, sub)| (base, Some(sub)));
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    base.strip_prefix('T').is_some_and(|rest| digits(rest, 4)) && sub.is_none_or(|sub| digits(sub, 3))
}

/// The columns used in a template: `Sign-in of {{Account}} from {{IP}}`.
fn template_columns(template: &str) -> Vec<String> {
    template.split("{{").skip(1).filter_map(|part| part.split_once("}}")).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Line and column, from 1, of a byte offset.
fn place(query: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(query.len());
    while !query.is_char_boundary(end) {
        end -= 1;
    }
    let before = &query[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn techniques_and_templates_are_recognised() {
        for good in ["T1110", "T1110.001", "T0800"] {
            assert!(is_technique(good), "{good}");
        }
        for bad in ["", "T11", "1110", "T1110.1", "T1110.0001", "Té110"] {
            assert!(!is_technique(bad), "{bad}");
        }
        assert_eq!(template_columns("{{ A }} and {{B}} and {{open"), ["A", "B"]);
    }

    #[test]
    fn places_count_lines_and_characters() {
        assert_eq!(place("ab\ncé | x", 7), (2, 4));
        assert_eq!(place("", 9), (1, 1));
    }
}
