//! `POST /replay` — simulates which contacts each escalation step would have reached for past incidents, with the current configuration or
//! with a proposed document.
//!
//! Input is the history of incidents, their alerts and the audit trail: alerts that joined, answers, and status changes made elsewhere.

use std::time::Instant;

use http::Method;
use model::{Alert, Incident, IncidentStatus, Span, Timestamp};
use oncall::answer::Action;
use oncall::compute;
use oncall::directory::Directory;
use oncall::escalation::IncidentView;
use oncall::replay::{Event, Recorded, replay_until};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{AuditEntry, Comparison, IncidentField, IncidentFilter, IncidentOrder};

use super::common::{DOCUMENT, computed, directory, parsed, time};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static REPLAY: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/replay",
    summary: "Say whom each step would have reached for the incidents of a time, and why",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Between>,
    takes: schema::<Directory>,
    returns: schema::<Played>,
    run: |cx, call| Box::pin(run(cx, call)),
};

/// Maximum number of incidents that are replayed; the newest are omitted, and the response says so.
const MOST: u32 = 1_000;
/// Incidents that opened this long before the range are included, since they may still page within it.
const BEFORE: Span = Span::DAY;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Between {
    from: String,
    /// Default: now.
    to: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Played {
    /// What would have happened, in order.
    entries: Value,
    /// The same for people.
    text: String,
    incidents: usize,
    /// There were more incidents than are played.
    cut: bool,
}

async fn run(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Between { from, to } = call.query()?;
    let now = cx.clock.now();
    let (from, to) = (time(now, "from", &from, "UTC")?, time(now, "to", to.as_deref().unwrap_or("now"), "UTC")?);
    if to <= from {
        return Err(ApiError::bad_request("InvalidQueryParameter", "The end is not after the start.").target("to"));
    }
    let body = call.bytes(DOCUMENT).await?;
    let applied = directory(cx).await?;
    let (recorded, cut) = read(cx, &applied, from, to).await?;
    let work = move || {
        let plan = if body.is_empty() { (*applied).clone() } else { parsed(&body)? };
        let began = Instant::now();
        let played = replay_until(&plan, &recorded, from, to, move || began.elapsed() > compute::REPLAY_TIME).ok_or_else(|| {
            let message = format!("The replay took longer than {} s; ask about a shorter time.", compute::REPLAY_TIME.as_secs());
            ApiError::bad_request("ReplayTooLong", message)
        })?;
        let text = played.to_string();
        let entries = serde_json::to_value(&played.entries).map_err(|error| ApiError::internal(&error))?;
        Reply::json(Played { entries, text, incidents: recorded.len(), cut })
    };
    computed(&cx.oncall.objects.lanes.long, work).await
}

async fn read(cx: &Context, directory: &Directory, from: Timestamp, to: Timestamp) -> Result<(Vec<Recorded>, bool), ApiError> {
    let since = Timestamp::clamp_ticks(from.ticks().saturating_sub(BEFORE.ticks()));
    let filter = IncidentFilter::And(vec![
        IncidentFilter::Time(IncidentField::Created, Comparison::GreaterOrEqual, since),
        IncidentFilter::Time(IncidentField::Created, Comparison::Less, to),
    ]);
    let order = [IncidentOrder { field: IncidentField::Created, descending: false }];
    let page = cx.store.incidents().list(Some(&filter), &order, MOST, None).await?;
    let (incidents, cut) = page.map_or((Vec::new(), false), |page| (page.incidents, page.next.is_some()));
    let mut recorded = Vec::with_capacity(incidents.len());
    for incident in incidents {
        let alerts = cx.store.alerts().of_incident(incident.id).await?;
        let mut entries = cx.store.audit().of("escalation", &incident.id.to_string()).await?;
        entries.extend(cx.store.audit().of("incident", &incident.id.to_string()).await?);
        recorded.push(record(directory, incident, alerts, &entries));
    }
    Ok((recorded, cut))
}

/// The incident as it was when it opened, and its later changes.
fn record(directory: &Directory, now: Incident, alerts: Vec<Alert>, entries: &[AuditEntry]) -> Recorded {
    let opened = now.created;
    let (first, later): (Vec<Alert>, Vec<Alert>) = alerts.into_iter().partition(|alert| alert.generated <= opened);
    let mut events: Vec<(Timestamp, Event)> =
        later.into_iter().map(|alert| (alert.generated, Event::Joined { alert: Box::new(alert), reopen: false })).collect();
    events.extend(entries.iter().filter_map(|entry| Some((entry.at, event(directory, entry)?))));
    let incident = Incident {
        status: IncidentStatus::New,
        classification: None,
        classification_reason: None,
        classification_comment: None,
        owner: Default::default(),
        closed: None,
        alert_ids: first.iter().map(|alert| alert.id).collect(),
        ..now
    };
    Recorded { view: IncidentView { incident, alerts: first }, opened, events }
}

fn event(directory: &Directory, entry: &AuditEntry) -> Option<Event> {
    if entry.action == "answered" {
        let action: Action = serde_json::from_value(entry.changes["answer"][1].clone()).ok()?;
        let known = |(name, user): &(&String, &oncall::directory::User)| **name == entry.actor.name || user.name == entry.actor.name;
        let user = directory.users.iter().find(known).map_or_else(|| entry.actor.name.clone(), |(name, _)| name.clone());
        return Some(Event::Answered { user, action });
    }
    // Changes made by on-call itself follow from the answers.
    let ours = entry.actor.via == "task" || entry.actor.via.starts_with("oncall/");
    let status = IncidentStatus::parse(entry.changes["status"][1].as_str()?)?;
    (!ours && entry.action != "created").then(|| Event::Status { status, by: entry.actor.name.clone() })
}

#[cfg(test)]
mod tests {
    use model::Actor;
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_and_changes_elsewhere_are_told_apart() {
        let directory = oncall::document::parse("x", "users: {ann: {name: Ann Berg}}").unwrap();
        let entry = |action: &str, via: &str, changes: Value| AuditEntry {
            at: Timestamp::UNIX_EPOCH,
            aggregate: "incident".to_owned(),
            id: "1".to_owned(),
            action: action.to_owned(),
            actor: Actor { via: via.to_owned(), ..Actor::task("Ann Berg") },
            changes,
        };
        let answered = event(&directory, &entry("answered", "oncall/sms", json!({ "answer": [null, "take"] })));
        assert!(matches!(answered, Some(Event::Answered { user, action: Action::Take }) if user == "ann"));
        let closed = json!({ "status": ["New", "Closed"] });
        assert!(matches!(
            event(&directory, &entry("changed", "SecurityInsights", closed.clone())),
            Some(Event::Status { status: IncidentStatus::Closed, .. })
        ));
        assert!(event(&directory, &entry("changed", "oncall/sms", closed)).is_none(), "it follows from the answer");
        assert!(event(&directory, &entry("commented", "SecurityInsights", json!({}))).is_none());
    }
}
