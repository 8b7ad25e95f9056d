//! The write-ahead log as files: `00000000000000000001.log`, …, each starting with one header and never written to after an error.
//!
//! A frame that was written but not confirmed synced may remain in an abandoned file. The header of the next file holds the sequence it
//! starts with; frames of earlier files at or beyond that sequence are void. A sender that retries with the same key therefore stores its
//! rows once, regardless of what the disk kept of the first attempt.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::{Disk, DiskFile};

use crate::frame::{self, Damage, FILE_HEAD, Frame};
use crate::log_index::{IndexedFile, LogIndex, LostAppends, ReadFile, lost};
use crate::manifest::{seal, unseal};
use crate::state_files::file_name;

struct Current {
    path: PathBuf,
    first: u64,
    file: Box<dyn DiskFile>,
    salt: u64,
    length: u64,
    last: Option<u64>,
}

/// A file that receives no more frames.
#[derive(Clone, Debug)]
struct Closed {
    path: PathBuf,
    bytes: u64,
    first: u64,
    /// The newest sequence in the file.
    last: u64,
}

/// The log, open for appending.
pub struct Log {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    next_number: u64,
    current: Option<Current>,
    closed: Vec<Closed>,
    file_size: u64,
}

/// Result of opening the log.
#[derive(Debug, Default)]
pub struct Found {
    /// Valid frames, in order.
    pub frames: Vec<Frame>,
    pub damage: Vec<DamagedPart>,
    /// Frames that were written but never acknowledged.
    pub void: usize,
    pub bytes: u64,
    /// Acknowledged appends that are missing from all files.
    pub lost: Vec<LostAppends>,
    /// Missing or unreadable files whose appends are all in data files.
    pub spent: Vec<String>,
    /// True if there are log files but no readable index.
    pub unindexed: bool,
}

/// A byte range of a log file that is not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPart {
    pub file: PathBuf,
    pub damage: Damage,
    pub bytes: Bytes,
}

