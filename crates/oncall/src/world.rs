//! An in-memory simulation: incidents, escalations and pages with a manual clock.
//!
//! It does the work of the paging task without disk and channels: calls [`crate::escalation::follow`], applies effects, and sends due
//! pages. Stories, replays and property tests use it, so that they exercise the production functions.

use std::collections::BTreeMap;

use model::{Actor, Alert, IncidentStatus, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::{Action, AnswerError};
use crate::directory::Directory;
use crate::escalation::{
    AlertResponse, Effect, Escalation, EscalationStatus, IncidentChange, IncidentView, Lookup, Page, PageStatus, RECENT, Reply, Scene,
    answer, follow,
};
use crate::invariants;
use crate::message::MessageKind;

/// A sent page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sent {
    pub at: Timestamp,
    pub page: Page,
    pub number: i64,
    pub title: String,
    /// Number of other incidents bundled into it.
    pub more: usize,
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Noted {
    pub at: Timestamp,
    pub incident: Uuid,
    pub number: i64,
    pub text: String,
}

/// An incident and its on-call state.
#[derive(Clone, Debug)]
pub struct Case {
    pub view: IncidentView,
    pub responses: Vec<AlertResponse>,
    pub escalation: Option<Escalation>,
    /// Pages of all its escalations.
    pub pages: Vec<Page>,
}

/// Looks up who is on call.
pub type OnCall = dyn Fn(&Directory, &str, Timestamp) -> Result<Vec<crate::escalation::Holder>, String> + Send + Sync;

pub struct World {
    pub directory: Directory,
    pub now: Timestamp,
    pub cases: BTreeMap<Uuid, Case>,
    pub sent: Vec<Sent>,
    pub notes: Vec<Noted>,
    /// Whether the process is up.
    pub running: bool,
    on_call: Box<OnCall>,
    /// Polled regularly; once true, the simulation stops.
    interrupted: Box<dyn Fn() -> bool + Send + Sync>,
}

impl World {
    pub fn new(directory: Directory, now: Timestamp, on_call: Box<OnCall>) -> Self {
        Self {
            directory,
            now,
            cases: BTreeMap::new(),
            sent: Vec::new(),
            notes: Vec::new(),
            running: true,
            on_call,
            interrupted: Box::new(|| false),
        }
    }

    /// Stops as soon as `interrupted` returns true; the simulation is then incomplete.
    pub fn until(mut self, interrupted: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        self.interrupted = interrupted;
        self
    }

    /// Advances the time to `to`, doing what is due before. Work due exactly at `to` is done only by [`Self::settle`].
    pub fn pass_to(&mut self, to: Timestamp) {
        while self.running && !(self.interrupted)() {
            let Some(due) = self.next_due().filter(|due| *due < to) else { break };
            let before = (self.now, self.sent.len());
            self.now = self.now.max(due);
            self.settle();
            if (self.now, self.sent.len()) == before && self.next_due() == Some(due) {
                break; // No progress: it waits for an event, not for time.
            }
        }
        self.now = self.now.max(to);
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let steps = self.cases.values().filter_map(|case| case.escalation.as_ref()?.next);
        let pages = self.cases.values().flat_map(|case| &case.pages).filter_map(|page| match page.status {
            PageStatus::Planned { not_before } => Some(not_before),
            _ => None,
        });
        steps.chain(pages).min()
    }

    /// Does everything due now, and what follows from it.
    pub fn settle(&mut self) {
        if !self.running {
            return;
        }
        for _ in 0..100 {
            let mut quiet = true;
            for id in self.in_order() {
                if (self.interrupted)() {
                    return;
                }
                let effects = self.ask(id);
                quiet &= effects.iter().all(|effect| matches!(effect, Effect::Note(_)));
                self.apply(id, effects);
            }
            quiet &= !self.send();
            if quiet {
                break;
            }
        }
        debug_assert_eq!(self.violation(), None);
    }

    /// A violated invariant, if any.
    pub fn violation(&self) -> Option<String> {
        self.cases.values().find_map(|case| invariants::violation(case.escalation.as_ref(), &case.pages, &case.view.incident))
    }

    fn in_order(&self) -> Vec<Uuid> {
        let mut ids: Vec<_> = self.cases.iter().map(|(id, case)| (case.view.incident.created, case.view.incident.number, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, _, id)| id).collect()
    }

    fn with_scene<T>(&self, id: Uuid, ask: impl FnOnce(&Scene, &Case) -> T) -> Option<T> {
        let case = self.cases.get(&id)?;
        let on_call = |schedule: &str, at: Timestamp| (self.on_call)(&self.directory, schedule, at);
        let lookup: &Lookup = &on_call;
        let strangers = || self.cases.iter().filter(|(other, _)| **other != id).map(|(_, case)| case);
        let young =
            |page: &&Page| page.due + RECENT >= self.now || matches!(page.status, PageStatus::Planned { .. } | PageStatus::Bundled { .. });
        let recent: Vec<Page> = strangers().flat_map(|case| &case.pages).filter(young).cloned().collect();
        let others: Vec<Escalation> =
            strangers().filter_map(|case| case.escalation.clone()).filter(|escalation| escalation.group.is_some()).collect();
        let escalation = case.escalation.as_ref().map(|escalation| escalation.id);
        let pages: Vec<Page> = case.pages.iter().filter(|page| Some(page.escalation) == escalation).cloned().collect();
        let scene = Scene {
            directory: &self.directory,
            on_call: lookup,
            view: &case.view,
            responses: &case.responses,
            pages: &pages,
            recent: &recent,
            others: &others,
        };
        Some(ask(&scene, case))
    }

    fn ask(&self, id: Uuid) -> Vec<Effect> {
        self.with_scene(id, |scene, case| follow(scene, case.escalation.as_ref(), self.now)).unwrap_or_default()
    }

    fn apply(&mut self, id: Uuid, effects: Vec<Effect>) -> Vec<(Uuid, Uuid)> {
        let mut also = Vec::new();
        for effect in effects {
            let Some(case) = self.cases.get_mut(&id) else { break };
            match effect {
                Effect::State(state) => case.escalation = Some(*state),
                Effect::Page(page) => {
                    if !case.pages.iter().any(|known| known.id == page.id) {
                        case.pages.push(*page);
                    }
                }
                Effect::Respond(response) => {
                    case.responses.retain(|known| known.alert != response.alert);
                    case.responses.push(response);
                }
                Effect::Incident(change) => change_incident(case, change, self.now),
                Effect::AnswerAlso { incident, page } => also.push((incident, page)),
                Effect::Note(text) => {
                    let number = case.view.incident.number;
                    self.notes.push(Noted { at: self.now, incident: id, number, text });
                }
                Effect::Drop { page, because } => self.set(page, PageStatus::Dropped { at: self.now, because }),
                Effect::Replan { page, not_before } => {
                    self.set(page, PageStatus::Planned { not_before });
                }
                Effect::Bundle { page, into } => self.set(page, PageStatus::Bundled { into }),
            }
        }
        also
    }

    fn set(&mut self, id: Uuid, status: PageStatus) {
        let page = self.cases.values_mut().flat_map(|case| &mut case.pages).find(|page| page.id == id);
        if let Some(page) = page.filter(|page| matches!(page.status, PageStatus::Planned { .. } | PageStatus::Bundled { .. })) {
            page.status = status;
        }
    }

    /// Sends due pages; returns whether there were any.
    fn send(&mut self) -> bool {
        let mut due = Vec::new();
        for case in self.cases.values() {
            for page in &case.pages {
                if matches!(page.status, PageStatus::Planned { not_before } if not_before <= self.now) {
                    due.push((page.due, page.user.clone(), page.contact.clone(), case.view.incident.number, page.id));
                }
            }
        }
        due.sort();
        let all: Vec<(Uuid, Uuid)> = self
            .cases
            .values()
            .flat_map(|case| &case.pages)
            .filter_map(|page| match page.status {
                PageStatus::Bundled { into } => Some((page.incident, into)),
                _ => None,
            })
            .collect();
        for (.., id) in &due {
            for case in self.cases.values_mut() {
                let Some(page) = case.pages.iter_mut().find(|page| page.id == *id) else { continue };
                page.status = PageStatus::Sent { at: self.now, provider_id: None };
                let incident = &case.view.incident;
                let more = all.iter().filter(|(_, into)| into == id).count();
                self.sent.push(Sent { at: self.now, page: page.clone(), number: incident.number, title: incident.title.clone(), more });
            }
        }
        !due.is_empty()
    }

    pub fn open(&mut self, view: IncidentView) {
        let id = view.incident.id;
        self.cases.insert(id, Case { view, responses: Vec::new(), escalation: None, pages: Vec::new() });
    }

    /// An alert joins an incident; a closed one is reopened by it as Active.
    pub fn join(&mut self, incident: Uuid, alert: Alert, reopen: bool) {
        let Some(case) = self.cases.get_mut(&incident) else { return };
        let open = &mut case.view.incident;
        open.alert_ids.push(alert.id);
        open.severity = open.severity.max(alert.severity);
        if reopen && open.status == IncidentStatus::Closed {
            open.status = IncidentStatus::Active;
            open.closed = None;
        }
        open.modified_by = Actor::task("alert");
        case.view.alerts.push(alert);
    }

    /// An incident is changed elsewhere.
    pub fn change(&mut self, incident: Uuid, status: IncidentStatus, by: &str) {
        let Some(case) = self.cases.get_mut(&incident) else { return };
        case.view.incident.status = status;
        case.view.incident.modified_by = Actor { name: by.to_owned(), via: "SecurityInsights".to_owned(), ..Actor::task(by) };
        case.view.incident.owner.assigned_to = Some(by.to_owned());
    }

    /// A user answers their newest page of the incident, or the incident if they have none.
    pub fn answer(&mut self, incident: Uuid, user: &str, action: &Action) -> Result<bool, AnswerError> {
        let newest = self.cases.get(&incident).and_then(|case| {
            let sent = case.pages.iter().filter(|page| page.user == user && page.kind == MessageKind::Page);
            sent.filter(|page| matches!(page.status, PageStatus::Sent { .. } | PageStatus::Bundled { .. }))
                .max_by_key(|page| page.due)
                .cloned()
        });
        self.answer_page(incident, newest.as_ref(), user, action)
    }

    fn answer_page(&mut self, incident: Uuid, page: Option<&Page>, user: &str, action: &Action) -> Result<bool, AnswerError> {
        let reply = Reply { user, action, alerts: page.map_or(&[][..], |page| &page.alerts), page: page.map(|page| page.id) };
        let effects = self
            .with_scene(incident, |scene, case| case.escalation.as_ref().map(|state| answer(scene, state, &reply, self.now)))
            .flatten()
            .unwrap_or_else(|| Err(AnswerError::NoIncident(incident.to_string())))?;
        let changed = !effects.is_empty();
        for (other, page) in self.apply(incident, effects) {
            let page = self.cases.get(&other).and_then(|case| case.pages.iter().find(|known| known.id == page)).cloned();
            // The others may be closed already, which is not an error.
            if let Err(error) = self.answer_page(other, page.as_ref(), user, action)
                && !matches!(error, AnswerError::Closed)
            {
                return Err(error);
            }
        }
        Ok(changed)
    }

    pub fn status(&self, incident: Uuid) -> Option<&EscalationStatus> {
        Some(&self.cases.get(&incident)?.escalation.as_ref()?.status)
    }
}

fn change_incident(case: &mut Case, change: IncidentChange, now: Timestamp) {
    let incident = &mut case.view.incident;
    if let Some(status) = change.status {
        incident.status = incident.status.max(status);
    }
    if let Some(owner) = change.owner {
        incident.modified_by = Actor { name: owner.clone(), via: "oncall".to_owned(), ..Actor::task(&owner) };
        incident.owner.assigned_to = Some(owner);
    }
    incident.severity = change.severity.unwrap_or(incident.severity);
    incident.classification = change.classification.or(incident.classification);
    incident.modified = now;
}
