//! Moves rows from the log to data files and maintains the files: flush, compaction, retention.
//!
//! A round plans edits, encodes and syncs the new files, then publishes all edits with one manifest. Memory is unchanged until that
//! manifest is durable. If it cannot be written (a full disk, for example), the encoded files are kept and the next round publishes the
//! same edits: whether or not the failed manifest reached the disk, the files it names exist with the same content.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use model::{Condition, ConditionSeverity, DataFault, Span, TableName, Timestamp};
use uuid::Uuid;

use crate::catalog::StoredTable;
use crate::damage::fault_of;
use crate::datafile::{self, DataFileError, Encoded};
use crate::manifest::{FileEntry, seal};
use crate::markers;
use crate::scrub::{self, Scrub};
use crate::snapshot::{DataFile, MemoryBatch, TimeRange};
use crate::state::{State, Table};
use crate::state_files::replace_both;
use crate::workspace::Shared;

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    #[error("cannot encode a file of table `{table}`")]
    Encode {
        table: TableName,
        #[source]
        cause: DataFileError,
    },
    #[error("cannot write a file of table `{table}`")]
    File {
        table: TableName,
        #[source]
        cause: io::Error,
    },
    #[error("cannot write the manifest")]
    Manifest(#[source] io::Error),
}

/// A change of one table's files.
#[derive(Debug)]
struct Edit {
    table: TableName,
    folder: String,
    /// Files to remove; the new file takes the place of the first.
    remove: Vec<Arc<DataFile>>,
    add: Option<Arc<DataFile>>,
    /// Number of entries at the front of memory that the new file contains, and the sequence of the last one.
    flushed: Option<(usize, u64)>,
}

/// Work planned for one table.
enum Plan {
    Flush { batches: Vec<Arc<MemoryBatch>>, last: u64 },
    Merge(Vec<Arc<DataFile>>),
    Expire(Vec<Arc<DataFile>>),
}

/// Health condition raised while data files cannot be written.
const FILES_WRITE_FAILED: &str = "files-write-failed";

/// Runs the rounds, one at a time.
pub struct Maintainer {
    shared: Arc<Shared>,
    /// Encoded and synced but not yet published.
    pending: Vec<Edit>,
    keys_file: Option<String>,
    /// The contents of each `table.json`, by folder.
    marked: HashMap<String, Arc<StoredTable>>,
    scrub: Scrub,
    /// Published edits are being made visible; see [`Maintainer::recover`].
    applying: bool,
}

impl Maintainer {
    pub fn new(shared: Arc<Shared>, keys_file: Option<String>) -> Self {
        Self { shared, pending: Vec::new(), keys_file, marked: HashMap::new(), scrub: Scrub::default(), applying: false }
    }

    /// Makes the maintainer usable after a panic in a round: encoded files are published by the next round, other rows are planned again.
    /// Returns false if published edits may be visible in part; then only a restart, which reads the manifest, is safe.
    pub fn recover(&mut self) -> bool {
        if self.applying {
            return false;
        }
        for table in self.shared.state().tables.values_mut() {
            // A pending flush counts entries at the front of memory.
            let counted = |edit: &Edit| edit.flushed.is_some() && edit.table == table.name && edit.folder == table.folder();
            if !self.pending.iter().any(counted) {
                table.frozen = 0;
            }
        }
        true
    }

    /// Runs one round. If something was published, returns the sequence up to which the log is no longer needed.
    pub fn round(&mut self, force: bool) -> Result<Option<u64>, MaintainError> {
        self.sweep();
        let mut through = None;
        if !self.pending.is_empty() {
            through = Some(self.publish()?);
        }
        let planned = self.plan(force);
        let idle = planned.is_empty();
        let mut trouble = None;
        for (table, stored, plan) in planned {
            match self.carry_out(&table, &stored, plan) {
                Ok(edit) => self.pending.extend(edit),
                Err(error) => {
                    self.thaw(&table);
                    trouble = Some(error);
                }
            }
        }
        if !self.pending.is_empty() {
            through = Some(self.publish()?);
            self.sweep();
        }
        if idle {
            let files: Vec<Arc<DataFile>> = self.shared.state().tables.values().flat_map(|table| table.files.iter().cloned()).collect();
            self.scrub.round(self.shared.disk.as_ref(), &files, &self.shared.damaged, self.shared.clock.now());
        }
        trouble.map_or(Ok(through), Err)
    }

