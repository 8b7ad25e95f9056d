//! Things that must be heard of regularly: silence pages.

use model::{Severity, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that falls silent only when it is broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// How long it may be silent. At least 1 minute.
    pub every: Span,
    /// A query whose answer (one row, one `datetime`) is when it was last heard of. Left out: it calls the heartbeat's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Of the incident that silence opens. Default: Medium.
    #[serde(default)]
    pub severity: Severity,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}
