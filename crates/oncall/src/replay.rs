//! Replays recorded incidents against a directory: whom each step would have notified, by which contact, and why.
//!
//! Pure and deterministic. It runs the same functions as paging, in a simulation without channels.

use std::fmt;
use std::sync::Arc;

use model::{Alert, IncidentStatus, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::Action;
use crate::directory::Directory;
use crate::escalation::IncidentView;
use crate::message::MessageKind;
use crate::world::World;

/// A recorded incident.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The incident as it was when it opened, with its alerts at that time.
    pub view: IncidentView,
    pub opened: Timestamp,
    /// Later events, in any order.
    pub events: Vec<(Timestamp, Event)>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// An alert joined; with `reopen` it reopened a closed incident.
    Joined { alert: Box<Alert>, reopen: bool },
    /// The status was changed elsewhere.
    Status { status: IncidentStatus, by: String },
    /// A user answered.
    Answered { user: String, action: Action },
}

/// Result of a replay: pages and decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    #[serde(serialize_with = "text")]
    pub from: Timestamp,
    #[serde(serialize_with = "text")]
    pub to: Timestamp,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    #[serde(serialize_with = "text")]
    pub at: Timestamp,
    pub incident: i64,
    pub title: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Opened,
    /// A decision, and its reason.
    Decided {
        text: String,
    },
    /// `step` counts from 1; the number after the last step is the fallback.
    Reached {
        kind: String,
        round: u32,
        step: usize,
        user: String,
        channel: String,
        contact: String,
        because: String,
    },
    Answered {
        user: String,
        text: String,
    },
}

fn text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.to_millis_string())
}

/// Replays `recorded` as if `directory` had been applied, and returns the events between `from` and `to` (half-open).
///
/// Includes incidents that opened before `from`, since their steps may be due within the window. Answers are as recorded, even if other
/// users would have been notified.
pub fn replay(directory: &Directory, recorded: &[Recorded], from: Timestamp, to: Timestamp) -> Replay {
    play(directory, recorded, from, to, Arc::new(|| false))
}

/// As [`replay`]; returns `None` once `interrupted` is true.
pub fn replay_until(
    directory: &Directory,
    recorded: &[Recorded],
    from: Timestamp,
    to: Timestamp,
    interrupted: impl Fn() -> bool + Send + Sync + 'static,
) -> Option<Replay> {
    let interrupted = Arc::new(interrupted);
    let played = play(directory, recorded, from, to, interrupted.clone());
    (!interrupted()).then_some(played)
}

