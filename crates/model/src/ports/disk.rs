use std::io;
use std::path::{Path, PathBuf};

/// The file operations that durability rests on. The real one is a thin shell over the operating system; the simulated one forgets what
/// was not synced and fails where it is told to.
pub trait Disk: Send + Sync {
    /// Opens `path` for appending, creating it.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Writes a whole new file, syncs it, and renames it over `path`; then syncs the folder. Readers see the old or the new, never half.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Bytes of a file.
    fn length(&self, path: &Path) -> io::Result<u64>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates the folder with its parents and syncs each parent that changed.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the entries of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Entries of a folder, sorted by name; none where there is no folder.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
}

/// A file being appended to.
pub trait DiskFile: Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once the bytes written so far survive a power cut. After an error nothing is known: the file must not be written again.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    fn length(&self) -> io::Result<u64>;
}
