//! A disk that panics in a thread of the workspace when a test asks for it: after a sync, before any other write. Rows of the log are then
//! durable and not acknowledged.

use std::io;
use std::path::{Path, PathBuf};

use model::{Disk, DiskFile};
use workspace::SystemDisk;

/// The threads of the workspace.
const THREADS: [&str; 2] = ["log", "files"];

pub struct FaultyDisk;

struct FaultyFile(Box<dyn DiskFile>);

fn panic_if_asked() {
    let thread = std::thread::current();
    let name = thread.name().filter(|name| THREADS.contains(name));
    if let (Some(folder), Some(name)) = (super::some::folder(), name)
        && std::fs::remove_file(folder.join(format!("panic-{name}"))).is_ok()
    {
        panic!("injected by a test");
    }
}

impl Disk for FaultyDisk {
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(SystemDisk.append(path)?)))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        panic_if_asked();
        SystemDisk.replace(path, bytes)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        SystemDisk.read(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        SystemDisk.length(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemDisk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        SystemDisk.list(path)
    }
}

impl DiskFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()?;
        panic_if_asked();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}
