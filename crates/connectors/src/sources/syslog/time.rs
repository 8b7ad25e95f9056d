//! Parses device timestamps.
//!
//! RFC 3164 has neither year nor zone. The zone comes from the message, if present, or from the listener's settings. The year is the latest
//! one that does not put the time more than [`AHEAD`] after the arrival: a message of 31 December that arrives on 1 January stays in the
//! old year, a clock that is slightly fast stays in the current one, and a date more than that ahead is in the past. For an ambiguous time
//! when clocks go back, the one nearer to the arrival is used.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{Civil, Span, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MINUTE, TICKS_PER_SECOND, Timestamp, days_in_month};

use super::zones;

const MONTHS: [&[u8; 3]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

const DAYS: [&[u8; 3]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];

/// How far a time without year may be ahead of the arrival.
const AHEAD: Span = Span(7 * TICKS_PER_DAY);
/// Years searched backwards for one that has the day: 29 February is missing in at most seven consecutive years.
const YEARS_BACK: i32 = 8;

/// The zone of a listener's devices, and the arrival time of a message.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// `None` is UTC.
    pub zone: Option<&'a TimeZone>,
    pub now: Timestamp,
}

impl Reference<'_> {
    /// The instant of a date and time in the zone.
    pub fn instant(&self, civil: Civil) -> Option<Timestamp> {
        let plain = Timestamp::from_civil(civil)?;
        let Some(zone) = self.zone else { return Some(plain) };
        let fraction = civil.time % TICKS_PER_SECOND;
        let both = zone.to_ambiguous_timestamp(local(civil)?);
        let read = |found: Result<jiff::Timestamp, jiff::Error>| {
            let seconds = Timestamp::from_unix_micros(found.ok()?.as_microsecond())?;
            Some(seconds + Span(fraction))
        };
        let candidates = [both.clone().earlier(), both.later()];
        candidates.into_iter().filter_map(read).min_by_key(|found| found.ticks().abs_diff(self.now.ticks()))
    }

    /// The instant of a timestamp, in the zone written after it, if any.
    pub fn resolve(&self, stamp: &Stamp, zone: Option<Zone<'_>>) -> Option<Timestamp> {
        let in_year = |year: i32| {
            let civil = Civil { year, month: stamp.month, day: stamp.day, time: stamp.time };
            if stamp.day > days_in_month(year.into(), stamp.month) {
                return None;
            }
            match zone.and_then(|zone| self.offset(zone, civil)) {
                Some(offset) => Some(Timestamp::from_civil(civil)? - offset),
                None => self.instant(civil),
            }
        };
        if let Some(year) = stamp.year {
            return in_year(year);
        }
        let this_year = self.now.civil().year;
        let latest = self.now + AHEAD;
        (this_year - YEARS_BACK..=this_year + 1).rev().filter_map(in_year).find(|found| *found <= latest)
    }

    /// The UTC offset of a zone. `None` if the listener's zone applies: it uses this abbreviation itself, or the name is unknown.
    fn offset(&self, zone: Zone<'_>, civil: Civil) -> Option<Span> {
        match zone {
            Zone::Offset(offset) => Some(offset),
            Zone::Name(name) if self.goes_by(name, civil) => None,
            Zone::Name(name) => zones::offset(name),
        }
    }

    fn goes_by(&self, name: &str, civil: Civil) -> bool {
        let Some((zone, local)) = self.zone.zip(local(civil)) else { return false };
        let Ok(at) = zone.to_ambiguous_timestamp(local).compatible() else { return false };
        zone.to_offset_info(at).abbreviation() == name
    }

    /// RFC 3339 and its relaxations; without an offset the time is in the listener's zone.
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

    /// A text that is a timestamp only: `Mmm dd [yyyy] hh:mm:ss[.fff] [zone]` or ISO 8601.
    pub fn whole(&self, text: &str) -> Option<Timestamp> {
        let Some(stamp) = bsd(text) else { return self.iso(text) };
        let zone = behind(&text[stamp.len..]).and_then(zone);
        self.resolve(&stamp, zone.map(|(zone, _)| zone))
    }
}

