//! Data files and row groups that cannot be read. The component that finds one reports it here; from then on queries skip its rows and say
//! so, compaction ignores the file, and a health condition names it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Condition, ConditionSeverity, DataFault, HealthRegister};

use crate::snapshot::DataFile;

/// Name of the health condition.
const DAMAGED: &str = "data-file-damaged";

/// The unreadable part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Whole(DataFault),
    /// Some of its row groups, by index.
    Groups(BTreeSet<usize>),
}

/// The registry of unreadable files. Clones share the same list.
#[derive(Clone, Debug, Default)]
pub struct DamagedFiles {
    files: Arc<Mutex<HashMap<PathBuf, Unreadable>>>,
    health: HealthRegister,
}

impl DamagedFiles {
    pub fn new(health: HealthRegister) -> Self {
        Self { files: Arc::default(), health }
    }

    /// What is known about the file at `path`; `None` if it is readable.
    pub fn of(&self, path: &Path) -> Option<Unreadable> {
        self.files().get(path).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    /// Records that a file cannot be read, and reports it once.
    pub fn report(&self, file: &DataFile, fault: DataFault) {
        let first = {
            let mut files = self.files();
            match (files.get_mut(&file.path), fault) {
                (Some(Unreadable::Whole(_)), _) => false,
                (Some(Unreadable::Groups(groups)), DataFault::Rows { group }) => groups.insert(group),
                (None, DataFault::Rows { group }) => {
                    files.insert(file.path.clone(), Unreadable::Groups(BTreeSet::from([group])));
                    true
                }
                (_, fault) => files.insert(file.path.clone(), Unreadable::Whole(fault)).is_none(),
            }
        };
        if !first {
            return;
        }
        let name = inside(&file.path);
        let summary = format!(
            "`{name}` {fault}: up to {} rows stored from {} to {} are missing from answers",
            file.rows, file.ingested.first, file.ingested.last
        );
        let action = "stop the service and put the file back from a backup; without one, leave it: retention removes it, and answers say \
                      which rows they lack until then";
        tracing::error!(file = name, "{summary}; {action}");
        metrics::counter!("bartizan_workspace_damaged_files_total").increment(1);
        self.health.report(Condition::new(DAMAGED, name, ConditionSeverity::Degraded).summary(summary).action(action));
    }

    /// Removes the entry of a file that was read successfully or no longer exists.
    pub fn clear(&self, path: &Path) {
        if self.files().remove(path).is_some() {
            self.health.clear(DAMAGED, &inside(path));
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, Unreadable>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a data file in messages: table folder and file name, never the server's path.
pub fn inside(path: &Path) -> String {
    let part = |path: Option<&Path>| path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}/{}", part(path.parent()), part(Some(path)))
}

/// Maps an I/O error to the fault of the file; `None` for errors that say nothing about the file, such as too many open files.
pub fn fault_of(cause: &io::Error) -> Option<DataFault> {
    // std has no `ErrorKind` for EIO.
    const EIO: i32 = 5;
    match cause.kind() {
        io::ErrorKind::NotFound => Some(DataFault::Missing),
        io::ErrorKind::UnexpectedEof => Some(DataFault::Length),
        _ if cause.raw_os_error() == Some(EIO) => Some(DataFault::Disk),
        _ => None,
    }
}
