//! In-memory state: the tables as seen by queries, the newest sequence, keys, positions and assigned ingestion times.
//!
//! One lock guards all of it and is never held during disk access or encoding. An append therefore becomes visible in all its tables at
//! once, and a snapshot of several tables is consistent.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use model::{SavedSearch, Span, TableName, TableSchema, TableSize, Timestamp};

use crate::catalog::{CatalogDocument, StoredTable};
use crate::codec;
use crate::keys::{Keys, Seen};
use crate::manifest::{FileEntry, Manifest, TableEntry, to_hex};
use crate::snapshot::{DataFile, MemoryBatch, Snapshot, TimeRange};

/// Adjacent batches smaller than this are merged, so that thousands of small appends become a few batches.
const MERGE_BELOW: usize = 16 * 1024;

/// Rows in memory, with the sequences of their appends.
#[derive(Clone, Debug)]
pub struct Entry {
    pub batch: Arc<MemoryBatch>,
    pub first: u64,
    pub last: u64,
}

/// The current state of a table.
#[derive(Debug)]
pub struct Table {
    pub name: TableName,
    pub stored: Arc<StoredTable>,
    pub schema: Arc<TableSchema>,
    pub physical: Arc<[String]>,
    pub files: Vec<Arc<DataFile>>,
    pub memory: Vec<Entry>,
    /// Number of entries at the front that are being written to a file and must not change.
    pub frozen: usize,
    /// The newest sequence whose rows are in `files`.
    pub flushed: u64,
}

impl Table {
    pub fn new(name: TableName, stored: StoredTable) -> Self {
        let (schema, physical) = (stored.schema(&name), stored.physical());
        Self { name, stored: Arc::new(stored), schema, physical, files: Vec::new(), memory: Vec::new(), frozen: 0, flushed: 0 }
    }

    pub fn folder(&self) -> &str {
        &self.stored.folder
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            schema: self.schema.clone(),
            physical: self.physical.clone(),
            files: self.files.clone(),
            memory: self.memory.iter().map(|entry| entry.batch.clone()).collect(),
        }
    }

    pub fn size(&self) -> TableSize {
        let times = self.files.iter().filter_map(|file| file.time).chain(self.memory.iter().filter_map(|entry| entry.batch.time));
        let time = TimeRange::over(times);
        let in_memory: usize = self.memory.iter().map(|entry| entry.batch.batch.num_rows()).sum();
        TableSize {
            name: self.name.clone(),
            rows: self.files.iter().map(|file| file.rows).sum::<u64>() + in_memory as u64,
            bytes: self.files.iter().map(|file| file.bytes).sum::<u64>() + self.memory_bytes() as u64,
            files: self.files.len() as u64,
            oldest: time.map(|time| time.first),
            newest: time.map(|time| time.last),
        }
    }

    pub fn memory_bytes(&self) -> usize {
        self.memory.iter().map(|entry| entry.batch.bytes).sum()
    }

    fn push(&mut self, batch: MemoryBatch, sequence: u64) {
        self.memory.push(Entry { batch: Arc::new(batch), first: sequence, last: sequence });
        // Merges like a binary counter: each row is copied a logarithmic number of times.
        while self.memory.len() >= self.frozen + 2 {
            let (left, right) = (&self.memory[self.memory.len() - 2], &self.memory[self.memory.len() - 1]);
            let (before, after) = (left.batch.batch.num_rows(), right.batch.batch.num_rows());
            if before > 2 * after || before + after > MERGE_BELOW {
                break;
            }
            let Ok(merged) = codec::merge(&left.batch, &right.batch) else { break };
            let entry = Entry { batch: Arc::new(merged), first: left.first, last: right.last };
            self.memory.truncate(self.memory.len() - 2);
            self.memory.push(entry);
        }
    }
}

/// Ingestion times assigned to rows and promised as complete.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// New ingestion times are greater than this.
    pub floor: Timestamp,
    /// Upper bound of all promises. It is in the log, so that promises hold after a restart with an earlier clock.
    pub lease: Timestamp,
    /// Ingestion time of rows being synced.
    pub in_flight: Option<Timestamp>,
}

/// How far ahead of the clock a lease is renewed.
pub const LEASE: Span = Span(2 * model::TICKS_PER_SECOND);

impl Times {
    /// Assigns an ingestion time: now, but later than every assigned or promised one.
    pub fn stamp(&mut self, now: Timestamp) -> Timestamp {
        self.floor = now.max(self.floor + Span(1));
        self.in_flight = Some(self.floor);
        self.floor
    }

    /// See [`model::Catalog::complete_until`].
    pub fn complete_until(&mut self, now: Timestamp) -> Timestamp {
        match self.in_flight {
            Some(stamp) => stamp - Span(1),
            None => {
                self.floor = self.floor.max(now.min(self.lease));
                self.floor
            }
        }
    }
}

