//! All pages and escalations with their state: sent, delivered, seen, failed or in doubt.

use std::collections::HashMap;

use http::Method;
use model::{Severity, Span, Timestamp};
use oncall::directory::EscalationPolicy;
use oncall::escalation::{Escalation, EscalationStatus, Page, PageStatus, Trouble};
use oncall::message::MessageKind;
use oncall::records;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::PageFilter;
use uuid::Uuid;

use super::common::{incident, time};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static PAGES: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/pages",
    summary: "List pages, newest first: what was sent to whom, and what became of it",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Which>,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(pages(cx, call)),
};
pub static ESCALATIONS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/escalations",
    summary: "List escalations, newest first: which step comes next, and when",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Which>,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(escalations(cx, call)),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// By its number or its id.
    incident: Option<String>,
    /// One state, or several with commas. Example: `doubtful,failed`.
    status: Option<String>,
    /// Only what was due at this time or later. RFC 3339, a wall time in UTC, or relative: `-7d`.
    from: Option<String>,
    /// Only what was due before this time.
    to: Option<String>,
    /// At most 1 000. Default: 200.
    limit: Option<u32>,
}

impl Which {
    /// The requested time range.
    fn window(&self, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
        let from = self.from.as_deref().map(|text| time(now, "from", text, "UTC")).transpose()?;
        let to = self.to.as_deref().map(|text| time(now, "to", text, "UTC")).transpose()?;
        Ok((from, to))
    }
}

const PAGE_STATES: [&str; 9] = ["planned", "bundled", "claimed", "sent", "delivered", "seen", "doubtful", "failed", "dropped"];
const ESCALATION_STATES: [&str; 7] = ["running", "nobody", "held", "grouped", "acknowledged", "exhausted", "closed"];

/// The requested states; `None` for all.
fn states<'a>(asked: Option<&'a str>, known: &[&str]) -> Result<Vec<&'a str>, ApiError> {
    let asked: Vec<&str> = asked.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect();
    match asked.iter().find(|name| !known.contains(name)) {
        None => Ok(asked),
        Some(wrong) => {
            let shown: String = wrong.chars().take(40).collect();
            let message = format!("'{shown}' is no state; write one of {}.", known.join(", "));
            Err(ApiError::bad_request("InvalidQueryParameter", message).target("status"))
        }
    }
}

/// A page as returned. Without its reply code, which authenticates the recipient.
#[derive(Serialize)]
struct Shown {
    id: Uuid,
    escalation: Uuid,
    incident: Uuid,
    /// The incident's number; `None` if the incident was deleted.
    number: Option<i64>,
    title: Option<String>,
    /// When the incident was first acknowledged, taken or closed in this escalation, here or in Sentinel.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<String>,
    /// Time from the incident's opening to `acknowledged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_acknowledge: Option<Span>,
    kind: MessageKind,
    round: u32,
    step: usize,
    user: String,
    contact: String,
    channel: String,
    /// As in the directory: a secret address is shown as a reference.
    address: String,
    because: String,
    due: Timestamp,
    attempts: u32,
    state: &'static str,
    /// When the page entered its current status.
    at: Option<Timestamp>,
    /// Why it failed, is in doubt or was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    troubles: Vec<Trouble>,
    alerts: Vec<Uuid>,
}

fn shown(page: Page, about: &About, answered: Option<&Answered>) -> Shown {
    let state = records::page_status_name(&page.status);
    let (at, reason, provider_id) = match page.status {
        PageStatus::Planned { not_before } => (Some(not_before), None, None),
        PageStatus::Bundled { into } => (None, Some(format!("page {into} tells of it")), None),
        PageStatus::Claimed { at } | PageStatus::Seen { at } => (Some(at), None, None),
        PageStatus::Sent { at, provider_id } | PageStatus::Delivered { at, provider_id } => (Some(at), None, provider_id),
        PageStatus::Doubtful { at, reason } | PageStatus::Failed { at, reason } => (Some(at), Some(reason), None),
        PageStatus::Dropped { at, because } => (Some(at), Some(because), None),
    };
    Shown {
        id: page.id,
        escalation: page.escalation,
        incident: page.incident,
        number: about.number,
        title: about.title.clone(),
        acknowledged: answered.map(|answered| answered.at),
        acknowledged_by: answered.map(|answered| answered.by.clone()),
        time_to_acknowledge: answered.map(|answered| answered.after),
        kind: page.kind,
        round: page.round,
        step: page.step,
        user: page.user,
        contact: page.contact,
        channel: page.channel,
        address: page.address,
        because: page.because,
        due: page.due,
        attempts: page.attempts,
        state,
        at,
        reason,
        provider_id,
        troubles: page.troubles,
        alerts: page.alerts,
    }
}

async fn pages(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let which: Which = call.query()?;
    let states = states(which.status.as_deref(), &PAGE_STATES)?;
    let limit = which.limit.unwrap_or(200).min(1_000);
    let of = match &which.incident {
        Some(name) => Some(incident(cx, name).await?.id),
        None => None,
    };
    let (from, to) = which.window(cx.clock.now())?;
    let mut rows = Vec::new();
    // The store can filter by one state at a time; for none, query all at once.
    let wanted: Vec<Option<String>> =
        if states.is_empty() { vec![None] } else { states.iter().map(|state| Some((*state).to_owned())).collect() };
    for status in wanted {
        let filter = PageFilter { incident: of, status, from, to, ..PageFilter::default() };
        rows.extend(cx.store.pages().list(&filter, limit).await?);
    }
    let mut found = records::pages(rows)?;
    found.sort_by_key(|page| std::cmp::Reverse(page.due));
    found.truncate(limit as usize);
    let (mut abouts, mut answers) = (Abouts::default(), Answers::default());
    let mut value = Vec::with_capacity(found.len());
    for page in found {
        let about = abouts.of(cx, page.incident).await?;
        let answered = answers.of(cx, page.escalation, about.created).await?;
        value.push(shown(page, &about, answered.as_ref()));
    }
    Reply::json(Value::from_iter([("value", serde_json::to_value(value).map_err(|error| ApiError::internal(&error))?)]))
}

