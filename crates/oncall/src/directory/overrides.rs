//! Overrides of schedules. A swap is two overrides; a requested override has no effect until it is taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::when::PlanTime;

/// A change to a schedule for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub schedule: String,
    /// In the schedule's zone, or with an offset. Example: `2026-12-24T08:00`.
    pub from: PlanTime,
    pub to: PlanTime,
    /// Who is taken off. Alone: removed. With `add`: replaced, where they would be on call. Left out with `add`: one more person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
    /// Who is put on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// Asked for, and waiting for somebody to take it; changes nothing until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
