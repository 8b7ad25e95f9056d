//! Heartbeats: monitored systems that must report regularly; a missed one causes a page.

use model::{Severity, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::user::is_zero;

/// Something that falls silent only when it is broken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// How often it is heard. At least 1 minute.
    pub every: Span,
    /// How much longer than `every` it may be silent: what runs once a day does not take equally long each day. Default: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub grace: Span,
    /// A query whose answer (one row, one `datetime`) is when it was last heard of. Left out: it calls the heartbeat's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Of the incident that silence opens. Default: Medium.
    #[serde(default)]
    pub severity: Severity,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Heartbeat {
    /// The longest silence that is tolerated.
    pub fn patience(&self) -> Span {
        Span(self.every.ticks().saturating_add(self.grace.ticks().max(0)))
    }
}
