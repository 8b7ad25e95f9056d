//! Times as people write them and read them: RFC 3339, or the clock on the wall of a zone.
//!
//! A wall time that clocks skip or repeat means what it means in schedules (docs/adr/0006): the offset before the gap, and the first of
//! two.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{Span, Timestamp};

/// Why a text is no time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    #[error(
        "`{0}` is no time; write `2026-12-24T08:00+01:00`, `2026-12-24T08:00` (in the schedule's zone), \
         `2026-12-24T08:00 Europe/Oslo`, `now` or `+2h`"
    )]
    NoTime(String),
    #[error("`{0}` is no time zone; write an IANA name such as `Europe/Oslo`")]
    NoZone(String),
    #[error("`{0}` is not within the years 1 to 9999")]
    TooFar(String),
}

/// Reads a time. `zone` is the one that a wall time without a zone belongs to.
///
/// ```
/// let now = model::Timestamp::parse_iso("2026-11-21T12:00:00Z").unwrap();
/// let read = |text| oncall::when::parse(text, "Europe/Oslo", now).unwrap().to_string();
/// assert_eq!(read("2026-12-24 08:00"), read("2026-12-24T07:00:00Z"));
/// assert_eq!(read("2026-12-24T08:00[Asia/Tokyo]"), read("2026-12-23T23:00Z"));
/// assert_eq!(read("+2h"), read("2026-11-21T14:00:00Z"));
/// ```
pub fn parse(text: &str, zone: &str, now: Timestamp) -> Result<Timestamp, WhenError> {
    let trimmed = text.trim();
    let wrong = || WhenError::NoTime(text.to_owned());
    if trimmed.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let Some(span) = trimmed.strip_prefix('+').and_then(Span::parse_literal) {
        return shifted(now, span.ticks()).ok_or_else(|| WhenError::TooFar(text.to_owned()));
    }
    if let Some(span) = trimmed.strip_prefix('-').and_then(Span::parse_literal) {
        return shifted(now, -span.ticks()).ok_or_else(|| WhenError::TooFar(text.to_owned()));
    }
    if let Ok(instant) = trimmed.parse::<jiff::Timestamp>() {
        return to_model(instant).ok_or_else(|| WhenError::TooFar(text.to_owned()));
    }
    // `2026-12-24T08:00[Europe/Oslo]` and `2026-12-24 08:00 Europe/Oslo`.
    let (wall, zone) = match trimmed.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((wall, zone)) => (wall, zone),
        None => match trimmed.rsplit_once(' ') {
            Some((wall, name)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => (wall.trim_end(), name),
            _ => (trimmed, zone),
        },
    };
    let wall: DateTime = wall.parse().map_err(|_| wrong())?;
    let instant = zone_named(zone)?.to_timestamp(wall).map_err(|_| WhenError::TooFar(text.to_owned()))?;
    to_model(instant).ok_or_else(|| WhenError::TooFar(text.to_owned()))
}

/// `Sat 2026-11-21 03:02` on the wall of the zone; UTC where the zone is unknown, and then it says so.
pub fn local(time: Timestamp, zone: &str) -> String {
    let Ok(instant) = jiff::Timestamp::from_second(time.unix_seconds()) else { return time.to_string() };
    match zone_named(zone) {
        Ok(zone) => instant.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M").to_string(),
        Err(_) => instant.to_zoned(TimeZone::UTC).strftime("%a %Y-%m-%d %H:%M UTC").to_string(),
    }
}

fn zone_named(name: &str) -> Result<TimeZone, WhenError> {
    if name.is_empty() || name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    model::time_zone(name).ok_or_else(|| WhenError::NoZone(name.to_owned()))
}

fn shifted(now: Timestamp, ticks: i64) -> Option<Timestamp> {
    Timestamp::from_ticks(now.ticks().checked_add(ticks)?)
}

fn to_model(instant: jiff::Timestamp) -> Option<Timestamp> {
    Timestamp::from_unix_micros(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    fn read(text: &str) -> Result<Timestamp, WhenError> {
        parse(text, "Europe/Oslo", at("2026-11-21T12:00:00Z"))
    }

    #[test]
    fn wall_times_belong_to_the_zone_that_is_named_or_to_the_schedules() {
        // Oslo is at +01:00 in winter and +02:00 in summer (IANA tz); Tokyo always at +09:00.
        assert_eq!(read("2026-12-24T08:00"), Ok(at("2026-12-24T07:00:00Z")));
        assert_eq!(read("2026-07-01 08:00"), Ok(at("2026-07-01T06:00:00Z")));
        assert_eq!(read("2026-07-01"), Ok(at("2026-06-30T22:00:00Z")));
        assert_eq!(read("2026-12-24T08:00 Asia/Tokyo"), Ok(at("2026-12-23T23:00:00Z")));
        assert_eq!(read("2026-12-24 08:00[Asia/Tokyo]"), Ok(at("2026-12-23T23:00:00Z")));
        assert_eq!(read("2026-12-24T08:00-05:00"), Ok(at("2026-12-24T13:00:00Z")));
        assert_eq!(read("now"), Ok(at("2026-11-21T12:00:00Z")));
        assert_eq!(read("-1d"), Ok(at("2026-11-20T12:00:00Z")));
    }

    #[test]
    fn gaps_and_repeats_are_those_of_rfc_5545() {
        // 2026-03-29 02:30 does not exist in Oslo: the offset before the gap (+01:00) holds. 2026-10-25 02:30 comes twice: the first.
        assert_eq!(read("2026-03-29T02:30"), Ok(at("2026-03-29T01:30:00Z")));
        assert_eq!(read("2026-10-25T02:30"), Ok(at("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn what_is_no_time_says_what_would_be() {
        assert!(read("tomorrow").unwrap_err().to_string().contains("`2026-12-24T08:00`"));
        assert_eq!(read("2026-12-24T08:00 Europe/Olso"), Err(WhenError::NoZone("Europe/Olso".into())));
        assert!(matches!(read("+999999999d"), Err(WhenError::TooFar(_) | WhenError::NoTime(_))));
        for hostile in ["", "[", "]", "[]", " ", "+", "-", "2026-13-01", "2026-01-01T25:00", "99999-01-01", "é é"] {
            assert!(read(hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn people_read_their_own_clock() {
        assert_eq!(local(at("2026-11-21T02:02:59Z"), "Europe/Oslo"), "Sat 2026-11-21 03:02");
        assert_eq!(local(at("2026-11-21T02:02:59Z"), "Nowhere"), "Sat 2026-11-21 02:02 UTC");
    }
}
