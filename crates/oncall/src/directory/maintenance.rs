//! Times in which incidents are expected and nobody is reached for them.

use model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;

/// A planned time of silence. Escalations that it held back begin when it ends, if their incidents are still open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// Which incidents; all conditions must hold. None: all incidents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
