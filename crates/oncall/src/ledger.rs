//! Connects decisions with the store: loads their input within a transaction and writes their effects in the same one.

use std::sync::Arc;

use model::{Actor, Timestamp};
use serde_json::json;
use store::{AuditEntry, Change, PageFilter, StoreError};
use uuid::Uuid;

use crate::desk::{Deed, DeskChange, TASK, Wish};
use crate::directory::{Directory, User};
use crate::escalation::{AlertResponse, Effect, Escalation, Holder, IncidentChange, IncidentView, Page, PageStatus, RECENT, Scene};
use crate::records;

/// Maximum pages and escalations of other incidents loaded for a decision. In a larger storm the oldest are ignored, since loading them
/// would delay new pages.
const OTHERS: u32 = 300;

/// Maximum retries when a drawn code is in use.
const CODE_DRAWS: u32 = 20;

/// State of an incident at one time.
pub(crate) struct Moment {
    pub view: IncidentView,
    /// The newest.
    pub escalation: Option<Escalation>,
    responses: Vec<AlertResponse>,
    pages: Vec<Page>,
    recent: Vec<Page>,
    others: Vec<Escalation>,
}

impl Moment {
    /// `None` if the incident does not exist (any more).
    pub async fn read(change: &mut Change, incident: Uuid, now: Timestamp) -> Result<Option<Self>, StoreError> {
        let Some(found) = change.incident(incident).await? else { return Ok(None) };
        let alerts = change.alerts_of(incident).await?;
        let escalation = newest(change, incident).await?;
        let pages = match &escalation {
            Some(escalation) => of_escalation(change, escalation.id).await?,
            None => Vec::new(),
        };
        let mut recent = records::pages(change.recent_pages(now - RECENT, OTHERS).await?)?;
        recent.retain(|page| page.incident != incident);
        let mut others = Vec::new();
        for row in change.grouped_escalations(OTHERS).await? {
            if row.incident != incident {
                others.push(records::escalation(row)?);
            }
        }
        let responses = records::responses(change.alert_responses_of(incident).await?)?;
        Ok(Some(Self { view: IncidentView { incident: found, alerts }, escalation, responses, pages, recent, others }))
    }

    /// Runs a decision on this state.
    pub fn decide<T>(&self, directory: &Directory, decide: impl FnOnce(&Scene) -> T) -> T {
        let on_call = |schedule: &str, at: Timestamp| who(directory, schedule, at);
        decide(&Scene {
            directory,
            on_call: &on_call,
            view: &self.view,
            responses: &self.responses,
            pages: &self.pages,
            recent: &self.recent,
            others: &self.others,
        })
    }

    /// Incidents whose escalations depend on this one's.
    pub fn followers(&self) -> Vec<Uuid> {
        let Some(escalation) = &self.escalation else { return Vec::new() };
        let into =
            |other: &&Escalation| matches!(other.status, crate::escalation::EscalationStatus::Grouped { into } if into == escalation.id);
        self.others.iter().filter(into).map(|other| other.incident).collect()
    }
}

async fn newest(change: &mut Change, incident: Uuid) -> Result<Option<Escalation>, StoreError> {
    change.escalations_of(incident).await?.pop().map(records::escalation).transpose()
}

pub(crate) async fn of_escalation(change: &mut Change, escalation: Uuid) -> Result<Vec<Page>, StoreError> {
    records::pages(change.pages(&PageFilter { escalation: Some(escalation), ..PageFilter::default() }).await?)
}

/// Who is on call on a schedule.
pub(crate) fn who(directory: &Directory, schedule: &str, at: Timestamp) -> Result<Vec<Holder>, String> {
    let plan = directory.schedules.get(schedule).ok_or_else(|| format!("there is no schedule `{schedule}`"))?;
    let duty = crate::schedule::who(plan, schedule, &directory.overrides, at).map_err(|error| error.to_string())?;
    Ok(duty.into_iter().map(|duty| Holder { user: duty.user, because: duty.because }).collect())
}

