//! Escalation policies: whom to notify in which order, and how long to wait for an answer.

use std::fmt;
use std::str::FromStr;

use model::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::user::is_zero;

/// Steps, taken one after the other until somebody answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EscalationPolicy {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub steps: Vec<Step>,
    /// How often all steps are taken again when nobody answered. At most 9.
    #[serde(skip_serializing_if = "is_none")]
    pub repeat: u32,
    /// How long after its last step a round ends: all steps are taken again, or the fallback is reached.
    /// Default: as long as the longest wait of the steps, or 5 minutes where none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_ends_after: Option<Span>,
    /// Reached at once when the last round ended without an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Target>,
    /// An acknowledged incident that is not closed for so long is escalated again. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledgement_expires: Option<Span>,
}

impl EscalationPolicy {
    /// How long after its last step a round ends.
    pub fn round_wait(&self) -> Span {
        let longest = self.steps.iter().map(|step| step.after).max().unwrap_or(Span::ZERO);
        self.round_ends_after.unwrap_or(if longest > Span::ZERO { longest } else { Span(5 * Span::MINUTE.ticks()) })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How long after the step before (the first: after the incident opened).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: Span,
    /// All of them are reached. Example: `[schedule:weekdays, user:ann]`.
    pub targets: Vec<Target>,
}

/// A target, written `user:ann`, `schedule:weekdays` or `contact:ann/mobile`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    User(String),
    /// Everyone who is on call on the schedule when the step is taken.
    Schedule(String),
    /// One contact of a user, regardless of their rules. A chat room is a contact of a user that represents a team.
    Contact {
        user: String,
        contact: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::User(name) => write!(f, "user:{name}"),
            Target::Schedule(name) => write!(f, "schedule:{name}"),
            Target::Contact { user, contact } => write!(f, "contact:{user}/{contact}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| name.to_owned();
        match text.split_once(':') {
            Some(("user", user)) if !user.is_empty() => Ok(Target::User(name(user))),
            Some(("schedule", schedule)) if !schedule.is_empty() => Ok(Target::Schedule(name(schedule))),
            Some(("contact", path)) => match path.split_once('/') {
                Some((user, contact)) if !user.is_empty() && !contact.is_empty() => {
                    Ok(Target::Contact { user: name(user), contact: name(contact) })
                }
                _ => Err(format!("`{text}` names no contact; write `contact:ann/mobile`")),
            },
            _ => Err(format!("`{text}` is no target; write `user:ann`, `schedule:weekdays` or `contact:ann/mobile`")),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["user:ann", "schedule:weekdays", "contact:ann/mobile"] })
    }
}

fn is_none(repeat: &u32) -> bool {
    *repeat == 0
}
