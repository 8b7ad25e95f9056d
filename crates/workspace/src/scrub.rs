//! Reads data files in the background and verifies their checksums, so that damage is found before a query needs the rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Disk, Span, Timestamp};

use crate::damage::{DamagedFiles, fault_of};
use crate::datafile::{self, DataFileError};
use crate::snapshot::DataFile;

/// Interval at which each file is verified.
const EVERY: Span = Span(7 * Span::DAY.0);
/// Interval at which an unreadable file is retried: it may have been restored, or the disk may have recovered.
const AGAIN: Span = Span(30 * Span::SECOND.0);
/// Average bytes read per round.
const PACE: u64 = 16 << 20;

/// When each file was last read.
#[derive(Default)]
pub struct Scrub {
    read: HashMap<PathBuf, Timestamp>,
    /// Bytes read in excess of the average rate.
    ahead: u64,
}

impl Scrub {
    /// Verifies the next due file of `files`, if the rate allows it.
    pub fn round(&mut self, disk: &dyn Disk, files: &[Arc<DataFile>], damaged: &DamagedFiles, now: Timestamp) {
        self.ahead = self.ahead.saturating_sub(PACE);
        if self.ahead > 0 {
            return;
        }
        if self.read.len() > 2 * files.len() + 64 {
            self.read.retain(|path, _| files.iter().any(|file| file.path == *path));
        }
        let due = |file: &&Arc<DataFile>| {
            let span = if damaged.of(&file.path).is_some() { AGAIN } else { EVERY };
            self.read.get(&file.path).is_none_or(|read| now - *read >= span)
        };
        let Some(file) = files.iter().find(due) else { return };
        self.ahead = file.bytes;
        self.read.insert(file.path.clone(), now);
        check(disk, file, damaged);
    }
}

/// Reads a file and records the result in `damaged`.
pub fn check(disk: &dyn Disk, file: &DataFile, damaged: &DamagedFiles) {
    let bytes = match disk.read(&file.path) {
        Ok(bytes) => bytes,
        Err(cause) => {
            if let Some(fault) = fault_of(&cause) {
                damaged.report(file, fault);
            }
            return;
        }
    };
    if bytes.len() as u64 != file.bytes {
        return damaged.report(file, model::DataFault::Length);
    }
    match datafile::verify(bytes, file.proof) {
        Ok(()) => damaged.clear(&file.path),
        Err(DataFileError::Damaged(fault)) => damaged.report(file, fault),
        Err(error) => tracing::warn!(error = %model::chain(&error), "a data file could not be checked"),
    }
}
