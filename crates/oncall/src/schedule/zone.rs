//! Converts between wall-clock times and instants. Rules (ADR 0006): a time in a DST gap uses the offset from before the gap, as in RFC
//! 5545 §3.3.5; of an ambiguous time the first one is used.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{TICKS_PER_SECOND, Timestamp, UNIX_EPOCH_TICKS};

/// The most similar known zone name, if any is similar.
pub(super) fn similar(wrong: &str) -> Option<String> {
    // No zone has a longer name, and the comparison takes time in proportion to it.
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.trim().to_lowercase().replace(' ', "_");
    model::time_zone_names()
        .map(|name| {
            let known = name.to_lowercase();
            // Users often write the city alone, which is sufficient for a suggestion.
            let city = known.rsplit('/').next().unwrap_or(&known);
            let city = strsim::damerau_levenshtein(&wrong, city) + usize::from(city.len() != known.len());
            (strsim::damerau_levenshtein(&wrong, &known).min(city), name)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

/// The instant at which the zone's wall clock shows `local`.
pub(crate) fn instant(zone: &TimeZone, local: DateTime) -> Timestamp {
    match zone.to_ambiguous_timestamp(local).compatible() {
        Ok(instant) => from_jiff(instant),
        Err(_) if local.year() > 5000 => Timestamp::MAX,
        Err(_) => Timestamp::MIN,
    }
}

/// The wall-clock time in the zone at an instant.
pub(crate) fn wall_clock(zone: &TimeZone, at: Timestamp) -> DateTime {
    zone.to_datetime(to_jiff(at))
}

fn from_jiff(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::clamp_ticks(UNIX_EPOCH_TICKS + instant.as_second() * TICKS_PER_SECOND + i64::from(instant.subsec_nanosecond()) / 100)
}

fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    let since = at.ticks() - UNIX_EPOCH_TICKS;
    let nanoseconds = since.rem_euclid(TICKS_PER_SECOND) as i32 * 100;
    // jiff's range ends 26 hours before the end of the year.
    jiff::Timestamp::new(since.div_euclid(TICKS_PER_SECOND), nanoseconds).unwrap_or(jiff::Timestamp::MAX)
}
