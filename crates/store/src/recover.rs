//! Opens the state database with recovery: if it or its log is missing or damaged, it is quarantined, restored from the last copy, and
//! reported.
//!
//! A clean stop writes `state.db.seal` (length, checksum and time of the file) and `copies/state-<time>-<crc>.db`; a running service
//! updates the copy periodically. At the next start the seal verifies the whole file; after a crash, SQLite's integrity check and the
//! checksums of its log are used. Nothing is deleted: damaged files are moved to `quarantine/`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use model::{Condition, ConditionSeverity, HealthRegister, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::error::is_corruption;
use crate::wal::{self, Verdict};
use crate::{Store, StoreError};

pub(crate) const DATABASE: &str = "state.db";
pub(crate) const LOG: &str = "state.db-wal";
const SEAL: &str = "state.db.seal";
const COPIES: &str = "copies";
/// Copies to keep.
const KEPT: usize = 2;
/// Databases larger than this are not copied while in use.
const MOST_COPIED: u64 = 1 << 30;

/// State of the file at a clean stop.
#[derive(Serialize, Deserialize)]
struct Seal {
    length: u64,
    crc32: u32,
    /// Nanoseconds; unlike bit rot, programs change it.
    modified: i64,
    /// Names of the copies at that time.
    copies: Vec<String>,
}

/// How the last stop is recorded.
enum Recorded {
    Clean(Seal),
    /// The record is unreadable.
    Damaged,
    /// No record: the service was killed, or an earlier version ran.
    Nothing,
}

impl Recorded {
    fn read(path: &Path) -> Self {
        let Ok(bytes) = fs::read(path) else { return Self::Nothing };
        let seal = || {
            let text = std::str::from_utf8(&bytes).ok()?;
            let (crc32, content) = text.split_once(' ')?;
            let right = u32::from_str_radix(crc32, 16).ok()? == crc32fast::hash(content.as_bytes());
            if right { serde_json::from_str(content).ok() } else { None }
        };
        seal().map_or(Self::Damaged, Self::Clean)
    }
}

/// Writes a consistent copy of `D/state.db` to a new file, readable by its owner only, beside the process that uses the database. Changes
/// nothing in the data directory.
pub async fn copy_beside(data_dir: &Path, to: &Path) -> Result<(), StoreError> {
    private(to).map_err(|cause| StoreError::Create { path: to.to_owned(), cause })?;
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(data_dir.join(DATABASE)).read_only(true)).await?;
    let copied = sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy().into_owned()).execute(&mut connection).await;
    connection.close().await?;
    copied?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|cause| StoreError::Create { path: to.to_owned(), cause })
}

impl Store {
    /// Opens `D/state.db` as [`Store::open_with`], after recovery. Losses and restores are reported to `health`.
    pub async fn open_in(data_dir: &Path, health: &HealthRegister, now: Timestamp) -> Result<Self, StoreError> {
        let files = Files { data_dir, health, stamp: now.to_unix_micros().0 };
        let path = data_dir.join(DATABASE);
        match files.examine().await {
            Finding::Sound => {}
            Finding::Unusable(reason) => files.restore(&reason)?,
        }
        let _ = fs::remove_file(data_dir.join(SEAL));
        let store = match Store::open_with(&path, health.clone()).await {
            Err(StoreError::Open { cause, .. } | StoreError::Database(cause)) if is_corruption(&cause) => {
                files.restore(&format!("cannot be read ({cause})"))?;
                Store::open_with(&path, health.clone()).await?
            }
            opened => opened?,
        };
        // From here on an empty log means that another program truncated it.
        if let Err(error) = store.mark_start().await {
            tracing::warn!(error = %model::chain(&error), "cannot mark the start in the state database");
        }
        Ok(store)
    }

    /// Writes `copies/state-….db` from the database in use. Skips large databases.
    pub async fn copy(&self, now: Timestamp) -> Result<(), StoreError> {
        let path = self.path();
        let Some(data_dir) = path.parent() else { return Ok(()) };
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() > MOST_COPIED) {
            return Ok(());
        }
        let failed = |cause| StoreError::Create { path: data_dir.join(COPIES), cause };
        let fresh = fresh_copy(data_dir).map_err(failed)?;
        let copied = self.copy_to(&fresh).await;
        let placed = copied.and_then(|()| place_copy(data_dir, &fresh, now.to_unix_micros().0).map_err(failed));
        if placed.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        placed
    }

    /// Closes the database and writes the seal for the next start.
    pub async fn close_sealed(&self, now: Timestamp) {
        self.close().await;
        let Some(data_dir) = self.path().parent() else { return };
        // The log still exists if SQLite could not checkpoint it.
        if data_dir.join(LOG).exists() {
            return;
        }
        if let Err(cause) = seal(data_dir, now.to_unix_micros().0) {
            tracing::warn!(error = %cause, "the clean stop of the state database could not be recorded");
        }
    }
}

