use std::io;
use std::path::{Path, PathBuf};

/// File operations with durability guarantees. The real implementation wraps the operating system; the simulated one drops unsynced data on
/// power loss and injects failures.
pub trait Disk: Send + Sync {
    /// Opens `path` for appending, creating it if missing.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Atomically replaces `path`: writes and syncs a new file, renames it, and syncs the folder. Readers see the old or the new content.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Length of a file in bytes.
    fn length(&self, path: &Path) -> io::Result<u64>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates the folder and its parents, and syncs each changed parent.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the entries of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Entries of a folder, sorted by name; empty if it does not exist.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A file being appended to.
pub trait DiskFile: Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once the bytes written so far are durable. After an error the state is unknown, and the file must not be written again.
    fn sync(&mut self) -> io::Result<()>;

    /// Truncates the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    fn length(&self) -> io::Result<u64>;
}
