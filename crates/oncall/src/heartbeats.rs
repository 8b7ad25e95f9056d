//! Heartbeats: monitored systems that report regularly, and the incident opened when one is missed.
//!
//! Decisions are pure: [`judge`] evaluates one heartbeat. The task runs each heartbeat's query, evaluates it, and changes incidents through
//! the port; every step may be repeated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use model::{Actor, Answer, Clock, IncidentStatus, Limits, Query, QueryClass, QueryEngine, QueryError, Span, Timestamp, Type, chain};
use store::{HeartbeatRow, Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::desk::{Deed, Desk, DeskChange, DeskError, NewIncident, TASK, Wish};
use crate::directory::Heartbeat;
use crate::objects::Objects;
use crate::records;
use crate::waiting::Waiting;

/// Minimum interval, to tolerate clock and network jitter.
pub const MIN_EVERY: Span = Span(60 * 10_000_000);
/// A heartbeat's query runs this often per interval, so that a miss is detected at most an eighth late.
const ASKS: i64 = 8;
/// Timeout of such a query.
const ASK_TIME: Span = Span(10 * 10_000_000);

/// Result of evaluating a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Overdue, without an incident yet.
    Silent { since: Timestamp },
    /// Received again: its incident is over.
    Speaks,
}

/// Evaluates `heartbeat` with state `row` at `now`. `None` if nothing changed.
///
/// A delay of exactly `every` plus `grace` is still in time. A clock that was set back makes nothing overdue, because the delay is then
/// negative.
pub fn judge(heartbeat: &Heartbeat, row: &HeartbeatRow, now: Timestamp) -> Option<Verdict> {
    let silent = now - row.heard > heartbeat.patience();
    match (silent, row.incident) {
        (true, None) => Some(Verdict::Silent { since: row.heard }),
        (false, Some(_)) => Some(Verdict::Speaks),
        _ => None,
    }
}

/// When it must be evaluated next, if it is not received before.
pub fn next_look(heartbeat: &Heartbeat, row: &HeartbeatRow, now: Timestamp) -> Option<Timestamp> {
    let late = row.heard + heartbeat.patience() + Span(1);
    let asks = heartbeat.query.as_ref().map(|_| now + ask_pause(heartbeat));
    // Once the incident is open, only the next heartbeat matters.
    let late = row.incident.is_none().then_some(late);
    match (late, asks) {
        (Some(late), Some(asks)) => Some(late.min(asks)),
        (late, asks) => late.or(asks),
    }
}

fn ask_pause(heartbeat: &Heartbeat) -> Span {
    Span(heartbeat.every.max(MIN_EVERY).ticks() / ASKS)
}

/// The incident of a missed heartbeat; its id is derived from the last one received.
fn incident_of(name: &str, heartbeat: &Heartbeat, since: Timestamp) -> NewIncident {
    let description = match heartbeat.description.as_str() {
        "" => String::new(),
        text => format!("{text}\n\n"),
    };
    NewIncident {
        id: Uuid::new_v5(&SILENCES, format!("{name}\0{}", since.ticks()).as_bytes()),
        title: format!("{name} has fallen silent"),
        description: format!("{description}Last heard of {since}; it should be heard of every {}.", heartbeat.every),
        severity: heartbeat.severity,
    }
}

/// UUID namespace of these incidents.
const SILENCES: Uuid = Uuid::from_u128(0x1f0a_7a5e_5a0c_4a0e_9b41_7d2f_3c11_e8b5);

/// Why a heartbeat's query has no result.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("the query of heartbeat `{0}` is not answered")]
    Query(String, #[source] QueryError),
    #[error("the query of heartbeat `{0}` answers no `datetime` in its first column; end it with `summarize max(TimeGenerated)`")]
    Shape(String),
}

/// Watches all heartbeats of the directory.
pub struct Heartbeats {
    pub store: Store,
    pub objects: Arc<Objects>,
    pub desk: Arc<dyn Desk>,
    pub engine: Arc<dyn QueryEngine>,
    pub clock: Arc<dyn Clock>,
    /// When each query runs next: evaluations are cheap and frequent, queries are not.
    asks: Mutex<HashMap<String, Timestamp>>,
}