    fn plan(&self, force: bool) -> Vec<(TableName, Arc<StoredTable>, Plan)> {
        let config = &self.shared.config;
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        let crowded = state.memory as u64 > config.memory.0 / 2;
        let whole = state.memory;
        let log_full = self.shared.log_bytes() > config.log_size.0;
        let mut planned = Vec::new();
        for table in state.tables.values_mut() {
            let (name, stored) = (table.name.clone(), table.stored.clone());
            let bytes = table.memory_bytes();
            let old = table.memory.first().is_some_and(|entry| now - entry.batch.ingested.first >= config.flush_after);
            let big = bytes as u64 >= config.flush_size.0 || (crowded && bytes * 8 >= whole);
            if let Some(last) = table.memory.last().map(|entry| entry.last)
                && (force || old || big || log_full)
            {
                table.frozen = table.memory.len();
                let batches = table.memory.iter().map(|entry| entry.batch.clone()).collect();
                planned.push((name.clone(), stored.clone(), Plan::Flush { batches, last }));
            }
            let expired = expired(table, now - table.stored.retention.unwrap_or(config.retention));
            if !expired.is_empty() {
                planned.push((name, stored, Plan::Expire(expired)));
                continue;
            }
            let usable = |file: &DataFile| self.shared.damaged.of(&file.path).is_none();
            if let Some(run) = small_run(&table.files, config.file_size.0, config.small_files, usable) {
                planned.push((name, stored, Plan::Merge(run)));
            }
        }
        planned
    }

    /// Carries out `plan` by writing its new file; returns `None` if damaged input files prevent it.
    fn carry_out(&mut self, table: &TableName, stored: &Arc<StoredTable>, plan: Plan) -> Result<Option<Edit>, MaintainError> {
        let edit = Edit { table: table.clone(), folder: stored.folder.clone(), remove: Vec::new(), add: None, flushed: None };
        let encode = |cause| MaintainError::Encode { table: table.clone(), cause };
        Ok(Some(match plan {
            Plan::Flush { batches, last } => {
                let encoded = datafile::encode(&stored.columns, &batches).map_err(encode)?;
                let time = TimeRange::over(batches.iter().filter_map(|batch| batch.time));
                let ingested = TimeRange::over(batches.iter().map(|batch| batch.ingested));
                let file = self.write(table, stored, last, encoded, time, ingested)?;
                metrics::counter!("bartizan_workspace_flushed_rows_total").increment(file.rows);
                Edit { add: Some(file), flushed: Some((batches.len(), last)), ..edit }
            }
            Plan::Merge(run) => {
                let read = |file: &Arc<DataFile>| Ok((self.shared.disk.read(&file.path)?, file.proof));
                let merged = match run.iter().map(read).collect::<Result<Vec<_>, io::Error>>() {
                    Ok(files) => datafile::merge(&stored.columns, files),
                    Err(cause) if fault_of(&cause).is_some() => Err(DataFileError::Damaged(DataFault::Disk)),
                    Err(cause) => return Err(MaintainError::File { table: table.clone(), cause }),
                };
                if let Err(DataFileError::Damaged(_)) = merged {
                    // Find the damaged input; the next round plans without it.
                    run.iter().for_each(|file| scrub::check(self.shared.disk.as_ref(), file, &self.shared.damaged));
                    return Ok(None);
                }
                let encoded = merged.map_err(encode)?;
                let time = TimeRange::over(run.iter().filter_map(|file| file.time));
                let ingested = TimeRange::over(run.iter().map(|file| file.ingested));
                let file = self.write(table, stored, 0, encoded, time, ingested)?;
                metrics::counter!("bartizan_workspace_compactions_total").increment(1);
                Edit { add: Some(file), remove: run, ..edit }
            }
            Plan::Expire(files) => Edit { remove: files, ..edit },
        }))
    }

