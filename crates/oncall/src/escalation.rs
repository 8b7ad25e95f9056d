//! The escalation state machine. Pure functions.
//!
//! [`follow`] is the core: given an incident and the time, it returns the effects to record and send. It may be called at any time, any
//! number of times: before its effects were applied it returns the same ones (ids are derived from their subjects), afterwards none.
//! [`answer`] computes the effects of a user's answer.
//!
//! Design decisions:
//!
//! * **Waits are counted from when a step was actually taken.** A wait is the time a user has to answer. If the process was down for forty
//!   minutes, one step is due, not three: it is taken at once and the next one waits its full time, so that no user is skipped or paged
//!   together with later steps. Pages of steps that were taken before are sent once, however late.
//! * **A wait is never longer than the policy says.** Otherwise a clock that was set back would silence an escalation for as long.
//! * **A step without recipients costs no time**: the next one is taken at once, and the escalation records why.
//! * **An answer applies to the alerts of the answered page.** Alerts that joined later keep the incident from becoming Active and page
//!   again.
//! * **Changes made elsewhere take precedence.** An incident that is made Active or Closed elsewhere is acknowledged or closed here; a
//!   status is never lowered.

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
    /// Items to be answered: the incident's alerts, or the incident's own id if it has none.
    pub fn subjects(&self) -> Vec<Uuid> {
        match self.incident.alert_ids.as_slice() {
            [] => vec![self.incident.id],
            ids => ids.to_vec(),
        }
    }
}

/// A user who is on call on a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub user: String,
    /// Example: `layer primary`.
    pub because: String,
}

/// Looks up who is on call on a schedule at a time; the error says why that cannot be determined.
pub type Lookup<'a> = dyn Fn(&str, Timestamp) -> Result<Vec<Holder>, String> + Send + Sync + 'a;

/// Input of decisions.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub directory: &'a Directory,
    pub on_call: &'a Lookup<'a>,
    pub view: &'a IncidentView,
    /// The newest answer for each alert of this incident.
    pub responses: &'a [AlertResponse],
    /// All pages of this escalation.
    pub pages: &'a [Page],
    /// Pages of other incidents that are planned or younger than [`RECENT`], for rate limits.
    pub recent: &'a [Page],
    /// The newest escalations of other incidents with a `group`: candidates for grouping, and the ones it joined.
    pub others: &'a [Escalation],
}

/// How far back pages count towards rate limits.
pub const RECENT: Span = Span(3 * model::TICKS_PER_HOUR);

/// An effect to apply. All effects of a decision are written in one transaction before anything is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The new state of the escalation.
    State(Box<Escalation>),
    /// A page to record and to send when due. An existing page with this id is left unchanged.
    Page(Box<Page>),
    /// Do not send a page that is planned or bundled.
    Drop { page: Uuid, because: String },
    /// Reschedule a page.
    Replan { page: Uuid, not_before: Timestamp },
    /// Merge a page into another.
    Bundle { page: Uuid, into: Uuid },
    /// Record an answer for an alert.
    Respond(AlertResponse),
    /// Change the incident. Repeated until it is changed, here or elsewhere.
    Incident(IncidentChange),
    /// Apply the same answer to another incident that was bundled into the answered page.
    AnswerAlso { incident: Uuid, page: Uuid },
    /// A log entry of the escalation: what happened and why, in one sentence.
    Note(String),
}

/// An answer for an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertResponse {
    /// The alert; the incident itself if it has none.
    pub alert: Uuid,
    pub state: ResponseState,
    /// A name in the directory, or the user who changed the incident elsewhere.
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Progress of the work on an alert. Ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseState {
    #[default]
    Triggered,
    Acknowledged,
    Resolved,
}

/// A change of an incident. `None` leaves a field unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentChange {
    pub status: Option<IncidentStatus>,
    /// A name in the directory.
    pub owner: Option<String>,
    pub severity: Option<Severity>,
    pub classification: Option<Classification>,
    pub comment: Option<String>,
}

