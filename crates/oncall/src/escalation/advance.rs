//! Due steps, rounds and the fallback; and the effects of incident changes on the escalation.

use model::{IncidentStatus, Span, Timestamp};
use uuid::Uuid;

use super::beginning::{begin, decide, held, raise, who_changed};
use super::{
    AlertResponse, ChannelClass, Effect, Escalation, EscalationStatus, IncidentChange, Page, PageStatus, ResponseState, Scene, class,
    responses, storm, targets,
};
use crate::directory::Target;
use crate::message::MessageKind;

/// All effects for an incident now. `escalation` is its newest escalation, if any.
pub fn follow(scene: &Scene, escalation: Option<&Escalation>, now: Timestamp) -> Vec<Effect> {
    let open = scene.view.incident.status != IncidentStatus::Closed;
    match escalation {
        None if open => start(scene, 0, now),
        None => Vec::new(),
        // It was closed and is open again: a user or an alert reopened it. Earlier answers no longer count.
        Some(last) if !last.is_open() && last.seen == IncidentStatus::Closed && open => {
            let generation = last.generation.saturating_add(1);
            let mut effects = triggered(scene, &who_changed(scene.view), now);
            let answered = scene.responses.iter().map(|response| AlertResponse { state: ResponseState::Triggered, ..response.clone() });
            let blank: Vec<AlertResponse> = answered.collect();
            effects.extend(start(&Scene { responses: &blank, ..*scene }, generation, now));
            effects
        }
        Some(last) => advance(scene, last, now),
    }
}

fn start(scene: &Scene, generation: u32, now: Timestamp) -> Vec<Effect> {
    let begun = begin(scene, generation, now);
    let mut run = Run::new(scene, &begun.escalation, now);
    run.effects.push(Effect::Note(begun.because));
    if let Some(severity) = begun.severity {
        run.effects.push(Effect::Incident(IncidentChange { severity: Some(severity), ..IncidentChange::default() }));
    }
    if let EscalationStatus::Acknowledged { by, .. } = &begun.escalation.status {
        run.respond_all(ResponseState::Acknowledged, by);
    }
    run.steps();
    run.effects.insert(0, Effect::State(Box::new(run.state)));
    run.effects
}

/// Effects for an escalation that has begun. Empty once they were applied.
pub fn advance(scene: &Scene, escalation: &Escalation, now: Timestamp) -> Vec<Effect> {
    let mut run = Run::new(scene, escalation, now);
    run.look();
    run.finish(escalation)
}

/// Resets all answered alerts, so that they need an answer again.
pub(super) fn triggered(scene: &Scene, by: &str, now: Timestamp) -> Vec<Effect> {
    let subjects = scene.view.subjects();
    let answered = subjects.iter().filter(|id| responses::state_of(scene.responses, **id) > ResponseState::Triggered);
    answered
        .map(|id| {
            let (state, by) = (ResponseState::Triggered, by.to_owned());
            Effect::Respond(AlertResponse { alert: *id, state, by, at: now, classification: None, comment: None })
        })
        .collect()
}

/// One evaluation of one escalation.
pub(super) struct Run<'a> {
    pub scene: &'a Scene<'a>,
    pub now: Timestamp,
    pub state: Escalation,
    pub effects: Vec<Effect>,
    /// Answers, including those added by this evaluation.
    pub responses: Vec<AlertResponse>,
    /// Pages added by this evaluation, which count towards rate limits.
    added: Vec<Page>,
}

impl<'a> Run<'a> {
    pub fn new(scene: &'a Scene<'a>, state: &Escalation, now: Timestamp) -> Self {
        Self { scene, now, state: state.clone(), effects: Vec::new(), responses: scene.responses.to_vec(), added: Vec::new() }
    }

    pub fn finish(mut self, before: &Escalation) -> Vec<Effect> {
        if self.state != *before {
            self.effects.insert(0, Effect::State(Box::new(self.state)));
        }
        self.effects
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.effects.push(Effect::Note(text.into()));
    }