impl Log {
    /// Reads all files of the folder. The first append starts a new file. Appends up to `through` are already in data files.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, file_size: u64, through: u64) -> io::Result<(Log, Found)> {
        disk.create_dir_all(folder)?;
        let mut found = Found::default();
        let mut log = Log { disk: disk.clone(), folder: folder.to_owned(), next_number: 1, current: None, closed: Vec::new(), file_size };
        let mut files = Vec::new();
        for path in disk.list(folder)? {
            let Some(number) = file_number(&path) else { continue };
            log.next_number = log.next_number.max(number + 1);
            let bytes = Bytes::from(disk.read(&path)?);
            found.bytes += bytes.len() as u64;
            let scanned = frame::scan(&bytes);
            for damage in &scanned.damage {
                let part = bytes.slice(damage.start..damage.end);
                found.damage.push(DamagedPart { file: path.clone(), damage: damage.clone(), bytes: part });
            }
            files.push((path, bytes.len() as u64, scanned));
        }
        // Iterate from the last file, because the validity of a file depends on where its successors start.
        let mut bound = u64::MAX;
        for (path, bytes, scanned) in files.iter_mut().rev() {
            let before = scanned.frames.len();
            scanned.frames.retain(|frame| frame.sequence < bound);
            found.void += before - scanned.frames.len();
            let last = scanned.frames.iter().map(|frame| frame.sequence).max().unwrap_or(0);
            let first = scanned.first.or_else(|| scanned.frames.iter().find(|frame| frame.append.is_some()).map(|frame| frame.sequence));
            log.closed.push(Closed { path: path.clone(), bytes: *bytes, first: first.unwrap_or(0), last });
            bound = bound.min(first.unwrap_or(u64::MAX));
        }
        log.closed.reverse();
        let index: Option<LogIndex> = unseal(disk.as_ref(), &log.index_path()).ok().flatten();
        found.unindexed = index.is_none() && !files.is_empty();
        let appends = |frames: &[Frame]| frames.iter().filter(|frame| frame.append.is_some()).map(|frame| frame.sequence).collect();
        let names: Vec<String> = files.iter().map(|(path, ..)| file_name(path)).collect();
        let read: Vec<ReadFile<'_>> = files
            .iter()
            .zip(&names)
            .map(|((_, _, scanned), name)| ReadFile { name, first: scanned.first, sequences: appends(&scanned.frames) })
            .collect();
        let index = index.unwrap_or_default();
        found.lost = lost(&index, &read, through);
        let closed = |name: &str| log.closed.iter().find(|file| file_name(&file.path) == name && file.first > 0);
        let is_whole = |file: &&IndexedFile| closed(&file.name).is_some_and(|closed| closed.last >= file.last.unwrap_or(0));
        let spent = index.files.iter().filter(|file| !is_whole(file) && !found.lost.iter().any(|lost| lost.file == file.name));
        found.spent = spent.map(|file| file.name.clone()).collect();
        found.frames = files.into_iter().flat_map(|(_, _, scanned)| scanned.frames).collect();
        Ok((log, found))
    }

    /// Opens a file for writing, creating one if needed, and returns the salt for its frames. `first` is the next sequence.
    pub fn begin(&mut self, first: u64) -> io::Result<u64> {
        if self.current.as_ref().is_some_and(|current| current.length >= self.file_size) {
            self.close_current();
        }
        if let Some(current) = &self.current {
            return Ok(current.salt);
        }
        let path = self.folder.join(format!("{:020}.log", self.next_number));
        self.next_number += 1;
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        let begun = (|| {
            let mut file = self.disk.append(&path)?;
            file.write_all(&frame::file_head(first, salt))?;
            file.sync()?;
            self.disk.sync_dir(&self.folder)?;
            // Written before anything in the file is acknowledged.
            self.write_index(Some(IndexedFile { name: file_name(&path), first, last: None }))?;
            Ok(file)
        })();
        match begun {
            Ok(file) => {
                self.current = Some(Current { path, first, file, salt, length: FILE_HEAD as u64, last: None });
                Ok(salt)
            }
            Err(cause) => {
                // The file holds no frame.
                let _ = self.disk.remove(&path);
                Err(cause)
            }
        }
    }

    /// Writes complete frames and syncs them. After an error the file is abandoned and the whole group is void.
    pub fn commit(&mut self, frames: &[u8], last: u64) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Err(io::Error::other("no log file is open")) };
        let written = current.file.write_all(frames).and_then(|()| current.file.sync());
        match written {
            Ok(()) => {
                current.length += frames.len() as u64;
                current.last = Some(last);
                Ok(())
            }
            Err(cause) => {
                // Truncating frees space and shortens recovery; correctness depends only on the header of the next file.
                let _ = current.file.truncate(current.length);
                self.close_current();
                Err(cause)
            }
        }
    }

    /// Makes the next append start a new file.
    pub fn close_current(&mut self) {
        let Some(Current { path, first, length, last, .. }) = self.current.take() else { return };
        match last {
            Some(last) => self.closed.push(Closed { path, bytes: length, first, last }),
            // The file never held an acknowledged frame.
            None => {
                if self.disk.remove(&path).is_err() {
                    self.closed.push(Closed { path, bytes: length, first, last: 0 });
                }
            }
        }
    }

    /// Closes the log: the index records where each file ends, so that the next start detects truncated files.
    pub fn close(&mut self) {
        self.close_current();
        self.note_files();
    }

    /// Total size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|file| file.bytes).sum::<u64>() + self.current.as_ref().map_or(0, |current| current.length)
    }

    /// Removes closed files whose frames are all at or below `through`, oldest first. A file is removed only after all earlier ones, so
    /// that void frames in an older file never outlive the header that voids them.
    pub fn remove_through(&mut self, through: u64) -> io::Result<()> {
        let mut removed = false;
        while let Some(file) = self.closed.first()
            && file.last <= through
        {
            self.disk.remove(&file.path)?;
            self.closed.remove(0);
            removed = true;
        }
        if !removed {
            return Ok(());
        }
        self.disk.sync_dir(&self.folder)?;
        self.note_files();
        Ok(())
    }

    /// Updates the index if it can be written. An index that names removed files is still read correctly, provided they were closed.
    pub fn note_files(&self) {
        let current = self.current.as_ref().map(|current| IndexedFile { name: file_name(&current.path), first: current.first, last: None });
        if let Err(cause) = self.write_index(current) {
            tracing::debug!(error = %cause, "the index of log files is behind");
        }
    }

    fn write_index(&self, current: Option<IndexedFile>) -> io::Result<()> {
        let closed = self.closed.iter().filter(|file| file.last > 0 && file.first > 0);
        let closed = closed.map(|file| IndexedFile { name: file_name(&file.path), first: file.first, last: Some(file.last) });
        let index = LogIndex { version: 1, files: closed.chain(current).collect() };
        self.disk.replace(&self.index_path(), &seal(&index)?)
    }

    fn index_path(&self) -> PathBuf {
        self.folder.join("index.json")
    }
}

fn file_number(path: &Path) -> Option<u64> {
    if path.extension()? != "log" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}