/// One run of an escalation policy for an incident. A reopened incident gets a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalation {
    /// Derived from the incident and `generation`, so that starting is idempotent.
    pub id: Uuid,
    pub incident: Uuid,
    /// How often the incident was reopened.
    pub generation: u32,
    pub policy: String,
    /// The policy when the escalation began: editing a policy does not affect running escalations.
    pub plan: EscalationPolicy,
    pub severity: Severity,
    pub began: Timestamp,
    /// Index of the current round, from 0.
    pub round: u32,
    /// Index of the next step; the number of steps stands for the fallback.
    pub step: usize,
    /// When the next step is due. `None` if there is none.
    pub next: Option<Timestamp>,
    pub status: EscalationStatus,
    /// The round of the last restart: round numbers are never reused, so page ids are unique.
    #[serde(default)]
    pub first_round: u32,
    /// When a step of this round last had a recipient.
    #[serde(default)]
    pub reached: Option<Timestamp>,
    /// The incident's status when last processed, to detect changes made elsewhere.
    #[serde(default)]
    pub seen: IncidentStatus,
    /// The items to be answered at the last start.
    #[serde(default)]
    pub subjects: Vec<Uuid>,
    /// Grouping key; incidents with equal keys may share one escalation.
    #[serde(default)]
    pub group: Option<String>,
    /// Who answered here, as opposed to elsewhere.
    #[serde(default)]
    pub answered_by: Option<String>,
    /// Who took the incident.
    #[serde(default)]
    pub taken_by: Option<String>,
    /// The alert policy set the severity.
    #[serde(default)]
    pub severity_chosen: bool,
}

impl Escalation {
    /// The id of an incident's escalation after `generation` reopenings.
    pub fn id_of(incident: Uuid, generation: u32) -> Uuid {
        Uuid::new_v5(&IDS, format!("escalation {incident} {generation}").as_bytes())
    }

    /// Whether it may still send pages by itself.
    pub fn is_open(&self) -> bool {
        !matches!(self.status, EscalationStatus::Closed { .. })
    }
}

/// UUID namespace of escalations and pages.
const IDS: Uuid = Uuid::from_u128(0x6c2f_3ae1_90f4_4d0b_8f0e_51b9_e3a7_2c44);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationStatus {
    Running,
    /// No alert policy requests paging.
    Nobody {
        because: String,
    },
    /// In maintenance, or waiting to join a group: re-evaluated at `until`.
    Held {
        until: Timestamp,
        because: String,
    },
    /// Merged into another incident's escalation.
    Grouped {
        into: Uuid,
    },
    Acknowledged {
        by: String,
        at: Timestamp,
    },
    /// All steps were taken without an answer.
    Exhausted {
        at: Timestamp,
    },
    Closed {
        at: Timestamp,
    },
}

/// One message to one contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Derived from escalation, round, step and contact: the idempotency key.
    pub id: Uuid,
    pub escalation: Uuid,
    pub incident: Uuid,
    pub kind: MessageKind,
    pub round: u32,
    pub step: usize,
    pub user: String,
    /// The name of the user's contact.
    pub contact: String,
    pub channel: String,
    /// As in the directory: a secret address is a reference.
    pub address: String,
    /// Why this user: `schedule weekdays, layer primary`.
    pub because: String,
    pub due: Timestamp,
    /// Planned delay after the step, which a clock set back must not extend.
    #[serde(default)]
    pub wait: Span,
    /// The incident's alerts when the page was planned: an answer applies to these.
    pub alerts: Vec<Uuid>,
    pub reply_code: String,
    pub attempts: u32,
    pub status: PageStatus,
    /// Failed attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Trouble>,
}

/// A failed attempt to send a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    pub at: Timestamp,
    pub reason: String,
    /// It may have been delivered all the same, so that a later attempt may be a duplicate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageStatus {
    /// Due later, or waiting for a retry.
    Planned {
        not_before: Timestamp,
    },
    /// Merged into another page to the same contact because of rate limits.
    Bundled {
        into: Uuid,
    },
    /// Recorded before the channel is called. After a crash it is unknown whether the page was sent.
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
    /// Possibly sent: the provider honours no idempotency key, so the configuration decides whether to send again.
    Doubtful {
        at: Timestamp,
        reason: String,
    },
    Failed {
        at: Timestamp,
        reason: String,
    },
    /// Answered or closed before it was due.
    Dropped {
        at: Timestamp,
        because: String,
    },
}
