//! Parses and formats times for people: RFC 3339, or wall-clock time in a zone.
//!
//! The same rule applies in documents, on the command line and in the API ([`PlanTime`]): a time with an offset, with `Z` or with the name
//! of a zone is that instant; one without is a wall-clock time in the schedule's zone.
//!
//! Wall-clock times in a DST gap or overlap are resolved as in schedules (docs/adr/0006): the offset before the gap, and the first of two.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a valid time.
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

/// A time as written: an instant, or a wall-clock time in a zone given elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanTime {
    Wall(DateTime),
    Instant(Timestamp),
}

impl PlanTime {
    /// The instant, with wall-clock times in `zone`.
    pub fn instant(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Wall(wall) => crate::schedule::instant(zone, wall),
            Self::Instant(instant) => instant,
        }
    }

    /// The wall-clock time in `zone`.
    pub fn wall(self, zone: &TimeZone) -> DateTime {
        match self {
            Self::Wall(wall) => wall,
            Self::Instant(instant) => crate::schedule::wall_clock(zone, instant),
        }
    }

    /// Whether this is earlier. Two wall-clock times are compared as written.
    pub fn is_before(self, other: PlanTime, zone: &TimeZone) -> bool {
        match (self, other) {
            (Self::Wall(one), Self::Wall(other)) => one < other,
            _ => self.instant(zone) < other.instant(zone),
        }
    }

    /// To the minute, for texts: `2026-12-24T08:00`, `2026-12-24T07:00Z`.
    pub fn minute(self) -> String {
        match self {
            Self::Wall(wall) => wall.strftime("%Y-%m-%dT%H:%M").to_string(),
            Self::Instant(instant) => crate::schedule::wall_clock(&TimeZone::UTC, instant).strftime("%Y-%m-%dT%H:%MZ").to_string(),
        }
    }
}

impl From<DateTime> for PlanTime {
    fn from(wall: DateTime) -> Self {
        Self::Wall(wall)
    }
}

impl From<Timestamp> for PlanTime {
    fn from(instant: Timestamp) -> Self {
        Self::Instant(instant)
    }
}

impl fmt::Display for PlanTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(wall) => write!(f, "{wall}"),
            Self::Instant(instant) if instant.ticks() % model::TICKS_PER_SECOND == 0 => {
                write!(f, "{}", crate::schedule::wall_clock(&TimeZone::UTC, *instant).strftime("%Y-%m-%dT%H:%M:%SZ"))
            }
            Self::Instant(instant) => write!(f, "{instant}"),
        }
    }
}

impl FromStr for PlanTime {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let trimmed = text.trim();
        let wrong = || WhenError::NoTime(crate::document::shortened(text, 60));
        if trimmed.len() > 100 {
            return Err(wrong());
        }
        if let Ok(instant) = trimmed.parse::<jiff::Timestamp>() {
            return to_model(instant).map(Self::Instant).ok_or_else(|| WhenError::TooFar(text.to_owned()));
        }
        // `2026-12-24T08:00[Europe/Oslo]` and `2026-12-24 08:00 Europe/Oslo`.
        let (wall, zone) = match trimmed.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            Some((wall, zone)) => (wall, Some(zone)),
            None => match trimmed.rsplit_once(' ') {
                Some((wall, name)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => (wall.trim_end(), Some(name)),
                _ => (trimmed, None),
            },
        };
        let wall: DateTime = wall.parse().map_err(|_| wrong())?;
        match zone {
            None => Ok(Self::Wall(wall)),
            Some(zone) => {
                let instant = zone_named(zone)?.to_timestamp(wall).ok().and_then(to_model);
                instant.map(Self::Instant).ok_or_else(|| WhenError::TooFar(text.to_owned()))
            }
        }
    }
}

impl Serialize for PlanTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlanTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PlanTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlanTime".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// Parses a time of day in a schedule's hours, which has no offset of its own.
pub(crate) fn time_of_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<jiff::civil::Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.'));
    let wrong = || format!("`{}` is no time of day; write `08:00`, in the schedule's zone", crate::document::shortened(&text, 60));
    if !plain {
        return Err(serde::de::Error::custom(wrong()));
    }
    text.parse().map_err(|_| serde::de::Error::custom(wrong()))
}

