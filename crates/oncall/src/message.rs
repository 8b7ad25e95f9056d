//! A message to one contact: facts, texts and links, for any channel.

use model::{IncidentStatus, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Purpose of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// An answer is needed.
    Page,
    /// The incident was acknowledged: no answer is needed any more.
    Acknowledged,
    /// The incident was closed.
    Closed,
    /// The recipient was mentioned in the incident's thread.
    Mention,
    /// A test of the channel, requested by the recipient.
    Test,
}

/// A message to one contact. It may be sent again after a failure, with the same `key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Idempotency key, passed to providers that honour one.
    pub key: Uuid,
    pub kind: MessageKind,
    /// The user's name in the directory, and the display name.
    pub user: String,
    pub user_name: String,
    /// The resolved address: never logged.
    pub address: String,
    pub at: Timestamp,
    pub incident: Option<IncidentFacts>,
    /// One line. At most 120 characters.
    pub subject: String,
    /// For SMS and voice: at most 300 characters, without links.
    pub short: String,
    /// Plain text, several lines.
    pub long: String,
    pub links: Links,
    /// Code that names this page in a reply by SMS, voice or e-mail. Example: `4821`.
    pub reply_code: Option<String>,
    /// Token in a mail's reply address and id, which authenticates its recipient. Used nowhere else.
    #[serde(skip)]
    pub reply_token: Option<String>,
    /// The recipient's time zone (IANA name), in which times are shown.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// Data of the incident that a channel may show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentFacts {
    pub id: Uuid,
    pub number: i64,
    pub title: String,
    pub description: String,
    pub severity: Severity,
    pub status: IncidentStatus,
    pub owner: Option<String>,
    pub created: Timestamp,
    pub tactics: Vec<String>,
    pub alerts: usize,
    /// Names of the entities: accounts, hosts, addresses. At most 10.
    pub entities: Vec<String>,
    /// The first result rows of the rule, as text `column: value`. At most 10 lines (S2-03).
    pub evidence: Vec<String>,
    /// Grouping key for providers: the same for all messages about this incident.
    pub dedup_key: String,
}

/// Signed links; each asks for confirmation, performs one action, and is idempotent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    pub acknowledge: Option<String>,
    pub take: Option<String>,
    pub escalate: Option<String>,
    pub close: Option<String>,
    /// Shows the page and marks it as seen.
    pub open: Option<String>,
}

impl Links {
    /// The available links with button labels, in order of importance.
    pub fn named(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("Acknowledge", &self.acknowledge),
            ("Take", &self.take),
            ("Escalate", &self.escalate),
            ("Close", &self.close),
            ("Open", &self.open),
        ];
        all.into_iter().filter_map(|(label, link)| Some((label, link.as_deref()?))).collect()
    }
}