/// Writes effects. Returns answers to apply to other incidents: `(incident, page)`.
pub(crate) async fn write(
    change: &mut Change,
    directory: &Directory,
    incident: Uuid,
    effects: Vec<Effect>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let mut also = Vec::new();
    let mut notes = Vec::new();
    for effect in effects {
        match effect {
            Effect::State(escalation) => change.put_escalation(&records::escalation_row(&escalation)?).await?,
            Effect::Page(page) => {
                let reply_code = reply_code(change, &page).await?;
                let page = Page { troubles: Vec::new(), reply_code, ..*page };
                metrics::counter!("bartizan_pages_planned_total", "channel" => page.channel.clone()).increment(1);
                change.add_page(&records::page_row(&page)?).await?;
            }
            Effect::Drop { page, because } => {
                let waits = |status: &PageStatus| matches!(status, PageStatus::Planned { .. } | PageStatus::Bundled { .. });
                move_page(change, page, waits, PageStatus::Dropped { at: now, because }).await?;
            }
            Effect::Replan { page, not_before } => {
                let waits = |status: &PageStatus| matches!(status, PageStatus::Planned { .. } | PageStatus::Bundled { .. });
                move_page(change, page, waits, PageStatus::Planned { not_before }).await?;
            }
            Effect::Bundle { page, into } => {
                let waits = |status: &PageStatus| matches!(status, PageStatus::Planned { .. } | PageStatus::Bundled { .. });
                move_page(change, page, waits, PageStatus::Bundled { into }).await?;
            }
            Effect::Respond(response) => change.put_alert_response(&records::response_row(incident, &response)?).await?,
            Effect::Incident(wanted) => wish(change, directory, incident, wanted, actor, now).await?,
            Effect::AnswerAlso { incident, page } => also.push((incident, page)),
            Effect::Note(text) => notes.push(text),
        }
    }
    for note in notes {
        tracing::info!(%incident, note, "On call.");
        let entry = AuditEntry {
            at: now,
            aggregate: "escalation".to_owned(),
            id: incident.to_string(),
            action: "noted".to_owned(),
            actor: actor.clone(),
            changes: json!({ "note": [null, note] }),
        };
        change.record(&entry).await?;
    }
    Ok(also)
}

/// The reply code of a page: the same for all contacts of a user within an escalation, distinct from those of other pages to the same
/// address, and not derivable from anything in the API.
async fn reply_code(change: &mut Change, page: &Page) -> Result<String, StoreError> {
    if page.reply_code.is_empty() {
        return Ok(String::new());
    }
    let of_person = of_escalation(change, page.escalation).await?;
    if let Some(known) = of_person.into_iter().find(|known| known.user == page.user && !known.reply_code.is_empty()) {
        return Ok(known.reply_code);
    }
    for _ in 0..CODE_DRAWS {
        let code = (1_000 + random() % 9_000).to_string();
        let filter = PageFilter { reply_code: Some(code.clone()), address: Some(page.address.clone()), ..PageFilter::default() };
        if change.newest_pages(&filter, 1).await?.is_empty() {
            return Ok(code);
        }
    }
    // So many pages went to this address that short codes are used up.
    Ok((100_000 + random() % 900_000).to_string())
}

/// Random bits from the operating system.
fn random() -> u64 {
    // Six bits of a version 4 UUID are fixed, none of them among the last 62.
    Uuid::new_v4().as_u64_pair().1 & (u64::MAX >> 2)
}

async fn move_page(change: &mut Change, id: Uuid, allowed: impl Fn(&PageStatus) -> bool, status: PageStatus) -> Result<(), StoreError> {
    let Some(row) = change.page(id).await? else { return Ok(()) };
    let mut page = records::page(row)?;
    if allowed(&page.status) {
        page.status = status;
        change.update_page(&records::page_row(&page)?).await?;
    }
    Ok(())
}

/// Records a pending change of the incident, unless an equal one is pending.
async fn wish(
    change: &mut Change,
    directory: &Directory,
    incident: Uuid,
    wanted: IncidentChange,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), StoreError> {
    let deed = DeskChange {
        status: wanted.status,
        owner: wanted.owner.as_deref().map(|name| owner(name, directory.users.get(name))),
        severity: wanted.severity,
        classification: wanted.classification,
        comment: wanted.comment,
    };
    let text = records::write("wish for an incident", &deed)?.to_string();
    let wish = Wish { id: Uuid::new_v5(&incident, text.as_bytes()), incident, at: now, actor: actor.clone(), deed: Deed::Change(deed) };
    change.add_wish(wish.id, incident, &records::write("wish for an incident", &wish)?).await.map(drop)
}

/// A user as an incident's owner.
fn owner(name: &str, user: Option<&User>) -> model::Owner {
    match user {
        Some(user) => model::Owner {
            object_id: user.object_id.clone(),
            email: user.email.clone(),
            user_principal_name: user.user_principal_name.clone().or_else(|| user.email.clone()),
            assigned_to: Some(if user.name.is_empty() { name.to_owned() } else { user.name.clone() }),
        },
        // A user who changed the incident elsewhere.
        None => model::Owner { assigned_to: Some(name.to_owned()), ..model::Owner::default() },
    }
}

/// A user as the author of a change.
pub(crate) fn author(name: &str, user: Option<&User>, via: &str, address: Option<String>) -> Actor {
    let shown = user.map(|user| user.name.clone()).filter(|shown| !shown.is_empty()).unwrap_or_else(|| name.to_owned());
    Actor {
        name: shown,
        object_id: user.and_then(|user| user.object_id.clone()),
        email: user.and_then(|user| user.email.clone()),
        user_principal_name: user.and_then(|user| user.user_principal_name.clone().or_else(|| user.email.clone())),
        via: format!("oncall/{via}"),
        address,
    }
}

/// The actor of on-call itself.
pub(crate) fn task() -> Actor {
    Actor::task(TASK)
}

/// The directory, shared.
pub(crate) type Shared = Arc<Directory>;
