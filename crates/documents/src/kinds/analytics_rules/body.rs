//! The body of an analytics rule: Microsoft's YAML, written without defaults.

use std::collections::BTreeMap;

use detection::AnalyticsRule as Rule;
use model::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::refusal::Refusal;

/// The API's names of trigger operators, and those of the YAML files.
const OPERATORS: [(&str, &str); 4] = [("GreaterThan", "gt"), ("LessThan", "lt"), ("Equal", "eq"), ("NotEqual", "ne")];

/// A rule that searches tables and raises alerts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnalyticsRule {
    /// What incidents are called.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Scheduled` or `NRT`. Default: `Scheduled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `High`, `Medium`, `Low` or `Informational`.
    pub severity: String,
    /// How often it runs, 5 minutes to 14 days. Example: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_frequency: Option<String>,
    /// How far it looks back, at least `queryFrequency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_period: Option<String>,
    /// `gt`, `lt`, `eq` or `ne`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_operator: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_threshold: Option<u64>,
    /// As Sentinel spells them. Example: `CredentialAccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tactics: Option<Vec<String>>,
    /// Example: `T1110.003`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevant_techniques: Option<Vec<String>>,
    /// KQL.
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_mappings: Option<Vec<EntityMapping>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_entities_mappings: Option<Vec<EntityColumn>>,
    /// Columns whose values alerts carry, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_details: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_details_override: Option<AlertDetailsOverride>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_grouping_settings: Option<EventGrouping>,
    /// Whether alerts become incidents, and which are grouped. Azure's `incidentConfiguration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_configuration: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppression_enabled: Option<bool>,
    /// Default: `5h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppression_duration: Option<String>,
    /// The template that the rule was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_rule_template_name: Option<String>,
    /// Version of the rule's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of files of Microsoft's content repository; the rule's name in the document counts.
    #[serde(default, skip_serializing)]
    pub id: Option<String>,
    /// Read and not stored, as the next three.
    #[serde(default, skip_serializing)]
    pub required_data_connectors: Option<Value>,
    #[serde(default, skip_serializing)]
    pub status: Option<String>,
    #[serde(default, skip_serializing)]
    pub tags: Option<Value>,
    #[serde(default, skip_serializing)]
    pub metadata: Option<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntityMapping {
    /// Example: `Account`.
    pub entity_type: String,
    pub field_mappings: Vec<FieldMapping>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldMapping {
    /// Example: `FullName`.
    pub identifier: String,
    pub column_name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntityColumn {
    pub column_name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventGrouping {
    /// `SingleAlert` or `AlertPerResult`.
    pub aggregation_kind: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertDetailsOverride {
    /// Example: `Sign-in of {{Account}}`.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "alertnameFormat")]
    pub alert_display_name_format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_description_format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_severity_column_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_tactics_column_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_dynamic_properties: Option<Vec<DynamicProperty>>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamicProperty {
    pub alert_property: String,
    pub value: String,
}

/// A rule as a body, without defaults.
pub(super) fn of(rule: &Rule) -> Value {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(&rule.properties) else { return Value::Null };
    let techniques = techniques(&rule.properties.techniques, &rule.properties.sub_techniques);
    fields.retain(|_, value| !is_empty(value));
    for (api, yaml) in [("displayName", "name"), ("templateVersion", "version")] {
        if let Some(value) = fields.remove(api) {
            fields.insert(yaml.to_owned(), value);
        }
    }
    fields.remove("techniques");
    fields.remove("subTechniques");
    if !techniques.is_empty() {
        fields.insert("relevantTechniques".to_owned(), json!(techniques));
    }
    if let Some(operator) = fields.get_mut("triggerOperator") {
        if let Some((_, yaml)) = OPERATORS.iter().find(|(api, _)| operator.as_str() == Some(*api)) {
            *operator = json!(yaml);
        }
    }
    if rule.kind_name() != "Scheduled" {
        fields.insert("kind".to_owned(), json!(rule.kind_name()));
    }
    let defaults = json!({
        "enabled": true, "suppressionEnabled": false, "suppressionDuration": Span(5 * model::TICKS_PER_HOUR).to_iso(),
        "eventGroupingSettings": { "aggregationKind": "SingleAlert" },
        "incidentConfiguration": model::IncidentConfiguration::default(),
    });
    fields.retain(|name, value| defaults.get(name).is_none_or(|default| *default != *value));
    let value = Value::Object(fields);
    // In the order of the type, and without what it does not have.
    serde_json::from_value::<AnalyticsRule>(value.clone()).map_or(value, |body| json!(body))
}

/// `Scheduled` or `NRT`.
pub(super) fn kind(body: &Value) -> &str {
    body["kind"].as_str().unwrap_or("Scheduled")
}

/// Microsoft's files list `T1110.003` without its parent, which the API has besides it.
fn techniques(parents: &[String], subs: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for parent in parents {
        let of_parent = subs.iter().filter(|sub| sub.strip_prefix(parent.as_str()).is_some_and(|rest| rest.starts_with('.')));
        let before = all.len();
        all.extend(of_parent.cloned());
        if all.len() == before {
            all.push(parent.clone());
        }
    }
    all
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The API's check, with the names of fields that documents have.
pub(super) fn renamed(mut refusal: Refusal) -> Refusal {
    let rename = |target: &mut Option<String>| {
        if let Some(target) = target {
            *target = target.replace("properties.displayName", "properties.name");
            *target = target.replace("properties.techniques", "properties.relevantTechniques");
        }
    };
    rename(&mut refusal.target);
    refusal.details.iter_mut().for_each(|detail| rename(&mut detail.target));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_was_read() {
        let written = json!({
            "name": "Many tries", "severity": "High", "queryFrequency": "1h", "queryPeriod": "PT1H", "triggerOperator": "gt",
            "triggerThreshold": 3, "query": "T | take 1", "tactics": ["CredentialAccess"], "relevantTechniques": ["T1110.003", "T1078"],
            "enabled": true, "suppressionDuration": "5h", "status": "Available", "id": "other",
            "entityMappings": [{ "entityType": "Account", "fieldMappings": [{ "identifier": "FullName", "columnName": "User" }] }],
        });
        let rule = super::super::parse("r", &written).unwrap();
        let body = of(&rule);
        let mut expected = written.clone();
        for dropped in ["enabled", "suppressionDuration", "status", "id"] {
            expected.as_object_mut().unwrap().remove(dropped);
        }
        expected["queryFrequency"] = json!("PT1H");
        assert_eq!(body, expected);
        assert_eq!(rule.properties.techniques, ["T1110", "T1078"]);
        // Reading what is written changes nothing.
        assert_eq!(of(&super::super::parse("r", &body).unwrap()), body);
    }

    #[test]
    fn near_real_time_rules_say_so() {
        let rule = super::super::parse("r", &json!({ "name": "x", "severity": "Low", "kind": "NRT", "query": "T" })).unwrap();
        assert_eq!(kind(&of(&rule)), "NRT");
    }
}