    fn look(&mut self) {
        let status = self.scene.view.incident.status;
        let seen = std::mem::replace(&mut self.state.seen, status);
        match status {
            IncidentStatus::Closed => {
                self.closed_elsewhere();
                return;
            }
            IncidentStatus::Active if seen == IncidentStatus::New && !self.is_answered() => {
                let by = who_changed(self.scene.view);
                self.respond_all(ResponseState::Acknowledged, &by);
                self.acknowledged(&by);
            }
            IncidentStatus::New if seen == IncidentStatus::Active && self.is_answered() => {
                let by = who_changed(self.scene.view);
                self.unanswer(&by);
                self.restart(&format!("{by} set the incident back to New"));
            }
            _ => {}
        }
        match self.state.status.clone() {
            EscalationStatus::Closed { .. } => self.repeat_change(),
            EscalationStatus::Nobody { .. } => {
                if self.has_more_alerts() || self.scene.view.incident.severity > self.state.severity {
                    self.begin_again();
                }
            }
            EscalationStatus::Held { until, because } => match held(self.scene.directory, self.scene.view, self.now) {
                Some((end, reason)) => {
                    if (end, &reason) != (until, &because) {
                        self.state.next = Some(end);
                        self.state.status = EscalationStatus::Held { until: end, because: reason };
                    }
                }
                None => self.begin_again(),
            },
            EscalationStatus::Grouped { into } => self.grouped(into),
            EscalationStatus::Acknowledged { at, .. } => {
                if responses::least(&self.responses, &self.scene.view.subjects()) < ResponseState::Acknowledged {
                    self.restart("an alert joined after the answer");
                } else if self.state.plan.acknowledgement_expires.is_some_and(|after| at + after <= self.now) {
                    self.unanswer("expiry");
                    self.restart("the acknowledgement expired");
                } else {
                    // A clock that was set back must not extend it.
                    let longest = self.state.plan.acknowledgement_expires.map(|after| self.now + after);
                    if self.state.next > longest {
                        self.state.next = longest;
                        if let EscalationStatus::Acknowledged { at, .. } = &mut self.state.status {
                            *at = self.now;
                        }
                    }
                    self.repeat_change();
                }
            }
            EscalationStatus::Exhausted { .. } => {
                if self.has_more_alerts() {
                    self.restart("an alert joined");
                }
            }
            EscalationStatus::Running => {}
        }
        self.steps();
    }

    fn is_answered(&self) -> bool {
        matches!(self.state.status, EscalationStatus::Acknowledged { .. } | EscalationStatus::Closed { .. })
    }

    fn has_more_alerts(&self) -> bool {
        self.scene.view.subjects().iter().any(|id| !self.state.subjects.contains(id))
    }

    /// The incident does not reflect the answers yet: request the change again, in case a crash lost it.
    fn repeat_change(&mut self) {
        let change = responses::incident_change(&self.responses, &self.scene.view.incident);
        let taken_by = self.state.taken_by.clone();
        self.effects.extend(change.map(|change| Effect::Incident(IncidentChange { owner: taken_by.or(change.owner), ..change })));
    }

    pub fn respond_all(&mut self, state: ResponseState, by: &str) {
        for response in raise(&self.scene.view.subjects(), &self.responses, state, by, self.now) {
            self.respond(response);
        }
    }

    pub fn respond(&mut self, response: AlertResponse) {
        self.responses.retain(|known| known.alert != response.alert);
        self.responses.push(response.clone());
        self.effects.push(Effect::Respond(response));
    }

    pub fn unanswer(&mut self, by: &str) {
        let scene = Scene { responses: &self.responses, ..*self.scene };
        for effect in triggered(&scene, by, self.now) {
            if let Effect::Respond(response) = effect {
                self.respond(response);
            }
        }
    }

    fn begin_again(&mut self) {
        // Starts over: what was held back is paged even if the incident is already being worked on.
        let begun = decide(self.scene, self.state.generation, false, self.now);
        // Waits of a held escalation count from the end of the hold.
        let wait = begun.escalation.plan.steps.first().map(|step| step.after).unwrap_or_default();
        let next = begun.escalation.next.map(|next| match begun.escalation.status {
            EscalationStatus::Running => next.max(self.now + wait),
            _ => next,
        });
        self.drop_planned("it begins again");
        let (round, first_round) = (self.state.round, self.state.first_round);
        self.state = Escalation { next, round, first_round, ..begun.escalation };
        self.note(begun.because);
        if let Some(severity) = begun.severity {
            self.effects.push(Effect::Incident(IncidentChange { severity: Some(severity), ..IncidentChange::default() }));
        }
    }

