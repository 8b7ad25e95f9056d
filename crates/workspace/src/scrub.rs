//! Reads data files back at leisure and checks their checksums, so that a damaged one is known before somebody needs its rows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Disk, Span, Timestamp};

use crate::damage::{DamagedFiles, fault_of};
use crate::datafile::{self, DataFileError};
use crate::snapshot::DataFile;

/// How often each file is read.
const EVERY: Span = Span(7 * Span::DAY.0);
/// How often a file that cannot be read is tried again: it may have been put back, or the disk may have recovered.
const AGAIN: Span = Span(30 * Span::SECOND.0);
/// Bytes a round, on average.
const PACE: u64 = 16 << 20;

/// What has been read when.
#[derive(Default)]
pub struct Scrub {
    read: HashMap<PathBuf, Timestamp>,
    /// Bytes read ahead of the pace.
    ahead: u64,
}

impl Scrub {
    /// Checks the next of `files` that is due, if the pace allows one.
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

/// Reads a file and notes what is wrong with it, or that nothing is.
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
