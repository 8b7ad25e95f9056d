//! Derives the incident's state from answers for its alerts (S2-05, S2-13): only when all are answered, and never lowered.

use model::{Incident, IncidentStatus};
use uuid::Uuid;

use super::{AlertResponse, IncidentChange, ResponseState};

/// The state of `subject`; [`ResponseState::Triggered`] without an answer.
pub(super) fn state_of(responses: &[AlertResponse], subject: Uuid) -> ResponseState {
    responses.iter().rev().find(|response| response.alert == subject).map(|response| response.state).unwrap_or_default()
}

/// The lowest state of all `subjects`.
pub(super) fn least(responses: &[AlertResponse], subjects: &[Uuid]) -> ResponseState {
    subjects.iter().map(|subject| state_of(responses, *subject)).min().unwrap_or_default()
}

/// The change of an incident that follows from answers for its alerts: Active, with an owner, once all are acknowledged or resolved; Closed
/// once all are resolved. `None` while any alert is unanswered, or if the change would lower the status.
pub fn incident_change(responses: &[AlertResponse], incident: &Incident) -> Option<IncidentChange> {
    let own = [incident.id];
    let subjects = if incident.alert_ids.is_empty() { &own[..] } else { &incident.alert_ids };
    let newest = subjects.iter().filter_map(|id| responses.iter().rev().find(|response| response.alert == *id)).max_by_key(|r| r.at);
    let wanted = match least(responses, subjects) {
        ResponseState::Triggered => return None,
        ResponseState::Acknowledged => IncidentStatus::Active,
        ResponseState::Resolved => IncidentStatus::Closed,
    };
    if incident.status >= wanted {
        return None;
    }
    let owner = &incident.owner;
    let unowned = [&owner.object_id, &owner.email, &owner.user_principal_name, &owner.assigned_to].into_iter().all(Option::is_none);
    let closed = newest.filter(|_| wanted == IncidentStatus::Closed);
    Some(IncidentChange {
        status: Some(wanted),
        owner: newest.filter(|_| unowned).map(|response| response.by.clone()),
        severity: None,
        classification: closed.and_then(|response| response.classification),
        comment: closed.and_then(|response| response.comment.clone()),
    })
}