    /// Restarts from the first step in a new round.
    pub fn restart(&mut self, because: &str) {
        if self.state.policy.is_empty() {
            self.begin_again();
            return;
        }
        if let Some((until, reason)) = held(self.scene.directory, self.scene.view, self.now) {
            self.state.status = EscalationStatus::Held { until, because: reason };
            self.state.next = Some(until);
            self.state.round += 1;
            self.state.first_round = self.state.round;
            return;
        }
        let wait = self.state.plan.steps.first().map(|step| step.after).unwrap_or_default();
        if !self.state.severity_chosen {
            self.state.severity = self.scene.view.incident.severity;
        }
        self.drop_planned("it begins again");
        self.state.status = EscalationStatus::Running;
        self.state.round += 1;
        self.state.first_round = self.state.round;
        self.state.step = 0;
        self.state.reached = None;
        self.state.answered_by = None;
        self.state.taken_by = None;
        self.state.subjects = self.scene.view.subjects();
        self.state.next = Some(self.now + wait);
        self.note(because);
    }

    fn closed_elsewhere(&mut self) {
        if matches!(self.state.status, EscalationStatus::Closed { .. }) {
            return;
        }
        let by = who_changed(self.scene.view);
        self.respond_all(ResponseState::Resolved, &by);
        self.closed(&by);
    }

    pub fn acknowledged(&mut self, by: &str) {
        self.state.status = EscalationStatus::Acknowledged { by: by.to_owned(), at: self.now };
        self.state.next = self.state.plan.acknowledgement_expires.map(|after| self.now + after);
        self.state.subjects = self.scene.view.subjects();
        self.drop_planned(&format!("{by} acknowledged"));
        self.tell(MessageKind::Acknowledged, by);
        self.note(format!("{by} acknowledged"));
    }

    pub fn closed(&mut self, by: &str) {
        self.state.status = EscalationStatus::Closed { at: self.now };
        self.state.next = None;
        self.drop_planned(&format!("{by} closed it"));
        self.tell(MessageKind::Closed, by);
        self.note(format!("{by} closed it"));
    }

    /// Follows the state of the escalation it was merged into.
    fn grouped(&mut self, into: Uuid) {
        let leader = self.scene.others.iter().find(|other| other.id == into);
        let answer = leader.and_then(|leader| match &leader.status {
            EscalationStatus::Acknowledged { by, at } => Some((by.clone(), *at)),
            EscalationStatus::Closed { at } => leader.answered_by.clone().map(|by| (by, *at)),
            _ => None,
        });
        let gone = leader.is_none_or(|leader| !leader.is_open());
        if let Some(EscalationStatus::Grouped { into }) = leader.map(|leader| &leader.status) {
            self.state.status = EscalationStatus::Grouped { into: *into };
            return;
        }
        match answer {
            Some((by, at)) if self.state.began <= at => {
                self.state.answered_by = Some(by.clone());
                self.respond_all(ResponseState::Acknowledged, &by);
                self.acknowledged(&by);
                self.repeat_change();
            }
            Some(_) => self.take_over(into),
            None if gone => self.take_over(into),
            None => {}
        }
    }

    /// The oldest of the merged escalations takes over.
    fn take_over(&mut self, into: Uuid) {
        // Another of the group may have taken over already.
        let speaks = |other: &&Escalation| {
            other.group == self.state.group && matches!(other.status, EscalationStatus::Running | EscalationStatus::Held { .. })
        };
        if let Some(other) = self.scene.others.iter().filter(speaks).min_by_key(|other| (other.began, other.id)) {
            self.state.status = EscalationStatus::Grouped { into: other.id };
            return;
        }
        let peers = self.scene.others.iter().filter(|other| matches!(other.status, EscalationStatus::Grouped { into: to } if to == into));
        let heir = peers.filter(|peer| (peer.began, peer.id) < (self.state.began, self.state.id)).min_by_key(|peer| (peer.began, peer.id));
        match heir {
            Some(heir) => self.state.status = EscalationStatus::Grouped { into: heir.id },
            None => {
                let wait = self.state.plan.steps.first().map(|step| step.after).unwrap_or_default();
                self.state.status = EscalationStatus::Running;
                self.state.next = Some(self.now + wait);
                self.note("the incident that spoke for it is closed");
            }
        }
    }

