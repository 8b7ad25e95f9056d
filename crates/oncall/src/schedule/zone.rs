//! Wall-clock times and instants. The rules (ADR 0006): a time that clocks skip is read with the offset from before the gap, as RFC 5545
//! §3.3.5 says; a time that they show twice is the first of the two.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{TICKS_PER_SECOND, Timestamp, UNIX_EPOCH_TICKS};

/// The known name nearest to a wrong one, if any is near.
pub(super) fn similar(wrong: &str) -> Option<String> {
    // No zone has a longer name, and the comparison takes time in proportion to it.
    if wrong.len() > 64 {
        return None;
    }
    let wrong = wrong.trim().to_lowercase().replace(' ', "_");
    model::time_zone_names()
        .map(|name| {
            let known = name.to_lowercase();
            // People write the city alone; it names the zone well enough for a hint.
            let city = known.rsplit('/').next().unwrap_or(&known);
            let city = strsim::damerau_levenshtein(&wrong, city) + usize::from(city.len() != known.len());
            (strsim::damerau_levenshtein(&wrong, &known).min(city), name)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

/// The instant at which the zone's clocks show `local`.
pub(crate) fn instant(zone: &TimeZone, local: DateTime) -> Timestamp {
    match zone.to_ambiguous_timestamp(local).compatible() {
        Ok(instant) => from_jiff(instant),
        Err(_) if local.year() > 5000 => Timestamp::MAX,
        Err(_) => Timestamp::MIN,
    }
}

/// What the zone's clocks show at an instant.
pub(crate) fn wall_clock(zone: &TimeZone, at: Timestamp) -> DateTime {
    zone.to_datetime(to_jiff(at))
}

fn from_jiff(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::clamp_ticks(UNIX_EPOCH_TICKS + instant.as_second() * TICKS_PER_SECOND + i64::from(instant.subsec_nanosecond()) / 100)
}

fn to_jiff(at: Timestamp) -> jiff::Timestamp {
    let since = at.ticks() - UNIX_EPOCH_TICKS;
    let nanoseconds = since.rem_euclid(TICKS_PER_SECOND) as i32 * 100;
    // jiff ends 26 hours before the year does.
    jiff::Timestamp::new(since.div_euclid(TICKS_PER_SECOND), nanoseconds).unwrap_or(jiff::Timestamp::MAX)
}