fn seal(data_dir: &Path, stamp: i64) -> io::Result<()> {
    let path = data_dir.join(DATABASE);
    let fresh = fresh_copy(data_dir)?;
    let copied = fs::copy(&path, &fresh).and_then(|_| place_copy(data_dir, &fresh, stamp));
    if let Err(cause) = copied {
        let _ = fs::remove_file(&fresh);
        tracing::warn!(error = %cause, "cannot copy the state database");
    }
    let (length, crc32) = checksum(&path)?;
    let names = copies(data_dir).iter().filter_map(|copy| Some(copy.path.file_name()?.to_string_lossy().into_owned())).collect();
    let seal = serde_json::to_string(&Seal { length, crc32, modified: modified(&path)?, copies: names }).map_err(io::Error::other)?;
    let (seal_path, new) = (data_dir.join(SEAL), data_dir.join("state.db.seal.new"));
    let _ = fs::remove_file(&new);
    let mut file = private(&new)?;
    file.write_all(format!("{:08x} {seal}", crc32fast::hash(seal.as_bytes())).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &seal_path)?;
    sync_folder(data_dir)
}

enum Finding {
    Sound,
    Unusable(String),
}

struct Files<'a> {
    data_dir: &'a Path,
    health: &'a HealthRegister,
    stamp: i64,
}

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }

    async fn examine(&self) -> Finding {
        let database = self.path(DATABASE);
        let length = fs::metadata(&database).map(|metadata| metadata.len()).unwrap_or(0);
        let log = fs::read(self.path(LOG)).unwrap_or_default();
        let recorded = Recorded::read(&self.path(SEAL));
        let seal = if let Recorded::Clean(seal) = &recorded { Some(seal) } else { None };
        let began_before = !matches!(recorded, Recorded::Nothing) || !self.copies().is_empty() || !log.is_empty();
        self.examine_copies(seal);
        if length == 0 {
            let what = if database.exists() { "is empty" } else { "is missing" };
            return if began_before { Finding::Unusable(what.to_owned()) } else { Finding::Sound };
        }
        if !starts_as_database(&database) {
            return Finding::Unusable("is no database any more".to_owned());
        }
        if seal.is_some_and(|seal| self.is_as_sealed(seal, &database)) {
            return Finding::Sound;
        }
        match &recorded {
            // Before SQLite checkpoints and removes the log.
            Recorded::Nothing => self.examine_log(&log),
            Recorded::Damaged => {
                let summary = "is damaged: whether the state database is as the last stop left it cannot be told".to_owned();
                self.report("state-seal-damaged", SEAL, ConditionSeverity::Notice, summary, "check the disk");
            }
            Recorded::Clean(_) => {}
        }
        if let Some(reason) = check(&database).await {
            return Finding::Unusable(reason);
        }
        match seal {
            None => Finding::Sound,
            // Another program may have modified it on purpose: restoring an older state would be wrong.
            Some(seal) if modified(&database).ok() != Some(seal.modified) => {
                self.report(
                    "state-database-changed",
                    DATABASE,
                    ConditionSeverity::Degraded,
                    "was changed since the last stop by something other than the service; it reads as a whole and is used as it is".to_owned(),
                    "compare it with the newest file in `copies/`; stop the service and put that one in its place where the change was not yours",
                );
                Finding::Sound
            }
            Some(_) => Finding::Unusable("has damaged bytes (its checksum is not that of the last stop)".to_owned()),
        }
    }

    /// Reports missing or damaged copies.
    fn examine_copies(&self, seal: Option<&Seal>) {
        let there = self.copies();
        let names: Vec<String> = seal.map(|seal| seal.copies.clone()).unwrap_or_default();
        let missing = names.into_iter().filter(|name| !there.iter().any(|copy| copy.path.ends_with(name)));
        let damaged = there.iter().filter(|copy| !copy.is_whole()).filter_map(|copy| copy.path.file_name());
        let damaged = damaged.map(|name| (name.to_string_lossy().into_owned(), "is damaged"));
        for (name, what) in missing.map(|name| (name, "is missing")).chain(damaged) {
            let summary = format!("{what}: one copy of the state database less; the next stop makes a new one");
            self.report("state-copy-lost", &format!("{COPIES}/{name}"), ConditionSeverity::Notice, summary, "check the disk");
        }
    }

    fn is_as_sealed(&self, seal: &Seal, database: &Path) -> bool {
        checksum(database).is_ok_and(|found| found == (seal.length, seal.crc32))
    }

    /// After a crash: the log must exist and be intact.
    fn examine_log(&self, log: &[u8]) {
        if self.copies().is_empty() {
            return; // Never run by a version with copies.
        }
        let action = "check what changed shortly before the last stop: incidents, pages, rules and settings";
        let report = |severity, summary: String| self.report("state-log-damaged", LOG, severity, summary, action);
        match wal::inspect(log) {
            Verdict::Whole if log.is_empty() => {
                report(
                    ConditionSeverity::Degraded,
                    "is missing or empty after a stop that was not clean: the newest changes may be lost. Or the record of a clean stop, `state.db.seal`, is missing, and nothing is lost".to_owned(),
                );
            }
            Verdict::Whole => {}
            Verdict::Torn => {
                report(
                    ConditionSeverity::Notice,
                    "ends within a change: one that was being written when the power failed, never acknowledged".to_owned(),
                );
            }
            Verdict::Damaged { read, lost } => {
                let copy = self.aside(LOG, true);
                let kept = copy.map(|path| format!("; a copy is `{path}`")).unwrap_or_default();
                report(
                    ConditionSeverity::Degraded,
                    format!("is damaged behind its first {read} changes: at least {lost} changes are lost{kept}"),
                );
            }
        }
    }

    /// Quarantines the database and restores the newest intact copy.
    fn restore(&self, reason: &str) -> Result<(), StoreError> {
        for name in [DATABASE, LOG, "state.db-shm"] {
            if self.path(name).exists() {
                self.aside(name, false);
            }
        }
        let action = "put the file back from a backup if you have one (stop the service first); what was there is in `quarantine/`";
        for copy in self.copies().into_iter().rev().filter(|copy| copy.is_whole()) {
            let (path, new) = (self.path(DATABASE), self.path("state.db.new"));
            let failed = |cause| StoreError::Create { path: path.clone(), cause };
            let _ = fs::remove_file(&new);
            fs::copy(&copy.path, &new).and_then(|_| File::open(&new)?.sync_all()).map_err(failed)?;
            fs::rename(&new, &path).and_then(|()| sync_folder(self.data_dir)).map_err(failed)?;
            let made = Timestamp::from_unix_micros(copy.stamp).map(|made| made.to_string()).unwrap_or_default();
            let summary = format!("{reason}; the copy of {made} took its place: changes after that are lost");
            self.report("state-database-restored", DATABASE, ConditionSeverity::Degraded, summary, action);
            return Ok(());
        }
        let summary = format!("{reason} and there is no copy: rules, incidents, on-call plans and settings begin anew; tables are served");
        self.report("state-database-lost", DATABASE, ConditionSeverity::Failing, summary, action);
        Ok(())
    }

    /// Moves (or copies) a file to `quarantine/`; returns its path relative to the data directory.
    fn aside(&self, name: &str, keep: bool) -> Option<String> {
        let folder = self.path("quarantine");
        let inside = format!("quarantine/{name}-{}.bad", self.stamp);
        let target = self.data_dir.join(&inside);
        let moved = fs::create_dir_all(&folder).and_then(|()| match keep {
            true => fs::copy(self.path(name), &target).map(drop),
            false => fs::rename(self.path(name), &target),
        });
        match moved {
            Ok(()) => Some(inside),
            Err(cause) => {
                tracing::error!(file = name, error = %cause, "cannot set a damaged file aside");
                None
            }
        }
    }

    fn report(&self, name: &str, subject: &str, severity: ConditionSeverity, summary: String, action: &str) {
        tracing::error!(file = subject, "{summary}; {action}");
        self.health.report(Condition::new(name, subject, severity).summary(format!("`{subject}` {summary}")).action(action));
    }

    /// Oldest first.
    fn copies(&self) -> Vec<CopyFile> {
        copies(self.data_dir)
    }
}

