//! Maintenance windows, in which matching incidents do not page.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, Directory};
use crate::when::PlanTime;

/// A planned time of silence. Escalations that it held back begin when it ends, if their incidents are still open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// In `time_zone`, or with an offset. Example: `2026-12-24T22:00`.
    pub from: PlanTime,
    pub to: PlanTime,
    /// IANA name of the zone of times without an offset. Default: that of the schedules, where all have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Which incidents; all conditions must hold. None: all incidents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl MaintenanceWindow {
    /// The zone of times without an offset: its own, the one shared by all schedules, or UTC without schedules. `None` if unknown, or if
    /// the schedules have different zones.
    pub fn zone(&self, directory: &Directory) -> Option<TimeZone> {
        if let Some(name) = &self.time_zone {
            return model::time_zone(name);
        }
        let mut zones = directory.schedules.values().map(|schedule| schedule.time_zone.as_str());
        match zones.next() {
            None => Some(TimeZone::UTC),
            Some(first) => zones.all(|other| other == first).then(|| model::time_zone(first)).flatten(),
        }
    }
}