    fn write(
        &mut self,
        table: &TableName,
        stored: &Arc<StoredTable>,
        last: u64,
        encoded: Encoded,
        time: Option<TimeRange>,
        ingested: Option<TimeRange>,
    ) -> Result<Arc<DataFile>, MaintainError> {
        let disk = &self.shared.disk;
        let folder = self.shared.folders.tables.join(&stored.folder);
        // File names are never reused: a file that an unconfirmed manifest may name must keep its content.
        let path = folder.join(format!("{last:020}-{}.parquet", Uuid::new_v4().simple()));
        let marked = self.marked.get(&stored.folder).is_some_and(|known| known == stored);
        let written = (|| {
            disk.create_dir_all(&folder)?;
            if !marked {
                markers::write(disk.as_ref(), &folder, table, stored)?;
            }
            disk.replace(&path, &encoded.bytes)
        })();
        written.map_err(|cause| MaintainError::File { table: table.clone(), cause })?;
        if !marked {
            self.marked.insert(stored.folder.clone(), stored.clone());
        }
        let ingested = ingested.unwrap_or(TimeRange { first: Timestamp::MIN, last: Timestamp::MIN });
        let (bytes, Encoded { rows, columns, proof, .. }) = (encoded.bytes.len() as u64, encoded);
        Ok(Arc::new(DataFile { path, bytes, rows, time, ingested, columns, proof: Some(proof) }))
    }

    /// Writes the manifest with the pending edits, then makes them visible.
    fn publish(&mut self) -> Result<u64, MaintainError> {
        let shared = self.shared.clone();
        let (mut manifest, keys) = {
            let mut state = shared.state();
            self.pending.retain(|edit| state.tables.get(&edit.table).is_some_and(|table| table.folder() == edit.folder));
            let mut manifest = state.manifest(None);
            for edit in &self.pending {
                let entry = manifest.tables.entry(edit.folder.clone()).or_default();
                edit_files(&mut entry.files, edit, |file| FileEntry::of(file));
                if let Some((_, last)) = edit.flushed {
                    entry.flushed = last;
                }
            }
            manifest.through = through_after(&state, &self.pending);
            // The lease may exist only in the log files about to be removed, so the manifest carries it on.
            manifest.lease = manifest.lease.max(state.times.floor);
            state.times.lease = state.times.lease.max(manifest.lease);
            (manifest, state.keys.to_bytes())
        };
        let through = manifest.through;
        let keys_file = format!("keys-{:020}-{}.bin", manifest.sequence, &Uuid::new_v4().simple().to_string()[..8]);
        manifest.keys = Some(keys_file.clone());
        let written = shared
            .disk
            .replace(&shared.folders.tables.join(&keys_file), &keys)
            .and_then(|()| seal(&manifest))
            .and_then(|bytes| replace_both(shared.disk.as_ref(), &shared.folders.manifest(), &bytes));
        written.map_err(MaintainError::Manifest)?;
        {
            let mut state = shared.state();
            self.applying = true;
            for edit in std::mem::take(&mut self.pending) {
                apply(&mut state, edit);
            }
            state.count_memory();
            self.applying = false;
            metrics::gauge!("bartizan_workspace_memory_bytes").set(state.memory as f64);
        }
        if let Some(old) = self.keys_file.replace(keys_file) {
            // On failure the file is an orphan, removed at the next start.
            let _ = shared.disk.remove(&shared.folders.tables.join(old));
        }
        Ok(through)
    }

    /// Clears the health condition after a successful round.
    pub fn report_success(&self) {
        self.shared.health.clear(FILES_WRITE_FAILED, "");
    }

    /// Raises the health condition: rows stay in the log.
    pub fn report_failure(&self, error: &MaintainError) {
        let condition = Condition::new(FILES_WRITE_FAILED, "", ConditionSeverity::Degraded)
            .summary(format!("{}: rows stay in the log and in memory, and a restart reads them again", model::chain(error)))
            .action("make room on the disk of the data directory, or repair it; writing goes on by itself");
        self.shared.health.report(condition);
    }

    fn thaw(&self, table: &TableName) {
        if let Some(table) = self.shared.state().tables.get_mut(table) {
            table.frozen = 0;
        }
    }

    /// Removes files that neither the manifest nor any snapshot references.
    fn sweep(&self) {
        let mut free = Vec::new();
        self.shared.state().retired.retain(|file| {
            let used = Arc::strong_count(file) > 1;
            if !used {
                free.push(file.path.clone());
            }
            used
        });
        for path in free {
            if let Err(cause) = self.shared.disk.remove(&path) {
                tracing::warn!(path = %path.display(), error = %cause, "cannot remove a file; the next start will");
            }
        }
    }
}