fn local(civil: Civil) -> Option<DateTime> {
    let seconds = civil.time / TICKS_PER_SECOND;
    DateTime::new(
        i16::try_from(civil.year).ok()?,
        i8::try_from(civil.month).ok()?,
        i8::try_from(civil.day).ok()?,
        i8::try_from(seconds / 3600).ok()?,
        i8::try_from(seconds / 60 % 60).ok()?,
        i8::try_from(seconds % 60).ok()?,
        0,
    )
    .ok()
}

/// A date and time at the start of a text, and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    year: Option<i32>,
    month: u32,
    day: u32,
    time: i64,
    pub len: usize,
}

impl Stamp {
    pub fn has_year(&self) -> bool {
        self.year.is_some()
    }

    pub fn with_year(self, year: i32) -> Self {
        Self { year: Some(year), ..self }
    }
}

/// A zone as written after a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone<'a> {
    /// Offset from UTC.
    Offset(Span),
    Name(&'a str),
}

/// The text where a zone may follow a time: after a blank, or directly for `Z` and offsets.
pub fn behind(rest: &str) -> Option<&str> {
    rest.strip_prefix(' ').or_else(|| rest.starts_with(['Z', '+', '-']).then_some(rest))
}

/// A zone at the start of a text, and its length: a name in [`zones`], or `+0100`, `-05:00`, `UTC+2`. Ended by a space, a colon or the end.
pub fn zone(text: &str) -> Option<(Zone<'_>, usize)> {
    let bytes = text.as_bytes();
    if let Some(rest) = ["UTC", "GMT"].into_iter().find_map(|name| text.strip_prefix(name)).filter(|rest| rest.starts_with(['+', '-'])) {
        if let Some((found, len)) = zone(rest) {
            return Some((found, 3 + len));
        }
        let (hour, digits) = number(rest.as_bytes(), 1, 3).filter(|(hour, _)| *hour <= 14)?;
        let ahead = i64::from(hour) * TICKS_PER_HOUR * if rest.starts_with('-') { -1 } else { 1 };
        let len = 4 + digits;
        return matches!(bytes.get(len), None | Some(b' ' | b':')).then_some((Zone::Offset(Span(ahead)), len));
    }
    let ended = |len: usize| matches!(bytes.get(len), None | Some(b' ' | b':'));
    if let Some(sign @ (b'+' | b'-')) = bytes.first() {
        let (hour, _) = number(bytes, 1, 2).filter(|(_, len)| *len == 2)?;
        let colon = usize::from(bytes.get(3) == Some(&b':'));
        let (minute, _) = number(bytes, 3 + colon, 2).filter(|(_, len)| *len == 2)?;
        let len = 5 + colon;
        if hour > 14 || minute > 59 || !ended(len) {
            return None;
        }
        let ahead = i64::from(hour) * TICKS_PER_HOUR + i64::from(minute) * TICKS_PER_MINUTE;
        return Some((Zone::Offset(Span(if *sign == b'-' { -ahead } else { ahead })), len));
    }
    let len = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (ended(len) && zones::is(&text[..len])).then(|| (Zone::Name(&text[..len]), len))
}

/// `Mmm dd hh:mm:ss` and its variants: a year in front, before or after the time, fractional seconds, a single-digit day.
pub fn bsd(text: &str) -> Option<Stamp> {
    let bytes = text.as_bytes();
    let mut year = None;
    let mut at = 0;
    // `2026 Nov 20 10:00:00`, as NX-OS writes it; `2026-11-20 10:00:00`.
    if let Some((value, 4)) = number(bytes, 0, 5) {
        if bytes.get(4) == Some(&b'-') {
            return numeric(bytes, value);
        }
        year = Some(value);
        at = 4 + spaces(bytes, 4)?;
    }
    // `Fri Nov 20 10:00:00 2026`
    if let Some([a, b, c, b' ']) = bytes.get(at..at + 4) {
        if DAYS.contains(&&[a.to_ascii_lowercase(), b.to_ascii_lowercase(), c.to_ascii_lowercase()]) {
            at += 3;
            at += spaces(bytes, at)?;
        }
    }
    let name = bytes.get(at..at + 3)?;
    let name = [name[0].to_ascii_lowercase(), name[1].to_ascii_lowercase(), name[2].to_ascii_lowercase()];
    let month = MONTHS.iter().position(|known| **known == name)? as u32 + 1;
    at += 3;
    at += spaces(bytes, at)?;
    let (day, len) = number(bytes, at, 2)?;
    at += len;
    at += spaces(bytes, at)?;
    if let Some((value, 4)) = number(bytes, at, 4) {
        if year.is_none() && bytes.get(at + 4) == Some(&b' ') {
            year = Some(value);
            at += 4;
            at += spaces(bytes, at)?;
        }
    }
    let (time, len) = clock(bytes, at)?;
    at += len;
    if year.is_none() && bytes.get(at) == Some(&b' ') {
        // `Nov 20 10:00:00 2026 host`: a four-digit host name is less likely than a year.
        if let Some(value) = year_at(bytes, at + 1) {
            year = Some(value);
            at += 5;
        }
    }
    // 29 February exists in some year.
    if !(1..=days_in_month(2000, month)).contains(&day) {
        return None;
    }
    let year = year.map(i32::try_from).transpose().ok()?;
    Some(Stamp { year, month, day, time, len: at })
}

