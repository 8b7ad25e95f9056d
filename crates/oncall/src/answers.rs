//! Processes answers: finds subject and user, decides, and stores the result in one transaction; changes of the incident go through
//! [`crate::wishes`].

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Actor, Clock, Incident, IncidentStatus, Timestamp, chain};
use serde_json::json;
use store::{AuditEntry, Change, PageFilter, Store, StoreError};
use uuid::Uuid;

use crate::answer::{Action, Answer, AnswerError, Answered, Answers, Subject};
use crate::desk::{Deed, Wish};
use crate::directory::Directory;
use crate::escalation::{Effect, Escalation, Page, PageStatus, Reply, answer, follow};
use crate::ledger::{self, Moment};
use crate::message::MessageKind;
use crate::objects::Objects;
use crate::records;
use crate::wishes::Wishes;

/// Maximum number of pages searched for a code or address.
const LOOKED_THROUGH: u32 = 200;

/// Processes answers from all channels.
pub struct Answering {
    pub store: Store,
    pub objects: Arc<Objects>,
    pub clock: Arc<dyn Clock>,
    pub wishes: Arc<Wishes>,
}

/// The resolved subject of an answer.
struct Target {
    incident: Uuid,
    page: Option<Page>,
    /// Empty for all alerts of the incident.
    alerts: Vec<Uuid>,
}

#[async_trait]
impl Answers for Answering {
    async fn answer(&self, answer: Answer) -> Result<Answered, AnswerError> {
        let directory = self.objects.directory().await?;
        let target = self.find(&answer.subject).await?;
        let user = match (&answer.user, &target.page) {
            (Some(user), _) => known(&directory, user).ok_or_else(|| AnswerError::NoUser(user.clone()))?,
            (None, Some(page)) => page.user.clone(),
            (None, None) => return Err(AnswerError::NoUser(String::new())),
        };
        let author = ledger::author(&user, directory.users.get(&user), answer.via.name(), answer.from.clone());
        let answered = self.take(&directory, &target, &user, &author, &answer.action).await?;
        // Apply the change now, so that the user sees it; failures are retried by the task.
        if let Err(error) = self.wishes.activate().await {
            tracing::warn!(error = chain(&error), "what was answered is carried out later");
        }
        Ok(answered)
    }
}

impl Answering {
    async fn find(&self, subject: &Subject) -> Result<Target, AnswerError> {
        let of_incident = |incident: &Incident| Target { incident: incident.id, page: None, alerts: Vec::new() };
        match subject {
            Subject::Page(id) => {
                let row = self.store.pages().get(*id).await?.ok_or(AnswerError::NoPage(*id))?;
                of_page(records::page(row)?).ok_or(AnswerError::NoPage(*id))
            }
            Subject::Incident(id) => {
                let incident = self.store.incidents().get(*id).await?;
                incident.as_ref().map(of_incident).ok_or_else(|| AnswerError::NoIncident(format!("`{id}`")))
            }
            Subject::IncidentNumber(number) => {
                let incident = self.store.incidents().numbered(*number).await?;
                incident.as_ref().map(of_incident).ok_or_else(|| AnswerError::NoIncident(number.to_string()))
            }
            Subject::Alert(id) => {
                let incidents = self.store.incidents().of_alert(*id).await?;
                let open = incidents.iter().rev().find(|incident| incident.status != IncidentStatus::Closed);
                let incident = open.or(incidents.last()).ok_or_else(|| AnswerError::NoIncident(format!("with alert `{id}`")))?;
                Ok(Target { alerts: vec![*id], ..of_incident(incident) })
            }
            Subject::ReplyCode { code, address } => {
                let filter = PageFilter { reply_code: Some(code.clone()), address: Some(address.clone()), ..PageFilter::default() };
                self.newest(&filter).await?.ok_or_else(|| AnswerError::NoSuchCode(code.clone()))
            }
            Subject::Newest { address } => {
                let filter = PageFilter { address: Some(address.clone()), ..PageFilter::default() };
                self.newest(&filter).await?.ok_or_else(|| AnswerError::NoSuchCode(String::new()))
            }
        }
    }

