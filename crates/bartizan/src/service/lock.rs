//! Lock of the data directory. The system releases it when the process ends in any way.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Why the directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another service is running over `{0}`: stop it, or choose another directory with --data-dir")]
    Taken(PathBuf),
    #[error("a restore into `{0}` was interrupted: remove what is in it, and restore again")]
    Unfinished(PathBuf),
    #[error("cannot use `{path}` as data directory")]
    Open {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

/// Held until dropped.
#[derive(Debug)]
pub struct DirectoryLock(#[allow(dead_code)] File);

/// In a data directory while a backup is being put into it.
pub const UNFINISHED_RESTORE: &str = "restore-unfinished";

/// Refuses a data directory whose restore was interrupted.
pub fn refuse_unfinished_restore(directory: &Path) -> Result<(), LockError> {
    if directory.join(UNFINISHED_RESTORE).exists() { Err(LockError::Unfinished(directory.to_owned())) } else { Ok(()) }
}

impl DirectoryLock {
    /// Creates the directory (accessible by its owner only) if missing, and locks it.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let open = |cause| LockError::Open { path: directory.to_owned(), cause };
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory).map_err(open)?;
        let file = File::options().create(true).truncate(false).write(true).open(directory.join("lock")).map_err(open)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(directory.to_owned())),
            Err(TryLockError::Error(cause)) => Err(open(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_service() {
        let folder = tempfile::tempdir().unwrap();
        let held = DirectoryLock::take(folder.path()).unwrap();
        assert!(matches!(DirectoryLock::take(folder.path()), Err(LockError::Taken(_))));
        drop(held);
        assert!(DirectoryLock::take(folder.path()).is_ok());
    }
}
