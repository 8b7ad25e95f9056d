//! Validation of schedules: field, value, and how to fix it. Independent of the users.

use std::fmt::Display;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::zone;
use crate::directory::{Every, Hours, Override, Rotation, Schedule};
use crate::when::PlanTime;

pub const MAX_LAYERS: usize = 100;
/// Maximum users of a rotation, counting users of a shared turn individually.
pub const MAX_USERS: usize = 1000;
/// Maximum length of a turn, in its unit.
pub const MAX_LENGTH: u32 = 1000;
/// Maximum hours entries of a layer.
pub const MAX_HOURS: usize = 100;
pub const MAX_TEMPORARY: usize = 1000;
/// Maximum shifts of a temporary schedule.
pub const MAX_FIXED_SHIFTS: usize = 1000;
/// Maximum shifts in a result.
pub const MAX_SHIFTS: usize = 500_000;
/// Maximum shift pieces processed for a result, over layers, temporary schedules and overrides: about half a second.
pub const MAX_WORK: usize = 20_000_000;
/// Maximum years of a queried range.
pub const MAX_YEARS: i64 = 100;
/// Supported years: time zones before 1970 are not standardised, and calendar arithmetic ends near the year 9999.
pub const YEARS: std::ops::RangeInclusive<i16> = 1970..=2999;

/// Why a schedule, or a query about one, is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("`time_zone` is missing")]
    NoZone,
    #[error("`time_zone` is `{value}`, which is no IANA time zone")]
    UnknownZone { value: String, similar: Option<String> },
    #[error("`{path}` names nobody")]
    Nobody { path: String },
    #[error("`{path}` names `{user}` twice")]
    Twice { path: String, user: String },
    #[error("`{path}` is {value}, and a turn takes 1 to {MAX_LENGTH} {unit}")]
    Length { path: String, value: u32, unit: &'static str },
    #[error("`{path}` is {value}, which is not after {after}")]
    Backwards { path: String, value: String, after: String },
    #[error("`{path}` is {value}, outside of its temporary schedule ({from} to {to})")]
    Outside { path: String, value: String, from: String, to: String },
    #[error("`{path}` is {value}, and schedules speak of the years {} to {}", YEARS.start(), YEARS.end())]
    Year { path: String, value: String },
    #[error("`{path}` is {value}, and schedules count whole seconds")]
    Fraction { path: String, value: String },
    #[error("`{path}` has {count} entries, and at most {max} are allowed")]
    TooMany { path: String, count: usize, max: usize },
    #[error("`{path}` says neither `remove` nor `add`")]
    ChangesNothing { path: String },
    #[error("`add` and `remove` are both `{user}`")]
    SamePerson { user: String },
    #[error("the answer takes too much work: it has too many shifts and overrides")]
    TooMuchWork,
    #[error("the time asked about is longer than {MAX_YEARS} years")]
    TooLong,
    #[error("the answer has more than {max} shifts")]
    TooManyShifts { max: usize },
}

impl ScheduleError {
    /// The field, relative to the schedule or override: `layers[0].rotation.users`. Empty if the query is invalid.
    pub fn path(&self) -> &str {
        match self {
            Self::NoZone | Self::UnknownZone { .. } => "time_zone",
            Self::Nobody { path }
            | Self::Twice { path, .. }
            | Self::Length { path, .. }
            | Self::Backwards { path, .. }
            | Self::Outside { path, .. }
            | Self::Year { path, .. }
            | Self::Fraction { path, .. }
            | Self::TooMany { path, .. }
            | Self::ChangesNothing { path } => path,
            Self::SamePerson { .. } => "add",
            Self::TooLong | Self::TooManyShifts { .. } | Self::TooMuchWork => "",
        }
    }

    /// How to fix it.
    pub fn help(&self) -> String {
        match self {
            Self::UnknownZone { similar: Some(similar), .. } => format!("did you mean `{similar}`?"),
            Self::NoZone | Self::UnknownZone { .. } => "write an IANA name such as `Europe/Oslo` or `UTC`".into(),
            Self::Nobody { .. } => "name at least one user".into(),
            Self::Twice { .. } => "name each user once; who takes two turns in a row has two entries".into(),
            Self::Length { .. } => "leave it out for 1".into(),
            Self::Backwards { .. } => "write a later time, or leave it out where it is optional".into(),
            Self::Outside { .. } => "move the shift, or widen `from` and `to` of the temporary schedule".into(),
            Self::Year { .. } => "check the year".into(),
            Self::Fraction { .. } => "write `HH:MM` or `HH:MM:SS`".into(),
            Self::TooMany { .. } => "split it over several schedules".into(),
            Self::ChangesNothing { .. } => "name who is taken off, who is put on, or both".into(),
            Self::SamePerson { .. } => "name two people, or leave one of them out".into(),
            Self::TooLong | Self::TooManyShifts { .. } | Self::TooMuchWork => "ask about a shorter time".into(),
        }
    }
}

