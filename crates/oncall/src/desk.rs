//! The way to the incidents: what answers want done to them, and when it must not be done any more.
//!
//! An answer is committed with its [`Wish`]; a task carries wishes out and strikes them out afterwards. A crash in between repeats the
//! wish, so every wish is safe to repeat: statuses only rise, comments carry their own name, and a field that somebody else changed
//! after the answer is theirs (S2-12).

use async_trait::async_trait;
use model::{Actor, Classification, Incident, IncidentStatus, Owner, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use store::AuditEntry;
use uuid::Uuid;

/// Something to be done to an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    pub id: Uuid,
    pub incident: Uuid,
    /// When it was wished: what others changed later wins.
    pub at: Timestamp,
    pub actor: Actor,
    pub deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Change(DeskChange),
    /// A remark in the thread, under the wish's id.
    Comment {
        text: String,
    },
}

/// What is to be changed about an incident. Absent: stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeskChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<IncidentStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// An incident that on call opens: something fell silent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIncident {
    /// Follows from what happened: opening twice opens once.
    pub id: Uuid,
    pub title: String,
    pub description: String,
    pub severity: Severity,
}

/// Why an incident was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Somebody changed it meanwhile: read it again, decide again.
    #[error("incident `{0}` was changed meanwhile")]
    Conflict(Uuid),
    #[error("there is no incident `{0}`")]
    NoIncident(Uuid),
    /// It will not be taken however often it is tried.
    #[error("incident `{incident}` does not take the change")]
    Refused {
        incident: Uuid,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("incident `{incident}` cannot be changed now")]
    Later {
        incident: Uuid,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Changes incidents. On call knows no more of them than this.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Changes `before` as it was read; fails with [`DeskError::Conflict`] when it is not that any more.
    async fn change(&self, before: &Incident, change: &DeskChange, actor: &Actor) -> Result<(), DeskError>;

    /// Adds a comment under `id`, or finds it there.
    async fn comment(&self, incident: Uuid, id: Uuid, text: &str, actor: &Actor) -> Result<(), DeskError>;

    /// Opens an incident, or finds it there.
    async fn open(&self, incident: &NewIncident, actor: &Actor) -> Result<(), DeskError>;
}

/// A desk in a service that has no incidents: everything is gone. For tests of what does not change any.
pub struct NoDesk;

#[async_trait]
impl Desk for NoDesk {
    async fn change(&self, before: &Incident, _: &DeskChange, _: &Actor) -> Result<(), DeskError> {
        Err(DeskError::NoIncident(before.id))
    }

    async fn comment(&self, incident: Uuid, _: Uuid, _: &str, _: &Actor) -> Result<(), DeskError> {
        Err(DeskError::NoIncident(incident))
    }

    async fn open(&self, incident: &NewIncident, _: &Actor) -> Result<(), DeskError> {
        Err(DeskError::NoIncident(incident.id))
    }
}

/// What is left to do of a change, given what the incident is and what happened to it. None: nothing.
///
/// `history` is the incident's audit trail. Pure.
pub fn left_of(wish: &Wish, change: &DeskChange, incident: &Incident, history: &[AuditEntry]) -> Option<DeskChange> {
    let later: Vec<&AuditEntry> = history.iter().filter(|entry| entry.at > wish.at && !is_ours(&entry.actor)).collect();
    let theirs = |field: &str| later.iter().any(|entry| entry.changes.get(field).is_some());
    let status = change.status.filter(|wanted| *wanted > incident.status && !theirs("status"));
    let closing = status == Some(IncidentStatus::Closed);
    let open = incident.status != IncidentStatus::Closed;
    let left = DeskChange {
        status,
        owner: change.owner.clone().filter(|owner| *owner != incident.owner && open && !theirs("owner")),
        severity: change.severity.filter(|severity| *severity != incident.severity && open && !theirs("severity")),
        classification: change.classification.filter(|_| closing),
        comment: change.comment.clone().filter(|_| closing),
    };
    (left != DeskChange::default()).then_some(left)
}

/// Whether a change came from on call itself, which must not take it for somebody else's.
pub fn is_ours(actor: &Actor) -> bool {
    actor.via.starts_with("oncall/") || (actor.via == "task" && actor.name == TASK)
}

/// The name under which on call acts by itself.
pub const TASK: &str = "oncall";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + model::Span::seconds(seconds)
    }

    fn incident(status: &str) -> Incident {
        serde_json::from_value(json!({
            "id": Uuid::from_u128(1), "number": 1, "etag": Uuid::from_u128(2), "title": "t", "severity": "High", "status": status,
            "created": at(0), "modified": at(0), "modified_by": Actor::task("correlation"), "provider_name": "p", "provider_incident_id": "1",
        }))
        .unwrap()
    }

    fn person(via: &str) -> Actor {
        Actor { via: via.to_owned(), ..Actor::task("Bo") }
    }

    fn wish(change: DeskChange) -> Wish {
        let deed = Deed::Change(change);
        Wish { id: Uuid::from_u128(3), incident: Uuid::from_u128(1), at: at(10), actor: person("oncall/sms"), deed }
    }

    fn left(status: &str, change: DeskChange, history: &[AuditEntry]) -> Option<DeskChange> {
        left_of(&wish(change.clone()), &change, &incident(status), history)
    }

    fn entry(seconds: i64, via: &str, changes: serde_json::Value) -> AuditEntry {
        AuditEntry {
            at: at(seconds),
            aggregate: "incident".to_owned(),
            id: Uuid::from_u128(1).to_string(),
            action: "changed".to_owned(),
            actor: person(via),
            changes,
        }
    }

    #[test]
    fn a_status_only_rises_and_a_wish_is_done_once() {
        let active = DeskChange { status: Some(IncidentStatus::Active), ..DeskChange::default() };
        assert_eq!(left("New", active.clone(), &[]), Some(active.clone()));
        assert_eq!(left("Active", active.clone(), &[]), None);
        assert_eq!(left("Closed", active, &[]), None);
    }

    /// S2-12: whoever changed a field after the answer has the last word; our own change is nobody else's.
    #[test]
    fn what_others_changed_later_is_theirs() {
        let ann = Owner { assigned_to: Some("Ann".to_owned()), ..Owner::default() };
        let take = DeskChange { status: Some(IncidentStatus::Active), owner: Some(ann.clone()), ..DeskChange::default() };
        let owner = json!({ "owner": [null, "Bo"] });
        let later = left("New", take.clone(), &[entry(11, "SecurityInsights", owner.clone())]).unwrap();
        assert_eq!((later.status, later.owner), (Some(IncidentStatus::Active), None));
        assert_eq!(left("New", take.clone(), &[entry(9, "SecurityInsights", owner.clone())]), Some(take.clone()), "before the answer");
        assert_eq!(left("New", take.clone(), &[entry(11, "oncall/link", owner)]), Some(take.clone()), "our own");
        let status = json!({ "status": ["Closed", "New"] });
        let reopened = left("New", take, &[entry(12, "portal", status)]).unwrap();
        assert_eq!((reopened.status, reopened.owner), (None, Some(ann)));
    }

    #[test]
    fn a_verdict_comes_with_closing_only() {
        let close = DeskChange {
            status: Some(IncidentStatus::Closed),
            classification: Some(Classification::FalsePositive),
            comment: Some("a test".to_owned()),
            ..DeskChange::default()
        };
        assert_eq!(left("Active", close.clone(), &[]), Some(close.clone()));
        assert_eq!(left("Closed", close, &[]), None);
    }
}