/// `-11-20 10:00:00[.fff]` after a year; with a `T` it is handled by [`iso`].
fn numeric(bytes: &[u8], year: u32) -> Option<Stamp> {
    let (month, _) = number(bytes, 5, 2).filter(|(month, len)| *len == 2 && (1..=12).contains(month))?;
    let (day, _) = number(bytes, 8, 2).filter(|(_, len)| *len == 2)?;
    if bytes.get(7) != Some(&b'-') || bytes.get(10) != Some(&b' ') || !(1..=days_in_month(2000, month)).contains(&day) {
        return None;
    }
    let (time, len) = clock(bytes, 11)?;
    Some(Stamp { year: i32::try_from(year).ok(), month, day, time, len: 11 + len })
}

/// A year that is a separate word, or followed by a colon and a space. `2001:db8::1` is a host.
pub fn year_at(bytes: &[u8], at: usize) -> Option<u32> {
    match number(bytes, at, 5) {
        Some((year @ 1970..=2199, 4)) => {
            let ended = match bytes.get(at + 4) {
                None | Some(b' ') => true,
                Some(b':') => matches!(bytes.get(at + 5), None | Some(b' ')),
                _ => false,
            };
            ended.then_some(year)
        }
        _ => None,
    }
}

/// `2026-11-20T10:00:00.123456+01:00` up to a space, and its length.
pub fn iso(text: &str, reference: &Reference<'_>) -> Option<(Timestamp, usize)> {
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' || !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    let len = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    // A colon after the time, as written by Cisco and some relays.
    let written = text[..len].strip_suffix(':').unwrap_or(&text[..len]);
    Some((reference.iso(written)?, written.len()))
}