    /// The newest sent page with an open incident, or else the newest sent page.
    async fn newest(&self, filter: &PageFilter) -> Result<Option<Target>, StoreError> {
        let mut fallback = None;
        for page in records::pages(self.store.pages().list(filter, LOOKED_THROUGH).await?)? {
            let unsent = matches!(page.status, PageStatus::Planned { .. } if page.attempts == 0);
            if page.kind != MessageKind::Page || unsent || matches!(page.status, PageStatus::Dropped { .. } | PageStatus::Bundled { .. }) {
                continue;
            }
            let incident = self.store.incidents().get(page.incident).await?;
            let open = incident.is_some_and(|incident| incident.status != IncidentStatus::Closed);
            let Some(target) = of_page(page) else { continue };
            if open {
                return Ok(Some(target));
            }
            fallback = fallback.or(Some(target));
        }
        Ok(fallback)
    }

    /// Applies the answer to its incident and to those bundled into the answered page.
    async fn take(
        &self,
        directory: &Directory,
        target: &Target,
        user: &str,
        author: &Actor,
        action: &Action,
    ) -> Result<Answered, AnswerError> {
        let mut change = self.store.begin().await?;
        let now = self.clock.now();
        let mut queue = VecDeque::from([(target.incident, target.page.clone(), target.alerts.clone())]);
        let mut first: Option<(Incident, bool, bool)> = None;
        let mut seen = Vec::new();
        while let Some((incident, page, alerts)) = queue.pop_front() {
            if seen.contains(&incident) {
                continue;
            }
            seen.push(incident);
            let Some(mut moment) = Moment::read(&mut change, incident, now).await? else {
                if first.is_none() {
                    return Err(AnswerError::NoIncident(format!("`{incident}`")));
                }
                continue;
            };
            let ended = moment.escalation.as_ref().is_none_or(|last| !last.is_open() && last.seen == IncidentStatus::Closed);
            if ended && moment.view.incident.status != IncidentStatus::Closed {
                // The incident was just opened or reopened and not processed yet: start its escalation, so that there is something to
                // answer.
                let effects = moment.decide(directory, |scene| follow(scene, moment.escalation.as_ref(), now));
                ledger::write(&mut change, directory, incident, effects, &ledger::task(), now).await?;
                moment = Moment::read(&mut change, incident, now).await?.unwrap_or(moment);
            }
            // A link or code from before a reopening does not apply to the reopened incident.
            if let (Some(page), Some(course)) = (&page, &moment.escalation)
                && page.escalation != course.id
                && !matches!(action, Action::Comment { .. } | Action::Seen)
            {
                if first.is_none() {
                    return Err(AnswerError::Reopened);
                }
                continue;
            }
            let mut effects = Vec::new();
            match (&moment.escalation, action) {
                (_, Action::Comment { .. } | Action::Seen) => {}
                (Some(escalation), _) => {
                    let reply = Reply { user, action, alerts: &alerts, page: page.as_ref().map(|page| page.id) };
                    match moment.decide(directory, |scene| answer(scene, escalation, &reply, now)) {
                        Ok(decided) => effects = decided,
                        Err(error) if first.is_none() => return Err(error),
                        // A bundled incident that was closed meanwhile.
                        Err(_) => continue,
                    }
                }
                (None, Action::Close { .. }) => {}
                (None, _) => return Err(AnswerError::Closed),
            }
            let before = moment.escalation.clone();
            let mut changed = !effects.is_empty();
            let complete = effects.iter().any(|effect| matches!(effect, Effect::Incident(wanted) if wanted.status.is_some()));
            if changed {
                record(&mut change, incident, before.as_ref(), &effects, action, author, now).await?;
            }
            for (other, page) in ledger::write(&mut change, directory, incident, effects, author, now).await? {
                if let Some(row) = change.page(page).await? {
                    let page = records::page(row)?;
                    let alerts = page.alerts.clone();
                    queue.push_back((other, Some(page), alerts));
                }
            }
            if first.is_none() {
                if let Action::Comment { text } = action {
                    comment(&mut change, incident, text, author, now).await?;
                    changed = true;
                }
                if let Some(page) = &page {
                    changed |= saw(&mut change, page.id, now).await? && *action == Action::Seen;
                }
                first = Some((moment.view.incident, changed, complete));
            }
        }
        let Some((incident, changed, complete)) = first else { return Err(AnswerError::NoIncident(format!("`{}`", target.incident))) };
        change.commit().await?;
        metrics::counter!("bartizan_answers_total", "via" => author.via.clone()).increment(1);
        let says = says(action, &incident, changed, complete);
        Ok(Answered { incident: incident.id, number: incident.number, title: incident.title, changed, says })
    }
}

