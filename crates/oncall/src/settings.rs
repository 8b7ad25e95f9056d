//! The section `oncall` of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is reached, how, and under which address they answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnCallConfig {
    /// The address under which people reach this service, for the links in messages. Default: that of `listen`. Example: `https://soc.example.org`.
    pub public_url: Option<String>,
    /// Documents with users, schedules and policies, applied at start. Example: `[oncall/]`.
    pub apply: Vec<PathBuf>,
    /// The channels that may be used and their settings, by name. Example: `ntfy: { server: "https://ntfy.example.org" }`.
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    pub channels: BTreeMap<String, serde_json::Value>,
    /// Addresses that are secrets, by the names under which contacts say them: `slack: secret:soc-room`. Example: `{ soc-room: "env:SLACK_SOC" }`.
    pub secrets: BTreeMap<String, SecretRef>,
    /// References that contacts of documents sent to the API may hold: variables and what lies below a folder, never commands. What the
    /// documents of `apply` refer to is allowed without it. Example: `["env:ONCALL_*", "file:/etc/bartizan/contacts"]`.
    pub references: Vec<String>,
    /// Takes answers by mail. Default: none are taken. Example: `{ domains: [soc.example.org] }`.
    pub mail_in: Option<crate::inbound::receiver::Settings>,
    /// What becomes of a page that may have been sent and may not, where the provider honours no key. Default: `send_again`.
    pub on_doubt: OnDoubt,
}

/// What is worse: being woken twice, or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// It is sent again; the page shows that it may have come twice.
    #[default]
    SendAgain,
    /// It is left alone and counts as not delivered: whatever comes next for that person comes at once.
    Hold,
}
