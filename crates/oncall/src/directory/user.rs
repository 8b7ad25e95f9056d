//! Users and their contacts.

use std::collections::BTreeMap;

use model::{Severity, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who can be on call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct User {
    /// The name that people see. Example: `Ann Berg`.
    pub name: String,
    /// Written into an incident as its owner's address. Example: `ann@example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The user principal name by which Sentinel knows them; the e-mail address where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<String>,
    /// The object id by which Sentinel knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// In which times are shown to them. Default: UTC. Example: `Europe/Oslo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Ways to reach them, by a name of their own choice. Example: `mobile: { sms: "+4790000001" }`.
    pub contacts: BTreeMap<String, Contact>,
    /// What to try, and when, counted from the moment a step reaches them. Without rules: every contact at once.
    pub rules: Vec<NotificationRule>,
}

/// A channel and an address on it, written `sms: "+4790000001"`.
///
/// An address that is itself a secret (a chat's webhook) is the name of a secret that the configuration holds under `oncall.secrets`:
/// `slack: secret:soc-room`. The operator's own documents may also hold a reference (`env:`, `file:`, `exec:`). An address that is sent to the API
/// in the open is sealed before it is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
#[schemars(with = "BTreeMap<String, String>")]
pub struct Contact {
    pub channel: String,
    pub address: String,
}

/// One thing to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationRule {
    /// One of the user's contacts.
    pub contact: String,
    /// How long after the step reached them. Default: at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: Span,
    /// Only for incidents at or above this severity. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
}

pub(crate) fn is_zero(span: &Span) -> bool {
    span.ticks() == 0
}

impl TryFrom<BTreeMap<String, String>> for Contact {
    type Error = String;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, String> {
        let mut entries = map.into_iter();
        match (entries.next(), entries.next()) {
            (Some((channel, address)), None) => Ok(Self { channel, address }),
            _ => Err("a contact is one channel and its address, such as `sms: \"+4790000001\"`".to_owned()),
        }
    }
}

impl From<Contact> for BTreeMap<String, String> {
    fn from(contact: Contact) -> Self {
        BTreeMap::from([(contact.channel, contact.address)])
    }
}
