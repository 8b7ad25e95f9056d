//! Alert policies: which incidents page whom.

use model::{Severity, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to incidents that meet its conditions. The first policy that matches decides; none: nobody is paged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertPolicy {
    /// Lower numbers are asked first.
    pub order: i64,
    /// All must hold. None: every incident.
    pub when: Vec<Condition>,
    /// The escalation policy to follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_policy: Option<String>,
    /// Give the incident this severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Reach nobody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mute: bool,
    /// Incidents whose values of these fields are equal and that open within `group_for` of the first are one page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_for: Option<Span>,
}

/// A field of the incident, of one of its alerts, or of their entities and custom details, and what it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// `severity`, `title`, `tactics`, `alert.ProductName`, `entity.Account.Name`, `custom.EventType` …
    pub field: String,
    pub op: Operator,
    /// A text or a number, or several of which one must fit.
    #[serde(default)]
    pub value: serde_json::Value,
}

/// Texts compare without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    Equals,
    NotEquals,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
    /// A regular expression anywhere in the text.
    Matches,
    /// Numbers and severities.
    AtLeast,
    AtMost,
    /// In one of these networks, in prefix notation.
    InNetwork,
    Exists,
}