fn of_page(page: Page) -> Option<Target> {
    (!page.incident.is_nil()).then(|| Target { incident: page.incident, alerts: page.alerts.clone(), page: Some(page) })
}

/// The directory name of a user given by that name, Sentinel identity or email address.
fn known(directory: &Directory, name: &str) -> Option<String> {
    if directory.users.contains_key(name) {
        return Some(name.to_owned());
    }
    let is = |value: &Option<String>| value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(name));
    let users = directory.users.iter();
    let mut found = users
        .filter(|(key, user)| key.eq_ignore_ascii_case(name) || is(&user.email) || is(&user.user_principal_name) || is(&user.object_id));
    // An email address shared by several users is ambiguous.
    match (found.next(), found.next()) {
        (Some((key, _)), None) => Some(key.clone()),
        _ => None,
    }
}

async fn comment(change: &mut Change, incident: Uuid, text: &str, author: &Actor, now: Timestamp) -> Result<(), StoreError> {
    let deed = Deed::Comment { text: crate::paging::shortened(text.trim(), 30_000) };
    let wish = Wish { id: Uuid::new_v4(), incident, at: now, actor: author.clone(), deed };
    change.add_wish(wish.id, incident, &records::write("wish for an incident", &wish)?).await.map(drop)
}

/// Marks an answered page as seen. Returns whether that changed it.
async fn saw(change: &mut Change, page: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    let Some(row) = change.page(page).await? else { return Ok(false) };
    let mut page = records::page(row)?;
    let arrived = match page.status {
        PageStatus::Claimed { .. } | PageStatus::Sent { .. } | PageStatus::Delivered { .. } | PageStatus::Doubtful { .. } => true,
        // Assumed lost and due for a retry, but delivered after all.
        PageStatus::Planned { .. } => page.attempts > 0,
        _ => false,
    };
    if arrived {
        page.status = PageStatus::Seen { at: now };
        change.update_page(&records::page_row(&page)?).await?;
    }
    Ok(arrived)
}

/// Writes the audit entry of an answer.
async fn record(
    change: &mut Change,
    incident: Uuid,
    before: Option<&Escalation>,
    effects: &[Effect],
    action: &Action,
    author: &Actor,
    now: Timestamp,
) -> Result<(), StoreError> {
    let after = effects.iter().find_map(|effect| match effect {
        Effect::State(escalation) => Some(records::status_name(&escalation.status)),
        _ => None,
    });
    let responses: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Respond(response) => Some(json!({ "alert": response.alert, "state": response.state })),
            _ => None,
        })
        .collect();
    let status = before.map(|before| records::status_name(&before.status));
    let entry = AuditEntry {
        at: now,
        aggregate: "escalation".to_owned(),
        id: incident.to_string(),
        action: "answered".to_owned(),
        actor: author.clone(),
        changes: json!({ "answer": [null, action], "status": [status, after.or(status)], "alerts": [null, responses] }),
    };
    change.record(&entry).await
}

/// One sentence for the user.
fn says(action: &Action, incident: &Incident, changed: bool, complete: bool) -> String {
    let number = incident.number;
    match (action, changed) {
        (Action::Seen, _) => format!("Noted: you saw incident {number}."),
        (Action::Comment { .. }, _) => format!("Your remark stands in the thread of incident {number}."),
        (Action::Acknowledge, true) if complete || incident.status != IncidentStatus::New => {
            format!("Acknowledged: incident {number} is in your hands.")
        }
        (Action::Acknowledge, true) => {
            format!("Acknowledged what you were told of; alerts of incident {number} that came later still wait for an answer.")
        }
        (Action::Take, true) => format!("Taken: incident {number} is yours."),
        (Action::Escalate { step: None }, _) => format!("Escalated: incident {number} goes to the next step now."),
        (Action::Escalate { step: Some(step) }, _) => format!("Escalated: incident {number} goes to step {step} now."),
        (Action::Close { .. }, true) if complete => format!("Closed: incident {number} is dealt with."),
        (Action::Close { .. }, true) => {
            format!("Noted as dealt with; incident {number} closes when its other alerts are dealt with too.")
        }
        (Action::Acknowledge, false) => format!("Incident {number} was acknowledged before; nothing changed."),
        (Action::Take, false) => format!("Incident {number} is yours already; nothing changed."),
        (Action::Close { .. }, false) => format!("Incident {number} was closed before; nothing changed."),
    }
}