/// `hh:mm:ss` with an optional fraction, in ticks, and its length.
pub fn clock(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let two = |at: usize| number(bytes, at, 2).filter(|(_, len)| *len == 2).map(|(value, _)| i64::from(value));
    let (hour, hours) = number(bytes, at, 2)?;
    let m = at + hours;
    if bytes.get(m) != Some(&b':') || bytes.get(m + 3) != Some(&b':') {
        return None;
    }
    // A leap second becomes the last second of its minute, since the tables have no 60.
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

/// A number of at most `most` digits, and its length.
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
        let found = bsd(text).and_then(|stamp| Some((reference.resolve(&stamp, None)?, stamp.len)));
        found.map_or("none".to_owned(), |(time, len)| format!("{} {len}", &time.to_string()[..22]))
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_far_ahead() {
        assert_eq!(read("Dec 31 23:59:59 host", "UTC", "2027-01-01T00:00:05Z"), "2026-12-31T23:59:59.00 15");
        assert_eq!(read("Jan  1 00:00:01 host", "UTC", "2026-12-31T23:59:58Z"), "2027-01-01T00:00:01.00 15");
        assert_eq!(read("Feb 29 12:00:00 host", "UTC", "2025-03-01T00:00:00Z"), "2024-02-29T12:00:00.00 15");
        // A week ahead is a fast clock; three or six months ahead is a date in the past.
        assert_eq!(read("Dec  7 12:00:00 host", "UTC", "2026-11-30T12:00:00Z"), "2026-12-07T12:00:00.00 15");
        assert_eq!(read("Dec  7 12:00:01 host", "UTC", "2026-11-30T12:00:00Z"), "2025-12-07T12:00:01.00 15");
        assert_eq!(read("Mar  1 12:00:00 host", "UTC", "2026-11-30T12:00:00Z"), "2026-03-01T12:00:00.00 15");
        assert_eq!(read("May 30 12:00:00 host", "UTC", "2026-11-30T12:00:00Z"), "2026-05-30T12:00:00.00 15");
    }

    #[test]
    fn years_and_fractions_are_read() {
        assert_eq!(read("Nov 20 2026 10:00:00: %ASA", "UTC", "2020-01-01"), "2026-11-20T10:00:00.00 20");
        assert_eq!(read("Nov 20 10:00:00.25 2026 h", "UTC", "2020-01-01"), "2026-11-20T10:00:00.25 23");
        assert_eq!(read("2026 Nov 20 10:00:00.25 UTC: %ETH", "UTC", "2020-01-01"), "2026-11-20T10:00:00.25 23");
        assert_eq!(read("nov 2 1:02:03,5 h", "UTC", "2026-11-03"), "2026-11-02T01:02:03.50 15");
        // github.com/syslog-ng/syslog-ng/pull/5410: an IPv6 address that starts like a year.
        assert_eq!(read("Nov 20 10:00:00 2001:db8::1 h", "UTC", "2026-11-20"), "2026-11-20T10:00:00.00 15");
        for wrong in ["Nov 20", "Nov 31 10:00:00 x", "Nov 20 25:00:00 x", "Nox 20 10:00:00", "", "N", "Nov 20 10:0", "2026", "2026 N"] {
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
    fn zones_behind_a_time_are_obeyed() {
        let shanghai = model::time_zone("Asia/Shanghai").unwrap();
        let read = |text: &str, zone: Option<&TimeZone>| Reference { zone, now: at("2026-11-20") }.whole(text);
        // RFC 822 §5: EST is five hours behind, EDT four.
        assert_eq!(read("Nov 20 2026 10:48:57 EST", None), Some(at("2026-11-20T15:48:57Z")));
        assert_eq!(read("Nov 20 2026 10:48:57 +0530", None), Some(at("2026-11-20T05:18:57Z")));
        assert_eq!(read("Nov 20 2026 10:48:57.5 -05:00", None), Some(at("2026-11-20T15:48:57.5Z")));
        // CST is Central time, unless it is another zone at the listener's location.
        assert_eq!(read("Nov 20 2026 10:48:57 CST", None), Some(at("2026-11-20T16:48:57Z")));
        assert_eq!(read("Nov 20 2026 10:48:57 CST", Some(&shanghai)), Some(at("2026-11-20T02:48:57Z")));
        // IST may be India, Israel or Ireland: the listener's zone decides.
        assert_eq!(read("Nov 20 2026 10:48:57 IST", None), Some(at("2026-11-20T10:48:57Z")));
        assert_eq!(read("Nov 20 2026 10:48:57 UTC+2", None), Some(at("2026-11-20T08:48:57Z")));
        assert_eq!(read("Nov 20 2026 10:48:57 GMT-05:30", None), Some(at("2026-11-20T16:18:57Z")));
        assert_eq!(read("2026-11-20 10:48:57.5+01:00", None), Some(at("2026-11-20T09:48:57.5Z")));
        assert_eq!(read("2026-11-20 10:48:57Z", None), Some(at("2026-11-20T10:48:57Z")));
        assert_eq!(zone("MAIL x"), None);
        assert_eq!(zone("ESTONIA x"), None);
    }

    #[test]
    fn iso_times_keep_their_offset_or_take_the_zone() {
        let zone = model::time_zone("America/Chicago").unwrap();
        let reference = Reference { zone: Some(&zone), now: at("2021-11-16") };
        assert_eq!(reference.iso("2021-11-15T18:25:00-0600"), Some(at("2021-11-16T00:25:00Z")));
        assert_eq!(reference.iso("2021-11-15T18:25:00.5+01:00"), Some(at("2021-11-15T17:25:00.5Z")));
        assert_eq!(reference.iso("2021-11-15 18:25:00"), Some(at("2021-11-16T00:25:00Z")));
        assert_eq!(iso("2021-11-15T18:25:00Z: host", &reference), Some((at("2021-11-15T18:25:00Z"), 20)));
    }
}