    /// Takes due steps.
    pub fn steps(&mut self) {
        let mut taken = 0;
        while self.state.status == EscalationStatus::Running {
            let Some(next) = self.state.next else { break };
            let wait = self.wait();
            if next > self.now + wait {
                self.state.next = Some(self.now + wait);
            }
            // Each step and round is taken at most once per evaluation; the limit is for unvalidated policies.
            if self.state.next.is_none_or(|next| next > self.now) || taken > 10_000 {
                break;
            }
            taken += 1;
            self.take();
        }
        self.replan();
    }

    /// The policy's wait before the next step.
    fn wait(&self) -> Span {
        let plan = &self.state.plan;
        plan.steps.get(self.state.step).map_or_else(|| plan.round_wait(), |step| step.after.max(Span::ZERO))
    }

    fn take(&mut self) {
        let plan = self.state.plan.clone();
        if let Some(step) = plan.steps.get(self.state.step) {
            let reached = self.reach(&step.targets, self.state.step);
            if reached {
                self.state.reached = Some(self.now);
            } else {
                self.note(format!("step {} reaches nobody", self.state.step + 1));
            }
            self.state.step += 1;
            let ends = self.state.reached.map_or(self.now, |at| (at + plan.round_wait()).max(self.now));
            self.state.next = Some(match plan.steps.get(self.state.step) {
                Some(next) if reached => self.now + next.after.max(Span::ZERO),
                // A step without recipients costs no time …
                Some(_) => self.now,
                // … but users notified in this round get their full wait.
                None => ends,
            });
        } else if self.state.round.saturating_sub(self.state.first_round) < plan.repeat {
            self.state.round += 1;
            self.state.step = 0;
            self.state.reached = None;
            self.state.next = Some(self.now);
            self.note(format!("nobody answered: round {}", self.state.round - self.state.first_round + 1));
        } else {
            let at = self.state.step;
            if plan.fallback.is_empty() {
                self.note("nobody answered, and there is no fallback");
            } else if self.reach(&plan.fallback, at) {
                self.note("nobody answered: fallback");
            } else {
                self.note("nobody answered, and the fallback reaches nobody");
            }
            self.state.status = EscalationStatus::Exhausted { at: self.now };
            self.state.next = None;
        }
    }

    /// Plans the pages of one step; returns whether there are any.
    fn reach(&mut self, targets: &[Target], step: usize) -> bool {
        let (reached, notes) = targets::reached(self.scene, targets, self.state.severity, self.now);
        notes.into_iter().for_each(|note| self.note(note));
        let any = !reached.is_empty();
        for reach in reached {
            let key = format!("page {} {step} {}\u{1f}{}\u{1f}{}", self.state.round, reach.user, reach.contact_name, reach.nth);
            let due = self.now + reach.after;
            // Pages dropped by this evaluation do not count and are not bundled into.
            let dropped =
                |page: &&Page| self.effects.iter().any(|effect| matches!(effect, Effect::Drop { page: id, .. } if *id == page.id));
            let others = || self.scene.recent.iter().chain(self.scene.pages).chain(&self.added).filter(|page| !dropped(page));
            let mut page = Page {
                id: Uuid::new_v5(&self.state.id, key.as_bytes()),
                escalation: self.state.id,
                incident: self.state.incident,
                kind: MessageKind::Page,
                round: self.state.round,
                step,
                reply_code: storm::reply_code(self.state.id, &reach.user, &reach.contact.address, others()),
                user: reach.user,
                contact: reach.contact_name,
                channel: reach.contact.channel,
                address: reach.contact.address,
                because: reach.because,
                due,
                wait: reach.after,
                alerts: self.scene.view.subjects(),
                attempts: 0,
                status: PageStatus::Planned { not_before: due },
                troubles: Vec::new(),
            };
            storm::admit(&mut page, self.state.severity, others());
            self.plan(page);
        }
        any
    }

