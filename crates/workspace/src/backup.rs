//! The files of a data directory's tables at one moment, held while a backup copies them beside the running service.
//!
//! Data files never change, and log files only grow; both are removed once a newer manifest no longer needs them. Hard links keep them until
//! they are copied. Links are made between two readings of catalog, manifest and log index: if any of the three changed in between, the links
//! are made again. The files then belong to one state, in which every append that was acknowledged before is either in a named data file or
//! in the log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::CatalogDocument;
use crate::frame;
use crate::log_index::LogIndex;
use crate::manifest::{Manifest, StateFileError, seal, unseal_bytes};
use crate::state_files::{copy_of, file_name};

/// How often links are made before the backup gives up, and the pause between.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// Why the files cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    #[error(transparent)]
    State(#[from] StateFileError),
    #[error("cannot hold `{path}` while it is copied")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the tables changed each of {ATTEMPTS} times that their files were listed")]
    Busy,
}

/// A file of the backup.
#[derive(Debug)]
pub struct HeldFile {
    /// Relative to the data directory.
    pub name: PathBuf,
    pub content: HeldContent,
}

#[derive(Debug)]
pub enum HeldContent {
    Bytes(Vec<u8>),
    /// A link to the file, which does not change.
    Link(PathBuf),
}

/// The files of all tables. The links are removed when this is dropped.
#[derive(Debug)]
pub struct HeldFiles {
    pub files: Vec<HeldFile>,
    /// Data files that the manifest names and that do not exist: the service lacks them as well.
    pub missing: Vec<PathBuf>,
    links: Links,
}

/// Holds the files of every workspace in a data directory. Takes some hundredths of a second, however many rows there are.
pub fn hold(data_dir: &Path) -> Result<HeldFiles, HoldError> {
    let folder = data_dir.join("tmp").join(format!("backup-{}", uuid::Uuid::new_v4().simple()));
    let mut held = HeldFiles { files: Vec::new(), missing: Vec::new(), links: Links { folder, made: 0, own_parent: false } };
    let tables = data_dir.join("tables");
    for workspace in entries(&tables)?.into_iter().filter(|path| path.is_dir()) {
        hold_workspace(data_dir, &file_name(&workspace), &mut held)?;
    }
    Ok(held)
}

fn hold_workspace(data_dir: &Path, workspace: &str, held: &mut HeldFiles) -> Result<(), HoldError> {
    let place = Place { data_dir, tables: Path::new("tables").join(workspace), log: Path::new("wal").join(workspace) };
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        let state = place.read()?;
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        place.link(&state, &mut held.links, &mut files, &mut missing)?;
        if place.read()? == state {
            held.files.append(&mut files);
            held.missing.append(&mut missing);
            return Ok(());
        }
        for file in files {
            if let HeldContent::Link(link) = file.content {
                let _ = fs::remove_file(link);
            }
        }
    }
    Err(HoldError::Busy)
}

/// The contents of the files that say which others belong together.
#[derive(PartialEq, Eq)]
struct StateBytes {
    catalog: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
}

/// Paths of a workspace; all but the first are relative to it.
struct Place<'a> {
    data_dir: &'a Path,
    tables: PathBuf,
    log: PathBuf,
}

