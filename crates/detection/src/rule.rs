//! Analytics rules: the REST API's `properties`, parsed and validated.
//!
//! Format and limits: learn.microsoft.com/rest/api/securityinsights/alert-rules and …/azure/sentinel/create-analytics-rules.

use std::collections::BTreeMap;

use model::{EntityKind, IncidentConfiguration, Severity, Span};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Maximum entity mappings of a rule, and identifiers of a mapping.
pub const MAX_ENTITY_MAPPINGS: usize = 10;
pub const MAX_IDENTIFIERS: usize = 3;
/// Maximum custom details of a rule.
pub const MAX_CUSTOM_DETAILS: usize = 20;
/// Maximum length of a query.
pub const MAX_QUERY: usize = 10_000;
pub const SHORTEST_FREQUENCY: Span = Span(5 * model::TICKS_PER_MINUTE);
pub const LONGEST_PERIOD: Span = Span(14 * model::TICKS_PER_DAY);

/// A validated rule.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalyticsRule {
    /// The resource name.
    pub id: String,
    pub kind: Kind,
    pub properties: Properties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scheduled {
        frequency: Span,
        period: Span,
        trigger: Trigger,
    },
    /// Runs as rows arrive.
    NearRealTime,
}

/// Threshold on the number of result rows that triggers an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub operator: TriggerOperator,
    pub threshold: u64,
}

