//! Time zones by their IANA names.
//!
//! The database is the one compiled in, never the machine's: the same schedule, and the same log line, mean the same on every host and in a
//! container without `/usr/share/zoneinfo`.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of an IANA name, whatever its case.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    DATABASE.get(name).ok()
}

/// All names there are.
pub fn time_zone_names() -> impl Iterator<Item = String> {
    DATABASE.available().map(|name| name.as_str().to_owned())
}
