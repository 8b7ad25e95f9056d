//! Times as devices write them.
//!
//! RFC 3164 has neither year nor zone: the zone comes from the listener's settings, the year is the one that brings the time nearest to the
//! arrival, so that a message of 31 December that arrives on 1 January stays in the old year. Where clocks go back and an hour comes
//! twice, the nearer of the two is taken, too.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{Civil, Span, TICKS_PER_SECOND, Timestamp, days_in_month};

const MONTHS: [&[u8; 3]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// The zone of a listener's devices, and when a message arrived.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// `None` is UTC.
    pub zone: Option<&'a TimeZone>,
    pub now: Timestamp,
}

impl Reference<'_> {
    /// The instant of a day and time of day in the zone.
    pub fn instant(&self, civil: Civil) -> Option<Timestamp> {
        let plain = Timestamp::from_civil(civil)?;
        let Some(zone) = self.zone else { return Some(plain) };
        let seconds = civil.time / TICKS_PER_SECOND;
        let fraction = civil.time % TICKS_PER_SECOND;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let local = DateTime::new(
            i16::try_from(civil.year).ok()?,
            i8::try_from(civil.month).ok()?,
            i8::try_from(civil.day).ok()?,
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second).ok()?,
            0,
        )
        .ok()?;
        let both = zone.to_ambiguous_timestamp(local);
        let read = |found: Result<jiff::Timestamp, jiff::Error>| {
            let seconds = Timestamp::from_unix_micros(found.ok()?.as_microsecond())?;
            Some(seconds + Span(fraction))
        };
        let candidates = [both.clone().earlier(), both.later()];
        candidates.into_iter().filter_map(read).min_by_key(|found| self.distance(*found))
    }

    /// The instant of a month, day and time of day in the year that brings it nearest to the arrival.
    pub fn nearest(&self, month: u32, day: u32, time: i64) -> Option<Timestamp> {
        let this_year = self.now.civil().year;
        (this_year - 1..=this_year + 1)
            .filter(|year| day <= days_in_month((*year).into(), month))
            .filter_map(|year| self.instant(Civil { year, month, day, time }))
            .min_by_key(|found| self.distance(*found))
    }

    fn distance(&self, found: Timestamp) -> u64 {
        found.ticks().abs_diff(self.now.ticks())
    }

    /// RFC 3339 and its relaxations; without an offset it is a time of the zone.
    pub fn iso(&self, text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let clock = bytes.iter().position(|byte| matches!(byte, b'T' | b't' | b' '))?;
        let offset = bytes[clock..].iter().rposition(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-')).map(|at| at + clock);
        match offset {
            None => self.instant(Timestamp::parse_iso(text)?.civil()),
            // `-0600`, as Sophos writes it.
            Some(at) if bytes.len() == at + 5 && bytes[at + 1..].iter().all(u8::is_ascii_digit) => {
                Timestamp::parse_iso(&format!("{}:{}", &text[..at + 3], &text[at + 3..]))
            }
            Some(_) => Timestamp::parse_iso(text),
        }
    }
}

/// A time at the start of a text, and how many bytes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub time: Timestamp,
    pub len: usize,
}

/// `Mmm dd hh:mm:ss` and what devices make of it: a year before or behind the clock, fractions of a second, one digit for the day.
pub fn bsd(text: &str, reference: &Reference<'_>) -> Option<Found> {
    let bytes = text.as_bytes();
    let name = [bytes.first()?.to_ascii_lowercase(), bytes.get(1)?.to_ascii_lowercase(), bytes.get(2)?.to_ascii_lowercase()];
    let month = MONTHS.iter().position(|known| **known == name)? as u32 + 1;
    let mut at = 3;
    at += spaces(bytes, at)?;
    let (day, len) = number(bytes, at, 2)?;
    at += len;
    at += spaces(bytes, at)?;
    let mut year = None;
    if let Some((value, 4)) = number(bytes, at, 4) {
        if bytes.get(at + 4) == Some(&b' ') {
            year = Some(value);
            at += 4;
            at += spaces(bytes, at)?;
        }
    }
    let (time, len) = clock(bytes, at)?;
    at += len;
    if year.is_none() && bytes.get(at) == Some(&b' ') {
        // `Nov 20 10:00:00 2026 host`: a host name of four digits is rarer than this.
        if let Some((value @ 1970..=2199, 4)) = number(bytes, at + 1, 5) {
            if matches!(bytes.get(at + 5), None | Some(b' ' | b':')) {
                year = Some(value);
                at += 5;
            }
        }
    }
    let time = match year {
        Some(year) => reference.instant(Civil { year: i32::try_from(year).ok()?, month, day, time }),
        None => reference.nearest(month, day, time),
    }?;
    Some(Found { time, len: at })
}

/// `2026-11-20T10:00:00.123456+01:00` up to a space.
pub fn iso(text: &str, reference: &Reference<'_>) -> Option<Found> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' || !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    let len = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    // Cisco's and some relays' colon behind the time.
    let written = text[..len].strip_suffix(':').unwrap_or(&text[..len]);
    Some(Found { time: reference.iso(written)?, len: written.len() })
}