struct CopyFile {
    path: PathBuf,
    stamp: i64,
    crc32: u32,
}

impl CopyFile {
    fn is_whole(&self) -> bool {
        checksum(&self.path).is_ok_and(|(length, crc32)| length > 0 && crc32 == self.crc32)
    }
}

fn copies(data_dir: &Path) -> Vec<CopyFile> {
    let entries = fs::read_dir(data_dir.join(COPIES)).into_iter().flatten().flatten();
    let mut copies: Vec<CopyFile> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (stamp, crc32) = name.strip_prefix("state-")?.strip_suffix(".db")?.split_once('-')?;
            Some(CopyFile { path: entry.path(), stamp: stamp.parse().ok()?, crc32: u32::from_str_radix(crc32, 16).ok()? })
        })
        .collect();
    copies.sort_by_key(|copy| copy.stamp);
    copies
}

/// Path of the next copy; removes leftovers.
fn fresh_copy(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join(COPIES);
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(&folder)?;
    let fresh = folder.join("state.db.new");
    match fs::remove_file(&fresh) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(fresh),
    }
}

/// Renames a finished copy, and removes the oldest ones.
fn place_copy(data_dir: &Path, fresh: &Path, stamp: i64) -> io::Result<()> {
    fs::set_permissions(fresh, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    File::open(fresh)?.sync_all()?;
    let (_, crc32) = checksum(fresh)?;
    let folder = data_dir.join(COPIES);
    fs::rename(fresh, folder.join(format!("state-{stamp}-{crc32:08x}.db")))?;
    sync_folder(&folder)?;
    let all = copies(data_dir);
    for old in all.iter().rev().skip(KEPT) {
        fs::remove_file(&old.path)?;
    }
    Ok(())
}

/// Errors of SQLite's integrity check, log included.
async fn check(path: &Path) -> Option<String> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    let found = async {
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(found)
    };
    match found.await {
        Ok(found) if found == "ok" => None,
        Ok(found) => Some(format!("is damaged ({})", found.replace('\n', "; "))),
        Err(cause) if is_corruption(&cause) => Some(format!("is damaged ({cause})")),
        // A full or failing disk says nothing about the content.
        Err(cause) => {
            tracing::warn!(error = %cause, "the state database could not be checked");
            None
        }
    }
}

