//! The `timespan` parameter: ISO 8601 durations and intervals.
//!
//! Both ends are inclusive (the service filters with `between`); our windows are half-open, so one tick is added to the end.

use model::{Span, Timestamp, Window};

const TICK: Span = Span(1);

/// Why a text is not a timespan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimespanError {
    #[error(
        "'{0}' is no ISO 8601 timespan; write a duration such as 'PT12H', or an interval such as '2026-01-01/2026-01-02' or '2026-01-01/P1D'"
    )]
    Shape(String),
    #[error("the timespan '{0}' ends before it begins")]
    Backwards(String),
}

/// The window of `text` relative to `now`.
pub fn parse(text: &str, now: Timestamp) -> Result<Window, TimespanError> {
    let text = text.trim();
    let shape = || TimespanError::Shape(text.chars().take(100).collect());
    let (from, until) = match text.split_once('/') {
        None => {
            let length = Length::parse(text).ok_or_else(shape)?;
            (length.from(now, -1).ok_or_else(shape)?, now)
        }
        Some((first, second)) => match (instant(first), instant(second)) {
            (Some(from), Some(until)) => (from, until),
            (Some(from), None) => (from, Length::parse(second).and_then(|length| length.from(from, 1)).ok_or_else(shape)?),
            (None, Some(until)) => (Length::parse(first).and_then(|length| length.from(until, -1)).ok_or_else(shape)?, until),
            (None, None) => return Err(shape()),
        },
    };
    if until < from {
        return Err(TimespanError::Backwards(text.chars().take(100).collect()));
    }
    Ok(Window { from, until: until + TICK })
}

/// A duration with calendar years and months, as in ISO 8601.
struct Length {
    months: i64,
    rest: Span,
}

impl Length {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut rest = text.strip_prefix(['P', 'p'])?;
        let mut months = 0i64;
        for (unit, each) in [('Y', 12), ('M', 1)] {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits > 0 && rest[digits..].starts_with([unit, unit.to_ascii_lowercase()]) {
                let number: i64 = rest[..digits].parse().ok()?;
                months = months.checked_add(number.checked_mul(each)?)?;
                rest = &rest[digits + 1..];
            }
        }
        if months > 0 && rest.is_empty() {
            return Some(Self { months, rest: Span::ZERO });
        }
        Some(Self { months, rest: Span::parse_iso(&format!("P{rest}"))? })
    }

    /// The instant this long after `time` (or before it, with a sign of -1). A day missing in a shorter month becomes its last day.
    fn from(&self, time: Timestamp, sign: i64) -> Option<Timestamp> {
        let mut civil = time.civil();
        let month = i64::from(civil.year) * 12 + i64::from(civil.month) - 1 + sign * self.months;
        civil.year = month.div_euclid(12).try_into().ok()?;
        civil.month = (month.rem_euclid(12) + 1).try_into().ok()?;
        civil.day = civil.day.min(model::days_in_month(civil.year.into(), civil.month));
        let shifted = if self.months == 0 { time } else { Timestamp::from_civil(civil)? };
        Timestamp::from_ticks(shifted.ticks().checked_add(self.rest.ticks().checked_mul(sign)?)?)
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse_iso(text)
}

/// The intersection of both windows. If they are disjoint, an empty window, not an error: the query then returns no rows.
pub fn intersect(a: Option<Window>, b: Option<Window>) -> Option<Window> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let from = a.from.max(b.from);
            Some(Window { from, until: a.until.min(b.until).max(from) })
        }
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    #[test]
    fn all_forms_that_clients_send() {
        // WIRE §4: Python sends fractional seconds and millisecond intervals, JavaScript `P1D`.
        let now = at("2026-01-10T00:00:00Z");
        let window = |from: &str, until: &str| Ok(Window { from: at(from), until: at(until) + TICK });
        assert_eq!(parse("PT86400.0S", now), window("2026-01-09", "2026-01-10"));
        assert_eq!(parse("P1D", now), window("2026-01-09", "2026-01-10"));
        assert_eq!(parse("2026-01-01T00:00:00.000Z/2026-01-02T00:00:00.000Z", now), window("2026-01-01", "2026-01-02"));
        assert_eq!(parse("2026-01-01/P1D", now), window("2026-01-01", "2026-01-02"));
        assert_eq!(parse("PT1H/2026-01-02T01:00:00Z", now), window("2026-01-02", "2026-01-02T01:00:00Z"));
        // ISO 8601-1:2019, 5.5.2: months are calendar months.
        let march = at("2026-03-31T12:00:00Z");
        assert_eq!(parse("P1M", march), window("2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z"));
        assert_eq!(parse("P1Y2M3DT1H", march), window("2025-01-28T11:00:00Z", "2026-03-31T12:00:00Z"));
        assert_eq!(parse("2026-01-31/P1M", now), window("2026-01-31", "2026-02-28"));
        for bad in ["", "1d", "P1D/P1D", "yesterday/today", "P", "PM", "P9999999Y", "P1M2Y"] {
            assert!(matches!(parse(bad, now), Err(TimespanError::Shape(_))), "{bad}");
        }
        assert!(matches!(parse("2026-01-02/2026-01-01", now), Err(TimespanError::Backwards(_))));
    }

    #[test]
    fn url_and_body_intersect() {
        let now = at("2026-01-10T00:00:00Z");
        let (day, hour) = (parse("P1D", now).unwrap(), parse("PT1H", now).unwrap());
        assert_eq!(intersect(Some(day), Some(hour)), Some(hour));
        assert_eq!(intersect(None, Some(hour)), Some(hour));
        let past = parse("2020-01-01/P1D", now).unwrap();
        let empty = intersect(Some(day), Some(past)).unwrap();
        assert_eq!(empty.from, empty.until);
    }
}