/// Parses a time. `zone` applies to wall-clock times without a zone.
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
    if trimmed.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let Some(span) = trimmed.strip_prefix('+').and_then(Span::parse_literal) {
        return shifted(now, span.ticks()).ok_or_else(|| WhenError::TooFar(text.to_owned()));
    }
    if let Some(span) = trimmed.strip_prefix('-').and_then(Span::parse_literal) {
        return shifted(now, -span.ticks()).ok_or_else(|| WhenError::TooFar(text.to_owned()));
    }
    match trimmed.parse::<PlanTime>()? {
        PlanTime::Instant(instant) => Ok(instant),
        PlanTime::Wall(wall) => {
            let instant = zone_named(zone)?.to_timestamp(wall).ok().and_then(to_model);
            instant.ok_or_else(|| WhenError::TooFar(text.to_owned()))
        }
    }
}

/// `Sat 2026-11-21 03:02` in the zone; UTC, marked as such, if the zone is unknown.
pub fn local(time: Timestamp, zone: &str) -> String {
    let Ok(instant) = jiff::Timestamp::from_second(time.unix_seconds()) else { return time.to_string() };
    match zone_named(zone) {
        Ok(zone) => instant.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M").to_string(),
        Err(_) => instant.to_zoned(TimeZone::UTC).strftime("%a %Y-%m-%d %H:%M UTC").to_string(),
    }
}

/// The zone of that name, such as `Europe/Oslo`; `UTC` and nothing are UTC.
pub fn zone_named(name: &str) -> Result<TimeZone, WhenError> {
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
        // Oslo is UTC+01:00 in winter and UTC+02:00 in summer (IANA tz); Tokyo always UTC+09:00.
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
        // 2026-03-29 02:30 does not exist in Oslo: the offset before the gap (+01:00) applies. 2026-10-25 02:30 occurs twice: the first is
        // used.
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

    /// RFC 3339 5.6 for offsets and `Z`; Oslo is UTC+02:00 in June (tz database).
    #[test]
    fn an_offset_is_honoured_and_its_absence_means_the_zone() {
        let oslo = model::time_zone("Europe/Oslo").unwrap();
        let instant = |text: &str| text.parse::<PlanTime>().map(|time| time.instant(&oslo));
        assert_eq!(instant("2026-06-01T08:00+00:00"), Ok(at("2026-06-01T08:00:00Z")));
        assert_eq!(instant("2026-06-01T08:00Z"), Ok(at("2026-06-01T08:00:00Z")));
        assert_eq!(instant("2026-06-01T08:00:00-05:00"), Ok(at("2026-06-01T13:00:00Z")));
        assert_eq!(instant("2026-06-01 08:00 Asia/Tokyo"), Ok(at("2026-05-31T23:00:00Z")));
        assert_eq!(instant("2026-06-01T08:00"), Ok(at("2026-06-01T06:00:00Z")));
        assert_eq!("2026-06-01T08:00Z".parse::<PlanTime>().unwrap().wall(&oslo).to_string(), "2026-06-01T10:00:00");
        for text in ["2026-06-01T08:00:00", "2026-06-01T08:00:00Z", "2026-06-01T08:00:00.5000000Z"] {
            assert_eq!(text.parse::<PlanTime>().unwrap().to_string(), text, "what is written is read back");
        }
        let error = "2026-06-31T08:00Z".parse::<PlanTime>().unwrap_err().to_string();
        assert!(error.contains("write `2026-12-24T08:00+01:00`"), "{error}");
    }

    #[test]
    fn people_read_their_own_clock() {
        assert_eq!(local(at("2026-11-21T02:02:59Z"), "Europe/Oslo"), "Sat 2026-11-21 03:02");
        assert_eq!(local(at("2026-11-21T02:02:59Z"), "Nowhere"), "Sat 2026-11-21 02:02 UTC");
    }
}
