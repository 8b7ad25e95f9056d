//! Incidents. Fields are those of the REST API and of the `SecurityIncident` table.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Actor, Severity, Timestamp};

/// Where the work on an incident stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IncidentStatus {
    /// Open, nobody works on it.
    #[default]
    New,
    /// Open, somebody works on it.
    Active,
    Closed,
}

/// What a closed incident turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Classification {
    Undetermined,
    TruePositive,
    BenignPositive,
    FalsePositive,
}

/// Why it was classified so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ClassificationReason {
    SuspiciousActivity,
    SuspiciousButExpected,
    IncorrectAlertLogic,
    InaccurateData,
}

macro_rules! named {
    ($type:ident: $($variant:ident),*) => {
        impl $type {
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $($type::$variant => stringify!($variant)),* }
            }

            /// Parses the name case-insensitively.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name().eq_ignore_ascii_case(name))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named!(IncidentStatus: New, Active, Closed);
named!(Classification: Undetermined, TruePositive, BenignPositive, FalsePositive);
named!(ClassificationReason: SuspiciousActivity, SuspiciousButExpected, IncorrectAlertLogic, InaccurateData);

impl Classification {
    /// Valid reasons for the classification. `Undetermined` has none.
    pub fn reasons(self) -> &'static [ClassificationReason] {
        match self {
            Classification::Undetermined => &[],
            Classification::TruePositive => &[ClassificationReason::SuspiciousActivity],
            Classification::BenignPositive => &[ClassificationReason::SuspiciousButExpected],
            Classification::FalsePositive => &[ClassificationReason::IncorrectAlertLogic, ClassificationReason::InaccurateData],
        }
    }
}

/// Who works on it. All empty: nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    pub object_id: Option<String>,
    pub email: Option<String>,
    pub user_principal_name: Option<String>,
    /// The name that people see.
    pub assigned_to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    pub label_name: String,
    /// `User` or `AutoAssigned`.
    #[serde(default = "user_label")]
    pub label_type: String,
}

fn user_label() -> String {
    "User".to_owned()
}

/// An incident, without its alerts, comments and tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: Uuid,
    /// Sequential within the workspace from 1; never reused.
    pub number: i64,
    /// Changes with every update, comments included. Without quotation marks.
    pub etag: Uuid,
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub severity: Severity,
    /// A user set the severity: alerts that join no longer raise it.
    #[serde(default)]
    pub severity_chosen: bool,
    pub status: IncidentStatus,
    #[serde(default)]
    pub classification: Option<Classification>,
    #[serde(default)]
    pub classification_reason: Option<ClassificationReason>,
    #[serde(default)]
    pub classification_comment: Option<String>,
    #[serde(default)]
    pub owner: Owner,
    #[serde(default)]
    pub labels: Vec<Label>,
    #[serde(default)]
    pub first_activity: Option<Timestamp>,
    #[serde(default)]
    pub last_activity: Option<Timestamp>,
    pub created: Timestamp,
    pub modified: Timestamp,
    /// When a user first changed it.
    #[serde(default)]
    pub first_modified: Option<Timestamp>,
    #[serde(default)]
    pub closed: Option<Timestamp>,
    pub modified_by: Actor,
    pub provider_name: String,
    pub provider_incident_id: String,
    /// Resource names of the rules of its alerts.
    #[serde(default)]
    pub rule_ids: Vec<String>,
    /// Oldest first.
    #[serde(default)]
    pub alert_ids: Vec<Uuid>,
    #[serde(default)]
    pub alert_products: Vec<String>,
    #[serde(default)]
    pub tactics: Vec<String>,
    #[serde(default)]
    pub techniques: Vec<String>,
    #[serde(default)]
    pub comments_count: u32,
    #[serde(default)]
    pub tasks_count: u32,
    /// Key that further alerts must have to join; see the grouping rules. `None`: no alert joins.
    #[serde(default)]
    pub group: Option<String>,
}

/// A comment on an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub id: String,
    pub incident: Uuid,
    pub etag: Uuid,
    pub message: String,
    pub author: Actor,
    pub created: Timestamp,
    pub modified: Timestamp,
}

/// A task of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentTask {
    pub id: String,
    pub incident: Uuid,
    pub etag: Uuid,
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub completed: bool,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub created_by: Actor,
    pub modified_by: Actor,
}

/// A link from an incident to another resource, such as a bookmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    pub id: String,
    pub incident: Uuid,
    pub etag: Uuid,
    /// The full resource id of the related resource.
    pub related_resource_id: String,
}
