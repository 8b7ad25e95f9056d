//! The course of an escalation: what happened so far, and what is to be done now. Pure.

use model::{Severity, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::directory::EscalationPolicy;
use crate::message::MessageKind;

/// One course through an escalation policy for an incident. An incident that is opened again gets another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalation {
    /// Follows from the incident and `generation`, so that starting twice starts once.
    pub id: Uuid,
    pub incident: Uuid,
    /// Counts from 0: how often the incident was opened again.
    pub generation: u32,
    pub policy: String,
    /// The policy as it was when the escalation began: editing a policy does not move those that run.
    pub plan: EscalationPolicy,
    pub severity: Severity,
    pub began: Timestamp,
    /// Rounds that ended; the first is 0.
    pub round: u32,
    /// The step that comes next, counted from 0; the number of steps: the fallback.
    pub step: usize,
    /// When it is taken. None: nothing comes next.
    pub next: Option<Timestamp>,
    pub status: EscalationStatus,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationStatus {
    Running,
    /// Maintenance, or a group that it waits to join: looked at again at `until`.
    Held {
        until: Timestamp,
        because: String,
    },
    /// Another incident's escalation speaks for it.
    Grouped {
        into: Uuid,
    },
    Acknowledged {
        by: String,
        at: Timestamp,
    },
    /// All steps were taken and nobody answered.
    Exhausted {
        at: Timestamp,
    },
    Closed {
        at: Timestamp,
    },
}

/// One message to one contact, from the moment it is decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Follows from the escalation, round, step and contact: the idempotency key. Deciding twice decides once.
    pub id: Uuid,
    pub escalation: Uuid,
    pub incident: Uuid,
    pub kind: MessageKind,
    pub round: u32,
    pub step: usize,
    pub user: String,
    /// The contact's name with the user.
    pub contact: String,
    pub channel: String,
    /// As it stands in the directory: a secret address is a reference.
    pub address: String,
    /// Why this person: `schedule weekdays, layer primary`.
    pub because: String,
    pub due: Timestamp,
    /// The alerts that the incident held when it was decided on: what an answer to it speaks of.
    pub alerts: Vec<Uuid>,
    pub reply_code: String,
    pub attempts: u32,
    pub status: PageStatus,
    /// What went wrong with earlier attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// An attempt to send a page that did not end well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    pub at: Timestamp,
    pub reason: String,
    /// It may have reached the person all the same: what came after may have been the second time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageStatus {
    /// Waits for its time, or for the next attempt.
    Planned {
        not_before: Timestamp,
    },
    /// Written down before the channel is asked. After a crash it is not known whether it was sent.
    Claimed {
        at: Timestamp,
    },
    Sent {
        at: Timestamp,
        provider_id: Option<String>,
    },
    Delivered {
        at: Timestamp,
        provider_id: Option<String>,
    },
    Seen {
        at: Timestamp,
    },
    /// It may have been sent and may not: the provider honours no key, so the policy decides whether to send again.
    Doubtful {
        at: Timestamp,
        reason: String,
    },
    Failed {
        at: Timestamp,
        reason: String,
    },
    /// Somebody answered, or the incident closed, before it was due.
    Dropped {
        at: Timestamp,
        because: String,
    },
}