/// Properties of a page's incident.
#[derive(Clone, Default)]
struct About {
    number: Option<i64>,
    title: Option<String>,
    created: Option<Timestamp>,
}

/// Cache of incidents.
#[derive(Default)]
struct Abouts(HashMap<Uuid, About>);

impl Abouts {
    async fn of(&mut self, cx: &Context, id: Uuid) -> Result<About, ApiError> {
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let found = cx.store.incidents().get(id).await?;
        let about = found.map_or_else(About::default, |found| About {
            number: Some(found.number),
            title: Some(found.title),
            created: Some(found.created),
        });
        self.0.insert(id, about.clone());
        Ok(about)
    }
}

/// The first answer in an escalation.
#[derive(Clone)]
struct Answered {
    at: Timestamp,
    by: String,
    after: Span,
}

/// Cache of first answers.
#[derive(Default)]
struct Answers(HashMap<Uuid, Option<Answered>>);

impl Answers {
    async fn of(&mut self, cx: &Context, escalation: Uuid, created: Option<Timestamp>) -> Result<Option<Answered>, ApiError> {
        if let Some(known) = self.0.get(&escalation) {
            return Ok(known.clone());
        }
        let found = match cx.store.escalations().get(escalation).await?.map(records::escalation).transpose()? {
            Some(course) => first_answer(cx, &course, created).await?,
            None => None,
        };
        self.0.insert(escalation, found.clone());
        Ok(found)
    }
}

/// Read from the audit trail: the escalation itself does not keep the first answer after the incident was closed.
async fn first_answer(cx: &Context, course: &Escalation, created: Option<Timestamp>) -> Result<Option<Answered>, ApiError> {
    // A reopened incident counts from its reopening.
    let opened = if course.generation == 0 { created.unwrap_or(course.began) } else { course.began };
    let answers = |entry: &store::AuditEntry| {
        let action = &entry.changes["answer"][1];
        entry.action == "answered" && (action == "acknowledge" || action == "take" || action.get("close").is_some())
    };
    let entries = cx.store.audit().of("escalation", &course.incident.to_string()).await?;
    let here = entries.into_iter().filter(|entry| entry.at >= course.began && answers(entry)).map(|entry| (entry.at, entry.actor.name));
    let elsewhere = match &course.status {
        EscalationStatus::Acknowledged { by, at } => Some((*at, by.clone())),
        _ => None,
    };
    let first = here.chain(elsewhere).min_by_key(|(at, _)| *at);
    Ok(first.map(|(at, by)| Answered { at, by, after: (at - opened).max(Span::ZERO) }))
}

/// An escalation as returned.
#[derive(Serialize)]
struct Course {
    id: Uuid,
    incident: Uuid,
    number: Option<i64>,
    title: Option<String>,
    generation: u32,
    policy: String,
    /// The policy as it was when the escalation began.
    plan: EscalationPolicy,
    severity: Severity,
    began: Timestamp,
    round: u32,
    /// Index of the next step, from 0.
    step: usize,
    /// When the next step is due; `None` if there is none.
    next: Option<Timestamp>,
    state: &'static str,
    /// State-specific data: who acknowledged, until when it is held, why.
    status: Value,
}

async fn escalations(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let which: Which = call.query()?;
    let states = states(which.status.as_deref(), &ESCALATION_STATES)?;
    let limit = which.limit.unwrap_or(200).min(1_000);
    let rows = match &which.incident {
        Some(name) => {
            let mut rows = cx.store.escalations().of_incident(incident(cx, name).await?.id).await?;
            rows.retain(|row| states.is_empty() || states.contains(&row.status.as_str()));
            rows
        }
        None if states.is_empty() => cx.store.escalations().list(None, limit).await?,
        None => {
            let mut rows = Vec::new();
            for state in &states {
                rows.extend(cx.store.escalations().list(Some(state), limit).await?);
            }
            rows
        }
    };
    let (from, to) = which.window(cx.clock.now())?;
    let mut found = rows.into_iter().map(records::escalation).collect::<Result<Vec<_>, _>>()?;
    found.retain(|course| from.is_none_or(|from| from <= course.began) && to.is_none_or(|to| course.began < to));
    found.sort_by_key(|course| std::cmp::Reverse((course.began, course.generation)));
    found.truncate(limit as usize);
    let mut abouts = Abouts::default();
    let mut value = Vec::with_capacity(found.len());
    for course in found {
        let about = abouts.of(cx, course.incident).await?;
        value.push(Course {
            id: course.id,
            incident: course.incident,
            number: about.number,
            title: about.title,
            generation: course.generation,
            policy: course.policy,
            plan: course.plan,
            severity: course.severity,
            began: course.began,
            round: course.round,
            step: course.step,
            next: course.next,
            state: records::status_name(&course.status),
            status: serde_json::to_value(&course.status).map_err(|error| ApiError::internal(&error))?,
        });
    }
    Reply::json(Value::from_iter([("value", serde_json::to_value(value).map_err(|error| ApiError::internal(&error))?)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_names_with_commas() {
        assert_eq!(states(Some("doubtful, failed,"), &PAGE_STATES).unwrap(), ["doubtful", "failed"]);
        assert!(states(None, &PAGE_STATES).unwrap().is_empty());
        assert_eq!(states(Some("lost"), &PAGE_STATES).unwrap_err().target.as_deref(), Some("status"));
    }
}