impl Trigger {
    pub fn fires(self, rows: u64) -> bool {
        match self.operator {
            TriggerOperator::GreaterThan => rows > self.threshold,
            TriggerOperator::LessThan => rows < self.threshold,
            TriggerOperator::Equal => rows == self.threshold,
            TriggerOperator::NotEqual => rows != self.threshold,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TriggerOperator {
    #[serde(alias = "gt", alias = "greaterThan")]
    GreaterThan,
    #[serde(alias = "lt", alias = "lessThan")]
    LessThan,
    #[serde(alias = "eq", alias = "equal")]
    Equal,
    #[serde(alias = "ne", alias = "notEqual")]
    NotEqual,
}

/// The `properties` of a Scheduled or NRT rule, as in the API and the store. Other properties are kept by the store and ignored by
/// detection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Properties {
    pub display_name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    pub query: String,
    #[serde(default, deserialize_with = "or_default")]
    pub severity: Severity,
    #[serde(default, deserialize_with = "or_default")]
    pub tactics: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub techniques: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub sub_techniques: Vec<String>,
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub query_frequency: Option<Span>,
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub query_period: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_operator: Option<TriggerOperator>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_threshold: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    pub suppression_enabled: bool,
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub suppression_duration: Option<Span>,
    #[serde(default, deserialize_with = "or_default")]
    pub event_grouping_settings: EventGrouping,
    #[serde(default, deserialize_with = "or_default")]
    pub entity_mappings: Vec<EntityMapping>,
    /// Columns with complete entities.
    #[serde(default, deserialize_with = "or_default")]
    pub sentinel_entities_mappings: Vec<SentinelEntitiesMapping>,
    #[serde(default, deserialize_with = "or_default")]
    pub custom_details: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub alert_details_override: AlertDetailsOverride,
    #[serde(default, deserialize_with = "or_default")]
    pub incident_configuration: IncidentConfiguration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_rule_template_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventGrouping {
    #[serde(default)]
    pub aggregation_kind: Aggregation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregation {
    /// One alert for all rows.
    #[default]
    #[serde(alias = "singleAlert")]
    SingleAlert,
    /// One alert per row.
    #[serde(alias = "alertPerResult")]
    AlertPerResult,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntityMapping {
    pub entity_type: EntityKind,
    pub field_mappings: Vec<FieldMapping>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldMapping {
    pub identifier: String,
    pub column_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SentinelEntitiesMapping {
    pub column_name: String,
}

/// Alert properties taken from rows instead of the rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertDetailsOverride {
    /// Text with at most three `{{Column}}` placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "alertnameFormat")]
    pub alert_display_name_format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_description_format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_severity_column_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_tactics_column_name: Option<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub alert_dynamic_properties: Vec<DynamicProperty>,
}

/// An alert property set by a column: `AlertLink`, `ConfidenceScore`, `ProductName`, …
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DynamicProperty {
    pub alert_property: String,
    pub value: String,
}

/// Why a rule is invalid. Each variant names the field.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("`{field}`: {problem}")]
    Field { field: String, problem: String },
    #[error("a rule of kind `{0}` cannot run here: `Scheduled` and `NRT` can")]
    Kind(String),
    #[error("{file}, line {line}, field `{field}`: {problem}")]
    Yaml { file: String, line: usize, field: String, problem: String },
    #[error("{file}, field `{field}`: {problem}")]
    File { file: String, field: String, problem: String },
}

fn wrong(field: &str, problem: impl Into<String>) -> RuleError {
    RuleError::Field { field: field.to_owned(), problem: problem.into() }
}

impl AnalyticsRule {
    /// Parses and validates the API's JSON. `kind` is `Scheduled` or `NRT`, case-insensitive.
    pub fn from_properties(id: &str, kind: &str, properties: &Map<String, Value>) -> Result<Self, RuleError> {
        let properties: Properties = serde_path_to_error::deserialize(Value::Object(properties.clone()))
            .map_err(|error| wrong(&error.path().to_string(), error.inner().to_string()))?;
        Self::new(id, kind, properties)
    }

    /// Validates what needs no schema; the query is bound elsewhere.
    pub fn new(id: &str, kind: &str, properties: Properties) -> Result<Self, RuleError> {
        let kind = match kind.to_ascii_lowercase().as_str() {
            "scheduled" => scheduled(&properties)?,
            "nrt" => Kind::NearRealTime,
            _ => return Err(RuleError::Kind(kind.to_owned())),
        };
        if properties.display_name.trim().is_empty() {
            return Err(wrong("displayName", "is empty"));
        }
        if properties.query.trim().is_empty() {
            return Err(wrong("query", "is empty"));
        }
        if properties.entity_mappings.len() > MAX_ENTITY_MAPPINGS {
            return Err(wrong(
                "entityMappings",
                format!("has {} mappings; at most {MAX_ENTITY_MAPPINGS}", properties.entity_mappings.len()),
            ));
        }
        if properties.custom_details.len() > MAX_CUSTOM_DETAILS {
            return Err(wrong("customDetails", format!("has {} details; at most {MAX_CUSTOM_DETAILS}", properties.custom_details.len())));
        }
        for (index, mapping) in properties.entity_mappings.iter().enumerate() {
            for field in &mapping.field_mappings {
                if mapping.entity_type.identifier(&field.identifier).is_none() {
                    let known: Vec<&str> = mapping.entity_type.info().identifiers.iter().map(|identifier| identifier.name).collect();
                    let problem =
                        format!("`{}` is no identifier of {}; known are {}", field.identifier, mapping.entity_type, known.join(", "));
                    return Err(wrong(&format!("entityMappings[{index}].fieldMappings"), problem));
                }
            }
        }
        Ok(Self { id: id.to_owned(), kind, properties })
    }

    /// Suppression time after an alert; `None` if disabled.
    pub fn suppression(&self) -> Option<Span> {
        self.properties.suppression_duration.filter(|_| self.properties.suppression_enabled)
    }

    /// `Scheduled` or `NRT`, as in the API.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Scheduled { .. } => "Scheduled",
            Kind::NearRealTime => "NRT",
        }
    }
}

fn scheduled(properties: &Properties) -> Result<Kind, RuleError> {
    let frequency = properties.query_frequency.ok_or_else(|| wrong("queryFrequency", "is missing"))?;
    let period = properties.query_period.ok_or_else(|| wrong("queryPeriod", "is missing"))?;
    for (field, span) in [("queryFrequency", frequency), ("queryPeriod", period)] {
        if span < SHORTEST_FREQUENCY || span > LONGEST_PERIOD {
            return Err(wrong(field, format!("is {}; allowed is PT5M to P14D", span.to_iso())));
        }
    }
    if period < frequency {
        let problem = format!(
            "is {}, shorter than queryFrequency ({}): rows between two runs would be seen by none",
            period.to_iso(),
            frequency.to_iso()
        );
        return Err(wrong("queryPeriod", problem));
    }
    let trigger = Trigger {
        operator: properties.trigger_operator.unwrap_or(TriggerOperator::GreaterThan),
        threshold: properties.trigger_threshold.unwrap_or(0),
    };
    Ok(Kind::Scheduled { frequency, period, trigger })
}

fn yes() -> bool {
    true
}

/// Null means the default: both the portal and community rules contain nulls.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Parses `PT1H`, `1h`, `1h10m` and Kusto's `hh:mm:ss` form.
pub fn parse_duration(text: &str) -> Option<Span> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let mut total = 0i64;
        let mut rest = text;
        while !rest.is_empty() {
            let unit = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let end = rest[unit..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |at| unit + at);
            total = total.checked_add(Span::parse_literal(&rest[..end])?.ticks())?;
            rest = &rest[end..];
        }
        (total > 0).then_some(Span(total))
    })
}