/// Returns the files whose rows are all older than `limit`.
fn expired(table: &Table, limit: Timestamp) -> Vec<Arc<DataFile>> {
    table.files.iter().filter(|file| file.time.unwrap_or(file.ingested).last < limit).cloned().collect()
}

/// Returns adjacent files worth merging: at least `fewest` small `usable` files in a row, at most `most` bytes in total.
fn small_run(files: &[Arc<DataFile>], most: u64, fewest: usize, usable: impl Fn(&DataFile) -> bool) -> Option<Vec<Arc<DataFile>>> {
    let mut run: Vec<Arc<DataFile>> = Vec::new();
    for file in files {
        let small = file.bytes < most / 4 && usable(file);
        let fits = run.iter().map(|file| file.bytes).sum::<u64>() + file.bytes <= most;
        if small && fits {
            run.push(file.clone());
            continue;
        }
        if run.len() >= fewest.max(2) {
            break;
        }
        run = if small { vec![file.clone()] } else { Vec::new() };
    }
    (run.len() >= fewest.max(2)).then_some(run)
}

fn edit_files<T>(files: &mut Vec<T>, edit: &Edit, of: impl Fn(&Arc<DataFile>) -> T)
where
    T: PartialEq,
{
    let removed: Vec<T> = edit.remove.iter().map(&of).collect();
    let place = files.iter().position(|file| removed.contains(file)).unwrap_or(files.len());
    files.retain(|file| !removed.contains(file));
    if let Some(added) = &edit.add {
        files.insert(place.min(files.len()), of(added));
    }
}

fn through_after(state: &State, edits: &[Edit]) -> u64 {
    let flushed =
        |table: &Table| edits.iter().filter(|edit| edit.table == table.name).find_map(|edit| edit.flushed).map_or(0, |(count, _)| count);
    let oldest = state.tables.values().filter_map(|table| table.memory.get(flushed(table))).map(|entry| entry.first).min();
    oldest.map_or(state.sequence, |first| first - 1)
}

fn apply(state: &mut State, edit: Edit) {
    let Some(table) = state.tables.get_mut(&edit.table) else { return };
    if table.folder() != edit.folder {
        return;
    }
    edit_files(&mut table.files, &edit, Arc::clone);
    if let Some((count, last)) = edit.flushed {
        table.memory.drain(..count.min(table.memory.len()));
        table.frozen = 0;
        table.flushed = last;
    }
    state.retired.extend(edit.remove);
}

/// Interval of unsolicited maintenance rounds.
pub const ROUND: Span = Span::SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(n: u64, bytes: u64) -> Arc<DataFile> {
        let at = Timestamp::UNIX_EPOCH + Span::seconds(n as i64);
        let range = TimeRange { first: at, last: at };
        Arc::new(DataFile { path: format!("{n}").into(), bytes, rows: 1, time: Some(range), ingested: range, columns: vec![], proof: None })
    }

    #[test]
    fn only_neighbours_are_merged() {
        let files: Vec<_> = [(1, 10), (2, 10), (3, 900), (4, 10), (5, 10), (6, 10)].map(|(n, bytes)| file(n, bytes)).to_vec();
        let run = small_run(&files, 1000, 3, |_| true).unwrap();
        assert_eq!(run, files[3..]);
        assert!(small_run(&files, 1000, 4, |_| true).is_none());
        assert!(small_run(&files, 25, 3, |_| true).is_none());
        // A damaged file is not merged and separates its neighbours.
        assert!(small_run(&files, 1000, 3, |file| file.path != std::path::Path::new("5")).is_none());
    }

    #[test]
    fn a_merged_file_takes_the_place_of_the_first() {
        let files: Vec<_> = (1..=4).map(|n| file(n, 10)).collect();
        let mut list = files.clone();
        let edit =
            Edit { table: TableName::new("T"), folder: "T.0".into(), remove: files[1..3].to_vec(), add: Some(file(9, 20)), flushed: None };
        edit_files(&mut list, &edit, Arc::clone);
        assert_eq!(list.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>(), ["1", "9", "4"]);
    }
}
