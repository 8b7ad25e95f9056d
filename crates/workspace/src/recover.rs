//! Opens a workspace: reads the catalog, the manifest, then the log after them. Unreadable parts are moved to `quarantine` and reported.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Condition, ConditionSeverity, DataFault, Disk, HealthRegister, TableName, Timestamp, chain};

use crate::WorkspaceConfig;
use crate::catalog::CatalogDocument;
use crate::codec;
use crate::commit::Constants;
use crate::damage::{DamagedFiles, fault_of, inside};
use crate::frame::Frame;
use crate::keys::Keys;
use crate::log::{DamagedPart, Found, Log};
use crate::log_index::LostAppends;
use crate::manifest::{Manifest, StateFileError, from_hex, seal};
use crate::markers::{self, Marker};
use crate::state::{Folders, Logged, State, Times};
use crate::state_files::{Expected, StateFile, copy_of, file_name, read_both, replace_both, set_aside};

/// Why a workspace cannot be opened.
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

/// Result of opening a workspace. Deserves an incident if `quarantined` names more than the tail of the last log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Appends read from the log.
    pub frames: usize,
    /// Rows read from the log, over all tables.
    pub rows: u64,
    pub log_bytes: u64,
    /// Number of frames written but never acknowledged, and therefore skipped.
    pub void: usize,
    pub quarantined: Vec<Quarantined>,
    /// Number of data files that no manifest names, left by a crash.
    pub orphans: usize,
}

/// Unreadable bytes, and where they were copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub source: PathBuf,
    pub start: usize,
    pub end: usize,
    pub reason: String,
    /// `None` if the copy could not be written.
    pub copy: Option<PathBuf>,
}

/// A workspace after recovery.
pub struct Opened {
    pub state: State,
    pub log: Log,
    pub recovery: Recovery,
    pub keys_file: Option<String>,
    pub damaged: DamagedFiles,
}

