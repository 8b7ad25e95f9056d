//! Effects of an answer: responses for its alerts, the escalation's state, dropped pages, and the incident's change.

use model::{IncidentStatus, Timestamp};
use uuid::Uuid;

use super::advance::Run;
use super::{AlertResponse, Effect, Escalation, EscalationStatus, IncidentChange, PageStatus, ResponseState, Scene, responses};
use crate::answer::{Action, AnswerError};

/// An answer of a user in the directory.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    pub user: &'a str,
    pub action: &'a Action,
    /// The alerts it applies to: those of the answered page. Empty for all alerts of the incident.
    pub alerts: &'a [Uuid],
    /// The answered page, if any.
    pub page: Option<Uuid>,
}

/// Effects of an answer. Empty if it changes nothing.
///
/// Comments and `Seen` have no effects here. Fails with [`AnswerError::Closed`] if nothing is left to answer, and with
/// [`AnswerError::NoStep`].
pub fn answer(scene: &Scene, escalation: &Escalation, reply: &Reply, now: Timestamp) -> Result<Vec<Effect>, AnswerError> {
    let mut run = Run::new(scene, escalation, now);
    let closed = scene.view.incident.status == IncidentStatus::Closed || !escalation.is_open();
    match reply.action {
        Action::Comment { .. } | Action::Seen => {}
        Action::Close { .. } if closed => {}
        _ if closed => return Err(AnswerError::Closed),
        Action::Acknowledge => run.acknowledge(reply, false),
        Action::Take => run.acknowledge(reply, true),
        Action::Close { classification, comment } => {
            for alert in run.spoken_of(reply) {
                if responses::state_of(&run.responses, alert) < ResponseState::Resolved {
                    let (classification, comment) = (*classification, comment.clone());
                    let (state, by) = (ResponseState::Resolved, reply.user.to_owned());
                    run.respond(AlertResponse { alert, state, by, at: now, classification, comment });
                }
            }
            run.conclude(reply, None);
        }
        Action::Escalate { step } => run.escalate(reply, *step)?,
    }
    // An answer to a bundled page applies to all its incidents.
    if !run.effects.is_empty()
        && let Some(page) = reply.page
    {
        let within = scene.recent.iter().filter(|other| matches!(other.status, PageStatus::Bundled { into } if into == page));
        let also: Vec<Effect> = within.map(|other| Effect::AnswerAlso { incident: other.incident, page: other.id }).collect();
        run.effects.extend(also);
    }
    Ok(run.finish(escalation))
}

impl Run<'_> {
    fn spoken_of(&self, reply: &Reply) -> Vec<Uuid> {
        let subjects = self.scene.view.subjects();
        match reply.alerts {
            [] => subjects,
            alerts => subjects.into_iter().filter(|subject| alerts.contains(subject)).collect(),
        }
    }

    fn acknowledge(&mut self, reply: &Reply, take: bool) {
        for alert in self.spoken_of(reply) {
            if responses::state_of(&self.responses, alert) < ResponseState::Acknowledged {
                let (state, by) = (ResponseState::Acknowledged, reply.user.to_owned());
                self.respond(AlertResponse { alert, state, by, at: self.now, classification: None, comment: None });
            }
        }
        let owner = take.then(|| reply.user.to_owned()).filter(|user| self.state.taken_by.as_ref() != Some(user));
        if owner.is_some() {
            self.state.taken_by.clone_from(&owner);
        }
        self.conclude(reply, owner);
    }

    /// The combined result of all answers.
    fn conclude(&mut self, reply: &Reply, owner: Option<String>) {
        let subjects = self.scene.view.subjects();
        let least = responses::least(&self.responses, &subjects);
        let answered_before = self.effects.is_empty() && owner.is_none();
        if answered_before {
            return;
        }
        let mut change = responses::incident_change(&self.responses, &self.scene.view.incident);
        if let Some(owner) = owner {
            change.get_or_insert_with(IncidentChange::default).owner = Some(owner);
        }
        self.effects.extend(change.map(Effect::Incident));
        match least {
            ResponseState::Resolved => {
                self.state.answered_by = Some(reply.user.to_owned());
                self.closed(reply.user);
            }
            ResponseState::Acknowledged => {
                let known = matches!(&self.state.status, EscalationStatus::Acknowledged { by, .. } if by == reply.user);
                if !known {
                    self.state.answered_by = Some(reply.user.to_owned());
                    self.acknowledged(reply.user);
                }
            }
            // Alerts joined after the answered page and have not been looked at.
            ResponseState::Triggered => {
                self.restart("the answer speaks of a part of the alerts");
                self.steps();
            }
        }
    }

    /// Goes to the next step, or to the given one, now. Planned pages to the escalating user are dropped.
    fn escalate(&mut self, reply: &Reply, step: Option<u32>) -> Result<(), AnswerError> {
        let steps = self.state.plan.steps.len();
        let chosen = match step {
            Some(number) if number == 0 || number as usize > steps => return Err(AnswerError::NoStep(number)),
            Some(number) => Some(number as usize - 1),
            None => None,
        };
        let running = self.state.status == EscalationStatus::Running;
        let exhausted = matches!(self.state.status, EscalationStatus::Exhausted { .. });
        let target = chosen.unwrap_or(if exhausted { 0 } else { self.state.step });
        self.unanswer(reply.user);
        let because = format!("{} escalated", reply.user);
        self.drop_where(&because, |page| page.user == reply.user);
        self.note(because);
        // An earlier step is repeated in a new round.
        if !running || target < self.state.step {
            self.state.round += 1;
            self.state.first_round = self.state.round;
        }
        self.state.status = EscalationStatus::Running;
        self.state.answered_by = None;
        self.state.taken_by = None;
        self.state.subjects = self.scene.view.subjects();
        self.state.step = target;
        if target >= steps {
            // There is no next step: the round ends now.
            self.state.reached = None;
        }
        self.state.next = Some(self.now);
        self.steps();
        Ok(())
    }
}
