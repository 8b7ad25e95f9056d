//! Incidents: what people work on. Fields are those of the REST API and of the `SecurityIncident` table.

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

            /// Reads the name in any case.
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
    /// The reasons that may stand beside it. `Undetermined` has none.
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

/// An incident and everything that is shown with it, except its alerts, comments and tasks themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: Uuid,
    /// Counts from 1 within the workspace; never used twice.
    pub number: i64,
    /// Another one after every change, comments included. Without quotation marks.
    pub etag: Uuid,
    pub title: String,
    #[serde(default)]
    pub description: String,
    pub severity: Severity,
    /// A person chose the severity: alerts that join no longer raise it.
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
    /// When a person first changed it.
    #[serde(default)]
    pub first_modified: Option<Timestamp>,
    #[serde(default)]
    pub closed: Option<Timestamp>,
    pub modified_by: Actor,
    pub provider_name: String,
    pub provider_incident_id: String,
    /// Resource names of the rules whose alerts it holds.
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
    /// What further alerts must share to join; see the grouping rules. None: nothing joins.
    #[serde(default)]
    pub group: Option<String>,
}

/// A remark on an incident.
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

/// Something to do for an incident.
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
    /// The full resource id of what is related.
    pub related_resource_id: String,
}