impl Heartbeats {
    pub fn new(store: Store, objects: Arc<Objects>, desk: Arc<dyn Desk>, engine: Arc<dyn QueryEngine>, clock: Arc<dyn Clock>) -> Self {
        Self { store, objects, desk, engine, clock, asks: Mutex::default() }
    }

    /// Runs until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        let bells = [self.store.listen(Topic::Heartbeats), self.store.listen(Topic::OnCall)];
        let mut waiting = Waiting::new(bells, self.clock.clone(), cancel);
        while !waiting.cancelled() {
            waiting.hear();
            let go_on = match self.activate().await {
                Ok(next) => waiting.idle(next).await,
                Err(error) => {
                    tracing::error!(error = chain(&error), "heartbeats are not watched; trying again");
                    waiting.retry().await
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Evaluates every heartbeat; returns when the next evaluation is due.
    pub async fn activate(&self) -> Result<Option<Timestamp>, StoreError> {
        let directory = self.objects.directory().await?;
        let mut next: Option<Timestamp> = None;
        for known in self.store.heartbeats().list().await?.iter().filter(|row| !directory.heartbeats.contains_key(&row.name)) {
            let mut change = self.store.begin().await?;
            change.delete_heartbeat(&known.name).await?;
            change.commit().await?;
        }
        for (name, heartbeat) in &directory.heartbeats {
            let row = self.look(name, heartbeat).await?;
            if let Some(look) = next_look(heartbeat, &row, self.clock.now()) {
                next = Some(next.map_or(look, |next| next.min(look)));
            }
        }
        Ok(next)
    }

    /// Evaluates one heartbeat and applies the result.
    async fn look(&self, name: &str, heartbeat: &Heartbeat) -> Result<HeartbeatRow, StoreError> {
        let now = self.clock.now();
        let known = self.store.heartbeats().get(name).await?;
        // A new heartbeat gets its full interval first.
        let mut row = known.clone().unwrap_or_else(|| HeartbeatRow { name: name.to_owned(), heard: now, incident: None });
        if heartbeat.query.is_some() && self.may_ask(name, heartbeat, now) {
            match self.ask(name, heartbeat).await {
                Ok(heard) => row.heard = row.heard.max(heard.unwrap_or(row.heard).min(now)),
                Err(error) => tracing::warn!(error = chain(&error), "a heartbeat cannot be listened to; its silence counts"),
            }
        }
        let verdict = judge(heartbeat, &row, now);
        let mut wish = None;
        match verdict {
            Some(Verdict::Silent { since }) => {
                let incident = incident_of(name, heartbeat, since);
                match self.desk.open(&incident, &Actor::task(TASK)).await {
                    Ok(()) => row.incident = Some(incident.id),
                    Err(error @ DeskError::Refused { .. }) => {
                        tracing::error!(error = chain(&error), "an incident of silence is refused");
                        return Ok(row);
                    }
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "an incident of silence is not opened yet");
                        return Ok(row);
                    }
                }
                tracing::warn!(heartbeat = name, since = %since, "A heartbeat has fallen silent.");
            }
            Some(Verdict::Speaks) => wish = row.incident.take().map(|incident| over(incident, name, now)),
            None => {}
        }
        if known.as_ref() != Some(&row) {
            let mut change = self.store.begin().await?;
            // A heartbeat received while the query ran must not be lost.
            if let Some(newer) = change.heartbeat(name).await?.filter(|newer| newer.heard > row.heard) {
                row.heard = newer.heard;
            }
            change.put_heartbeat(&row).await?;
            if let Some(wish) = &wish {
                change.add_wish(wish.id, wish.incident, &records::write("wish for an incident", wish)?).await?;
            }
            change.commit().await?;
        }
        Ok(row)
    }

    /// Whether the query is due; if so, schedules the next one.
    fn may_ask(&self, name: &str, heartbeat: &Heartbeat, now: Timestamp) -> bool {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = ask_pause(heartbeat);
        // A clock that was set back must not stop the queries.
        let due = asks.get(name).is_none_or(|next| now >= *next || *next - now > pause);
        if due {
            asks.insert(name.to_owned(), now + pause);
        }
        due
    }

    /// The time reported by the heartbeat's query. `None`: never.
    async fn ask(&self, name: &str, heartbeat: &Heartbeat) -> Result<Option<Timestamp>, AskError> {
        let Some(kql) = &heartbeat.query else { return Ok(None) };
        let mut query = Query::new(kql.as_str()).with_class(QueryClass::Rule);
        query.limits = Limits { time: Some(ASK_TIME), rows: Some(1_000), ..Limits::default() };
        let answer = self.engine.query(query).await.map_err(|error| AskError::Query(name.to_owned(), error))?;
        newest(&answer).ok_or_else(|| AskError::Shape(name.to_owned()))
    }
}

/// The newest time in the first column. The inner `None` means no rows, the outer one that the column holds no times.
fn newest(answer: &Answer) -> Option<Option<Timestamp>> {
    if answer.columns.first()?.ty != Type::Datetime {
        return None;
    }
    let times = answer.batches.iter().flat_map(|batch| {
        let column = batch.column(0).as_primitive_opt::<Int64Type>();
        column.into_iter().flat_map(|column| (0..column.len()).filter(|row| column.is_valid(*row)).map(|row| column.value(row)))
    });
    Some(times.max().map(Timestamp::clamp_ticks))
}

/// Closes the incident of a resumed heartbeat, unless a user has changed it.
fn over(incident: Uuid, name: &str, now: Timestamp) -> Wish {
    let change = DeskChange {
        status: Some(IncidentStatus::Closed),
        comment: Some(format!("{name} is heard of again.")),
        classification: Some(model::Classification::Undetermined),
        ..DeskChange::default()
    };
    let id = Uuid::new_v5(&SILENCES, format!("{incident} over").as_bytes());
    Wish { id, incident, at: now, actor: Actor::task(TASK), deed: Deed::Change(change) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Span::seconds(seconds)
    }

    fn heartbeat(query: Option<&str>) -> Heartbeat {
        Heartbeat { every: Span::seconds(300), query: query.map(str::to_owned), severity: model::Severity::High, ..Heartbeat::default() }
    }

    /// A nightly backup that takes twenty minutes one day and forty the next is not overdue.
    #[test]
    fn grace_is_added_to_the_time_between_two_beats() {
        let daily = Heartbeat { every: Span::DAY, grace: Span::HOUR, ..Heartbeat::default() };
        let (heard, day) = (row(0, None), 24 * 3_600);
        assert_eq!(judge(&daily, &heard, at(day + 1_200)), None);
        assert_eq!(judge(&daily, &heard, at(day + 3_600)), None);
        assert_eq!(judge(&daily, &heard, at(day + 3_601)), Some(Verdict::Silent { since: at(0) }));
        assert_eq!(next_look(&daily, &heard, at(10)), Some(at(day + 3_600) + Span(1)));
    }

    fn row(heard: i64, incident: Option<Uuid>) -> HeartbeatRow {
        HeartbeatRow { name: "flare".to_owned(), heard: at(heard), incident }
    }

    #[test]
    fn silence_counts_after_the_whole_time_and_is_told_once() {
        let plain = heartbeat(None);
        assert_eq!(judge(&plain, &row(0, None), at(300)), None);
        assert_eq!(judge(&plain, &row(0, None), at(301)), Some(Verdict::Silent { since: at(0) }));
        let told = Some(Uuid::nil());
        assert_eq!(judge(&plain, &row(0, told), at(9_000)), None);
        assert_eq!(judge(&plain, &row(9_000, told), at(9_001)), Some(Verdict::Speaks));
        // The clock was set back to before the last heartbeat.
        assert_eq!(judge(&plain, &row(1_000, None), at(10)), None);
    }

    #[test]
    fn the_next_look_is_when_it_would_be_late_or_is_asked() {
        assert_eq!(next_look(&heartbeat(None), &row(0, None), at(10)), Some(at(300) + Span(1)));
        assert_eq!(next_look(&heartbeat(None), &row(0, Some(Uuid::nil())), at(900)), None);
        assert_eq!(next_look(&heartbeat(Some("T")), &row(0, None), at(10)), Some(at(10) + Span(37 * 10_000_000 + 5_000_000)));
    }

    #[test]
    fn one_silence_is_one_incident() {
        let first = incident_of("flare", &heartbeat(None), at(0));
        assert_eq!(first.id, incident_of("flare", &heartbeat(None), at(0)).id);
        assert_ne!(first.id, incident_of("flare", &heartbeat(None), at(1)).id);
        assert_eq!(first.title, "flare has fallen silent");
    }
}
