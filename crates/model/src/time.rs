//! Timestamps and durations in Kusto's unit: ticks of 100 ns.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub const TICKS_PER_MICROSECOND: i64 = 10;
pub const TICKS_PER_MILLISECOND: i64 = 10_000;
pub const TICKS_PER_SECOND: i64 = 10_000_000;
pub const TICKS_PER_MINUTE: i64 = 60 * TICKS_PER_SECOND;
pub const TICKS_PER_HOUR: i64 = 60 * TICKS_PER_MINUTE;
pub const TICKS_PER_DAY: i64 = 24 * TICKS_PER_HOUR;
/// Ticks from 0001-01-01 to 1970-01-01.
pub const UNIX_EPOCH_TICKS: i64 = 719_162 * TICKS_PER_DAY;
/// Ticks of 9999-12-31T23:59:59.9999999Z, the last representable instant.
pub const MAX_DATETIME_TICKS: i64 = 3_652_059 * TICKS_PER_DAY - 1;

/// A UTC timestamp: ticks since 0001-01-01T00:00:00Z, years 1 to 9999. Formatted as in Kusto: `2020-01-01T00:00:00.0000000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A duration in ticks; may be negative. Formatted as in Kusto (`1.02:03:04.0000000`); parses `1d`, `90s`, `200ms`, ISO 8601 (`PT5M`) and
/// Kusto's format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

/// A calendar date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// 1 to 9999.
    pub year: i32,
    pub month: u32,
    pub day: u32,
    /// Ticks since midnight.
    pub time: i64,
}

/// Days since 0001-01-01 of a proleptic Gregorian date; `month` 1–12 and `day` 1–31 are not checked.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Howard Hinnant's algorithm, shifted from 1970 to year 1.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (i64::from(month) + 9) % 12;
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 306
}

