//! Invariants of an escalation and its pages. Pure; checked by property tests and by `debug_assert!`.

use std::collections::HashSet;

use model::{Incident, IncidentStatus};

use crate::escalation::{Escalation, EscalationStatus, Page, PageStatus};
use crate::message::MessageKind;

/// The first violated invariant. Call when everything due is done.
pub fn violation(escalation: Option<&Escalation>, pages: &[Page], incident: &Incident) -> Option<String> {
    let Some(escalation) = escalation else {
        return (incident.status != IncidentStatus::Closed)
            .then(|| format!("incident {} is open and nobody decided about it", incident.number));
    };
    [each_page_once(pages), silent_after_an_answer(escalation, pages), goes_on(escalation), closed_with_its_incident(escalation, incident)]
        .into_iter()
        .flatten()
        .next()
        .map(|what| format!("incident {}: {what}", incident.number))
}

/// Page keys are unique.
pub fn each_page_once(pages: &[Page]) -> Option<String> {
    let mut seen = HashSet::new();
    pages.iter().find(|page| !seen.insert(page.id)).map(|page| format!("page {} is there twice", page.id))
}

/// No page is waiting after an answer.
pub fn silent_after_an_answer(escalation: &Escalation, pages: &[Page]) -> Option<String> {
    if !matches!(escalation.status, EscalationStatus::Acknowledged { .. } | EscalationStatus::Closed { .. }) {
        return None;
    }
    let waits = |page: &&Page| {
        page.escalation == escalation.id
            && page.kind == MessageKind::Page
            && matches!(page.status, PageStatus::Planned { .. } | PageStatus::Bundled { .. })
    };
    pages.iter().find(waits).map(|page| format!("page {} waits though somebody answered", page.id))
}

/// An unanswered escalation has a next due time.
pub fn goes_on(escalation: &Escalation) -> Option<String> {
    let stuck = matches!(escalation.status, EscalationStatus::Running | EscalationStatus::Held { .. }) && escalation.next.is_none();
    stuck.then(|| "its escalation stands still".to_owned())
}

/// A closed incident sends no pages.
pub fn closed_with_its_incident(escalation: &Escalation, incident: &Incident) -> Option<String> {
    (incident.status == IncidentStatus::Closed && escalation.is_open()).then(|| "it is closed and its escalation is not".to_owned())
}