fn play(
    directory: &Directory,
    recorded: &[Recorded],
    from: Timestamp,
    to: Timestamp,
    interrupted: Arc<dyn Fn() -> bool + Send + Sync>,
) -> Replay {
    // (time, sequence number, incident, event)
    let mut events: Vec<(Timestamp, i64, usize, Option<&Event>)> = Vec::new();
    for (index, incident) in recorded.iter().enumerate() {
        events.push((incident.opened, incident.view.incident.number, index, None));
        events.extend(incident.events.iter().map(|(at, event)| (*at, incident.view.incident.number, index, Some(event))));
    }
    // An incident opens before other events at the same instant; otherwise the sort keeps the recorded order.
    events.sort_by_key(|(at, number, _, event)| (*at, event.is_some(), *number));
    let start = events.first().map_or(from, |(at, ..)| (*at).min(from));
    let stop = interrupted.clone();
    let mut world = World::new(directory.clone(), start, Box::new(crate::escalation::on_call)).until(Box::new(move || stop()));
    let mut entries = Vec::new();
    for (at, number, index, event) in events.into_iter().filter(|(at, ..)| *at < to) {
        if interrupted() {
            break;
        }
        let Recorded { view, .. } = &recorded[index];
        let (id, title) = (view.incident.id, view.incident.title.clone());
        world.pass_to(at);
        world.settle();
        let entry = |what| Entry { at, incident: number, title: title.clone(), what };
        match event {
            None => {
                world.open(view.clone());
                entries.push(entry(What::Opened));
            }
            Some(Event::Joined { alert, reopen }) => world.join(id, (**alert).clone(), *reopen),
            Some(Event::Status { status, by }) => world.change(id, *status, by),
            Some(Event::Answered { user, action }) => {
                let text = match world.answer(id, user, action) {
                    Ok(true) => action.to_string(),
                    Ok(false) => format!("{action}: nothing changed"),
                    Err(error) => format!("{action}: {error}"),
                };
                entries.push(entry(What::Answered { user: user.clone(), text }));
            }
        }
        world.settle();
    }
    world.pass_to(to);
    let titles = |id: Uuid| world.cases.get(&id).map(|case| case.view.incident.title.clone()).unwrap_or_default();
    for note in &world.notes {
        let what = What::Decided { text: note.text.clone() };
        entries.push(Entry { at: note.at, incident: note.number, title: titles(note.incident), what });
    }
    for sent in &world.sent {
        let page = &sent.page;
        let kind = match page.kind {
            MessageKind::Page => "page",
            MessageKind::Acknowledged => "acknowledged",
            MessageKind::Closed => "closed",
            _ => "other",
        };
        let what = What::Reached {
            kind: kind.to_owned(),
            round: page.round + 1,
            step: page.step + 1,
            user: page.user.clone(),
            channel: page.channel.clone(),
            contact: page.contact.clone(),
            because: page.because.clone(),
        };
        entries.push(Entry { at: sent.at, incident: sent.number, title: sent.title.clone(), what });
    }
    entries.retain(|entry| from <= entry.at && entry.at < to);
    entries.sort();
    Replay { from, to, entries }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} – {}", self.from.to_millis_string(), self.to.to_millis_string())?;
        for Entry { at, incident, title, what } in &self.entries {
            write!(f, "{}  #{incident:<5} ", at.to_millis_string())?;
            match what {
                What::Opened => writeln!(f, "opens: {title}")?,
                What::Decided { text } => writeln!(f, "{text}")?,
                What::Answered { user, text } => writeln!(f, "{user} answers: {text}")?,
                What::Reached { kind, round, step, user, channel, contact, because } => {
                    writeln!(f, "round {round} step {step}: {kind} to {user} by {channel} ({contact}), because of {because}")?;
                }
            }
        }
        let pages = self.entries.iter().filter(|entry| matches!(&entry.what, What::Reached { kind, .. } if kind == "page")).count();
        writeln!(f, "{pages} pages")
    }
}

#[cfg(test)]
mod tests {
    use model::{Classification, Severity, Span};

    use super::*;
    use crate::document::parse;

    /// The output is for people: words, not Rust type names.
    #[test]
    fn answers_are_printed_in_words() {
        let directory = parse(
            "x",
            "users: {ann: {name: Ann, contacts: {m: {sms: '+4790000001'}}}}\n\
             escalation_policies: {p: {steps: [{targets: ['user:ann']}, {after: 5m, targets: ['user:ann']}]}}\n\
             alert_policies: {all: {escalation_policy: p}}",
        )
        .unwrap();
        let opened = Timestamp::parse_iso("2026-11-21T02:00:00Z").unwrap();
        let incident = crate::story::incident("x", 7, Severity::High, opened, "Leaked", &[]);
        let answered =
            |minute: i64, action| (opened + Span(minute * Span::MINUTE.ticks()), Event::Answered { user: "ann".to_owned(), action });
        let (classification, comment) = (Some(Classification::FalsePositive), Some("the scanner".to_owned()));
        let recorded = Recorded {
            view: IncidentView { incident, alerts: Vec::new() },
            opened,
            events: vec![
                answered(1, Action::Escalate { step: Some(2) }),
                answered(2, Action::Take),
                answered(3, Action::Close { classification, comment }),
                answered(4, Action::Close { classification: None, comment: None }),
            ],
        };
        let text = replay(&directory, &[recorded], opened, opened + Span::HOUR).to_string();
        for line in [
            "answers: escalate to step 2",
            "answers: take\n",
            "answers: close (FalsePositive): the scanner",
            "answers: close: nothing changed",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains(['{', '"']) && !text.contains("None") && !text.contains("Some("), "{text}");
    }
}