fn starts_as_database(path: &Path) -> bool {
    let mut head = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *b"SQLite format 3\0"
}

/// Length and checksum.
fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let (mut file, mut hasher, mut length) = (File::open(path)?, crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}

fn modified(path: &Path) -> io::Result<i64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    Ok(metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec())
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnCallObject;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_790_000_000_000_000 + seconds * 1_000_000).unwrap()
    }

    async fn put(store: &Store, name: &str) {
        let mut change = store.begin().await.unwrap();
        let body = serde_json::json!({ "text": "x".repeat(3000) });
        let object = OnCallObject { kind: "users".into(), name: name.into(), etag: uuid::Uuid::nil(), modified: at(0), body };
        change.put_oncall_object(&object).await.unwrap();
        change.commit().await.unwrap();
    }

    async fn names(store: &Store) -> Vec<String> {
        store.oncall_objects().list().await.unwrap().into_iter().map(|object| object.name).collect()
    }

    fn conditions(health: &HealthRegister) -> Vec<String> {
        health.conditions().into_iter().map(|each| each.name).collect()
    }

    /// A data directory after a clean stop with two objects.
    async fn stopped() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_in(folder.path(), &HealthRegister::default(), at(0)).await.unwrap();
        put(&store, "a").await;
        put(&store, "b").await;
        store.close_sealed(at(1)).await;
        folder
    }

    async fn reopened(folder: &Path) -> (Store, Vec<String>) {
        let health = HealthRegister::default();
        let store = Store::open_in(folder, &health, at(10)).await.unwrap();
        (store, conditions(&health))
    }

    /// Expected: the copy of the clean stop is the same database.
    #[tokio::test]
    async fn a_database_that_is_gone_or_damaged_is_taken_from_the_copy() {
        type Harm = fn(&Path);
        let harms: [(&str, Harm); 5] = [
            ("removed", |path| fs::remove_file(path).unwrap()),
            ("emptied", |path| fs::write(path, []).unwrap()),
            ("zeroed", |path| fs::write(path, vec![0; fs::metadata(path).unwrap().len() as usize]).unwrap()),
            ("cut", |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }),
            ("rotten", |path| {
                let modified = fs::metadata(path).unwrap().modified().unwrap();
                let mut bytes = fs::read(path).unwrap();
                let text = bytes.windows(20).rposition(|window| window == [b'x'; 20]).unwrap();
                bytes[text] ^= 1;
                fs::write(path, bytes).unwrap();
                File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
            }),
        ];
        for (name, harm) in harms {
            let folder = stopped().await;
            let path = folder.path().join(DATABASE);
            harm(&path);
            let damaged = fs::read(&path).ok();
            let (store, conditions) = reopened(folder.path()).await;
            assert_eq!(conditions, ["state-database-restored"], "{name}");
            assert_eq!(names(&store).await, ["a", "b"], "{name}");
            let set_aside: Vec<_> = fs::read_dir(folder.path().join("quarantine")).into_iter().flatten().flatten().collect();
            assert_eq!(set_aside.first().map(|entry| fs::read(entry.path()).unwrap()), damaged, "{name}");
            store.close_sealed(at(20)).await;
            let (_, conditions) = reopened(folder.path()).await;
            assert!(conditions.is_empty(), "{name}: {conditions:?}");
        }
    }

    #[tokio::test]
    async fn without_a_copy_the_loss_is_reported_and_the_rest_goes_on() {
        let folder = stopped().await;
        fs::remove_file(folder.path().join(DATABASE)).unwrap();
        fs::remove_dir_all(folder.path().join(COPIES)).unwrap();
        let (store, conditions) = reopened(folder.path()).await;
        assert_eq!(conditions, ["state-copy-lost", "state-database-lost"]);
        assert!(names(&store).await.is_empty());
    }

    /// A program that writes to the database while the service is down changes its modification time; restoring the copy would revert its
    /// changes.
    #[tokio::test]
    async fn a_change_by_another_program_is_kept_and_reported() {
        let folder = stopped().await;
        let other = Store::open(&folder.path().join(DATABASE)).await.unwrap();
        put(&other, "c").await;
        other.close().await;
        let (store, conditions) = reopened(folder.path()).await;
        assert_eq!(conditions, ["state-database-changed"]);
        assert_eq!(names(&store).await, ["a", "b", "c"]);
    }

    /// A copy of the files as after a crash.
    async fn crashed() -> tempfile::TempDir {
        let folder = stopped().await;
        let store = Store::open_in(folder.path(), &HealthRegister::default(), at(2)).await.unwrap();
        put(&store, "c").await;
        put(&store, "d").await;
        let crashed = tempfile::tempdir().unwrap();
        fs::create_dir(crashed.path().join(COPIES)).unwrap();
        for name in [DATABASE, LOG] {
            fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
        }
        for copy in copies(folder.path()) {
            fs::copy(&copy.path, crashed.path().join(COPIES).join(copy.path.file_name().unwrap())).unwrap();
        }
        crashed
    }

    #[tokio::test]
    async fn a_crash_is_no_damage_and_a_damaged_log_is_reported() {
        let folder = crashed().await;
        let (store, conditions) = reopened(folder.path()).await;
        assert!(conditions.is_empty(), "{conditions:?}");
        assert_eq!(names(&store).await, ["a", "b", "c", "d"]);

        type Harm = fn(&Path);
        let harms: [(&str, Harm); 4] = [
            ("removed", |path| fs::remove_file(path).unwrap()),
            ("emptied", |path| fs::write(path, []).unwrap()),
            ("zeroed", |path| fs::write(path, vec![0; fs::metadata(path).unwrap().len() as usize]).unwrap()),
            ("flipped", |path| {
                let mut bytes = fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                fs::write(path, bytes).unwrap();
            }),
        ];
        for (name, harm) in harms {
            let folder = crashed().await;
            harm(&folder.path().join(LOG));
            let (store, conditions) = reopened(folder.path()).await;
            assert_eq!(conditions, ["state-log-damaged"], "{name}");
            assert!(names(&store).await.starts_with(&["a".to_owned(), "b".to_owned()]), "{name}");
        }
    }

    #[tokio::test]
    async fn a_copy_is_made_while_the_database_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_in(folder.path(), &HealthRegister::default(), at(0)).await.unwrap();
        for n in 0..4 {
            put(&store, &n.to_string()).await;
            store.copy(at(n)).await.unwrap();
        }
        assert_eq!(copies(folder.path()).len(), KEPT);
        // As after `kill -9`, and then the file is lost.
        let crashed = tempfile::tempdir().unwrap();
        fs::create_dir(crashed.path().join(COPIES)).unwrap();
        let newest = copies(folder.path()).pop().unwrap();
        fs::copy(&newest.path, crashed.path().join(COPIES).join(newest.path.file_name().unwrap())).unwrap();
        let (restored, conditions) = reopened(crashed.path()).await;
        assert_eq!(conditions, ["state-database-restored"]);
        assert_eq!(names(&restored).await, ["0", "1", "2", "3"]);
    }
}
