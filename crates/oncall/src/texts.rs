//! Texts of messages: a subject, a short text for SMS and voice, and a long one with the evidence (S2-03). Pure functions.
//!
//! Times are shown in the reader's zone. Messages contain no addresses, keys or links except where stated.

use jiff::tz::TimeZone;
use model::Timestamp;

use crate::directory::User;
use crate::escalation::{IncidentView, Page};
use crate::message::{IncidentFacts, Links, Message, MessageKind};

/// Maximum lengths of texts, in characters.
const SUBJECT: usize = 120;
const SHORT: usize = 300;
/// Maximum length of a cell or entity.
const CELL: usize = 160;
const EVIDENCE: usize = 10;

/// Input of a message.
pub struct Facts<'a> {
    /// The page: kind, recipient, reply code.
    pub page: &'a Page,
    /// The incident. `None` for a test.
    pub view: Option<&'a IncidentView>,
    pub user: &'a User,
    /// The resolved address.
    pub address: String,
    pub at: Timestamp,
    pub links: Links,
    /// Who answered or commented.
    pub by: Option<&'a str>,
    /// The comment (`Mention`).
    pub text: Option<&'a str>,
    /// Number of other incidents bundled into the page.
    pub more: usize,
}

/// Renders a message for any channel.
pub fn render(facts: Facts) -> Message {
    let page = facts.page;
    let name = if facts.user.name.is_empty() { page.user.clone() } else { facts.user.name.clone() };
    let incident = facts.view.map(|view| incident_facts(page, view));
    let about = incident.as_ref().map(|incident| format!("incident {}: {}", incident.number, line(&incident.title))).unwrap_or_default();
    let by = facts.by.unwrap_or("somebody");
    let more = match facts.more {
        0 => String::new(),
        1 => ", and 1 more incident".to_owned(),
        more => format!(", and {more} more incidents"),
    };
    let severity = incident.as_ref().map(|incident| incident.severity).unwrap_or_default();
    let headline = match page.kind {
        MessageKind::Page => format!("[{severity}] {}{more}", capital(&about)),
        MessageKind::Acknowledged => format!("Taken care of by {by}: {about}"),
        MessageKind::Closed => format!("Closed by {by}: {about}"),
        MessageKind::Mention => format!("{by} named you in {about}"),
        MessageKind::Test => "Test: on call reaches you here".to_owned(),
    };
    let reply_code = Some(page.reply_code.clone()).filter(|code| page.kind == MessageKind::Page && !code.is_empty());
    let how = reply_code.as_ref().map(|code| format!("Reply {code} to acknowledge, {code} T to take, {code} E to escalate"));
    let said = facts.text.filter(|_| page.kind == MessageKind::Mention).map(line).unwrap_or_default();
    let mut short = vec![headline.clone()];
    if let Some(incident) = incident.as_ref().filter(|incident| page.kind == MessageKind::Page && !incident.entities.is_empty()) {
        short.push(incident.entities.join(", "));
    }
    if !said.is_empty() {
        short.push(said);
    }
    // The reply instructions must fit regardless of the title's length.
    let room = SHORT - how.as_ref().map_or(0, |how| how.chars().count() + 2);
    let mut short = cut(&short.join(". "), room);
    if let Some(how) = &how {
        short = format!("{short}. {how}");
    }
    let long = long(&facts, &headline, incident.as_ref(), how.as_deref());
    Message {
        key: page.id,
        kind: page.kind,
        user: page.user.clone(),
        user_name: name,
        address: facts.address,
        at: facts.at,
        incident,
        subject: cut(&headline, SUBJECT),
        short,
        long,
        links: facts.links,
        reply_code,
        reply_token: None,
        time_zone: facts.user.time_zone.clone(),
    }
}