/// The date of a number of days since 0001-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 306;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days in a month, considering leap years.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(0);
    pub const MAX: Timestamp = Timestamp(MAX_DATETIME_TICKS);
    pub const UNIX_EPOCH: Timestamp = Timestamp(UNIX_EPOCH_TICKS);

    /// The instant at `ticks` since 0001-01-01; `None` outside years 1 to 9999.
    pub fn from_ticks(ticks: i64) -> Option<Self> {
        (0..=MAX_DATETIME_TICKS).contains(&ticks).then_some(Self(ticks))
    }

    /// As [`Self::from_ticks`], clamped to the valid range.
    pub fn clamp_ticks(ticks: i64) -> Self {
        Self(ticks.clamp(0, MAX_DATETIME_TICKS))
    }

    pub fn ticks(self) -> i64 {
        self.0
    }

    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        micros.checked_mul(10).and_then(|t| t.checked_add(UNIX_EPOCH_TICKS)).and_then(Self::from_ticks)
    }

    /// Microseconds since 1970, rounded down, and the remaining ticks (0–9).
    pub fn to_unix_micros(self) -> (i64, i8) {
        let since = self.0 - UNIX_EPOCH_TICKS;
        (since.div_euclid(10), since.rem_euclid(10) as i8)
    }

    pub fn from_system(time: std::time::SystemTime) -> Self {
        let nanos = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        Self::clamp_ticks((nanos / 100 + i128::from(UNIX_EPOCH_TICKS)).clamp(0, i128::from(MAX_DATETIME_TICKS)) as i64)
    }

    pub fn unix_seconds(self) -> i64 {
        (self.0 - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_SECOND)
    }

    pub fn civil(self) -> Civil {
        let (year, month, day) = civil_from_days(self.0.div_euclid(TICKS_PER_DAY));
        Civil { year: year as i32, month, day, time: self.0.rem_euclid(TICKS_PER_DAY) }
    }

    pub fn from_civil(civil: Civil) -> Option<Self> {
        let sane = (1..=9999).contains(&civil.year)
            && (1..=12).contains(&civil.month)
            && (1..=days_in_month(civil.year.into(), civil.month)).contains(&civil.day)
            && (0..TICKS_PER_DAY).contains(&civil.time);
        sane.then(|| Self(days_from_civil(civil.year.into(), civil.month, civil.day) * TICKS_PER_DAY + civil.time))
    }

    /// `2020-01-01T00:00:00.123Z`: milliseconds, as in most JSON APIs.
    pub fn to_millis_string(self) -> String {
        let text = self.to_string();
        format!("{}Z", &text[..23])
    }

    /// Parses RFC 3339 and its usual relaxations: a space instead of `T`, no zone (UTC), no seconds, date only, any number of fractional
    /// digits (truncated to seven).
    pub fn parse_iso(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = text.as_bytes();
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            let part = bytes.get(range)?;
            part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
        };
        if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)? as u32, number(8..10)? as u32);
        let mut at = 10;
        let (mut time, mut offset) = (0, 0);
        if at < bytes.len() && matches!(bytes[at], b'T' | b't' | b' ') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at += 1;
            if bytes.get(at + 2) != Some(&b':') {
                return None;
            }
            let (hour, minute) = (number(at..at + 2)?, number(at + 3..at + 5)?);
            at += 5;
            let mut second = 0;
            if bytes.get(at) == Some(&b':') {
                second = number(at + 1..at + 3)?;
                at += 3;
                if matches!(bytes.get(at), Some(b'.' | b',')) {
                    at += 1;
                    let start = at;
                    let mut unit = TICKS_PER_SECOND / 10;
                    while let Some(digit) = bytes.get(at).filter(|b| b.is_ascii_digit()) {
                        time += i64::from(digit - b'0') * unit;
                        unit /= 10;
                        at += 1;
                    }
                    if at == start {
                        return None;
                    }
                }
            }
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            time += hour * TICKS_PER_HOUR + minute * TICKS_PER_MINUTE + second * TICKS_PER_SECOND;
        }
        let mut zone = text[at..].trim_start();
        if let Some(rest) = zone.strip_prefix("UTC").or_else(|| zone.strip_prefix("GMT")) {
            zone = rest;
        }
        match zone.as_bytes() {
            [] | [b'Z' | b'z'] => {}
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let digits: Vec<i64> =
                    rest.iter().filter(|b| **b != b':').map(|b| b.is_ascii_digit().then(|| i64::from(b - b'0'))).collect::<Option<_>>()?;
                let minutes = match digits.as_slice() {
                    [a, b] => (a * 10 + b) * 60,
                    [a, b, c, d] => (a * 10 + b) * 60 + c * 10 + d,
                    _ => return None,
                };
                offset = minutes * TICKS_PER_MINUTE * if *sign == b'-' { -1 } else { 1 };
            }
            _ => return None,
        }
        let local = Self::from_civil(Civil { year: year as i32, month, day, time })?;
        Self::from_ticks(local.0 - offset)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, time } = self.civil();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:07}Z",
            time / TICKS_PER_HOUR,
            time / TICKS_PER_MINUTE % 60,
            time / TICKS_PER_SECOND % 60,
            time % TICKS_PER_SECOND
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    /// Saturates at the first and last instant.
    fn add(self, span: Span) -> Timestamp {
        Self::clamp_ticks(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Span) -> Timestamp {
        Self::clamp_ticks(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, other: Timestamp) -> Span {
        Span(self.0 - other.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_iso(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no time; write for example `2026-01-01T00:00:00Z`")))
    }
}

impl Span {
    pub const ZERO: Span = Span(0);
    pub const SECOND: Span = Span(TICKS_PER_SECOND);
    pub const MINUTE: Span = Span(TICKS_PER_MINUTE);
    pub const HOUR: Span = Span(TICKS_PER_HOUR);
    pub const DAY: Span = Span(TICKS_PER_DAY);

    pub fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(TICKS_PER_SECOND))
    }

    pub fn millis(millis: i64) -> Self {
        Self(millis.saturating_mul(TICKS_PER_MILLISECOND))
    }

    pub fn ticks(self) -> i64 {
        self.0
    }

    /// As a `std` duration; a negative one becomes zero.
    pub fn to_std(self) -> Duration {
        let ticks = self.0.max(0);
        Duration::new((ticks / TICKS_PER_SECOND) as u64, (ticks % TICKS_PER_SECOND * 100) as u32)
    }

    /// ISO 8601 as formatted by Azure: `PT5M`, `P1D`, `P1DT2H`.
    pub fn to_iso(self) -> String {
        let mut rest = self.0.abs();
        let mut take = |unit: i64| {
            let n = rest / unit;
            rest %= unit;
            n
        };
        let (days, hours, minutes, seconds) = (take(TICKS_PER_DAY), take(TICKS_PER_HOUR), take(TICKS_PER_MINUTE), take(TICKS_PER_SECOND));
        let mut text = String::from(if self.0 < 0 { "-P" } else { "P" });
        if days > 0 {
            text += &format!("{days}D");
        }
        if hours + minutes + seconds + rest > 0 || days == 0 {
            text.push('T');
            if hours > 0 {
                text += &format!("{hours}H");
            }
            if minutes > 0 {
                text += &format!("{minutes}M");
            }
            if rest > 0 {
                text += format!("{seconds}.{rest:07}").trim_end_matches('0');
                text.push('S');
            } else if seconds > 0 || hours + minutes == 0 {
                text += &format!("{seconds}S");
            }
        }
        text
    }

    /// Parses `PT1H30M`, `P1DT2H`, `PT86400.0S`, `P2W`. Years and months have no fixed length and are rejected.
    pub fn parse_iso(text: &str) -> Option<Self> {
        let text = text.trim();
        let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
        let mut rest = rest.strip_prefix(['P', 'p'])?;
        let (mut total, mut clock, mut any) = (0.0f64, false, false);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(['T', 't']).filter(|_| !clock) {
                clock = true;
                rest = after;
                continue;
            }
            let split = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
            let number: f64 = rest[..split].parse().ok()?;
            let unit = match (clock, rest.as_bytes()[split].to_ascii_uppercase()) {
                (false, b'W') => 7 * TICKS_PER_DAY,
                (false, b'D') => TICKS_PER_DAY,
                (true, b'H') => TICKS_PER_HOUR,
                (true, b'M') => TICKS_PER_MINUTE,
                (true, b'S') => TICKS_PER_SECOND,
                _ => return None,
            };
            total += number * unit as f64;
            any = true;
            rest = &rest[split + 1..];
        }
        (any && total < i64::MAX as f64).then_some(Span((sign * total).round() as i64))
    }

    /// Parses a number and a unit as in KQL: `1d`, `2.5h`, `90s`, `200ms`, `1tick`.
    pub fn parse_literal(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = text.split_at(split);
        let unit = match unit {
            "d" | "day" | "days" => TICKS_PER_DAY,
            "h" | "hr" | "hrs" | "hour" | "hours" => TICKS_PER_HOUR,
            "m" | "min" | "minute" | "minutes" => TICKS_PER_MINUTE,
            "s" | "sec" | "second" | "seconds" => TICKS_PER_SECOND,
            "ms" | "milli" | "millis" | "millisec" | "millisecond" | "milliseconds" => TICKS_PER_MILLISECOND,
            "micro" | "micros" | "microsec" | "microsecond" | "microseconds" => TICKS_PER_MICROSECOND,
            "nano" | "nanos" | "nanosec" | "nanosecond" | "nanoseconds" => {
                return number.trim().parse::<f64>().ok().map(|n| Span((n / 100.0) as i64));
            }
            "tick" | "ticks" => 1,
            _ => return None,
        };
        let number = number.trim();
        match number.parse::<i64>() {
            Ok(whole) => whole.checked_mul(unit).map(Span),
            Err(_) => {
                let value = number.parse::<f64>().ok()? * unit as f64;
                (value.abs() < i64::MAX as f64).then_some(Span(value.round() as i64))
            }
        }
    }

    /// Parses Kusto's format: `[-][d.]hh:mm[:ss[.fffffff]]`.
    pub fn parse_clock(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let whole =
            |part: &str| -> Option<i64> { (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())? };
        let mut parts = text.split(':');
        let (first, minute, second) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let (days, hour) = match first.split_once('.') {
            Some((days, hour)) => (whole(days)?, whole(hour)?),
            None => (0, whole(first)?),
        };
        let (second, fraction) = match second.map(|s| s.split_once('.').unwrap_or((s, ""))) {
            None => (0, 0),
            Some((second, fraction)) => {
                if fraction.len() > 7 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                (whole(second)?, format!("{fraction:0<7}").parse().ok()?)
            }
        };
        let minute = whole(minute)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let total = days
            .checked_mul(TICKS_PER_DAY)?
            .checked_add(hour * TICKS_PER_HOUR + minute * TICKS_PER_MINUTE + second * TICKS_PER_SECOND + fraction)?;
        Some(Span(if negative { -total } else { total }))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.0.unsigned_abs();
        let (second, minute, hour, day) = (TICKS_PER_SECOND as u64, TICKS_PER_MINUTE as u64, TICKS_PER_HOUR as u64, TICKS_PER_DAY as u64);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if ticks >= day {
            write!(f, "{}.", ticks / day)?;
        }
        write!(f, "{:02}:{:02}:{:02}", ticks / hour % 24, ticks / minute % 60, ticks / second % 60)?;
        match ticks % second {
            0 => Ok(()),
            fraction => write!(f, ".{fraction:07}"),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a valid [`Span`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no length of time; write for example `90s`, `1d` or `PT5M`")]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        Span::parse_iso(text)
            .or_else(|| Span::parse_literal(text))
            .or_else(|| Span::parse_clock(text))
            .ok_or_else(|| SpanError(text.to_owned()))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_iso())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["90s", "1d", "PT5M"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse_over_all_years() {
        for days in (0..3_652_059).step_by(13) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(days_from_civil(1970, 1, 1), 719_162);
        assert_eq!(civil_from_days(3_652_058), (9999, 12, 31));
    }

    #[test]
    fn instants_read_back() {
        for text in ["2020-01-01T00:00:00.0000000Z", "0001-01-01T00:00:00.0000000Z", "9999-12-31T23:59:59.9999999Z"] {
            assert_eq!(Timestamp::parse_iso(text).unwrap().to_string(), text);
        }
        assert_eq!(Timestamp::parse_iso("2020-01-01 02:30:00+02:30"), Timestamp::parse_iso("2020-01-01"));
        assert_eq!(Timestamp::parse_iso("2020-02-30"), None);
        assert_eq!(Timestamp::parse_iso("1970-01-01T00:00:01.5Z").unwrap().to_unix_micros(), (1_500_000, 0));
    }

    #[test]
    fn lengths_are_read_in_three_dialects() {
        assert_eq!("PT86400.0S".parse(), Ok(Span::DAY));
        assert_eq!("1d".parse(), Ok(Span::DAY));
        assert_eq!("1.00:00:00".parse(), Ok(Span::DAY));
        assert_eq!(Span::DAY.to_string(), "1.00:00:00");
        assert_eq!(Span(TICKS_PER_DAY + TICKS_PER_HOUR).to_iso(), "P1DT1H");
        assert_eq!(Span::ZERO.to_iso(), "PT0S");
        assert!("5 parsecs".parse::<Span>().is_err());
    }
}