/// The state of the workspace.
#[derive(Debug)]
pub struct State {
    pub tables: HashMap<TableName, Table>,
    pub catalog: CatalogDocument,
    /// Version of the catalog; increases with every change.
    pub version: u64,
    /// Saved searches used as functions, by alias.
    pub functions: HashMap<String, Arc<SavedSearch>>,
    /// Sequence of the newest acknowledged append.
    pub sequence: u64,
    pub keys: Keys,
    pub positions: HashMap<String, Vec<u8>>,
    pub times: Times,
    /// Heap size of all batches.
    pub memory: usize,
    /// Files no longer in the manifest; removed once no snapshot references them.
    pub retired: Vec<Arc<DataFile>>,
    pub closed: bool,
}

/// A logged append, ready to be added to memory.
pub struct Logged {
    pub sequence: u64,
    pub ingested: Timestamp,
    pub key: Option<u128>,
    pub position: Option<(String, Vec<u8>)>,
    pub rows: Vec<(TableName, MemoryBatch)>,
}

impl State {
    pub fn apply(&mut self, logged: Logged) {
        self.sequence = self.sequence.max(logged.sequence);
        self.times.floor = self.times.floor.max(logged.ingested);
        if let Some(key) = logged.key {
            self.keys.insert(key, Seen { sequence: logged.sequence, ingested: logged.ingested });
        }
        if let Some((source, cursor)) = logged.position {
            self.positions.insert(source, cursor);
        }
        for (name, batch) in logged.rows {
            if let Some(table) = self.tables.get_mut(&name) {
                self.memory += batch.bytes;
                table.push(batch, logged.sequence);
            }
        }
    }

    /// Replaces the catalog: adds new tables and columns, drops missing tables and returns those dropped.
    pub fn adopt(&mut self, catalog: CatalogDocument) -> Vec<Table> {
        let mut gone = Vec::new();
        let names: Vec<TableName> = self.tables.keys().cloned().collect();
        for name in names {
            let folder = catalog.tables.get(&name).map(|stored| stored.folder.as_str());
            if folder != self.tables.get(&name).map(Table::folder) {
                gone.extend(self.tables.remove(&name));
            }
        }
        for (name, stored) in &catalog.tables {
            match self.tables.get_mut(name) {
                Some(table) if *table.stored != *stored => {
                    (table.schema, table.physical) = (stored.schema(name), stored.physical());
                    table.stored = Arc::new(stored.clone());
                }
                Some(_) => {}
                None => {
                    self.tables.insert(name.clone(), Table::new(name.clone(), stored.clone()));
                }
            }
        }
        // Old catalogs may hold several searches with one alias; the first wins.
        let functions = catalog.searches.values().rev().filter(|search| !search.function_alias.is_empty());
        self.functions = functions.map(|search| (search.function_alias.clone(), search.clone())).collect();
        self.catalog = catalog;
        self.version += 1;
        self.count_memory();
        gone
    }

    pub fn count_memory(&mut self) {
        self.memory = self.tables.values().map(Table::memory_bytes).sum();
    }

    /// Every frame at or below this sequence is completely in data files.
    pub fn through(&self) -> u64 {
        let oldest = self.tables.values().filter_map(|table| table.memory.first()).map(|entry| entry.first).min();
        oldest.map_or(self.sequence, |first| first - 1)
    }

    /// The current manifest. `keys` is the checkpoint file written for it.
    pub fn manifest(&self, keys: Option<String>) -> Manifest {
        let table =
            |table: &Table| TableEntry { flushed: table.flushed, files: table.files.iter().map(|file| FileEntry::of(file)).collect() };
        let kept = |candidate: &&Table| candidate.flushed > 0 || !candidate.files.is_empty();
        Manifest {
            version: 1,
            log_index: true,
            sequence: self.sequence,
            through: self.through(),
            lease: self.times.lease,
            keys,
            positions: self.positions.iter().map(|(source, cursor)| (source.clone(), to_hex(cursor))).collect(),
            tables: self.tables.values().filter(kept).map(|entry| (entry.folder().to_owned(), table(entry))).collect::<BTreeMap<_, _>>(),
        }
    }
}

/// Paths of the workspace's folders.
#[derive(Clone, Debug)]
pub struct Folders {
    pub log: PathBuf,
    pub tables: PathBuf,
    pub quarantine: PathBuf,
}

impl Folders {
    pub fn catalog(&self) -> PathBuf {
        self.tables.join("catalog.json")
    }

    pub fn manifest(&self) -> PathBuf {
        self.tables.join("manifest.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Span::seconds(seconds)
    }

    #[test]
    fn promised_instants_are_never_assigned() {
        let mut times = Times { floor: at(0), lease: at(100), in_flight: None };
        assert_eq!(times.complete_until(at(10)), at(10));
        // The clock goes back an hour.
        let stamp = times.stamp(at(-3600));
        assert!(stamp > at(10));
        assert!(times.complete_until(at(20)) < stamp, "rows in flight are not complete");
        times.in_flight = None;
        assert_eq!(times.complete_until(at(20)), at(20));
        assert_eq!(times.complete_until(at(5)), at(20));
        assert_eq!(times.complete_until(at(500)), at(100), "not beyond what the log knows");
    }
}