fn long(facts: &Facts, headline: &str, incident: Option<&IncidentFacts>, how: Option<&str>) -> String {
    let mut lines = vec![headline.to_owned(), String::new()];
    if let Some(text) = facts.text.filter(|_| facts.page.kind == MessageKind::Mention) {
        lines.extend([text.to_owned(), String::new()]);
    }
    if let Some(incident) = incident {
        let mut row = |name: &str, value: String| {
            if !value.is_empty() {
                lines.push(format!("{name}: {value}"));
            }
        };
        row("Opened", wall(incident.created, facts.user.time_zone.as_deref()));
        row("Status", incident.status.to_string());
        row("Owner", incident.owner.clone().unwrap_or_default());
        row("Tactics", incident.tactics.join(", "));
        row("Alerts", incident.alerts.to_string());
        row("Involved", incident.entities.join(", "));
        row("About", incident.description.clone());
        if !incident.evidence.is_empty() {
            lines.push(String::new());
            lines.push("What the rule found:".to_owned());
            lines.extend(incident.evidence.iter().map(|row| format!("  {row}")));
        }
    }
    if facts.page.kind == MessageKind::Page {
        lines.push(String::new());
        lines.push(format!("You are reached because of {}, at {}.", facts.page.because, wall(facts.at, facts.user.time_zone.as_deref())));
        lines.extend(how.map(|how| format!("{how}.")));
    }
    lines.join("\n")
}

fn incident_facts(page: &Page, view: &IncidentView) -> IncidentFacts {
    let incident = &view.incident;
    let mut entities: Vec<String> = Vec::new();
    for entity in view.alerts.iter().flat_map(|alert| &alert.entities) {
        let name = cut(&line(entity.friendly_name()), CELL);
        if !name.is_empty() && !entities.contains(&name) && entities.len() < 10 {
            entities.push(name);
        }
    }
    let owner = &incident.owner;
    let owner = [&owner.assigned_to, &owner.user_principal_name, &owner.email].into_iter().flatten().next().cloned();
    IncidentFacts {
        id: incident.id,
        number: incident.number,
        title: incident.title.clone(),
        description: incident.description.clone(),
        severity: incident.severity,
        status: incident.status,
        owner,
        created: incident.created,
        tactics: incident.tactics.clone(),
        alerts: incident.alert_ids.len(),
        entities,
        evidence: evidence(view),
        // One per escalation: receivers see a reopened incident as a new one.
        dedup_key: page.escalation.to_string(),
    }
}

/// The first result rows of the alerts, newest alert first, as `column: value`.
fn evidence(view: &IncidentView) -> Vec<String> {
    let rows = view.alerts.iter().rev().flat_map(|alert| &alert.results);
    let shown = rows.map(|row| {
        let cells = row.iter().filter_map(|(column, value)| {
            let text = match value {
                serde_json::Value::Null => return None,
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (!text.is_empty()).then(|| format!("{column}: {}", cut(&line(&text), CELL)))
        });
        cut(&cells.collect::<Vec<_>>().join(", "), 4 * CELL)
    });
    shown.filter(|row| !row.is_empty()).take(EVIDENCE).collect()
}

/// A time in the reader's zone: `2026-03-29 03:15 CEST`; UTC if the zone is unknown.
pub fn wall(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.and_then(model::time_zone).unwrap_or(TimeZone::UTC);
    let at = jiff::Timestamp::from_microsecond(at.to_unix_micros().0).unwrap_or_default();
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// External text on one line, without control characters.
fn line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Truncates to `length` characters, ending in `…`.
fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(length.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use model::Severity;

    use super::*;

    #[test]
    fn how_to_answer_survives_a_title_of_any_length_and_nothing_breaks_lines() {
        let title = format!("Mälware\r\nBcc: x {}", "ü".repeat(5000));
        let incident = crate::story::incident("x", 7, Severity::High, Timestamp::UNIX_EPOCH, &title, &[]);
        let view = IncidentView { incident, alerts: Vec::new() };
        let page = crate::story::page(&view, "ann");
        let user = User { time_zone: Some("Europe/Oslo".to_owned()), ..User::default() };
        let (address, at) = ("+4790000001".to_owned(), Timestamp::UNIX_EPOCH);
        let facts =
            Facts { page: &page, view: Some(&view), user: &user, address, at, links: Links::default(), by: None, text: None, more: 12 };
        let message = render(facts);
        // Lengths and the reply line are documented at `Message`'s fields.
        assert!(message.short.chars().count() <= 300, "{}", message.short.chars().count());
        assert!(message.short.ends_with("Reply 4821 to acknowledge, 4821 T to take, 4821 E to escalate"), "{}", message.short);
        assert!(message.subject.chars().count() <= 120 && !message.subject.contains(['\r', '\n']));
        // Oslo was at UTC+1 at the start of 1970 (tz database).
        assert!(message.long.contains("1970-01-01 01:00 CET"), "{}", message.long);
    }
}
