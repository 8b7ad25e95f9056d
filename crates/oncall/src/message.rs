//! What is sent to one contact: facts, texts and links, ready for any channel.

use model::{IncidentStatus, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Somebody must answer.
    Page,
    /// The incident was acknowledged: those who were paged need not.
    Acknowledged,
    /// The incident was closed.
    Closed,
    /// Somebody named the recipient in the incident's thread.
    Mention,
    /// The recipient asked whether the channel works.
    Test,
}

/// One message to one contact. The same message may be sent again after a failure: `key` stays the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Idempotency key: providers that honour one get this.
    pub key: Uuid,
    pub kind: MessageKind,
    /// The user's name in the directory, and the one people see.
    pub user: String,
    pub user_name: String,
    /// Where it goes, resolved: never logged.
    pub address: String,
    pub at: Timestamp,
    pub incident: Option<IncidentFacts>,
    /// One line. At most 120 characters.
    pub subject: String,
    /// For SMS and voice: at most 300 characters, without links.
    pub short: String,
    /// Plain text, some lines.
    pub long: String,
    pub links: Links,
    /// Digits that name this page in a reply by SMS, voice or e-mail. Example: `4821`.
    pub reply_code: Option<String>,
    /// What the address and the id of a mail carry, so that only who got it can answer it. Shown nowhere else.
    #[serde(skip)]
    pub reply_token: Option<String>,
    /// Where the recipient is: an IANA name. Times are shown there.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// What a channel may show of the incident.
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
    /// Names of what is involved: accounts, hosts, addresses. At most 10.
    pub entities: Vec<String>,
    /// What the rule found: its first rows, as text `column: value`. At most 10 lines (S2-03).
    pub evidence: Vec<String>,
    /// Providers that group by a key get the same one for every message about this incident.
    pub dedup_key: String,
}

/// Signed; each does one thing, asks before it does, and does it once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    pub acknowledge: Option<String>,
    pub take: Option<String>,
    pub escalate: Option<String>,
    pub close: Option<String>,
    /// Shows the page and says that it was seen.
    pub open: Option<String>,
}

impl Links {
    /// Those that are there, as buttons in the order of need: what the button says, where it leads.
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
