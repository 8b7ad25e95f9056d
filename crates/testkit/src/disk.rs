//! A simulated disk in memory that loses unsynced data, fills up, and loses power at a chosen point.
//!
//! Models what POSIX permits at a power loss: a file keeps its synced bytes, plus any prefix of later writes, possibly with a damaged end;
//! each name in a folder is as of the folder's last sync, or newer. Deterministic in the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use model::{Disk, DiskFile};

/// The disk. Clones share the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Device>);

#[derive(Default)]
struct Device {
    platter: Mutex<Platter>,
    /// Whether file syncs are blocked.
    held: Mutex<bool>,
    released: Condvar,
}

#[derive(Default)]
struct Platter {
    /// The state visible to programs.
    names: BTreeMap<PathBuf, u64>,
    /// The state guaranteed after a power loss.
    synced_names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<u64, File>,
    next: u64,
    random: Random,
    /// Number of operations so far, as points for a power loss.
    steps: u64,
    power_fails_at: Option<u64>,
    capacity: Option<usize>,
    fault: Option<Fault>,
    failing_syncs: u32,
    /// Number of power losses: open files become invalid.
    life: u64,
}

/// A persistent fault of the disk. Reads still work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC for all writes; new files can be created.
    Full,
    /// ENOSPC for new files; existing ones can be written.
    NoInodes,
    /// EROFS for all changes.
    ReadOnly,
    /// EIO for every write and sync.
    Broken,
}

/// A kind of change that a [`Fault`] may reject.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Create,
    Write,
    Sync,
    /// Rename, remove, truncate.
    Arrange,
}

impl Fault {
    fn refuse(self, change: Change) -> io::Result<()> {
        const EIO: i32 = 5;
        const ENOSPC: i32 = 28;
        const EROFS: i32 = 30;
        let code = match (self, change) {
            (Fault::Full, Change::Write) | (Fault::NoInodes, Change::Create) => ENOSPC,
            (Fault::ReadOnly, _) => EROFS,
            (Fault::Broken, Change::Write | Change::Sync) => EIO,
            _ => return Ok(()),
        };
        Err(io::Error::from_raw_os_error(code))
    }
}

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

/// SplitMix64: small and portable.
#[derive(Clone, Default)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.word().checked_rem(bound).unwrap_or(0)
    }
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Device { platter: Mutex::new(Platter { random: Random::new(seed), ..Platter::default() }), ..Device::default() }))
    }

    /// Simulates a power loss at the `step`th operation of the disk: that one and all later ones fail.
    pub fn fail_power_at(&self, step: u64) {
        self.platter().power_fails_at = Some(step);
    }

    pub fn steps(&self) -> u64 {
        self.platter().steps
    }

    pub fn power_failed(&self) -> bool {
        let platter = self.platter();
        platter.power_fails_at.is_some_and(|at| platter.steps >= at)
    }

    /// Blocks file syncs until the returned guard is dropped, to simulate a slow disk.
    #[must_use]
    pub fn hold_syncs(&self) -> Held {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Held(self.clone())
    }

    fn wait_until_released(&self) {
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.released.wait_while(held, |held| *held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Restores power: the disk has the state left by the power loss.
    pub fn restart(&self) {
        let mut platter = self.platter();
        platter.power_fails_at = None;
        platter.life += 1;
        let mut names = platter.synced_names.clone();
        let current = platter.names.clone();
        let paths: BTreeSet<PathBuf> = names.keys().chain(current.keys()).cloned().collect();
        for path in paths {
            // A folder may be written at any time, not only when synced.
            if names.get(&path) != current.get(&path) && platter.random.below(2) == 0 {
                match current.get(&path) {
                    Some(file) => names.insert(path, *file),
                    None => names.remove(&path),
                };
            }
        }
        let ids: Vec<u64> = platter.files.keys().copied().collect();
        for id in ids {
            let Some(mut file) = platter.files.get(&id).cloned() else { continue };
            if let Some(tail) = file.bytes.strip_prefix(file.synced.as_slice()).map(<[u8]>::to_vec)
                && !tail.is_empty()
            {
                let kept = platter.random.below(tail.len() as u64 + 1) as usize;
                file.synced.extend_from_slice(&tail[..kept]);
                if kept > 0 && platter.random.below(4) == 0 {
                    let at = file.synced.len() - 1 - platter.random.below(kept as u64) as usize;
                    file.synced[at] ^= 0x55;
                }
            }
            file.bytes = file.synced.clone();
            platter.files.insert(id, file);
        }
        platter.names = names.clone();
        platter.synced_names = names;
    }

    /// Total capacity: writes beyond it fail with a full disk.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.platter().capacity = bytes;
    }

    /// Sets or clears a persistent fault.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.platter().fault = fault;
    }

    /// The next `count` file syncs fail, and the unsynced data is lost.
    pub fn fail_syncs(&self, count: u32) {
        self.platter().failing_syncs = count;
    }

    pub fn used(&self) -> usize {
        self.platter().used()
    }

    /// Modifies a file's bytes directly, to simulate corruption.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut platter = self.platter();
        let id = platter.names.get(path).copied();
        if let Some(file) = id.and_then(|id| platter.files.get_mut(&id)) {
            change(&mut file.bytes);
            file.synced = file.bytes.clone();
        }
    }

    /// All existing files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.platter().names.keys().cloned().collect()
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// File syncs are blocked while this exists; see [`SimDisk::hold_syncs`].
pub struct Held(SimDisk);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.0.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.0.released.notify_all();
    }
}