impl Place<'_> {
    fn catalog(&self) -> PathBuf {
        self.tables.join("catalog.json")
    }

    fn manifest(&self) -> PathBuf {
        self.tables.join("manifest.json")
    }

    fn index(&self) -> PathBuf {
        self.log.join("index.json")
    }

    fn read(&self) -> Result<StateBytes, HoldError> {
        let read = |name: PathBuf| optional(fs::read(self.data_dir.join(&name)), &name);
        Ok(StateBytes { catalog: read(self.catalog())?, manifest: read(self.manifest())?, index: read(self.index())? })
    }

    /// Links all files that the state names, and the log.
    fn link(&self, state: &StateBytes, links: &mut Links, files: &mut Vec<HeldFile>, missing: &mut Vec<PathBuf>) -> Result<(), HoldError> {
        let catalog: Option<CatalogDocument> = opened(state.catalog.as_deref(), &self.catalog())?;
        let manifest: Option<Manifest> = opened(state.manifest.as_deref(), &self.manifest())?;
        let mut index: LogIndex = opened(state.index.as_deref(), &self.index())?.unwrap_or_default();
        for (path, bytes) in [(self.catalog(), &state.catalog), (self.manifest(), &state.manifest)] {
            for name in [copy_of(&path), path] {
                files.extend(bytes.clone().map(|bytes| HeldFile { name, content: HeldContent::Bytes(bytes) }));
            }
        }
        for stored in catalog.iter().flat_map(|catalog| catalog.tables.values()) {
            let marker = self.tables.join(&stored.folder).join("table.json");
            files.extend(links.link(self.data_dir, marker)?);
        }
        if let Some(manifest) = &manifest {
            if let Some(keys) = &manifest.keys {
                files.extend(links.link(self.data_dir, self.tables.join(keys))?);
            }
            for (folder, table) in &manifest.tables {
                for file in &table.files {
                    let name = self.tables.join(folder).join(&file.name);
                    match links.link(self.data_dir, name.clone())? {
                        Some(held) => files.push(held),
                        None => missing.push(name),
                    }
                }
            }
        }
        let mut log: Vec<PathBuf> = entries(&self.data_dir.join(&self.log))?.iter().map(|path| self.log.join(file_name(path))).collect();
        log.retain(|name| name.extension().is_some_and(|extension| extension == "log"));
        log.sort();
        if let Some(name) = log.pop() {
            // The newest file grows: only its whole frames are taken, and a file without an append is as good as none.
            let bytes = optional(fs::read(self.data_dir.join(&name)), &name)?.unwrap_or_default();
            match whole_frames(bytes) {
                Some(bytes) => files.push(HeldFile { name, content: HeldContent::Bytes(bytes) }),
                None => index.files.retain(|file| file.name != file_name(&name)),
            }
        }
        for name in log {
            files.extend(links.link(self.data_dir, name)?);
        }
        // A log file that is being removed may still be in the index.
        let through = manifest.map_or(0, |manifest| manifest.through);
        let is_held = |name: &str| files.iter().any(|file| file_name(&file.name) == name);
        index.files.retain(|file| is_held(&file.name) || file.last.is_none_or(|last| last > through));
        let sealed = seal(&index).map_err(|cause| HoldError::File { path: self.index(), cause })?;
        files.push(HeldFile { name: self.index(), content: HeldContent::Bytes(sealed) });
        Ok(())
    }
}

/// A log file without the frame that is being written at its end; `None` if it has no append.
fn whole_frames(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let bytes = Bytes::from(bytes);
    let scanned = frame::scan(&bytes);
    scanned.frames.iter().any(|frame| frame.append.is_some()).then(|| {
        let end = scanned.damage.last().filter(|damage| damage.end == bytes.len()).map_or(bytes.len(), |damage| damage.start);
        bytes[..end].to_vec()
    })
}

/// Hard links in a folder of their own.
#[derive(Debug)]
struct Links {
    folder: PathBuf,
    made: u64,
    /// `tmp` did not exist: there is no service.
    own_parent: bool,
}

impl Links {
    /// `None` if there is no such file.
    fn link(&mut self, data_dir: &Path, name: PathBuf) -> Result<Option<HeldFile>, HoldError> {
        let failed = |cause| HoldError::File { path: name.clone(), cause };
        if self.made == 0 {
            self.own_parent = self.folder.parent().is_some_and(|parent| !parent.exists());
            private_folder(&self.folder).map_err(failed)?;
        }
        self.made += 1;
        let link = self.folder.join(self.made.to_string());
        match fs::hard_link(data_dir.join(&name), &link) {
            Ok(()) => Ok(Some(HeldFile { name, content: HeldContent::Link(link) })),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed(cause)),
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // Left over, it only takes room until the next start clears `tmp`.
        let _ = fs::remove_dir_all(&self.folder);
        if let Some(parent) = self.folder.parent().filter(|_| self.own_parent) {
            let _ = fs::remove_dir(parent);
        }
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn optional(read: io::Result<Vec<u8>>, name: &Path) -> Result<Option<Vec<u8>>, HoldError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(HoldError::File { path: name.to_owned(), cause }),
    }
}

fn opened<T: for<'de> serde::Deserialize<'de>>(bytes: Option<&[u8]>, name: &Path) -> Result<Option<T>, HoldError> {
    Ok(bytes.map(|bytes| unseal_bytes(bytes, name)).transpose()?)
}

/// Entries of a folder; none if it does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, HoldError> {
    let failed = |cause| HoldError::File { path: folder.to_owned(), cause };
    match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(failed(cause)),
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>().map_err(failed),
    }
}