mod duration {
    use model::Span;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Option<Span>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => serializer.serialize_str(&span.to_iso()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        match super::parse_duration(&text) {
            Some(span) => Ok(Some(span)),
            None => Err(serde::de::Error::custom(format!("`{text}` is no duration; write for example `PT1H` or `1h`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, properties: Value) -> Result<AnalyticsRule, RuleError> {
        AnalyticsRule::from_properties("r", kind, properties.as_object().unwrap())
    }

    fn minimal() -> Value {
        json!({"displayName": "x", "query": "T", "severity": "High", "queryFrequency": "PT5M", "queryPeriod": "PT10M",
               "triggerOperator": "GreaterThan", "triggerThreshold": 0})
    }

    #[test]
    fn errors_name_the_field_and_what_is_allowed() {
        let with = |field: &str, value: Value| {
            let mut properties = minimal();
            properties[field] = value;
            read("Scheduled", properties).unwrap_err().to_string()
        };
        assert_eq!(with("queryFrequency", json!("PT1M")), "`queryFrequency`: is PT1M; allowed is PT5M to P14D");
        assert!(with("queryPeriod", json!("PT5S")).contains("allowed is"));
        assert!(with("queryFrequency", json!("PT20M")).contains("seen by none"));
        assert!(with("severity", json!("Awful")).contains("severity"));
        assert!(
            with("entityMappings", json!([{"entityType": "IP", "fieldMappings": [{"identifier": "Adress", "columnName": "c"}]}]))
                .contains("known are Address")
        );
        assert_eq!(
            read("Fusion", minimal()).unwrap_err().to_string(),
            "a rule of kind `Fusion` cannot run here: `Scheduled` and `NRT` can"
        );
    }

    #[test]
    fn nulls_are_defaults_and_an_nrt_rule_needs_no_schedule() {
        let rule =
            read("NRT", json!({"displayName": "x", "query": "T", "tactics": null, "entityMappings": null, "customDetails": null})).unwrap();
        assert_eq!(rule.kind, Kind::NearRealTime);
        assert!(rule.properties.incident_configuration.create_incident);
    }

    #[test]
    fn durations_are_read_in_every_dialect_in_use() {
        assert_eq!(parse_duration("1h10m"), Some(Span(70 * model::TICKS_PER_MINUTE)));
        assert_eq!(parse_duration("P1D"), parse_duration("1d"));
        assert_eq!(parse_duration("soon"), None);
    }

    #[test]
    fn triggers_compare_rows_with_the_threshold() {
        let fires = |operator, rows| Trigger { operator, threshold: 3 }.fires(rows);
        assert!(fires(TriggerOperator::GreaterThan, 4) && !fires(TriggerOperator::GreaterThan, 3));
        assert!(fires(TriggerOperator::LessThan, 2) && fires(TriggerOperator::Equal, 3) && fires(TriggerOperator::NotEqual, 0));
    }
}