impl Platter {
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        self.powered()
    }

    fn refuse(&self, change: Change) -> io::Result<()> {
        self.fault.map_or(Ok(()), |fault| fault.refuse(change))
    }

    fn powered(&self) -> io::Result<()> {
        match self.power_fails_at {
            Some(at) if self.steps >= at => Err(io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }

    fn used(&self) -> usize {
        self.names.values().filter_map(|id| self.files.get(id)).map(|file| file.bytes.len()).sum()
    }

    fn id(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, id: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.refuse(Change::Write)?;
        let room = self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used()));
        let fits = bytes.len().min(room);
        let file = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        file.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, id: u64) -> io::Result<()> {
        self.step()?;
        self.refuse(Change::Sync)?;
        let failing = self.failing_syncs > 0;
        let file = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        if failing {
            self.failing_syncs -= 1;
            // As on Linux, pages are marked clean although their content was not written, so a later sync "succeeds".
            return Err(io::Error::other("input/output error"));
        }
        file.synced = file.bytes.clone();
        Ok(())
    }

    fn create(&mut self, path: &Path) -> io::Result<u64> {
        self.step()?;
        self.refuse(Change::Create)?;
        if !path.parent().is_some_and(|parent| self.folders.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let id = self.next;
        self.next += 1;
        self.files.insert(id, File::default());
        self.names.insert(path.to_owned(), id);
        Ok(id)
    }

    fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        let inside = |name: &PathBuf| name.parent() == Some(path);
        let now: Vec<(PathBuf, u64)> = self.names.iter().filter(|(name, _)| inside(name)).map(|(name, id)| (name.clone(), *id)).collect();
        self.synced_names.retain(|name, _| !inside(name));
        self.synced_names.extend(now);
        Ok(())
    }
}

struct Handle {
    disk: SimDisk,
    id: u64,
    life: u64,
}

impl Handle {
    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.disk.platter();
        if platter.life == self.life { Ok(platter) } else { Err(io::Error::other("the file was open when the power went")) }
    }
}

impl DiskFile for Handle {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.platter()?.write(self.id, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.wait_until_released();
        self.platter()?.sync(self.id)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.step()?;
        platter.refuse(Change::Arrange)?;
        if let Some(file) = platter.files.get_mut(&self.id) {
            file.bytes.truncate(length as usize);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.platter()?.files.get(&self.id).map_or(0, |file| file.bytes.len() as u64))
    }
}

impl Disk for SimDisk {
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut platter = self.platter();
        let id = match platter.id(path) {
            Ok(id) => id,
            Err(_) => platter.create(path)?,
        };
        let life = platter.life;
        drop(platter);
        Ok(Box::new(Handle { disk: self.clone(), id, life }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let mut platter = self.platter();
        let id = platter.create(&temporary)?;
        if let Err(cause) = platter.write(id, bytes).and_then(|()| platter.sync(id)) {
            platter.names.remove(&temporary);
            return Err(cause);
        }
        platter.step()?;
        platter.names.remove(&temporary);
        platter.names.insert(path.to_owned(), id);
        path.parent().map_or(Ok(()), |parent| platter.sync_dir(parent))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let platter = self.platter();
        platter.powered()?;
        let id = platter.id(path)?;
        Ok(platter.files.get(&id).map(|file| file.bytes.clone()).unwrap_or_default())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let platter = self.platter();
        platter.powered()?;
        let id = platter.id(path)?;
        Ok(platter.files.get(&id).map_or(0, |file| file.bytes.len() as u64))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.platter();
        platter.step()?;
        platter.refuse(Change::Arrange)?;
        platter.names.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut platter = self.platter();
        platter.step()?;
        platter.refuse(Change::Arrange)?;
        let id = platter.id(from)?;
        platter.names.remove(from);
        platter.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut platter = self.platter();
        platter.powered()?;
        platter.folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.platter().sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let platter = self.platter();
        platter.powered()?;
        let files = platter.names.keys().filter(|name| name.parent() == Some(path));
        let folders = platter.folders.iter().filter(|name| name.parent() == Some(path));
        let all: BTreeSet<PathBuf> = files.chain(folders).cloned().collect();
        Ok(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_is_sure_to_stay() {
        let mut lost = 0;
        for seed in 0..64 {
            let disk = SimDisk::new(seed);
            let folder = Path::new("/d");
            disk.create_dir_all(folder).unwrap();
            let mut file = disk.append(&folder.join("a")).unwrap();
            file.write_all(b"kept").unwrap();
            file.sync().unwrap();
            disk.sync_dir(folder).unwrap();
            file.write_all(b"maybe").unwrap();
            disk.append(&folder.join("b")).unwrap();
            disk.restart();
            let bytes = disk.read(&folder.join("a")).unwrap();
            assert!(bytes.starts_with(b"kept") && bytes.len() <= 9, "seed {seed}");
            lost += usize::from(disk.read(&folder.join("b")).is_err());
            assert!(file.write_all(b"x").is_err());
        }
        assert!((1..64).contains(&lost));
    }
}
