//! `catalog.json` and `manifest.json` are stored twice. The copy is written second, so the first file is authoritative; if it is missing or
//! damaged, the copy replaces it and the damage is reported.

use std::io;
use std::path::{Path, PathBuf};

use model::{Condition, ConditionSeverity, Disk, HealthRegister};
use serde::Deserialize;

use crate::manifest::{StateFileError, unseal};

/// A state file as read.
pub struct StateFile<T> {
    /// `None` if neither file is usable.
    pub content: Option<T>,
    /// Both files exist, are valid and are equal. If false, unreferenced files must not be deleted.
    pub intact: bool,
    /// The content was taken from the copy, or lost.
    pub damaged: bool,
}

/// Path of the copy of a state file.
pub fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("copy.json")
}

/// Writes both files. An error of the copy is reported but not returned: the first file is authoritative.
pub fn replace_both(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    disk.replace(path, bytes)?;
    if let Err(cause) = disk.replace(&copy_of(path), bytes) {
        tracing::warn!(error = %cause, file = %file_name(path), "cannot write the second copy of a state file; the next change will");
    }
    Ok(())
}

/// Which files should exist, known before reading.
#[derive(Clone, Copy)]
pub struct Expected {
    /// Other evidence shows that the file existed.
    pub file: bool,
    /// A version that writes copies has run.
    pub copy: bool,
}

/// Reads a state file or its copy. An expected file that is missing is reported, with `lost` if both are missing. Damaged files are moved
/// to `quarantine`. Returns an error only if the disk fails.
pub fn read_both<T: PartialEq + for<'de> Deserialize<'de>>(
    disk: &dyn Disk,
    path: &Path,
    expected: Expected,
    quarantine: &Path,
    health: &HealthRegister,
    lost: &str,
) -> Result<StateFile<T>, StateFileError> {
    let copy_path = copy_of(path);
    let (first, copy) = (read::<T>(disk, path)?, read::<T>(disk, &copy_path)?);
    for (path, part) in [(path, &first), (copy_path.as_path(), &copy)] {
        if let Part::Damaged(reason) = part {
            set_aside(disk, path, quarantine, reason);
        }
    }
    let name = file_name(path);
    let found = match (first, copy) {
        (Part::Whole(first), Part::Whole(copy)) => StateFile { intact: first == copy, content: Some(first), damaged: false },
        (Part::Whole(first), Part::Missing) if !expected.copy => StateFile { content: Some(first), intact: false, damaged: false },
        (Part::Whole(first), bad) => {
            let reason = bad.reason();
            tracing::warn!(file = %file_name(&copy_path), reason, "the second copy of a state file is written anew");
            let condition = Condition::new("state-file-restored", file_name(&copy_path), ConditionSeverity::Notice)
                .summary(format!("`{}` {reason}; it is written anew, nothing is lost", file_name(&copy_path)))
                .action("watch the disk for more errors");
            health.report(condition);
            StateFile { content: Some(first), intact: false, damaged: false }
        }
        (bad, Part::Whole(copy)) => {
            let reason = bad.reason();
            tracing::error!(file = name, reason, "a state file was restored from its second copy");
            let condition = Condition::new("state-file-restored", name.as_str(), ConditionSeverity::Notice)
                .summary(format!("`{name}` {reason}; its second copy took its place"))
                .action("check that the newest tables and rows are there, and watch the disk for more errors");
            health.report(condition);
            StateFile { content: Some(copy), intact: false, damaged: true }
        }
        (Part::Missing, Part::Missing) if !expected.file => return Ok(StateFile { content: None, intact: true, damaged: false }),
        (bad, _) => {
            let reason = bad.reason();
            tracing::error!(file = name, reason, "a state file and its second copy are lost");
            let condition = Condition::new("state-file-lost", name.as_str(), ConditionSeverity::Degraded)
                .summary(format!("`{name}` {reason}, and so is its second copy: {lost}"))
                .action("stop the service and put the file back from a backup");
            health.report(condition);
            StateFile { content: None, intact: false, damaged: true }
        }
    };
    Ok(found)
}

enum Part<T> {
    Whole(T),
    Missing,
    Damaged(&'static str),
}

impl<T> Part<T> {
    fn reason(&self) -> &'static str {
        match self {
            Part::Damaged(reason) => reason,
            _ => "is missing",
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(disk: &dyn Disk, path: &Path) -> Result<Part<T>, StateFileError> {
    match unseal(disk, path) {
        Ok(Some(content)) => Ok(Part::Whole(content)),
        Ok(None) => Ok(Part::Missing),
        Err(StateFileError::Checksum { .. }) => Ok(Part::Damaged("is damaged (its checksum is wrong)")),
        Err(StateFileError::Shape { .. }) => Ok(Part::Damaged("is damaged (it is not what the service writes)")),
        Err(error @ StateFileError::Read { .. }) => Err(error),
    }
}

/// Moves a file to quarantine under an unused name; nothing is overwritten.
pub fn set_aside(disk: &dyn Disk, path: &Path, quarantine: &Path, reason: &str) -> Option<PathBuf> {
    let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let target = quarantine.join(format!("{folder}-{}-{}.bad", file_name(path), &uuid::Uuid::new_v4().simple().to_string()[..8]));
    match disk.rename(path, &target).and_then(|()| disk.sync_dir(quarantine)) {
        Ok(()) => {
            tracing::error!(file = %file_name(path), kept = %file_name(&target), reason, "a file was set aside in `quarantine`");
            metrics::counter!("bartizan_workspace_quarantined_total").increment(1);
            Some(target)
        }
        Err(cause) => {
            tracing::error!(file = %file_name(path), error = %cause, "cannot set a file aside; it stays where it is");
            None
        }
    }
}

pub fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
