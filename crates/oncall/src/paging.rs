//! The paging task: evaluates each changed incident and each due escalation, and records the effects. [`crate::sending`] sends pages,
//! [`crate::wishes`] changes incidents.
//!
//! Crash-safe: an incident is removed from the queue in the transaction that evaluates it, and a repeated evaluation has the same result
//! (ids are derived from their subjects).

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Clock, Comment, Span, Timestamp, chain};
use store::{Change, PageFilter, Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::directory::Directory;
use crate::escalation::{Escalation, EscalationStatus, Page, PageStatus, follow};
use crate::ledger::{self, Moment, Shared};
use crate::message::MessageKind;
use crate::objects::Objects;
use crate::records;
use crate::waiting::Waiting;

/// Incidents per transaction: few, so that the first of a storm does not wait for the rest.
const AT_ONCE: u32 = 20;
/// An escalation that is due without effects is a bug; it must not cause a busy loop.
const DEFECT_PAUSE: Span = Span(30 * model::TICKS_PER_SECOND);
/// Older comments do not notify anyone.
const NEWS: Span = Span(model::TICKS_PER_HOUR);

/// Evaluates incidents. Idempotent, but must not run concurrently.
pub struct Paging {
    pub store: Store,
    pub objects: Arc<Objects>,
    pub clock: Arc<dyn Clock>,
}

impl Paging {
    /// Runs until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        let bells = [Topic::Incidents, Topic::OnCall, Topic::Pages].map(|topic| self.store.listen(topic));
        let mut waiting = Waiting::new(bells, self.clock.clone(), cancel);
        let mut known: Option<Shared> = None;
        while !waiting.cancelled() {
            waiting.hear();
            let go_on = match self.activate(&mut known).await {
                Ok(next) => waiting.idle(next).await,
                Err(error) => {
                    tracing::error!(error = chain(&error), "incidents are not followed; trying again");
                    waiting.retry().await
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Evaluates everything changed or due; returns when the next evaluation is due. `known` is the directory of the last run.
    pub async fn activate(&self, known: &mut Option<Shared>) -> Result<Option<Timestamp>, StoreError> {
        let directory = self.objects.directory().await?;
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &directory)) {
            // Maintenance may have been cancelled, or another window may have begun.
            let held = self.store.escalations().list(Some("held"), 10_000).await?;
            self.look_at(&directory, held.iter().map(|row| (None, row.incident)).collect()).await?;
            *known = Some(directory.clone());
        }
        loop {
            let changed = self.store.escalations().to_look_at(AT_ONCE).await?;
            if changed.is_empty() {
                break;
            }
            self.look_at(&directory, changed.into_iter().map(|(seq, incident)| (Some(seq), incident)).collect()).await?;
        }
        loop {
            let due = self.store.escalations().due(self.clock.now(), AT_ONCE).await?;
            if due.is_empty() {
                return self.store.escalations().next_due().await;
            }
            self.look_at(&directory, due.iter().map(|row| (None, row.incident)).collect()).await?;
        }
    }

    /// Evaluates incidents in one transaction; if that fails, each in its own, so that a broken one does not block the others.
    async fn look_at(&self, directory: &Shared, incidents: Vec<(Option<i64>, Uuid)>) -> Result<(), StoreError> {
        for some in incidents.chunks(AT_ONCE as usize) {
            match self.look_together(directory, some).await {
                Err(StoreError::Corrupt { .. }) if some.len() > 1 => {
                    for one in some {
                        if let Err(error) = self.look_together(directory, std::slice::from_ref(one)).await {
                            self.set_aside(*one, error).await?;
                        }
                    }
                }
                Err(error) => match some {
                    [one] => self.set_aside(*one, error).await?,
                    _ => return Err(error),
                },
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn look_together(&self, directory: &Directory, incidents: &[(Option<i64>, Uuid)]) -> Result<(), StoreError> {
        let mut change = self.store.begin().await?;
        let mut queue: Vec<Uuid> = incidents.iter().map(|(_, incident)| *incident).collect();
        let mut seen = BTreeSet::new();
        while let Some(incident) = queue.pop() {
            if seen.insert(incident) {
                queue.extend(self.look(&mut change, directory, incident).await?);
            }
        }
        for seq in incidents.iter().filter_map(|(seq, _)| *seq) {
            change.looked_at(seq).await?;
        }
        change.commit().await
    }

    /// Evaluates one incident; returns other incidents affected.
    async fn look(&self, change: &mut Change, directory: &Directory, incident: Uuid) -> Result<Vec<Uuid>, StoreError> {
        let now = self.clock.now();
        let Some(moment) = Moment::read(change, incident, now).await? else {
            end(change, incident, now).await?;
            return Ok(Vec::new());
        };
        let effects = moment.decide(directory, |scene| follow(scene, moment.escalation.as_ref(), now));
        let moved = !effects.is_empty();
        ledger::write(change, directory, incident, effects, &ledger::task(), now).await?;
        if moment.view.incident.comments_count > 0 {
            mentions(change, directory, &moment, now).await?;
        }
        if !moved {
            self.rest(change, incident, now).await?;
        }
        Ok(if moved { moment.followers() } else { Vec::new() })
    }

    /// Postpones a due escalation without effects.
    async fn rest(&self, change: &mut Change, incident: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let Some(mut row) = change.escalations_of(incident).await?.pop() else { return Ok(()) };
        if row.due.is_some_and(|due| due <= now) {
            tracing::warn!(%incident, escalation = %row.id, "an escalation was due and had nothing to do");
            row.due = Some(now + DEFECT_PAUSE);
            change.put_escalation(&row).await?;
        }
        Ok(())
    }

    /// Skips an incident that cannot be evaluated, and logs an error.
    async fn set_aside(&self, (seq, incident): (Option<i64>, Uuid), error: StoreError) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Corrupt { .. }) {
            return Err(error);
        }
        tracing::error!(%incident, error = chain(&error), "this incident cannot be followed and pages nobody");
        metrics::counter!("bartizan_incidents_not_followed_total").increment(1);
        let mut change = self.store.begin().await?;
        for mut row in change.escalations_of(incident).await? {
            row.due = None;
            change.put_escalation(&row).await?;
        }
        if let Some(seq) = seq {
            change.looked_at(seq).await?;
        }
        change.commit().await
    }
}

/// The incident was deleted: drops its pages.
async fn end(change: &mut Change, incident: Uuid, now: Timestamp) -> Result<(), StoreError> {
    for row in change.escalations_of(incident).await? {
        let escalation = records::escalation(row)?;
        if escalation.is_open() {
            let closed = Escalation { status: EscalationStatus::Closed { at: now }, next: None, ..escalation };
            change.put_escalation(&records::escalation_row(&closed)?).await?;
        }
    }
    for row in change.pages(&PageFilter { incident: Some(incident), ..PageFilter::default() }).await? {
        let mut page = records::page(row)?;
        if matches!(page.status, PageStatus::Planned { .. } | PageStatus::Bundled { .. }) {
            page.status = PageStatus::Dropped { at: now, because: "the incident was deleted".to_owned() };
            change.update_page(&records::page_row(&page)?).await?;
        }
    }
    Ok(())
}

/// Notifies users mentioned in comments (S2-14), once per comment.
async fn mentions(change: &mut Change, directory: &Directory, moment: &Moment, now: Timestamp) -> Result<(), StoreError> {
    let incident = &moment.view.incident;
    let comments: Vec<Comment> = change.parts(incident.id).await?;
    for comment in comments.iter().filter(|comment| comment.created + NEWS > now) {
        for name in named(&comment.message, directory) {
            let Some((contact, reached)) = directory.users.get(name).and_then(first_contact) else { continue };
            let page = Page {
                id: Uuid::new_v5(&incident.id, format!("mention {} {name}", comment.id).as_bytes()),
                escalation: moment.escalation.as_ref().map(|escalation| escalation.id).unwrap_or_default(),
                incident: incident.id,
                kind: MessageKind::Mention,
                round: 0,
                step: 0,
                user: name.to_owned(),
                contact: contact.to_owned(),
                channel: reached.channel.clone(),
                address: reached.address.clone(),
                because: format!("{}: {}", comment.author.name, shortened(&comment.message, 500)),
                due: now,
                wait: Span::ZERO,
                alerts: Vec::new(),
                reply_code: String::new(),
                attempts: 0,
                status: PageStatus::Planned { not_before: now },
                troubles: Vec::new(),
            };
            change.add_page(&records::page_row(&page)?).await?;
        }
    }
    Ok(())
}

/// Users mentioned in a text with `@`, without duplicates. An email address is not a mention.
pub fn named<'a>(text: &str, directory: &'a Directory) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    let mut before = ' ';
    for (index, c) in text.char_indices() {
        if c == '@' && !before.is_alphanumeric() {
            let rest = &text[index + 1..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(rest.len());
            // A trailing full stop is more likely the end of the sentence.
            let name = rest[..end].trim_end_matches('.');
            if let Some((name, _)) = directory.users.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
                && !found.contains(&name.as_str())
            {
                found.push(name);
            }
        }
        before = c;
    }
    found
}

/// The user's first contact by their rules, or else any contact.
pub(crate) fn first_contact(user: &crate::directory::User) -> Option<(&str, &crate::directory::Contact)> {
    let by_rule = user.rules.iter().min_by_key(|rule| rule.after).and_then(|rule| user.contacts.get_key_value(&rule.contact));
    by_rule.or_else(|| user.contacts.iter().next()).map(|(name, contact)| (name.as_str(), contact))
}

pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_with_an_at_sign() {
        let directory = crate::document::parse("x", "users: {ann: {name: Ann}, bo.berg: {name: Bo}}").unwrap();
        for (text, expected) in [
            ("@ann look", vec!["ann"]),
            ("look, @Ann.", vec!["ann"]),
            ("(@bo.berg, @ann, @ann)", vec!["bo.berg", "ann"]),
            ("mail ann@ann or x@bo.berg", vec![]),
            ("@anna @ @@", vec![]),
            ("åå@ann @ann…", vec!["ann"]),
        ] {
            assert_eq!(named(text, &directory), expected, "{text}");
        }
    }
}
