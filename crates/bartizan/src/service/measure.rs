//! Periodic measurements of disk, data directory and tables. Reports low disk space, and updates gauges.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{ByteSize, Catalog, Clock, Condition, ConditionSeverity, HealthRegister, Span};
use tokio_util::sync::CancellationToken;

const LOOK: Span = Span(15 * model::TICKS_PER_SECOND);
/// Less free space than this, or than a twentieth of the disk, is reported.
pub const LITTLE_ROOM: u64 = 1 << 30;
const SHARE: u64 = 20;
/// Health condition of low disk space.
pub const CONDITION: &str = "disk.room";

/// Parts of the data directory, by the name of their metric.
const PARTS: [(&str, &[&str]); 5] = [
    ("wal", &["wal"]),
    ("tables", &["tables"]),
    ("state", &["state.db", "state.db-wal", "state.db-shm"]),
    ("quarantine", &["quarantine"]),
    ("tmp", &["tmp"]),
];

/// Measures one service.
pub struct Measure {
    pub data_dir: PathBuf,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    pub health: HealthRegister,
}

/// Disk space, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub free: u64,
    pub size: u64,
}

impl Room {
    /// Space of the disk with `path`, available to this user.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Self { free: found.f_bavail.saturating_mul(found.f_frsize), size: found.f_blocks.saturating_mul(found.f_frsize) })
    }

    pub fn is_little(self) -> bool {
        self.free < LITTLE_ROOM.min(self.size / 4) || self.free < self.size / SHARE
    }
}

impl Measure {
    /// Measures until stopped.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut shown = HashSet::new();
        loop {
            // Uploads and on-call documents use memory as well, which the allocator would keep.
            engine::trim_memory();
            let this = self.clone();
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                tracing::error!("sizes were not measured");
            }
            self.conditions(&mut shown);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(LOOK) => {}
            }
        }
    }

    fn look(&self) {
        match Room::of(&self.data_dir) {
            Ok(room) => {
                metrics::gauge!("bartizan_disk_free_bytes").set(room.free as f64);
                metrics::gauge!("bartizan_disk_size_bytes").set(room.size as f64);
                if room.is_little() {
                    let summary = format!("{} of {} are free on the disk of the data directory", rounded(room.free), rounded(room.size));
                    if self.health.condition(CONDITION).is_none() {
                        tracing::warn!(free = room.free, size = room.size, "the disk of the data directory has little room left");
                    }
                    self.health.set(CONDITION, ConditionSeverity::Degraded, summary);
                } else {
                    self.health.remove(CONDITION);
                }
            }
            Err(error) => tracing::warn!(error = %error, "cannot ask for the room on the disk"),
        }
        for (part, names) in PARTS {
            let bytes: u64 = names.iter().map(|name| size(&self.data_dir.join(name))).sum();
            metrics::gauge!("bartizan_data_bytes", "part" => part).set(bytes as f64);
        }
        for table in self.catalog.table_sizes().into_iter().filter(|table| table.rows > 0) {
            metrics::gauge!("bartizan_table_rows", "table" => table.name.as_str().to_owned()).set(table.rows as f64);
            metrics::gauge!("bartizan_table_bytes", "table" => table.name.as_str().to_owned()).set(table.bytes as f64);
        }
    }

    /// A gauge for each condition: 1 while active, 0 afterwards.
    fn conditions(&self, shown: &mut HashSet<(String, &'static str)>) {
        let gauge = |name: &str, severity: &'static str, value: f64| {
            metrics::gauge!("bartizan_health_condition", "name" => name.to_owned(), "severity" => severity).set(value);
        };
        let now: HashSet<(String, &'static str)> =
            self.health.conditions().into_iter().map(|Condition { name, severity, .. }| (name, severity.name())).collect();
        shown.difference(&now).for_each(|(name, severity)| gauge(name, severity, 0.0));
        now.iter().for_each(|(name, severity)| gauge(name, severity, 1.0));
        *shown = now;
    }
}

fn rounded(bytes: u64) -> ByteSize {
    let unit = if bytes >= 10 << 30 { 1 << 30 } else { 1 << 20 };
    ByteSize(bytes / unit * unit)
}

/// Bytes of a file, or of all files in a folder; 0 if missing. Symbolic links are not followed.
pub fn size(path: &Path) -> u64 {
    let Ok(data) = std::fs::symlink_metadata(path) else { return 0 };
    if !data.is_dir() {
        return data.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_a_share_or_an_amount() {
        let gib = 1 << 30;
        assert!(!Room { free: 60 * gib, size: 1_000 * gib }.is_little());
        assert!(Room { free: 40 * gib, size: 1_000 * gib }.is_little(), "less than a twentieth");
        assert!(Room { free: gib / 2, size: 8 * gib }.is_little(), "less than a gibibyte");
        assert!(!Room { free: gib / 2, size: gib }.is_little(), "half of a small disk is enough");
    }

    #[test]
    fn sizes_are_of_all_files_below() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/x"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("y"), [0; 5]).unwrap();
        assert_eq!((size(folder.path()), size(&folder.path().join("none"))), (15, 0));
        assert!(Room::of(folder.path()).unwrap().size > 0);
    }
}
