//! Alerts: findings of analytics rules, passed from detection to incidents, tables and APIs.
//!
//! Fields are those of the `SecurityAlert` table and of the REST API's SecurityAlert entity.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Entity, EntityKind, Span, Timestamp};

/// How bad it is. Ordered: `Informational` is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    Informational,
    Low,
    #[default]
    Medium,
    High,
}

impl Severity {
    pub const ALL: [Severity; 4] = [Severity::Informational, Severity::Low, Severity::Medium, Severity::High];

    pub fn name(self) -> &'static str {
        match self {
            Severity::Informational => "Informational",
            Severity::Low => "Low",
            Severity::Medium => "Medium",
            Severity::High => "High",
        }
    }

    /// Parses the name case-insensitively.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An alert. Its id is derived from rule, window and rows, so that writing is idempotent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: Uuid,
    /// The analytics rule's resource name, usually a GUID.
    pub rule_id: String,
    /// The rule's name.
    pub alert_name: String,
    /// Display name: the rule's name, or the result of its `alertDisplayNameFormat`.
    pub display_name: String,
    #[serde(default)]
    pub description: String,
    pub severity: Severity,
    #[serde(default)]
    pub tactics: Vec<String>,
    #[serde(default)]
    pub techniques: Vec<String>,
    #[serde(default)]
    pub sub_techniques: Vec<String>,
    /// First and last activity: from the rows' `TimeGenerated`, or else the window.
    pub start: Timestamp,
    pub end: Timestamp,
    /// When the rule ran.
    pub generated: Timestamp,
    /// In the order of the rule's mappings, without duplicates.
    #[serde(default)]
    pub entities: Vec<Entity>,
    /// Values of the rule's `customDetails`, by name.
    #[serde(default)]
    pub custom_details: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub extended_properties: BTreeMap<String, String>,
    #[serde(default = "ours")]
    pub product_name: String,
    #[serde(default)]
    pub product_component_name: String,
    #[serde(default = "scheduled")]
    pub provider_name: String,
    #[serde(default = "microsoft")]
    pub vendor_name: String,
    #[serde(default)]
    pub alert_link: String,
    #[serde(default)]
    pub remediation_steps: String,
    #[serde(default)]
    pub confidence_level: String,
    #[serde(default)]
    pub confidence_score: Option<f64>,
    #[serde(default)]
    pub extended_links: String,
    /// The query and its time range.
    pub query: String,
    pub query_start: Timestamp,
    pub query_end: Timestamp,
    /// Number of result rows for this alert.
    pub result_rows: u64,
    /// The first of those rows, so that the alert can be understood after its events have expired.
    #[serde(default)]
    pub results: Vec<Map<String, Value>>,
    /// The rule's incident settings at the time of the run.
    #[serde(default)]
    pub incident: IncidentConfiguration,
}

fn ours() -> String {
    "Azure Sentinel".to_owned()
}

fn scheduled() -> String {
    "ASI Scheduled Alerts".to_owned()
}

fn microsoft() -> String {
    "Microsoft".to_owned()
}

/// A rule's `incidentConfiguration`: whether its alerts create incidents, and how they are grouped. JSON as in the REST API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentConfiguration {
    #[serde(default = "yes")]
    pub create_incident: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping_configuration: Option<GroupingConfiguration>,
}

impl Default for IncidentConfiguration {
    fn default() -> Self {
        Self { create_incident: true, grouping_configuration: None }
    }
}

fn yes() -> bool {
    true
}

/// How alerts of one rule are grouped into incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupingConfiguration {
    #[serde(default)]
    pub enabled: bool,
    #[serde(default)]
    pub reopen_closed_incident: bool,
    /// Alerts further than this from the first alert of the incident open a new one. Five minutes to seven days.
    #[serde(default = "five_hours", with = "iso_span")]
    pub lookback_duration: Span,
    #[serde(default)]
    pub matching_method: MatchingMethod,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub group_by_entities: Vec<EntityKind>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub group_by_alert_details: Vec<AlertDetail>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub group_by_custom_details: Vec<String>,
}

/// What alerts must have in common to be grouped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchingMethod {
    /// All their entities.
    #[default]
    AllEntities,
    /// Nothing: all alerts of the rule are grouped.
    AnyAlert,
    /// The given entities, alert details and custom details.
    Selected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertDetail {
    DisplayName,
    Severity,
}

fn five_hours() -> Span {
    Span(5 * Span::HOUR.ticks())
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// `PT5H`, and Kusto's `5h` and `7d`, which community content uses here as well.
mod iso_span {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Span;

    pub fn serialize<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&span.to_iso())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        Span::parse_iso(&text)
            .or_else(|| Span::parse_literal(&text))
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no duration; write for example `PT5H`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grouping_reads_what_the_service_and_the_community_write() {
        // The service sends null lists; a community rule contains `7d`.
        let text = r#"{"createIncident":true,"groupingConfiguration":{"enabled":true,"reopenClosedIncident":true,"lookbackDuration":"7d",
            "matchingMethod":"Selected","groupByEntities":["IP","Account"],"groupByAlertDetails":["DisplayName"],"groupByCustomDetails":null}}"#;
        let read: IncidentConfiguration = serde_json::from_str(text).unwrap();
        let grouping = read.grouping_configuration.unwrap();
        assert_eq!(grouping.lookback_duration, Span(7 * Span::DAY.ticks()));
        assert_eq!(grouping.group_by_entities, [EntityKind::Ip, EntityKind::Account]);
        assert!(grouping.group_by_custom_details.is_empty());
        assert_eq!(serde_json::to_value(&grouping).unwrap()["lookbackDuration"], "P7D");
    }

    #[test]
    fn severities_are_ordered() {
        assert!(Severity::High > Severity::Medium && Severity::Low > Severity::Informational);
        assert_eq!(Severity::parse(" hIGH"), Some(Severity::High));
    }
}
