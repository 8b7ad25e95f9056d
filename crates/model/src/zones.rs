//! Time zones by IANA name.
//!
//! Uses the compiled-in database, never the system's: schedules and log lines are interpreted the same on every host and in a container
//! without `/usr/share/zoneinfo`.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone with this IANA name, case-insensitively.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    DATABASE.get(name).ok()
}

/// All known names.
pub fn time_zone_names() -> impl Iterator<Item = String> {
    DATABASE.available().map(|name| name.as_str().to_owned())
}
