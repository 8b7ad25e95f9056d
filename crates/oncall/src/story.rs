//! Literate test scenarios: a directory, events, and everything that is sent as a result. Unexpected messages fail the scenario.
//!
//! ````markdown
//! ## Nobody answers, so it climbs
//! from: what a paged person expects; see …
//!
//! ```given
//! users: { ann: { contacts: { mobile: { sms: "+4790000001" } } } }        a document of the directory
//! ```
//! ```story
//! on 2026-03-29 Europe/Oslo                     the first line, where the day or the zone matters 02:00  incident opens, severity high
//! → sms to ann 02:15                                         → voice to bo    (who holds `weekdays`) 02:16  bo acknowledges
//! → sms to ann: acknowledged; incident is Active 09:00                                         → nothing more
//! ```
//! ````
//!
//! A `given` before the first story applies to all of them. `directory changes` reads the next ```` ```then ```` block instead. Events:
//! `NAME opens[, severity S][, title T][, account A][, without alerts]`, `alert joins NAME[, severity S]`, `alert reopens NAME`, `USER
//! acknowledges|takes|closes|escalates[ to step N] [NAME]`, `NAME is closed|taken|reopened|reset by SOMEBODY`, `process stops|starts`.

use std::collections::HashMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use model::{Actor, Alert, Incident, IncidentStatus, Owner, Severity, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::answer::Action;
use crate::directory::Directory;
use crate::escalation::IncidentView;
use crate::message::MessageKind;
use crate::world::{Sent, World};

/// Result of a story.
#[derive(Clone, Debug, PartialEq)]
pub struct StoryResult {
    /// `escalation > Nobody answers, so it climbs`.
    pub name: String,
    /// Source of the expected behaviour.
    pub from: String,
    /// The first deviation; `None` if it passed.
    pub wrong: Option<String>,
}

#[derive(Default)]
struct Story {
    name: String,
    from: String,
    given: Vec<String>,
    then: Vec<String>,
    lines: Vec<(usize, String)>,
}

/// Runs all stories of a file.
pub fn run(text: &str) -> Vec<StoryResult> {
    let (shared, stories) = parse(text);
    stories
        .into_iter()
        .map(|story| {
            let wrong = tell(&shared, &story).err();
            StoryResult { name: story.name, from: story.from, wrong }
        })
        .collect()
}

fn parse(text: &str) -> (Vec<String>, Vec<Story>) {
    let (mut title, mut shared, mut stories): (String, Vec<String>, Vec<Story>) = Default::default();
    let mut block: Option<(&str, String)> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some((kind, body)) = &mut block {
            if line.trim_end() != "```" {
                match stories.last_mut().filter(|_| *kind == "story") {
                    Some(story) => story.lines.push((number + 1, line.to_owned())),
                    None => *body += &format!("{line}\n"),
                }
                continue;
            }
            let body = std::mem::take(body);
            match (*kind, stories.last_mut()) {
                ("given", None) => shared.push(body),
                ("given", Some(story)) => story.given.push(body),
                ("then", Some(story)) => story.then.push(body),
                _ => {}
            }
            block = None;
        } else if let Some(kind) = line.strip_prefix("```") {
            block = Some((kind.trim(), String::new()));
        } else if let Some(heading) = line.strip_prefix("## ") {
            stories.push(Story { name: format!("{title} > {}", heading.trim()), ..Story::default() });
        } else if let Some(heading) = line.strip_prefix("# ") {
            title = heading.trim().to_owned();
        } else if let (Some(from), Some(story)) = (line.strip_prefix("from:"), stories.last_mut()) {
            story.from = from.trim().to_owned();
        }
    }
    (shared, stories)
}

/// Merges documents; later definitions replace earlier ones.
fn directory(documents: &[String]) -> Result<Directory, String> {
    let mut all = Directory::default();
    for text in documents {
        let mut more: Directory = serde_yaml_ng::from_str(text).map_err(|error| format!("given: {error}"))?;
        all.users.append(&mut more.users);
        all.schedules.append(&mut more.schedules);
        all.overrides.append(&mut more.overrides);
        all.escalation_policies.append(&mut more.escalation_policies);
        all.alert_policies.append(&mut more.alert_policies);
        all.maintenance_windows.append(&mut more.maintenance_windows);
        all.heartbeats.append(&mut more.heartbeats);
    }
    Ok(all)
}