/// `hh:mm:ss` with an optional fraction, in ticks, and its length.
pub fn clock(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let two = |at: usize| number(bytes, at, 2).filter(|(_, len)| *len == 2).map(|(value, _)| i64::from(value));
    let (hour, hours) = number(bytes, at, 2)?;
    let m = at + hours;
    if bytes.get(m) != Some(&b':') || bytes.get(m + 3) != Some(&b':') {
        return None;
    }
    // A leap second is the last one of its minute: the tables have no 60.
    let (minute, second) = (two(m + 1)?, two(m + 4)?.min(59));
    if hour > 23 || minute > 59 {
        return None;
    }
    let mut time = (i64::from(hour) * 3600 + minute * 60 + second) * TICKS_PER_SECOND;
    let mut end = m + 6;
    if matches!(bytes.get(end), Some(b'.' | b',')) && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        let mut unit = TICKS_PER_SECOND / 10;
        end += 1;
        while let Some(digit) = bytes.get(end).filter(|byte| byte.is_ascii_digit()) {
            time += i64::from(digit - b'0') * unit;
            unit /= 10;
            end += 1;
        }
    }
    Some((time, end - at))
}

/// A number of at most `most` digits, and how many it has.
fn number(bytes: &[u8], at: usize, most: usize) -> Option<(u32, usize)> {
    let digits = bytes.get(at..)?.iter().take(most).take_while(|byte| byte.is_ascii_digit());
    let (value, len) = digits.fold((0, 0), |(value, len), digit| (value * 10 + u32::from(digit - b'0'), len + 1));
    (len > 0).then_some((value, len))
}

fn spaces(bytes: &[u8], at: usize) -> Option<usize> {
    let len = bytes.get(at..)?.iter().take_while(|byte| **byte == b' ').count();
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    fn read(text: &str, zone: &str, now: &str) -> String {
        let zone = model::time_zone(zone).unwrap();
        let reference = Reference { zone: Some(&zone), now: at(now) };
        bsd(text, &reference).map_or("none".to_owned(), |found| format!("{} {}", &found.time.to_string()[..22], found.len))
    }

    #[test]
    fn the_year_is_the_nearest() {
        assert_eq!(read("Dec 31 23:59:59 host", "UTC", "2027-01-01T00:00:05Z"), "2026-12-31T23:59:59.00 15");
        assert_eq!(read("Jan  1 00:00:01 host", "UTC", "2026-12-31T23:59:58Z"), "2027-01-01T00:00:01.00 15");
        assert_eq!(read("Feb 29 12:00:00 host", "UTC", "2025-03-01T00:00:00Z"), "2024-02-29T12:00:00.00 15");
    }

    #[test]
    fn years_and_fractions_are_read() {
        assert_eq!(read("Nov 20 2026 10:00:00: %ASA", "UTC", "2020-01-01"), "2026-11-20T10:00:00.00 20");
        assert_eq!(read("Nov 20 10:00:00.25 2026 h", "UTC", "2020-01-01"), "2026-11-20T10:00:00.25 23");
        assert_eq!(read("nov 2 1:02:03,5 h", "UTC", "2026-11-03"), "2026-11-02T01:02:03.50 15");
        for wrong in ["Nov 20", "Nov 31 10:00:00 x", "Nov 20 25:00:00 x", "Nox 20 10:00:00", "", "N", "Nov 20 10:0"] {
            assert_eq!(read(wrong, "UTC", "2026-11-03"), "none", "{wrong}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_the_nearer_one() {
        // Europe/Berlin went back from 03:00 CEST (+02:00) to 02:00 CET (+01:00) at 2026-10-25T01:00Z.
        assert_eq!(read("Oct 25 02:30:00 h", "Europe/Berlin", "2026-10-25T00:30:01Z"), "2026-10-25T00:30:00.00 15");
        assert_eq!(read("Oct 25 02:30:00 h", "Europe/Berlin", "2026-10-25T01:30:01Z"), "2026-10-25T01:30:00.00 15");
        assert_eq!(read("Jul 25 02:30:00 h", "Europe/Berlin", "2026-07-25T01:30:01Z"), "2026-07-25T00:30:00.00 15");
    }

    #[test]
    fn iso_times_keep_their_offset_or_take_the_zone() {
        let zone = model::time_zone("America/Chicago").unwrap();
        let reference = Reference { zone: Some(&zone), now: at("2021-11-16") };
        assert_eq!(reference.iso("2021-11-15T18:25:00-0600"), Some(at("2021-11-16T00:25:00Z")));
        assert_eq!(reference.iso("2021-11-15T18:25:00.5+01:00"), Some(at("2021-11-15T17:25:00.5Z")));
        assert_eq!(reference.iso("2021-11-15 18:25:00"), Some(at("2021-11-16T00:25:00Z")));
        assert_eq!(iso("2021-11-15T18:25:00Z: host", &reference), Some(Found { time: at("2021-11-15T18:25:00Z"), len: 20 }));
    }
}
