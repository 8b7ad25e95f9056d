//! An iCalendar feed of who is on call, for calendar applications (S2-16).
//!
//! Wire: RFC 5545. Times are UTC instants, so readers need no `VTIMEZONE`; lines end in CRLF and fold at 75 octets (§3.1). A `UID` is
//! derived from schedule, user and start: a shift keeps it when the fetched window moves, so that calendars do not show it twice.

use model::Timestamp;
use uuid::Uuid;

use super::{Overrides, ScheduleError, Shift, whole_shifts};
use crate::directory::{Directory, Schedule};

/// UUID namespace for version 5 UUIDs.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d1f_3c0e_5a56_5f0a_9a53_0b1f_8a2e_7c41);
/// RFC 5545 §3.1, without the line break.
const LINE_OCTETS: usize = 75;

/// The complete shifts of one schedule.
#[derive(Clone, Debug)]
pub struct Turns<'a> {
    pub schedule: &'a str,
    pub shifts: Vec<Shift>,
}

/// A feed of all shifts in a schedule between `from` and `to`. `stamp` is when the schedule last changed, or now.
pub fn calendar_of_schedule(
    schedule: &Schedule,
    name: &str,
    overrides: &Overrides,
    from: Timestamp,
    to: Timestamp,
    stamp: Timestamp,
) -> Result<String, ScheduleError> {
    let shifts = whole_shifts(schedule, name, overrides, from, to)?;
    Ok(calendar(&format!("On call: {name}"), &[Turns { schedule: name, shifts }], stamp))
}

/// A feed of one user's shifts in all schedules between `from` and `to`. An invalid schedule is skipped, so that it does not affect users
/// of other schedules.
pub fn calendar_of_user(directory: &Directory, user: &str, from: Timestamp, to: Timestamp, stamp: Timestamp) -> String {
    let mut turns = Vec::new();
    for (name, schedule) in &directory.schedules {
        let Ok(mut shifts) = whole_shifts(schedule, name, &directory.overrides, from, to) else { continue };
        shifts.retain(|shift| shift.user == user);
        turns.push(Turns { schedule: name, shifts });
    }
    calendar(&format!("On call: {user}"), &turns, stamp)
}

/// An iCalendar stream with one event per shift.
pub fn calendar(title: &str, turns: &[Turns<'_>], stamp: Timestamp) -> String {
    let mut feed = Feed(String::new());
    feed.line("BEGIN", "VCALENDAR");
    feed.line("VERSION", "2.0");
    feed.line("PRODID", "-//Bartizan//On call//EN");
    feed.line("CALSCALE", "GREGORIAN");
    feed.line("METHOD", "PUBLISH");
    // RFC 7986, and the older name that Outlook and Google use.
    feed.line("NAME", &escape(title));
    feed.line("X-WR-CALNAME", &escape(title));
    feed.line("REFRESH-INTERVAL;VALUE=DURATION", "PT1H");
    feed.line("X-PUBLISHED-TTL", "PT1H");
    for Turns { schedule, shifts } in turns {
        for shift in shifts {
            feed.line("BEGIN", "VEVENT");
            feed.line("UID", &uid(schedule, shift));
            feed.line("DTSTAMP", &utc(stamp));
            feed.line("DTSTART", &utc(shift.from));
            feed.line("DTEND", &utc(shift.to));
            feed.line("SUMMARY", &escape(&format!("{} on call: {schedule}", shift.user)));
            feed.line("DESCRIPTION", &escape(&shift.because));
            // Being on call does not block meetings.
            feed.line("TRANSP", "TRANSPARENT");
            feed.line("END", "VEVENT");
        }
    }
    feed.line("END", "VCALENDAR");
    feed.0
}

fn uid(schedule: &str, shift: &Shift) -> String {
    let name = format!("{schedule}\0{}\0{}", shift.user, shift.from);
    format!("{}@bartizan", Uuid::new_v5(&NAMESPACE, name.as_bytes()))
}

/// `20260105T070000Z`.
fn utc(at: Timestamp) -> String {
    let text = at.to_string();
    text.chars().take_while(|c| *c != '.').filter(|c| !matches!(c, '-' | ':')).chain(['Z']).collect()
}

/// A TEXT value, §3.3.11. Control characters are not allowed.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

struct Feed(String);

impl Feed {
    fn line(&mut self, name: &str, value: &str) {
        let mut octets = 0;
        for c in name.chars().chain([':']).chain(value.chars()) {
            if octets + c.len_utf8() > LINE_OCTETS {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(c);
            octets += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected: RFC 5545 §3.1 and §3.3.11. Complete feeds are parsed by another implementation in tests/oncall/rotations.py.
    #[test]
    fn long_lines_fold_between_characters_and_unfold_to_what_they_were() {
        let shift = Shift {
            user: "søren; \"the\\rock\", ".to_owned() + &"å".repeat(100),
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::UNIX_EPOCH + model::Span(1),
            because: "a\nb\u{7}".into(),
        };
        let feed = calendar("t", &[Turns { schedule: "s", shifts: vec![shift.clone()] }], Timestamp::UNIX_EPOCH);
        assert!(feed.split("\r\n").all(|line| line.len() <= LINE_OCTETS && !line.contains('\n')), "{feed}");
        let unfolded = feed.replace("\r\n ", "");
        let summary = format!("SUMMARY:søren\\; \"the\\\\rock\"\\, {} on call: s\r\n", "å".repeat(100));
        assert!(
            unfolded.contains(&summary) && unfolded.contains("DESCRIPTION:a\\nb\r\n") && unfolded.contains("DTSTART:19700101T000000Z\r\n")
        );
    }
}
