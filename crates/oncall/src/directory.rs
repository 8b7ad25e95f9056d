//! The applied configuration: users, schedules, policies. Each kind is a file here; a document (YAML) contains any of them by name.

mod alert_policy;
mod escalation_policy;
mod heartbeat;
mod maintenance;
mod overrides;
mod schedule;
mod user;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use alert_policy::*;
pub use escalation_policy::*;
pub use heartbeat::*;
pub use maintenance::*;
pub use overrides::*;
pub use schedule::*;
pub use user::*;

/// Everything that on call knows about people and plans, by name. This is also the shape of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, User>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<String, Schedule>,
    /// Who stands in for whom, and when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Override>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub escalation_policies: BTreeMap<String, EscalationPolicy>,
    /// Asked in the order of their `order`, then of their names; the first that matches decides.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alert_policies: BTreeMap<String, AlertPolicy>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub maintenance_windows: BTreeMap<String, MaintenanceWindow>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub heartbeats: BTreeMap<String, Heartbeat>,
}

impl Directory {
    /// Merges `other`; objects with the same name are replaced.
    pub fn extend(&mut self, other: Directory) {
        self.users.extend(other.users);
        self.schedules.extend(other.schedules);
        self.overrides.extend(other.overrides);
        self.escalation_policies.extend(other.escalation_policies);
        self.alert_policies.extend(other.alert_policies);
        self.maintenance_windows.extend(other.maintenance_windows);
        self.heartbeats.extend(other.heartbeats);
    }
}