/// All problems of a schedule. Without problems it can be evaluated at any time.
pub fn check(schedule: &Schedule) -> Vec<ScheduleError> {
    let name = &schedule.time_zone;
    let zone = model::time_zone(name);
    let mut wrong = Wrong { found: Vec::new(), zone: zone.clone().unwrap_or(TimeZone::UTC) };
    if name.trim().is_empty() {
        wrong.found.push(ScheduleError::NoZone);
    } else if zone.is_none() {
        wrong.found.push(ScheduleError::UnknownZone { value: name.clone(), similar: zone::similar(name) });
    }
    wrong.count("layers", schedule.layers.len(), MAX_LAYERS);
    for (n, layer) in schedule.layers.iter().enumerate().take(MAX_LAYERS) {
        wrong.rotation(&format!("layers[{n}].rotation"), &layer.rotation);
        wrong.hours(&format!("layers[{n}].hours"), &layer.hours);
    }
    wrong.count("temporary", schedule.temporary.len(), MAX_TEMPORARY);
    for (n, temporary) in schedule.temporary.iter().enumerate().take(MAX_TEMPORARY) {
        let path = format!("temporary[{n}]");
        wrong.span(&path, "from", temporary.from, "to", temporary.to);
        wrong.count(&format!("{path}.shifts"), temporary.shifts.len(), MAX_FIXED_SHIFTS);
        for (m, shift) in temporary.shifts.iter().enumerate().take(MAX_FIXED_SHIFTS) {
            let path = format!("{path}.shifts[{m}]");
            wrong.user(&format!("{path}.user"), &shift.user);
            wrong.span(&path, "from", shift.from, "to", shift.to);
            for (field, value) in [("from", shift.from), ("to", shift.to)] {
                if value.is_before(temporary.from, &wrong.zone) || temporary.to.is_before(value, &wrong.zone) {
                    let (path, value) = (format!("{path}.{field}"), value.to_string());
                    let (from, to) = (temporary.from.to_string(), temporary.to.to_string());
                    wrong.found.push(ScheduleError::Outside { path, value, from, to });
                }
            }
        }
    }
    wrong.found
}

/// All problems of an override; `zone` is its schedule's.
pub fn check_override(change: &Override, zone: &TimeZone) -> Vec<ScheduleError> {
    let mut wrong = Wrong { found: Vec::new(), zone: zone.clone() };
    if !change.from.is_before(change.to, zone) {
        wrong.backwards("to", change.to, change.from);
    }
    for (path, user) in [("remove", &change.remove), ("add", &change.add)] {
        if let Some(user) = user {
            wrong.user(path, user);
        }
    }
    match (&change.remove, &change.add) {
        (None, None) => wrong.found.push(ScheduleError::ChangesNothing { path: "add".into() }),
        (Some(remove), Some(add)) if remove == add => wrong.found.push(ScheduleError::SamePerson { user: add.clone() }),
        _ => {}
    }
    wrong.found
}

struct Wrong {
    found: Vec<ScheduleError>,
    /// Zone in which wall-clock times are compared with instants.
    zone: TimeZone,
}

impl Wrong {
    fn rotation(&mut self, path: &str, rotation: &Rotation) {
        let unit = match rotation.every {
            Every::Hour => "hours",
            Every::Day => "days",
            Every::Week => "weeks",
            Every::Month => "months",
        };
        if !(1..=MAX_LENGTH).contains(&rotation.length) {
            self.found.push(ScheduleError::Length { path: format!("{path}.length"), value: rotation.length, unit });
        }
        match rotation.end {
            Some(end) => self.span(path, "start", rotation.start, "end", end),
            None => self.when(&format!("{path}.start"), rotation.start),
        }
        let path = format!("{path}.users");
        if rotation.users.is_empty() {
            self.found.push(ScheduleError::Nobody { path: path.clone() });
        }
        self.count(&path, rotation.users.iter().map(|turn| turn.users().len()).sum(), MAX_USERS);
        for (n, turn) in rotation.users.iter().enumerate().take(MAX_USERS) {
            let path = format!("{path}[{n}]");
            if turn.users().is_empty() {
                self.found.push(ScheduleError::Nobody { path: path.clone() });
            }
            let mut seen = std::collections::HashSet::new();
            for user in turn.users().iter().take(MAX_USERS) {
                self.user(&path, user);
                if !seen.insert(user) {
                    self.found.push(ScheduleError::Twice { path: path.clone(), user: user.clone() });
                }
            }
        }
    }

    fn hours(&mut self, path: &str, hours: &[Hours]) {
        self.count(path, hours.len(), MAX_HOURS);
        for (n, window) in hours.iter().enumerate().take(MAX_HOURS) {
            for (field, time) in [("from", window.from), ("to", window.to)] {
                self.whole(&format!("{path}[{n}].{field}"), time, time);
            }
        }
    }

