//! The turns of a rotation in closed form: the n-th hand-over is computed from `start` alone, so a rotation does not drift and its cost
//! does not grow with time.

use jiff::Span;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::TICKS_PER_HOUR;
use model::Timestamp;

use super::interval::Interval;
use super::zone;
use crate::directory::{Every, Rotation};

/// A rotation with its zone.
pub(super) struct Turns<'z, 'a> {
    zone: &'z TimeZone,
    rotation: &'a Rotation,
    /// Wall-clock time of `start`.
    first: DateTime,
    start: Timestamp,
    end: Timestamp,
}

impl<'z, 'a> Turns<'z, 'a> {
    pub fn new(zone: &'z TimeZone, rotation: &'a Rotation) -> Self {
        let end = rotation.end.map_or(Timestamp::MAX, |end| end.instant(zone));
        Self { zone, rotation, first: rotation.start.wall(zone), start: rotation.start.instant(zone), end }
    }

    /// Start of turn `n`, from 0.
    fn begins(&self, n: i64) -> Timestamp {
        let length = i64::from(self.rotation.length);
        let units = n.saturating_mul(length);
        if self.rotation.every == Every::Hour {
            return Timestamp::clamp_ticks(self.start.ticks().saturating_add(units.saturating_mul(TICKS_PER_HOUR)));
        }
        if n == 0 {
            return self.start;
        }
        let start = self.first;
        let later = match self.rotation.every {
            Every::Hour | Every::Day => Span::new().try_days(units),
            Every::Week => Span::new().try_days(units.saturating_mul(7)),
            // jiff clamps the day of the month; since it is computed from `start` each time, the 31st comes back.
            Every::Month => Span::new().try_months(units),
        };
        match later.and_then(|span| start.date().checked_add(span)) {
            Ok(date) => zone::instant(self.zone, DateTime::from_parts(date, start.time())),
            Err(_) => Timestamp::MAX,
        }
    }

    /// The number of a turn that starts at or shortly before `at`.
    fn near(&self, at: Timestamp) -> i64 {
        if at <= self.start {
            return 0;
        }
        let length = i64::from(self.rotation.length.max(1));
        let (start, now) = (self.first.date(), zone::wall_clock(self.zone, at).date());
        let months = |date: jiff::civil::Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let units = match self.rotation.every {
            Every::Hour => (at.ticks() - self.start.ticks()) / TICKS_PER_HOUR,
            Every::Month => months(now) - months(start) - 1,
            // Two days less than the calendar difference: a zone that crossed the date line skips a whole day.
            Every::Day => days_between(start, now) - 2,
            Every::Week => (days_between(start, now) - 2).div_euclid(7),
        };
        units.div_euclid(length).max(0)
    }

    /// The turns that overlap `window`, in order, not clipped, each with its number.
    pub fn within(&self, window: Interval) -> impl Iterator<Item = (i64, Interval)> {
        let mut n = self.near(window.from);
        let mut from = self.begins(n);
        std::iter::from_fn(move || {
            loop {
                if from >= window.to || from >= self.end {
                    return None;
                }
                let next = self.begins(n + 1);
                let turn = (n, Interval::new(from, next.min(self.end)));
                (n, from) = (n + 1, next);
                if turn.1.meets(window) {
                    return Some(turn);
                }
            }
        })
    }

    /// The users of turn `n`.
    pub fn users(&self, n: i64) -> &'a [String] {
        let entries = &self.rotation.users;
        match n.checked_rem_euclid(entries.len() as i64) {
            Some(entry) => entries[entry as usize].users(),
            None => &[],
        }
    }
}

