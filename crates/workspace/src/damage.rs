//! Data files, and row groups of them, that cannot be read: who finds one reports it here, and from then on queries leave its rows out and
//! say so, compaction leaves the file alone, and health names it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Condition, ConditionSeverity, DataFault, HealthRegister};

use crate::snapshot::DataFile;

/// The health condition.
const DAMAGED: &str = "data-file-damaged";

/// What cannot be read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    Whole(DataFault),
    /// Some of its row groups.
    Groups(BTreeSet<usize>),
}

/// The files that cannot be read, or not entirely. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct DamagedFiles {
    files: Arc<Mutex<HashMap<PathBuf, Unreadable>>>,
    health: HealthRegister,
}

impl DamagedFiles {
    pub fn new(health: HealthRegister) -> Self {
        Self { files: Arc::default(), health }
    }

    /// What is known of the file at `path`.
    pub fn of(&self, path: &Path) -> Option<Unreadable> {
        self.files().get(path).cloned()
    }

    pub fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    /// Notes that a file cannot be read, and tells people once.
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

    /// The file could be read whole, or is gone.
    pub fn clear(&self, path: &Path) {
        if self.files().remove(path).is_some() {
            self.health.clear(DAMAGED, &inside(path));
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, Unreadable>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data file as people name it: the table's folder and the file's name, never a path of the server.
pub fn inside(path: &Path) -> String {
    let part = |path: Option<&Path>| path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}/{}", part(path.parent()), part(Some(path)))
}

/// The fault behind an error of the disk; nothing where it says nothing about the file, such as too many open files.
pub fn fault_of(cause: &io::Error) -> Option<DataFault> {
    // EIO has no kind of its own in std.
    const EIO: i32 = 5;
    match cause.kind() {
        io::ErrorKind::NotFound => Some(DataFault::Missing),
        io::ErrorKind::UnexpectedEof => Some(DataFault::Length),
        _ if cause.raw_os_error() == Some(EIO) => Some(DataFault::Disk),
        _ => None,
    }
}
