//! Port to the incidents: changes requested by answers, and rules for when they no longer apply.
//!
//! An answer is committed together with its [`Wish`]; a task carries out pending changes and then deletes them. After a crash in between
//! the change is repeated, so changes must be idempotent: statuses only rise, comments have a fixed id, and a field that another user
//! changed after the answer is left alone (S2-12).

use async_trait::async_trait;
use model::{Actor, Classification, Incident, IncidentStatus, Owner, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use store::AuditEntry;
use uuid::Uuid;

/// A pending change of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    pub id: Uuid,
    pub incident: Uuid,
    /// When it was requested: later changes by others take precedence.
    pub at: Timestamp,
    pub actor: Actor,
    pub deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Change(DeskChange),
    /// A comment, with the id of the pending change.
    Comment {
        text: String,
    },
}

/// A change of an incident. `None` leaves a field unchanged.
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

/// An incident opened by on-call: a missed heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIncident {
    /// Derived from the cause, so that opening twice creates one incident.
    pub id: Uuid,
    pub title: String,
    pub description: String,
    pub severity: Severity,
}

/// Why an incident was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Changed concurrently: read it again and decide again.
    #[error("incident `{0}` was changed meanwhile")]
    Conflict(Uuid),
    #[error("there is no incident `{0}`")]
    NoIncident(Uuid),
    /// Permanently rejected.
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

/// Changes incidents. The only interface of on-call to them.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Changes the incident if it still equals `before`; otherwise fails with [`DeskError::Conflict`].
    async fn change(&self, before: &Incident, change: &DeskChange, actor: &Actor) -> Result<(), DeskError>;

    /// Adds a comment with `id`, unless it exists.
    async fn comment(&self, incident: Uuid, id: Uuid, text: &str, actor: &Actor) -> Result<(), DeskError>;

    /// Opens an incident, unless it exists.
    async fn open(&self, incident: &NewIncident, actor: &Actor) -> Result<(), DeskError>;
}

/// A port without incidents: every incident is missing. For tests that change none.
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

/// The part of a change that still applies, given the incident and its history. `None` if nothing is left.
///
/// `history` is the incident's audit trail. Pure function.
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

/// Whether on-call itself made a change, so that it is not taken for another user's.
pub fn is_ours(actor: &Actor) -> bool {
    actor.via.starts_with("oncall/") || (actor.via == "task" && actor.name == TASK)
}

/// The actor name of on-call's own changes.
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

    /// S2-12: a field changed by another user after the answer is left alone; our own changes do not count.
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
