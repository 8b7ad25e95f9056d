//! `audit.head`: the number and seal of the last audit entry, kept in a file beside the database.
//!
//! The file has two slots of [`SLOT`] bytes that are written in turn and synced, so that a write that is cut short leaves the other one. A
//! slot is one line of text: generation, entry, seal, id of the database, CRC-32; padded with spaces.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::{Condition, ConditionSeverity, HealthRegister};

/// The file's name.
pub const HEAD: &str = "audit.head";
/// Bytes of a slot: a sector, which disks write whole.
const SLOT: usize = 512;
/// Health condition while the file cannot be written.
const WRITE_FAILED: &str = "audit-head-write-failed";

/// The last entry, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    generation: u64,
    pub entry: i64,
    pub seal: String,
    /// Identity of the database.
    pub database: String,
}

impl Head {
    fn line(&self) -> String {
        let text = format!("{} {} {} {}", self.generation, self.entry, self.seal, self.database);
        format!("{text} {:08x}\n", crc32fast::hash(text.as_bytes()))
    }

    /// The slot's bytes.
    fn slot(&self) -> Vec<u8> {
        let mut bytes = self.line().into_bytes();
        bytes.resize(SLOT.max(bytes.len()), b' ');
        bytes
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(slot).ok()?.lines().next()?;
        let mut words = text.split(' ');
        let head = Self {
            generation: words.next()?.parse().ok()?,
            entry: words.next()?.parse().ok()?,
            seal: words.next()?.to_owned(),
            database: words.next()?.to_owned(),
        };
        // Every byte counts, the padding as well: then any damage is noticed.
        (head.slot() == slot).then_some(head)
    }
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest readable slot.
    pub head: Option<Head>,
    /// The file exists, and part of it is not as it was written.
    pub damaged: bool,
    /// The file exists.
    pub exists: bool,
}

/// Reads the file; a missing one has no head, and one that cannot be read counts as damaged.
pub fn find(path: &Path) -> Found {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Found::default(),
        Err(cause) => {
            tracing::warn!(error = %cause, "`{HEAD}` cannot be read");
            return Found { head: None, damaged: true, exists: true };
        }
    };
    let slots: Vec<Option<Head>> = bytes.chunks(SLOT).map(Head::parse).collect();
    let damaged = slots.is_empty() || slots.len() > 2 || slots.iter().any(Option::is_none);
    Found { head: slots.into_iter().flatten().max_by_key(|head| head.generation), damaged, exists: true }
}

/// The newest committed entry of this process.
#[derive(Debug, Default)]
struct Newest {
    number: i64,
    /// Its number and seal until somebody writes them.
    waiting: Option<(i64, String)>,
}

/// Writes the file after changes.
#[derive(Debug)]
pub struct HeadFile {
    path: PathBuf,
    health: HealthRegister,
    newest: Mutex<Newest>,
    /// The head written last.
    written: tokio::sync::Mutex<Option<Head>>,
}

impl HeadFile {
    pub fn new(path: PathBuf, health: HealthRegister) -> Self {
        Self { path, health, newest: Mutex::default(), written: tokio::sync::Mutex::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest readable head in the file.
    pub fn read(&self) -> Option<Head> {
        find(&self.path).head
    }

    /// Continues after `head`, which was found in the file.
    pub async fn continue_after(&self, head: Option<Head>) {
        *self.written.lock().await = head;
    }

    /// Stores the number and seal of a committed entry; returns when they, or later ones, are synced. Concurrent calls share a write.
    ///
    /// A failure is reported to the health register and in the log: the change itself is stored, and the next one tries again.
    pub async fn advance(&self, database: &str, entry: i64, seal: String) {
        {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.number < entry {
                *newest = Newest { number: entry, waiting: Some((entry, seal)) };
            }
        }
        let mut written = self.written.lock().await;
        let waiting = self.newest.lock().unwrap_or_else(PoisonError::into_inner).waiting.take();
        let Some((entry, seal)) = waiting else { return };
        let generation = written.as_ref().map_or(0, |head| head.generation + 1);
        let head = Head { generation, entry, seal, database: database.to_owned() };
        let (path, next) = (self.path.clone(), head.clone());
        let done = match tokio::task::spawn_blocking(move || write(&path, &next)).await {
            Ok(done) => done,
            // The runtime stops, or the write panicked.
            Err(cause) => Err(io::Error::other(cause)),
        };
        match done {
            Ok(()) => {
                *written = Some(head);
                self.health.clear(WRITE_FAILED, HEAD);
            }
            Err(cause) => self.report(&cause),
        }
    }

    fn report(&self, cause: &io::Error) {
        let condition = Condition::new(WRITE_FAILED, HEAD, ConditionSeverity::Degraded)
            .summary(format!("`{HEAD}` cannot be written: entries removed from the end of the audit trail would not be noticed"))
            .action("make room on the disk of the data directory, or repair it; the next change tries again");
        if self.health.report(condition) {
            tracing::error!(error = %cause, "the head of the audit trail cannot be written");
        }
    }
}

fn write(path: &Path, head: &Head) -> io::Result<()> {
    let is_new = !path.exists();
    let file: File = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if head.generation == 0 {
        file.set_len(0)?;
    }
    file.write_all_at(&head.slot(), (head.generation % 2) * SLOT as u64)?;
    file.sync_data()?;
    if is_new && let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_changed_byte_is_noticed_and_the_other_slot_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(HEAD);
        assert_eq!(find(&path), Found::default());
        let file = HeadFile::new(path.clone(), HealthRegister::default());
        for entry in 1..=3 {
            file.advance("db", entry, format!("{entry:064x}")).await;
        }
        // The change was overtaken by a later one.
        file.advance("db", 2, "older".to_owned()).await;
        let found = find(&path);
        assert_eq!((found.head.as_ref().map(|head| head.entry), found.damaged), (Some(3), false));
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 2 * SLOT);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let found = find(&path);
            // Generations 0 and 2 share the first slot.
            let left = if at < SLOT { 2 } else { 3 };
            assert_eq!((found.head.map(|head| head.entry), found.damaged), (Some(left), true), "byte {at}");
        }
        for length in [0, 1, SLOT - 1, SLOT + 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(find(&path).damaged, "{length} bytes");
        }
    }
}