    fn plan(&mut self, page: Page) {
        if !self.scene.pages.iter().any(|known| known.id == page.id) {
            self.added.push(page.clone());
            self.effects.push(Effect::Page(Box::new(page)));
        }
    }

    /// Drops waiting pages. Of the pages bundled into a dropped one, the first is sent in its place, and the others are bundled into it.
    pub fn drop_planned(&mut self, because: &str) {
        self.drop_where(because, |_| true);
    }

    /// As [`Self::drop_planned`], for matching pages.
    pub fn drop_where(&mut self, because: &str, which: impl Fn(&Page) -> bool) {
        let goes = |page: &Page| {
            page.kind == MessageKind::Page
                && matches!(page.status, PageStatus::Planned { .. } | PageStatus::Bundled { .. })
                && page.escalation == self.state.id
                && which(page)
        };
        let mut effects = Vec::new();
        for page in self.scene.pages.iter().filter(|page| goes(page)) {
            effects.push(Effect::Drop { page: page.id, because: because.to_owned() });
            let PageStatus::Planned { not_before } = page.status else { continue };
            let all = self.scene.pages.iter().chain(self.scene.recent);
            let mut within = all.filter(|other| !goes(other) && matches!(other.status, PageStatus::Bundled { into } if into == page.id));
            if let Some(first) = within.next() {
                effects.push(Effect::Replan { page: first.id, not_before });
                effects.extend(within.map(|other| Effect::Bundle { page: other.id, into: first.id }));
            }
        }
        self.effects.extend(effects);
    }

    /// A clock that was set back must not delay planned pages beyond their rules.
    fn replan(&mut self) {
        if self.state.status != EscalationStatus::Running {
            return;
        }
        for page in self.scene.pages {
            if let PageStatus::Planned { not_before } = page.status
                && page.attempts == 0
                && not_before == page.due
                && not_before > self.now + page.wait
            {
                self.effects.push(Effect::Replan { page: page.id, not_before: self.now + page.wait });
            }
        }
    }

    /// Notifies paged users once that no answer is needed. Machine channels receive every change, people only the first; phones are not
    /// called.
    pub fn tell(&mut self, kind: MessageKind, by: &str) {
        let mut told: Vec<(&str, &str)> = Vec::new();
        let heard = |page: &Page| {
            !matches!(
                page.status,
                PageStatus::Planned { .. } | PageStatus::Bundled { .. } | PageStatus::Dropped { .. } | PageStatus::Failed { .. }
            )
        };
        for page in self.scene.pages.iter().filter(|page| page.kind == MessageKind::Page && heard(page)) {
            let contact = (page.user.as_str(), page.contact.as_str());
            let wanted = match class(&page.channel) {
                ChannelClass::Machine => true,
                ChannelClass::Voice => false,
                ChannelClass::Sms | ChannelClass::Screen => page.round >= self.state.first_round && page.user != by && !self.told(page),
            };
            if !wanted || told.contains(&contact) {
                continue;
            }
            told.push(contact);
            let key = format!("{kind:?} {} {}\u{1f}{}", self.state.first_round, page.user, page.contact);
            let news = Page {
                id: Uuid::new_v5(&self.state.id, key.as_bytes()),
                kind,
                round: self.state.round,
                step: self.state.step,
                because: format!("{by} answered"),
                due: self.now,
                wait: Span::ZERO,
                reply_code: String::new(),
                attempts: 0,
                status: PageStatus::Planned { not_before: self.now },
                troubles: Vec::new(),
                ..page.clone()
            };
            if !self.scene.pages.iter().any(|known| known.id == news.id) {
                self.effects.push(Effect::Page(Box::new(news)));
            }
        }
    }

    /// Whether this contact was already notified of an answer in this run.
    fn told(&self, page: &Page) -> bool {
        self.scene.pages.iter().any(|known| {
            matches!(known.kind, MessageKind::Acknowledged | MessageKind::Closed)
                && known.round >= self.state.first_round
                && (&known.user, &known.contact) == (&page.user, &page.contact)
        })
    }
}