pub fn open(
    disk: &Arc<dyn Disk>,
    folders: &Folders,
    config: &WorkspaceConfig,
    constants: &Constants,
    now: Timestamp,
    health: &HealthRegister,
) -> Result<Opened, OpenError> {
    for path in [&folders.log, &folders.tables] {
        disk.create_dir_all(path).map_err(|cause| OpenError::Folder { path: path.clone(), cause })?;
    }
    if let Err(cause) = disk.create_dir_all(&folders.quarantine) {
        tracing::warn!(error = %cause, "there is no folder for what is set aside");
    }
    let mut recovery = Recovery::default();
    let entries = disk.list(&folders.tables).map_err(|cause| OpenError::Folder { path: folders.tables.clone(), cause })?;
    let logs = disk.list(&folders.log).map_err(OpenError::Log)?;
    let begun = !logs.is_empty() || !entries.is_empty();
    let copied = [folders.catalog(), folders.manifest()].iter().any(|path| entries.contains(&copy_of(path)));
    // The first start writes the catalog, its copy and the manifest, in this order; versions without copies wrote no manifest at first.
    let folders_of_tables = entries
        .iter()
        .any(|entry| file_name(entry).contains('.') && entry.extension().is_some_and(|e| e != "json" && e != "bin" && e != "tmp"));
    let manifest_begun = folders_of_tables || (entries.contains(&copy_of(&folders.catalog())) && !logs.is_empty());

    let lost = "tables are made again from `table.json` in their folders, saved searches are gone";
    let catalog_path = folders.catalog();
    let found: StateFile<CatalogDocument> =
        read_both(disk.as_ref(), &catalog_path, Expected { file: begun, copy: copied }, &folders.quarantine, health, lost)?;
    let catalog_intact = found.intact;
    let stored = found.content.clone();
    let catalog = match found.content {
        Some(catalog) => catalog,
        None if found.damaged => rebuilt_catalog(disk.as_ref(), folders, health, &logs),
        None => CatalogDocument::default(),
    };
    let catalog = catalog.with_built_in();
    if stored.as_ref() != Some(&catalog) || !catalog_intact || found.damaged {
        let written = seal(&catalog).and_then(|bytes| replace_both(disk.as_ref(), &catalog_path, &bytes));
        match written {
            // A full disk must not prevent reading existing data.
            Err(cause) if stored.is_some() => tracing::warn!(error = %cause, "the catalog cannot be written now; the next change will"),
            written => written.map_err(|cause| OpenError::Folder { path: folders.catalog(), cause })?,
        }
    }
    let lost = "data files that no manifest names were set aside in `quarantine`, and what the log has of their rows is served";
    let found: StateFile<Manifest> =
        read_both(disk.as_ref(), &folders.manifest(), Expected { file: manifest_begun, copy: copied }, &folders.quarantine, health, lost)?;
    let manifest_intact = found.intact && found.content.is_some();
    let mut manifest = found.content.unwrap_or_else(empty_manifest);
    // Earlier versions wrote no copies, markers or index, so their absence is not a loss.
    let begun_by_this_version = manifest.log_index;
    manifest.log_index = true;
    if !manifest_intact || !begun_by_this_version {
        let written = seal(&manifest).and_then(|bytes| replace_both(disk.as_ref(), &folders.manifest(), &bytes));
        if let Err(cause) = written {
            tracing::warn!(error = %cause, "the manifest cannot be written now; the next round will");
        }
    }

    let keys = Keys::new(config.key_window, config.keys);
    let times = Times { floor: now.max(manifest.lease), lease: manifest.lease, in_flight: None };
    let mut state = State {
        tables: HashMap::new(),
        catalog: CatalogDocument::default(),
        version: 0,
        functions: HashMap::new(),
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
    for table in state.tables.values().filter(|table| !table.files.is_empty()) {
        let marker = Marker { name: table.name.clone(), table: table.stored.as_ref().clone() };
        let folder = folders.tables.join(table.folder());
        markers::mend(disk.as_ref(), &folder, &marker, begun_by_this_version, &folders.quarantine, health);
    }
    let damaged = DamagedFiles::new(health.clone());
    for file in state.tables.values().flat_map(|table| &table.files) {
        match disk.length(&file.path) {
            Ok(length) if length == file.bytes => {}
            Ok(_) => damaged.report(file, DataFault::Length),
            Err(cause) => damaged.report(file, fault_of(&cause).unwrap_or(DataFault::Disk)),
        }
    }
    if let Some(name) = &manifest.keys {
        read_keys(disk.as_ref(), folders, name, &mut state, health, &mut recovery);
    }
    remove_orphans(disk.as_ref(), folders, &state, &manifest, catalog_intact && manifest_intact, health, &mut recovery);

    let (log, found) = Log::open(disk.clone(), &folders.log, config.log_file_size.0, manifest.through).map_err(OpenError::Log)?;
    (recovery.log_bytes, recovery.void) = (found.bytes, found.void);
    report_log(&found, begun_by_this_version, health);
    for DamagedPart { file, damage, bytes } in found.damage {
        let part = Quarantined { source: file, start: damage.start, end: damage.end, reason: damage.reason.to_owned(), copy: None };
        recovery.quarantined.push(quarantine(disk.as_ref(), folders, part, &bytes));
    }
    let names: HashMap<String, TableName> = state.tables.values().map(|table| (table.folder().to_owned(), table.name.clone())).collect();
    for frame in found.frames {
        replay(&mut state, frame, &names, &manifest, constants, disk.as_ref(), folders, &mut recovery);
    }
    state.times.floor = state.times.floor.max(state.times.lease);
    log.note_files();
    Ok(Opened { state, log, recovery, keys_file: manifest.keys, damaged })
}

/// Rebuilds the catalog from the table folders. Rows of tables without a folder are only in the log, which is copied to quarantine before
/// it is consumed.
fn rebuilt_catalog(disk: &dyn Disk, folders: &Folders, health: &HealthRegister, logs: &[PathBuf]) -> CatalogDocument {
    let (catalog, unknown) = markers::rebuild(disk, &folders.tables);
    for folder in unknown {
        let condition = Condition::new("table-unknown", folder.as_str(), ConditionSeverity::Degraded)
            .summary(format!("the folder `{folder}` belongs to no known table: its rows are kept and not served"))
            .action("put `catalog.json` back from a backup, with the service stopped");
        health.report(condition);
        tracing::error!(folder, "the folder of a table that the catalog does not know; it is left as it is");
    }
    for log in logs {
        let copied = disk.read(log).and_then(|bytes| disk.replace(&folders.quarantine.join(format!("{}.bad", file_name(log))), &bytes));
        if let Err(cause) = copied {
            tracing::error!(error = %cause, file = %file_name(log), "cannot copy a log file to quarantine");
        }
    }
    catalog
}

fn read_keys(disk: &dyn Disk, folders: &Folders, name: &str, state: &mut State, health: &HealthRegister, recovery: &mut Recovery) {
    let path = folders.tables.join(name);
    let (bytes, missing) = match disk.read(&path) {
        Ok(bytes) => (bytes, false),
        Err(_) => (Vec::new(), true),
    };
    if state.keys.load(&bytes) {
        return;
    }
    let reason = if missing { "is missing" } else { "is damaged" };
    let condition = Condition::new("sender-keys-lost", name, ConditionSeverity::Degraded)
        .summary(format!("`{name}` {reason}: senders that send a batch again from before the stop store it twice"))
        .action("look for duplicates where a sender retried around the time of the stop");
    health.report(condition);
    tracing::error!(file = name, reason, "what is remembered of senders' keys is lost");
    if !missing {
        let part = Quarantined { source: path, start: 0, end: bytes.len(), reason: "the keys are damaged".to_owned(), copy: None };
        recovery.quarantined.push(quarantine(disk, folders, part, &bytes));
    }
}

/// Reports appends missing from the log.
fn report_log(found: &Found, indexed_before: bool, health: &HealthRegister) {
    for LostAppends { file, first, last, missing } in &found.lost {
        let what = if *missing { "is missing" } else { "is damaged or cut" };
        let which = match last {
            Some(last) if last == first => format!("append {first} is lost"),
            Some(last) => format!("appends {first} to {last} are lost"),
            None => format!("all appends from {first} on are lost"),
        };
        let condition = Condition::new("log-rows-lost", file.as_str(), ConditionSeverity::Degraded)
            .summary(format!("the log file `{file}` {what}: {which}, everything else is served"))
            .action("put the file back from a backup with the service stopped, or let senders send again what they sent before the stop");
        health.report(condition);
        tracing::error!(file, first, last, "the log {what}: {which}");
    }
    for file in &found.spent {
        let condition = Condition::new("log-file-spent", file.as_str(), ConditionSeverity::Notice)
            .summary(format!("the log file `{file}` is missing or damaged; its rows are all in data files, nothing is lost"))
            .action("after a crash there is nothing to do; otherwise check the disk");
        health.report(condition);
        tracing::warn!(file, "a log file that is not needed any more is missing or damaged");
    }
    if found.lost.is_empty() && !found.damage.is_empty() {
        let files: Vec<String> = found.damage.iter().map(|part| file_name(&part.file)).collect();
        let condition = Condition::new("log-end-torn", files[0].as_str(), ConditionSeverity::Notice)
            .summary(format!("`{}` holds bytes that are no append; no acknowledged row is known to be lost", files.join("`, `")))
            .action("after a crash or a power cut there is nothing to do; otherwise check the disk");
        health.report(condition);
    }
    if found.unindexed && indexed_before {
        let condition = Condition::new("log-index-lost", "index.json", ConditionSeverity::Notice)
            .summary("the index of log files is missing or damaged: whether a log file is missing cannot be told this time")
            .action("check that the newest rows are there; the index has been written anew");
        health.report(condition);
        tracing::error!("the index of log files is missing or damaged; it is written anew");
    }
}

fn empty_manifest() -> Manifest {
    Manifest {
        version: 1,
        log_index: true,
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
        // Rows of a dropped table have no table to go to.
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

/// Copies unreadable bytes to quarantine. The log file itself is removed once its frames are in data files.
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

/// Removes data files that no manifest names: leftovers of an interrupted round, whose rows are in the log or in named files. If the
/// catalog or the manifest was not intact, the files are moved to quarantine instead, because deleting a needed file would lose rows.
/// Folders that belong to no table are kept unless the catalog is intact.
fn remove_orphans(
    disk: &dyn Disk,
    folders: &Folders,
    state: &State,
    manifest: &Manifest,
    intact: bool,
    health: &HealthRegister,
    recovery: &mut Recovery,
) {
    let named: HashSet<&Path> = state.tables.values().flat_map(|table| &table.files).map(|file| file.path.as_path()).collect();
    let known: HashSet<&str> = state.tables.values().map(|table| table.folder()).collect();
    let mut kept: Vec<String> = Vec::new();
    for entry in disk.list(&folders.tables).unwrap_or_default() {
        let name = entry.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let stale_keys = intact && name.starts_with("keys-") && manifest.keys.as_deref() != Some(name);
        if stale_keys || name.ends_with(".tmp") {
            let _ = disk.remove(&entry);
            continue;
        }
        if !intact && !known.contains(name) {
            continue;
        }
        for file in disk.list(&entry).unwrap_or_default() {
            let unfinished = file.extension().is_some_and(|extension| extension == "tmp");
            let leftover = unfinished || file.extension().is_some_and(|extension| extension == "parquet");
            if !leftover || named.contains(file.as_path()) {
                continue;
            }
            recovery.orphans += 1;
            if intact || unfinished {
                if let Err(cause) = disk.remove(&file) {
                    tracing::warn!(path = %file.display(), error = %cause, "cannot remove a file that no manifest names");
                }
            } else if set_aside(disk, &file, &folders.quarantine, "no manifest names it").is_some() {
                kept.push(inside(&file));
            }
        }
    }
    if let Some(first) = kept.first() {
        let condition = Condition::new("data-file-set-aside", first.as_str(), ConditionSeverity::Notice)
            .summary(format!("{} data files that the manifest does not name are in `quarantine`: {}", kept.len(), kept.join(", ")))
            .action("compare the newest rows with what was sent; `bartizan query --file` reads these files");
        health.report(condition);
    }
}