struct Teller {
    world: World,
    zone: TimeZone,
    day: Date,
    incidents: HashMap<String, Uuid>,
    alerts: u128,
    then: Vec<String>,
    documents: Vec<String>,
}

fn tell(shared: &[String], story: &Story) -> Result<(), String> {
    if story.from.is_empty() {
        return Err("it does not say `from:` where its truth comes from".to_owned());
    }
    let documents: Vec<String> = shared.iter().chain(&story.given).cloned().collect();
    let world = World::new(directory(&documents)?, Timestamp::MIN, Box::new(crate::escalation::on_call));
    let day = jiff::civil::date(2026, 1, 5);
    let then = story.then.iter().rev().cloned().collect();
    let mut teller = Teller { world, zone: TimeZone::UTC, day, incidents: HashMap::new(), alerts: 0, then, documents };
    let mut told = 0;
    for (number, line) in &story.lines {
        if line.trim().is_empty() {
            continue;
        }
        told += 1;
        teller.line(line).map_err(|why| format!("line {number}: {}\n  {why}", line.trim()))?;
    }
    if told == 0 { Err("it tells nothing".to_owned()) } else { Ok(()) }
}

impl Teller {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.trim().strip_prefix("on ") {
            let (day, zone) = rest.split_once(' ').unwrap_or((rest, "UTC"));
            self.day = day.parse().map_err(|_| format!("`{day}` is no day"))?;
            self.zone = model::time_zone(zone.trim()).ok_or_else(|| format!("`{zone}` is no time zone"))?;
            return Ok(());
        }
        let (told, expected) = line.split_once('→').unwrap_or((line, ""));
        let (time, event) = told.trim().split_once(char::is_whitespace).unwrap_or((told.trim(), ""));
        let at = self.time(time)?;
        let sent_before = self.world.sent.len();
        self.world.pass_to(at);
        if let Some(early) = self.world.sent.get(sent_before) {
            return Err(format!("before it, at {}: {}", self.clock(early.at), self.describe(early)));
        }
        let noted_before = self.world.notes.len();
        // Work due at this time comes before its event.
        self.world.settle();
        self.event(event.trim(), at)?;
        self.world.settle();
        self.compare(expected, sent_before, noted_before)
    }

    /// The instant of a wall-clock time: on the same day as the previous line, or on the next if it would be earlier.
    fn time(&mut self, text: &str) -> Result<Timestamp, String> {
        let wrong = || format!("`{text}` is no time; write `02:00`, `2026-01-05T02:00` or `02:00+01:00`");
        let (text, day) = match text.split_once('T') {
            Some((day, time)) => (time, Some(day.parse::<Date>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let split = text.find(['+', '-', 'Z']).unwrap_or(text.len());
        let (clock, offset) = text.split_at(split);
        let clock: Time = clock.parse().map_err(|_| wrong())?;
        self.day = day.unwrap_or(self.day);
        for _ in 0..2 {
            let at = match offset {
                "" => self.day.to_datetime(clock).to_zoned(self.zone.clone()).map_err(|_| wrong())?.timestamp(),
                offset => format!("{}T{clock}{offset}", self.day).parse().map_err(|_| wrong())?,
            };
            let at = Timestamp::from_unix_micros(at.as_microsecond()).ok_or_else(wrong)?;
            if at >= self.world.now {
                return Ok(at);
            }
            if day.is_some() {
                break;
            }
            self.day = self.day.tomorrow().map_err(|_| wrong())?;
        }
        Err("time goes back".to_owned())
    }

    fn event(&mut self, event: &str, at: Timestamp) -> Result<(), String> {
        let mut parts = event.split(',').map(str::trim);
        let words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
        let details: Vec<(&str, &str)> = parts.map(|part| part.split_once(' ').unwrap_or((part, ""))).collect();
        let severity =
            details.iter().find(|(name, _)| *name == "severity").map(|(_, value)| Severity::parse(value).ok_or("no such severity"));
        let severity = severity.transpose()?.unwrap_or_default();
        match words.as_slice() {
            [] => Ok(()),
            ["process", "stops"] => {
                self.world.running = false;
                Ok(())
            }
            ["process", "starts"] => {
                self.world.running = true;
                Ok(())
            }
            ["directory", "changes"] => {
                self.documents.push(self.then.pop().ok_or("there is no ```then block")?);
                self.world.directory = directory(&self.documents)?;
                Ok(())
            }
            ["alert", verb @ ("joins" | "reopens"), name @ ..] => {
                let id = self.incident(name.first().copied())?;
                let alert = self.alert(at, severity, &details)?;
                self.world.join(id, alert, *verb == "reopens");
                Ok(())
            }
            [name, "opens"] => self.opens(name, at, severity, &details),
            [name, "is", verb, "by", who] => {
                let id = self.incident(Some(name))?;
                let status = match *verb {
                    "closed" => IncidentStatus::Closed,
                    "taken" | "reopened" => IncidentStatus::Active,
                    "reset" => IncidentStatus::New,
                    other => return Err(format!("nobody can do `{other}`")),
                };
                self.world.change(id, status, who);
                Ok(())
            }
            [user, verb, rest @ ..] => {
                if !self.world.directory.users.contains_key(*user) {
                    return Err(format!("`{user}` is no user, and `{event}` nothing that happens"));
                }
                let (step, rest) = match rest {
                    ["to", "step", number, rest @ ..] => (Some(number.parse().map_err(|_| "no step".to_owned())?), rest),
                    rest => (None, rest),
                };
                let action = match *verb {
                    "acknowledges" => Action::Acknowledge,
                    "takes" => Action::Take,
                    "closes" => Action::Close { classification: None, comment: None },
                    "escalates" => Action::Escalate { step },
                    other => return Err(format!("nobody can do `{other}`")),
                };
                let id = self.incident(rest.first().copied())?;
                self.world.answer(id, user, &action).map(|_| ()).map_err(|error| error.to_string())
            }
            _ => Err(format!("`{event}` is nothing that happens")),
        }
    }

    fn opens(&mut self, name: &str, at: Timestamp, severity: Severity, details: &[(&str, &str)]) -> Result<(), String> {
        let number = self.incidents.len() as i64 + 1;
        let detail = |wanted: &str| details.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let alerts = match detail("without") {
            Some("alerts") => Vec::new(),
            _ => vec![self.alert(at, severity, details)?],
        };
        let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.id).collect();
        let incident = incident(name, number, severity, at, detail("title").unwrap_or(name), &ids);
        self.incidents.insert(name.to_owned(), incident.id);
        self.world.open(IncidentView { incident, alerts });
        Ok(())
    }

    fn alert(&mut self, at: Timestamp, severity: Severity, details: &[(&str, &str)]) -> Result<Alert, String> {
        self.alerts += 1;
        let entities: Vec<_> = details
            .iter()
            .filter_map(|(name, value)| match *name {
                "account" => Some(json!({ "kind": "Account", "identifiers": { "Name": value } })),
                "address" => Some(json!({ "kind": "IP", "identifiers": { "Address": value } })),
                "host" => Some(json!({ "kind": "Host", "identifiers": { "HostName": value } })),
                _ => None,
            })
            .collect();
        let alert = json!({
            "id": Uuid::from_u128(self.alerts), "rule_id": "rule", "alert_name": "rule", "display_name": "alert", "severity": severity,
            "start": at, "end": at, "generated": at, "query": "", "query_start": at, "query_end": at, "result_rows": 1,
            "entities": entities,
        });
        serde_json::from_value(alert).map_err(|error| error.to_string())
    }

    fn incident(&self, name: Option<&str>) -> Result<Uuid, String> {
        let name = name.unwrap_or("incident");
        self.incidents.get(name).copied().ok_or_else(|| format!("no incident is called `{name}`"))
    }

    fn compare(&self, expected: &str, sent_before: usize, noted_before: usize) -> Result<(), String> {
        let mut sent: Vec<String> = self.world.sent[sent_before..].iter().map(|sent| self.describe(sent)).collect();
        let mut wanted = Vec::new();
        for item in without_remark(expected).split([',', ';']).map(str::trim).filter(|item| !item.is_empty()) {
            let words: Vec<&str> = item.split_whitespace().collect();
            match words.as_slice() {
                ["nothing"] | ["nothing", "more"] => {}
                ["says", ..] => {
                    let text = item["says".len()..].trim().trim_matches('"');
                    let notes = &self.world.notes[noted_before..];
                    if !notes.iter().any(|note| note.text.contains(text)) {
                        let said: Vec<&str> = notes.iter().map(|note| note.text.as_str()).collect();
                        return Err(format!("says {said:?}"));
                    }
                }
                [name, "is", status] if self.incidents.contains_key(*name) => {
                    let is = self.world.cases[&self.incidents[*name]].view.incident.status;
                    if IncidentStatus::parse(status) != Some(is) {
                        return Err(format!("{name} is {is}"));
                    }
                }
                [name, "belongs", "to", owner] if self.incidents.contains_key(*name) => {
                    let is = self.world.cases[&self.incidents[*name]].view.incident.owner.assigned_to.clone();
                    let wanted = Some((*owner).to_owned()).filter(|owner| owner != "nobody");
                    if is != wanted {
                        return Err(format!("{name} belongs to {is:?}"));
                    }
                }
                _ => wanted.push(words.join(" ")),
            }
        }
        sent.sort();
        wanted.sort();
        if sent == wanted {
            return Ok(());
        }
        Err(format!("sent: {}", if sent.is_empty() { "nothing".to_owned() } else { sent.join("; ") }))
    }

    fn describe(&self, sent: &Sent) -> String {
        let mut text = format!("{} to {}", sent.page.channel, sent.page.user);
        let name = self.incidents.iter().find(|(_, id)| **id == sent.page.incident).map(|(name, _)| name.as_str());
        if let Some(name) = name.filter(|name| *name != "incident") {
            text += &format!(" for {name}");
        }
        if sent.more > 0 {
            text += &format!(" with {} more", sent.more);
        }
        match sent.page.kind {
            MessageKind::Acknowledged => text + ": acknowledged",
            MessageKind::Closed => text + ": closed",
            _ => text,
        }
    }

    fn clock(&self, at: Timestamp) -> String {
        let at = jiff::Timestamp::from_microsecond(at.to_unix_micros().0).unwrap_or_default();
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

/// The text before a trailing remark in parentheses.
fn without_remark(text: &str) -> &str {
    let text = text.trim();
    match text.rfind('(') {
        Some(open) if text.ends_with(')') => &text[..open],
        _ => text,
    }
}

/// A new incident; its id is derived from its name.
pub(crate) fn incident(name: &str, number: i64, severity: Severity, at: Timestamp, title: &str, alerts: &[Uuid]) -> Incident {
    Incident {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("incident {name}").as_bytes()),
        number,
        etag: Uuid::nil(),
        title: title.to_owned(),
        description: String::new(),
        severity,
        severity_chosen: false,
        status: IncidentStatus::New,
        classification: None,
        classification_reason: None,
        classification_comment: None,
        owner: Owner::default(),
        labels: Vec::new(),
        first_activity: None,
        last_activity: None,
        created: at,
        modified: at,
        first_modified: None,
        closed: None,
        modified_by: Actor::task("alert"),
        provider_name: "Azure Sentinel".to_owned(),
        provider_incident_id: number.to_string(),
        rule_ids: Vec::new(),
        alert_ids: alerts.to_vec(),
        alert_products: Vec::new(),
        tactics: Vec::new(),
        techniques: Vec::new(),
        comments_count: 0,
        tasks_count: 0,
        group: None,
    }
}

/// A page about an incident, for tests.
#[cfg(test)]
pub(crate) fn page(view: &IncidentView, user: &str) -> crate::escalation::Page {
    crate::escalation::Page {
        id: Uuid::from_u128(1),
        escalation: Uuid::from_u128(2),
        incident: view.incident.id,
        kind: MessageKind::Page,
        round: 0,
        step: 0,
        user: user.to_owned(),
        contact: "mobile".to_owned(),
        channel: "sms".to_owned(),
        address: "+4790000001".to_owned(),
        because: "schedule weekdays, layer primary".to_owned(),
        due: view.incident.created,
        wait: model::Span::ZERO,
        alerts: view.subjects(),
        reply_code: "4821".to_owned(),
        attempts: 0,
        status: crate::escalation::PageStatus::Planned { not_before: view.incident.created },
        troubles: Vec::new(),
    }
}