fn days_between(from: jiff::civil::Date, to: jiff::civil::Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Turn;

    fn begins(zone: &str, every: Every, length: u32, start: &str, turns: std::ops::Range<i64>) -> Vec<String> {
        let zone = model::time_zone(zone).unwrap();
        let rotation = Rotation { every, length, start: start.parse().unwrap(), end: None, users: vec![Turn::One("ann".into())] };
        let rotation = Turns::new(&zone, &rotation);
        turns.map(|n| zone::wall_clock(&zone, rotation.begins(n)).to_string()).collect()
    }

    // Expected: the calendar of 2026. GoAlert's AddDate lands on 03-03, 03-31, 05-01 … instead.
    #[test]
    fn a_month_from_the_31st_takes_the_last_day_and_comes_back() {
        assert_eq!(
            begins("Europe/Oslo", Every::Month, 1, "2026-01-31T08:00", 0..6),
            [
                "2026-01-31T08:00:00",
                "2026-02-28T08:00:00",
                "2026-03-31T08:00:00",
                "2026-04-30T08:00:00",
                "2026-05-31T08:00:00",
                "2026-06-30T08:00:00"
            ]
        );
        assert_eq!(begins("Europe/Oslo", Every::Month, 1, "2026-01-31T08:00", 25..26), ["2028-02-29T08:00:00"]);
    }

    // Expected: RFC 5545 §3.3.5. On 2026-03-29 Oslo's clocks go from 02:00 to 03:00; on 2026-10-25 from 03:00 back to 02:00.
    #[test]
    fn a_time_that_is_skipped_moves_by_the_gap_that_day_only() {
        assert_eq!(
            begins("Europe/Oslo", Every::Day, 1, "2026-03-28T02:30", 0..3),
            ["2026-03-28T02:30:00", "2026-03-29T03:30:00", "2026-03-30T02:30:00"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first() {
        let zone = model::time_zone("Europe/Oslo").unwrap();
        assert_eq!(zone::instant(&zone, "2026-10-25T02:30".parse().unwrap()), Timestamp::parse_iso("2026-10-25T00:30:00Z").unwrap());
    }

    // Expected: 24 elapsed hours after Saturday 12:00 are Sunday 13:00 in spring and 11:00 in autumn.
    #[test]
    fn hours_are_elapsed_hours() {
        assert_eq!(begins("Europe/Oslo", Every::Hour, 24, "2026-03-28T12:00", 1..2), ["2026-03-29T13:00:00"]);
        assert_eq!(begins("Europe/Oslo", Every::Hour, 24, "2026-10-24T12:00", 1..2), ["2026-10-25T11:00:00"]);
    }

    // Expected: Samoa skipped 2011-12-30, so that day's hand-over coincides with the next one's, and its turn is empty.
    #[test]
    fn a_day_skipped_by_a_zone_is_an_empty_turn() {
        let zone = model::time_zone("Pacific/Apia").unwrap();
        let users = ["ann", "bo", "cy"].map(|user| Turn::One(user.into())).to_vec();
        let rotation = Rotation { every: Every::Day, length: 1, start: "2011-12-29T08:00".parse().unwrap(), end: None, users };
        let turns = Turns::new(&zone, &rotation);
        let window = Interval::new(turns.begins(0), turns.begins(4));
        assert_eq!(turns.within(window).map(|(n, _)| n).collect::<Vec<_>>(), [0, 2, 3]);
        let one = |n| Interval::new(turns.begins(n), turns.begins(n) + model::Span(1));
        assert_eq!(turns.within(one(2)).map(|(n, _)| n).collect::<Vec<_>>(), [2]);
    }

    // Expected: no overflow at the last representable instant.
    #[test]
    fn the_end_of_time_is_an_end() {
        let zone = model::time_zone("Pacific/Kiritimati").unwrap();
        for every in [Every::Hour, Every::Day, Every::Week, Every::Month] {
            let rotation =
                Rotation { every, length: 1, start: "1970-01-01T00:00".parse().unwrap(), end: None, users: vec![Turn::One("ann".into())] };
            let turns = Turns::new(&zone, &rotation);
            let last = Interval::new(Timestamp::MAX - model::Span(10 * TICKS_PER_HOUR), Timestamp::MAX);
            assert!(turns.within(last).count() <= 11, "{every:?}");
            assert_eq!(turns.begins(i64::MAX), Timestamp::MAX);
        }
    }
}
