//! The course of an escalation: what happened so far, and what is to be done now. Pure.
//!
//! [`follow`] is the whole of it: given what is known of an incident and the time, it says what to write down and send. It may be asked at
//! any time, any number of times; asked again before its effects were carried out it says the same (ids follow from what they are about),
//! asked again afterwards it says nothing. [`answer`] is what somebody's answer changes.
//!
//! Rules that are easy to get wrong, and why they are as they are:
//!
//! * **Waits are counted from when a step was really taken.** A wait is the time that somebody has to answer. When the process was down for
//!   forty minutes, one step is due, not three: it is taken at once and the next waits its full time, so nobody's turn is skipped and nobody
//!   is woken together with those who were to be spared. Pages of steps that were taken before are sent once, however late.
//! * **A wait is never longer than the policy says.** A clock that was set back would otherwise silence an escalation for as long.
//! * **A step that reaches nobody costs no time**: the next is taken at once, and the escalation says why.
//! * **An answer speaks of what was asked.** Alerts that joined after the page keep the incident from becoming Active and page again.
//! * **What others did wins.** An incident that is made Active or Closed elsewhere is acknowledged or closed here; nothing is ever lowered.

mod advance;
mod answers;
mod beginning;
mod responses;
mod storm;
mod targets;

use model::{Alert, Classification, Incident, IncidentStatus, Severity, Span, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::directory::{Directory, EscalationPolicy};
use crate::message::MessageKind;

pub use advance::{advance, follow};
pub use answers::{Reply, answer};
pub use beginning::{Begun, begin};
pub use responses::incident_change;
pub use storm::{ChannelClass, Limit, class, limits};
pub use targets::on_call;

/// An incident with its alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    pub incident: Incident,
    pub alerts: Vec<Alert>,
}

impl IncidentView {
    /// What is to be answered for: its alerts. An incident without any counts as one, under its own id.
    pub fn subjects(&self) -> Vec<Uuid> {
        match self.incident.alert_ids.as_slice() {
            [] => vec![self.incident.id],
            ids => ids.to_vec(),
        }
    }
}

/// Somebody who is on call on a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub user: String,
    /// Example: `layer primary`.
    pub because: String,
}

/// Who is on call on a schedule at a time; a text says why that cannot be told.
pub type Lookup<'a> = dyn Fn(&str, Timestamp) -> Result<Vec<Holder>, String> + Send + Sync + 'a;

/// What decisions are made from.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub directory: &'a Directory,
    pub on_call: &'a Lookup<'a>,
    pub view: &'a IncidentView,
    /// What was answered for this incident's alerts: the newest answer for each.
    pub responses: &'a [AlertResponse],
    /// Pages of this escalation, of any kind and status.
    pub pages: &'a [Page],
    /// Pages of other incidents that are planned or younger than [`RECENT`]: what storms are measured by.
    pub recent: &'a [Page],
    /// The newest escalations of other incidents whose `group` is not empty: candidates to join, and those it joined.
    pub others: &'a [Escalation],
}

/// How far back pages count towards storm limits.
pub const RECENT: Span = Span(3 * model::TICKS_PER_HOUR);

/// What is to be done. The order matters only in that all of them are written in one transaction before anything is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The escalation is now this.
    State(Box<Escalation>),
    /// A page to write down and to send when its time comes. One with this id that exists already stays as it is.
    Page(Box<Page>),
    /// A page that is planned or bundled is not sent.
    Drop { page: Uuid, because: String },
    /// A page is planned for this time.
    Replan { page: Uuid, not_before: Timestamp },
    /// A page is told within another.
    Bundle { page: Uuid, into: Uuid },
    /// Somebody answered for an alert.
    Respond(AlertResponse),
    /// The incident is to be changed. Said again until it is, or until somebody changed it otherwise.
    Incident(IncidentChange),
    /// The same answer is given for another incident, which the answered page told of.
    AnswerAlso { incident: Uuid, page: Uuid },
    /// For the escalation's log: what happened and why. One sentence.
    Note(String),
}

/// What was answered for an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertResponse {
    /// The alert; the incident itself where it has none.
    pub alert: Uuid,
    pub state: ResponseState,
    /// A name of the directory, or of whoever changed the incident elsewhere.
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// How far the work on an alert is. Ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseState {
    #[default]
    Triggered,
    Acknowledged,
    Resolved,
}

/// What is to be changed about an incident. Absent: stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentChange {
    pub status: Option<IncidentStatus>,
    /// A name of the directory.
    pub owner: Option<String>,
    pub severity: Option<Severity>,
    pub classification: Option<Classification>,
    pub comment: Option<String>,
}

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
    /// The round in which it last began from the first step: rounds are never counted twice, so that ids of pages are not.
    #[serde(default)]
    pub first_round: u32,
    /// When a step of this round last reached somebody.
    #[serde(default)]
    pub reached: Option<Timestamp>,
    /// The incident's status when it was last looked at: what somebody else changed is seen by the difference.
    #[serde(default)]
    pub seen: IncidentStatus,
    /// What there was to be answered for when it last began.
    #[serde(default)]
    pub subjects: Vec<Uuid>,
    /// Equal for incidents that may be one page.
    #[serde(default)]
    pub group: Option<String>,
    /// Who answered here, rather than elsewhere.
    #[serde(default)]
    pub answered_by: Option<String>,
    /// Who took the incident.
    #[serde(default)]
    pub taken_by: Option<String>,
    /// The alert policy chose the severity.
    #[serde(default)]
    pub severity_chosen: bool,
}

impl Escalation {
    /// The id of the escalation of an incident that was opened again `generation` times.
    pub fn id_of(incident: Uuid, generation: u32) -> Uuid {
        Uuid::new_v5(&IDS, format!("escalation {incident} {generation}").as_bytes())
    }

    /// Whether it may still send pages by itself.
    pub fn is_open(&self) -> bool {
        !matches!(self.status, EscalationStatus::Closed { .. })
    }
}

/// The namespace of ids of escalations and pages.
const IDS: Uuid = Uuid::from_u128(0x6c2f_3ae1_90f4_4d0b_8f0e_51b9_e3a7_2c44);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationStatus {
    Running,
    /// No alert policy wants anybody reached.
    Nobody {
        because: String,
    },
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
    /// How long after the step it is due: a clock that was set back must not make that longer.
    #[serde(default)]
    pub wait: Span,
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
    /// Another page to the same contact tells of it, because there are too many.
    Bundled {
        into: Uuid,
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
