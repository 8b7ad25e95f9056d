//! Weekly hours in wall-clock time. A window that starts late ends the next day; on days with a DST change its length differs accordingly.

use jiff::Span;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::check::{MAX_SHIFTS, ScheduleError};
use super::interval::{Interval, union};
use super::zone;
use crate::directory::{Hours, Weekday};

/// The windows that overlap `within`, joined into a set and not clipped.
pub(super) fn windows(zone: &TimeZone, hours: &[Hours], within: Interval) -> Result<Vec<Interval>, ScheduleError> {
    if within.is_empty() {
        return Ok(Vec::new());
    }
    // A window extends into the next day, and a skipped day (a change of the date line) adds another.
    let first = shifted(zone::wall_clock(zone, within.from).date(), -3);
    let last = shifted(zone::wall_clock(zone, within.to).date(), 1);
    let mut found = Vec::new();
    let mut day = first;
    while day <= last {
        for window in hours.iter().filter(|window| window.days.is_empty() || window.days.contains(&weekday(day))) {
            let until = if window.to > window.from { day } else { shifted(day, 1) };
            let from = zone::instant(zone, DateTime::from_parts(day, window.from));
            found.push(Interval::new(from, zone::instant(zone, DateTime::from_parts(until, window.to))));
        }
        if found.len() > MAX_SHIFTS {
            return Err(ScheduleError::TooManyShifts { max: MAX_SHIFTS });
        }
        let next = shifted(day, 1);
        if next == day {
            break;
        }
        day = next;
    }
    let mut set = union(found);
    set.retain(|window| window.meets(within));
    Ok(set)
}

/// Saturates at the first and last date.
fn shifted(day: Date, days: i64) -> Date {
    day.saturating_add(Span::new().days(days))
}

fn weekday(day: Date) -> Weekday {
    match day.weekday() {
        jiff::civil::Weekday::Monday => Weekday::Monday,
        jiff::civil::Weekday::Tuesday => Weekday::Tuesday,
        jiff::civil::Weekday::Wednesday => Weekday::Wednesday,
        jiff::civil::Weekday::Thursday => Weekday::Thursday,
        jiff::civil::Weekday::Friday => Weekday::Friday,
        jiff::civil::Weekday::Saturday => Weekday::Saturday,
        jiff::civil::Weekday::Sunday => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    fn hours(days: &[Weekday], from: &str, to: &str) -> Hours {
        Hours { days: days.to_vec(), from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    fn oslo(hours: &[Hours], from: &str, to: &str) -> Vec<(String, i64)> {
        let zone = model::time_zone("Europe/Oslo").unwrap();
        let windows = windows(&zone, hours, Interval::new(at(from), at(to))).unwrap();
        windows.iter().map(|w| (zone::wall_clock(&zone, w.from).to_string(), (w.to - w.from).0 / model::TICKS_PER_MINUTE)).collect()
    }

    // Expected: computed by hand; Oslo skips 02:00–03:00 on 2026-03-29 and repeats it on 2026-10-25.
    #[test]
    fn a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn() {
        let night = [hours(&[Weekday::Saturday], "22:00", "06:00")];
        assert_eq!(oslo(&night, "2026-03-23", "2026-03-30"), [("2026-03-28T22:00:00".into(), 420)]);
        assert_eq!(oslo(&night, "2026-10-19", "2026-10-26"), [("2026-10-24T22:00:00".into(), 540)]);
    }

    #[test]
    fn equal_ends_are_a_whole_day_and_neighbours_join() {
        let weekend = [hours(&[Weekday::Saturday, Weekday::Sunday], "00:00", "00:00")];
        assert_eq!(oslo(&weekend, "2026-03-27", "2026-03-30"), [("2026-03-28T00:00:00".into(), 47 * 60)]);
    }

    #[test]
    fn a_window_from_the_day_before_counts_where_it_reaches() {
        let friday = [hours(&[Weekday::Friday], "20:00", "08:00")];
        assert_eq!(oslo(&friday, "2026-06-06T03:00:00Z", "2026-06-06T03:00:01Z"), [("2026-06-05T20:00:00".into(), 720)]);
        assert_eq!(oslo(&friday, "2026-06-06T06:00:00Z", "2026-06-06T07:00:00Z"), []);
    }
}
