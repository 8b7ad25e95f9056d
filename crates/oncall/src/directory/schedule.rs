//! Schedules: layers of rotations, later layers on top, and temporary schedules on top of all of them.
//!
//! Times without an offset are wall-clock times in the schedule's zone; for DST changes see [`crate::schedule`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::when::{PlanTime, time_of_day};

/// A plan of who is on call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// IANA name. Example: `Europe/Oslo`.
    pub time_zone: String,
    /// Where a later layer has somebody on call, it hides the earlier ones.
    pub layers: Vec<Layer>,
    /// Fixed plans for a while (a holiday week): within `from`–`to` only their shifts count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub temporary: Vec<TemporarySchedule>,
}

/// A rotation, and the hours in which it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub rotation: Rotation,
    /// Weekly hours in which the layer counts. Default: always. The rotation goes on meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
}

/// People who take turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    pub every: Every,
    /// How many hours, days, weeks or months a turn takes. Default: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub length: u32,
    /// When the first of `users` begins; before it nobody is on call. In the schedule's zone, or with an offset; the hand-overs that follow are at
    /// the time that the schedule's clocks show then. Example: `2026-01-05T08:00`.
    pub start: PlanTime,
    /// When the rotation ends. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub end: Option<PlanTime>,
    /// In turn. An entry may be several people who are on call together.
    pub users: Vec<Turn>,
}

/// What a rotation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// Elapsed hours, whatever the clocks do.
    Hour,
    /// Calendar days at the time of `start`.
    Day,
    Week,
    /// Calendar months on the day of `start`; in shorter months on their last day, and back on the day itself after it.
    Month,
}

/// One entry of a rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Turn {
    One(String),
    Together(Vec<String>),
}

impl Turn {
    pub fn users(&self) -> &[String] {
        match self {
            Turn::One(user) => std::slice::from_ref(user),
            Turn::Together(users) => users,
        }
    }
}

/// Hours of the week. `to` at or before `from` means the next day; equal means a whole day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// On which days they begin. Default: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    /// In the schedule's zone. Example: `08:00`.
    #[serde(deserialize_with = "time_of_day")]
    #[schemars(with = "String")]
    pub from: jiff::civil::Time,
    #[serde(deserialize_with = "time_of_day")]
    #[schemars(with = "String")]
    pub to: jiff::civil::Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A fixed plan for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemporarySchedule {
    /// In the schedule's zone, or with an offset.
    pub from: PlanTime,
    pub to: PlanTime,
    pub shifts: Vec<FixedShift>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedShift {
    pub user: String,
    /// In the schedule's zone, or with an offset.
    pub from: PlanTime,
    pub to: PlanTime,
}

fn one() -> u32 {
    1
}

fn is_one(length: &u32) -> bool {
    *length == 1
}