    fn span(&mut self, path: &str, first: &str, from: PlanTime, second: &str, to: PlanTime) {
        let second = format!("{path}.{second}");
        self.when(&format!("{path}.{first}"), from);
        self.when(&second, to);
        if !from.is_before(to, &self.zone) {
            self.backwards(&second, to, from);
        }
    }

    fn when(&mut self, path: &str, value: PlanTime) {
        let wall = value.wall(&self.zone);
        if !YEARS.contains(&wall.year()) {
            self.found.push(ScheduleError::Year { path: path.into(), value: value.to_string() });
        }
        self.whole(path, wall.time(), value);
    }

    fn whole(&mut self, path: &str, time: Time, value: impl Display) {
        if time.subsec_nanosecond() != 0 {
            self.found.push(ScheduleError::Fraction { path: path.into(), value: value.to_string() });
        }
    }

    fn backwards(&mut self, path: &str, value: impl Display, after: impl Display) {
        self.found.push(ScheduleError::Backwards { path: path.into(), value: value.to_string(), after: after.to_string() });
    }

    fn user(&mut self, path: &str, user: &str) {
        if user.trim().is_empty() {
            self.found.push(ScheduleError::Nobody { path: path.into() });
        }
    }

    fn count(&mut self, path: &str, count: usize, max: usize) {
        if count > max {
            self.found.push(ScheduleError::TooMany { path: path.into(), count, max });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(yaml: &str) -> Vec<(String, String)> {
        let schedule: Schedule = serde_yaml_ng::from_str(yaml).unwrap();
        check(&schedule).iter().map(|error| (error.to_string(), error.help())).collect()
    }

    const SOUND: &str = "time_zone: Europe/Oslo\nlayers: [{rotation: {every: week, start: 2026-01-05T08:00, users: [ann, [bo, cy]]}}]\n";

    // Expected: the documented limits and the messages.
    #[test]
    fn a_sound_schedule_has_no_problems() {
        assert_eq!(problems(SOUND), []);
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let near = |zone: &str| problems(&SOUND.replace("Europe/Oslo", zone))[0].1.clone();
        assert_eq!(near("Europe/Olso"), "did you mean `Europe/Oslo`?");
        assert_eq!(near("Oslo"), "did you mean `Europe/Oslo`?");
        assert_eq!(near("America/New York"), "did you mean `America/New_York`?");
        assert_eq!(near("Middle-earth/Shire"), "write an IANA name such as `Europe/Oslo` or `UTC`");
        assert_eq!(problems("layers: []")[0].0, "`time_zone` is missing");
    }

    #[test]
    fn each_wrong_field_is_named_with_its_value() {
        let yaml = "
time_zone: UTC
layers:
- rotation: {every: week, length: 0, start: 2026-01-05T08:00, end: 2026-01-05T08:00, users: []}
- rotation: {every: month, start: 0026-01-05T08:00, users: [[ann, ann], [], ' ']}
  hours: [{from: '08:00:00.5', to: '17:00'}]
temporary:
- {from: 2026-12-24T08:00, to: 2026-12-26T08:00, shifts: [{user: ann, from: 2026-12-24T07:00, to: 2026-12-25T08:00}]}
";
        let messages: Vec<String> = problems(yaml).into_iter().map(|(problem, _)| problem).collect();
        assert_eq!(
            messages,
            [
                "`layers[0].rotation.length` is 0, and a turn takes 1 to 1000 weeks",
                "`layers[0].rotation.end` is 2026-01-05T08:00:00, which is not after 2026-01-05T08:00:00",
                "`layers[0].rotation.users` names nobody",
                "`layers[1].rotation.start` is 0026-01-05T08:00:00, and schedules speak of the years 1970 to 2999",
                "`layers[1].rotation.users[0]` names `ann` twice",
                "`layers[1].rotation.users[1]` names nobody",
                "`layers[1].rotation.users[2]` names nobody",
                "`layers[1].hours[0].from` is 08:00:00.5, and schedules count whole seconds",
                "`temporary[0].shifts[0].from` is 2026-12-24T07:00:00, outside of its temporary schedule (2026-12-24T08:00:00 to 2026-12-26T08:00:00)",
            ]
        );
    }

    #[test]
    fn limits_are_named() {
        let many = SOUND.replace("ann", &vec!["ann"; MAX_USERS].join(","));
        assert_eq!(problems(&many)[0].0, "`layers[0].rotation.users` has 1002 entries, and at most 1000 are allowed");
    }

    #[test]
    fn an_override_changes_something() {
        let yaml = |rest: &str| format!("schedule: s\nfrom: 2026-01-02T00:00:00Z\nto: 2026-01-01T00:00:00Z\n{rest}");
        let of = |rest: &str| {
            let change: Override = serde_yaml_ng::from_str(&yaml(rest)).unwrap();
            check_override(&change, &TimeZone::UTC).iter().map(|error| error.path().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(""), ["to", "add"]);
        assert_eq!(of("add: ann\nremove: ann"), ["to", "add"]);
        assert_eq!(of("remove: ann"), ["to"]);
    }
}
