//! `catalog.json` and `manifest.json` are kept twice. The second copy is written after the first one, so the first is the truth; where it
//! is missing or damaged, the copy takes its place and a person is told.

use std::io;
use std::path::{Path, PathBuf};

use model::{Condition, ConditionSeverity, Disk, HealthRegister};
use serde::Deserialize;

use crate::manifest::{StateFileError, unseal};

/// A state file as it was found.
pub struct StateFile<T> {
    /// Nothing where neither file can be used.
    pub content: Option<T>,
    /// Both are there, are whole, and say the same. Where it is false nothing may be deleted for not being named.
    pub intact: bool,
    /// The content is the copy's, or lost.
    pub damaged: bool,
}

/// The second copy of a state file.
pub fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("copy.json")
}

/// Writes both. An error of the second is told, not returned: the first one counts.
pub fn replace_both(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    disk.replace(path, bytes)?;
    if let Err(cause) = disk.replace(&copy_of(path), bytes) {
        tracing::warn!(error = %cause, file = %file_name(path), "cannot write the second copy of a state file; the next change will");
    }
    Ok(())
}

/// What is known of a state file before it is read.
#[derive(Clone, Copy)]
pub struct Expected {
    /// Something else shows that there was one.
    pub file: bool,
    /// A version that keeps copies has run.
    pub copy: bool,
}

/// Reads a state file or its copy. What is missing although it was expected is reported, with `lost` where both are. Damaged files are moved to `quarantine`. An error only where the disk does not answer.
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

/// Moves a file to quarantine under a name that is free; nothing there is overwritten.
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
