//! Opening a workspace: catalog, manifest, then the log behind them. What cannot be read goes to `quarantine` and into the report.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Disk, TableName, Timestamp, chain};

use crate::WorkspaceConfig;
use crate::catalog::CatalogDocument;
use crate::codec;
use crate::commit::Constants;
use crate::frame::Frame;
use crate::keys::Keys;
use crate::log::{DamagedPart, Log};
use crate::manifest::{Manifest, StateFileError, from_hex, seal, unseal};
use crate::state::{Folders, Logged, State, Times};

/// Why a workspace does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use the folder `{path}`")]
    Folder {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    StateFile(#[from] StateFileError),
    #[error("cannot read the log")]
    Log(#[source] io::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// What opening a workspace found. Worth an incident where `quarantined` names more than the tail of the last log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Appends read from the log.
    pub frames: usize,
    /// Rows read from the log, over all tables.
    pub rows: u64,
    pub log_bytes: u64,
    /// Written and never acknowledged, so left out.
    pub void: usize,
    pub quarantined: Vec<Quarantined>,
    /// Data files that no manifest names: the traces of a crash.
    pub orphans: usize,
}

/// Bytes that could not be read, and where a copy of them lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub source: PathBuf,
    pub start: usize,
    pub end: usize,
    pub reason: String,
    /// Nothing where even the copy could not be written.
    pub copy: Option<PathBuf>,
}

/// A workspace as it was found.
pub struct Opened {
    pub state: State,
    pub log: Log,
    pub recovery: Recovery,
    pub keys_file: Option<String>,
}

pub fn open(
    disk: &Arc<dyn Disk>,
    folders: &Folders,
    config: &WorkspaceConfig,
    constants: &Constants,
    now: Timestamp,
) -> Result<Opened, OpenError> {
    for path in [&folders.log, &folders.tables, &folders.quarantine] {
        disk.create_dir_all(path).map_err(|cause| OpenError::Folder { path: path.clone(), cause })?;
    }
    let mut recovery = Recovery::default();
    let stored: Option<CatalogDocument> = unseal(disk.as_ref(), &folders.catalog())?;
    let catalog = stored.clone().unwrap_or_default().with_built_in();
    if stored.as_ref() != Some(&catalog) {
        let written = seal(&catalog).and_then(|bytes| disk.replace(&folders.catalog(), &bytes));
        written.map_err(|cause| OpenError::Folder { path: folders.catalog(), cause })?;
    }
    let manifest: Option<Manifest> = unseal(disk.as_ref(), &folders.manifest())?;
    let known_manifest = manifest.is_some();
    let manifest = manifest.unwrap_or_else(empty_manifest);

    let keys = Keys::new(config.key_window, config.keys);
    let times = Times { floor: now.max(manifest.lease), lease: manifest.lease, in_flight: None };
    let mut state = State {
        tables: HashMap::new(),
        catalog: CatalogDocument::default(),
        sequence: manifest.sequence,
        keys,
        positions: manifest.positions.iter().filter_map(|(source, cursor)| Some((source.clone(), from_hex(cursor)?))).collect(),
        times,
        memory: 0,
        retired: Vec::new(),
        closed: false,
    };
    state.adopt(catalog);
    for table in state.tables.values_mut() {
        if let Some(entry) = manifest.tables.get(table.folder()) {
            let folder = folders.tables.join(table.folder());
            table.flushed = entry.flushed;
            table.files = entry.files.iter().map(|file| Arc::new(file.clone().open(&folder))).collect();
        }
    }
    if let Some(name) = &manifest.keys {
        let path = folders.tables.join(name);
        let bytes = disk.read(&path).unwrap_or_default();
        if !state.keys.load(&bytes) {
            let part = Quarantined { source: path, start: 0, end: bytes.len(), reason: "the keys are damaged".to_owned(), copy: None };
            recovery.quarantined.push(quarantine(disk.as_ref(), folders, part, &bytes));
        }
    }
    remove_orphans(disk.as_ref(), folders, &state, &manifest, known_manifest, &mut recovery);

    let (log, found) = Log::open(disk.clone(), &folders.log, config.log_file_size.0).map_err(OpenError::Log)?;
    (recovery.log_bytes, recovery.void) = (found.bytes, found.void);
    for DamagedPart { file, damage, bytes } in found.damage {
        let part = Quarantined { source: file, start: damage.start, end: damage.end, reason: damage.reason.to_owned(), copy: None };
        recovery.quarantined.push(quarantine(disk.as_ref(), folders, part, &bytes));
    }
    let names: HashMap<String, TableName> = state.tables.values().map(|table| (table.folder().to_owned(), table.name.clone())).collect();
    for frame in found.frames {
        replay(&mut state, frame, &names, &manifest, constants, disk.as_ref(), folders, &mut recovery);
    }
    state.times.floor = state.times.floor.max(state.times.lease);
    Ok(Opened { state, log, recovery, keys_file: manifest.keys })
}

fn empty_manifest() -> Manifest {
    Manifest {
        version: 1,
        sequence: 0,
        through: 0,
        lease: Timestamp::MIN,
        keys: None,
        positions: Default::default(),
        tables: Default::default(),
    }
}

#[allow(clippy::too_many_arguments)]
fn replay(
    state: &mut State,
    frame: Frame,
    names: &HashMap<String, TableName>,
    manifest: &Manifest,
    constants: &Constants,
    disk: &dyn Disk,
    folders: &Folders,
    recovery: &mut Recovery,
) {
    state.times.lease = state.times.lease.max(Timestamp::clamp_ticks(frame.lease));
    let Some(appended) = frame.append.filter(|_| frame.sequence > manifest.through) else { return };
    let ingested = Timestamp::clamp_ticks(frame.ingested);
    let fresh = frame.sequence > manifest.sequence;
    let mut rows = Vec::new();
    for part in appended.tables {
        // Rows of a dropped table have no name any more.
        let Some(table) = names.get(&part.table).and_then(|name| state.tables.get(name)) else { continue };
        if frame.sequence <= table.flushed {
            continue;
        }
        let read =
            codec::decode(&part.bytes).and_then(|batch| codec::to_memory(&table.schema, &batch, ingested, &constants.of(&table.name)));
        match read {
            Ok(batch) => {
                recovery.rows += batch.batch.num_rows() as u64;
                rows.push((table.name.clone(), batch));
            }
            Err(error) => {
                let source = PathBuf::from(format!("{}-{}", part.table, frame.sequence));
                let part_of = Quarantined { source, start: 0, end: part.bytes.len(), reason: chain(&error), copy: None };
                recovery.quarantined.push(quarantine(disk, folders, part_of, &part.bytes));
            }
        }
    }
    recovery.frames += 1;
    let key = appended.key.filter(|_| fresh);
    let position = appended.position.filter(|_| fresh);
    state.apply(Logged { sequence: frame.sequence, ingested, key, position, rows });
}

/// Keeps a copy of what cannot be read. The log file itself goes when its frames are in the files.
fn quarantine(disk: &dyn Disk, folders: &Folders, mut part: Quarantined, bytes: &[u8]) -> Quarantined {
    let name = part.source.file_name().unwrap_or(OsStr::new("unnamed")).to_string_lossy().into_owned();
    let path = folders.quarantine.join(format!("{name}-{}-{}.bad", part.start, part.end));
    match disk.replace(&path, bytes) {
        Ok(()) => part.copy = Some(path),
        Err(cause) => tracing::error!(error = %cause, "cannot keep a copy of damaged bytes"),
    }
    tracing::error!(source = %part.source.display(), start = part.start, end = part.end, reason = part.reason, "damaged bytes were set aside");
    metrics::counter!("bartizan_workspace_quarantined_total").increment(1);
    part
}

/// Removes data files that no manifest names. Where there is no manifest at all they are set aside instead: better a file too many.
fn remove_orphans(disk: &dyn Disk, folders: &Folders, state: &State, manifest: &Manifest, known: bool, recovery: &mut Recovery) {
    let named: HashSet<&Path> = state.tables.values().flat_map(|table| &table.files).map(|file| file.path.as_path()).collect();
    for entry in disk.list(&folders.tables).unwrap_or_default() {
        let name = entry.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let stale_keys = name.starts_with("keys-") && manifest.keys.as_deref() != Some(name);
        if stale_keys || name.ends_with(".tmp") {
            let _ = disk.remove(&entry);
            continue;
        }
        for file in disk.list(&entry).unwrap_or_default() {
            let leftover = file.extension().is_some_and(|extension| extension == "parquet" || extension == "tmp");
            if !leftover || named.contains(file.as_path()) {
                continue;
            }
            recovery.orphans += 1;
            let gone = match file.file_name() {
                Some(file_name) if !known => disk.rename(&file, &folders.quarantine.join(file_name)),
                _ => disk.remove(&file),
            };
            if let Err(cause) = gone {
                tracing::warn!(path = %file.display(), error = %cause, "cannot remove a file that no manifest names");
            }
        }
    }
}
