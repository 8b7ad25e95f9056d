//! The workspace: a thread that writes the log, a thread that maintains data files, and the ports on top.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;
use model::{
    Ack, Append, AppendError, Arrival, Catalog, CatalogError, Clock, Column, Disk, HealthRegister, SavedSearch, Span, StoredFunction,
    TableName, TableSchema, TableSize, TableWriter, Timestamp, WorkspaceName, chain,
};
use tokio::sync::oneshot;

use crate::bell::Bell;
use crate::catalog::CatalogDocument;
use crate::commit::{Committer, Constants, Prepared, PreparedRows, refusal};
use crate::damage::{DamagedFiles, fault_of};
use crate::datafile::{self, DataFileError};
use crate::frame::{self, Appended, EncodedRows};
use crate::maintain::{Maintainer, ROUND};
use crate::manifest::seal;
use crate::recover::{self, OpenError, Recovery};
use crate::snapshot::{Snapshot, Snapshots};
use crate::state::{Folders, State, Table};
use crate::state_files::replace_both;
use crate::supervise::Supervised;
use crate::{WorkspaceConfig, billing, codec, keys, published};

/// Maximum number of appends that share one sync.
const GROUP: usize = 512;
/// Maximum bytes of a group; the first append is always included.
const GROUP_BYTES: usize = 32 << 20;
/// Larger batches are encoded off the caller's thread.
const ENCODE_INLINE: usize = 256 << 10;
/// How long a promise waits for a lease renewal before it falls back to the current lease.
const RENEW_WAIT: Duration = Duration::from_millis(200);

/// State shared by the threads and the ports.
pub struct Shared {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub config: WorkspaceConfig,
    pub constants: Constants,
    pub folders: Folders,
    pub bell: Bell,
    pub damaged: DamagedFiles,
    pub health: HealthRegister,
    state: Mutex<State>,
    log_bytes: AtomicU64,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while holding the lock; even then the state is consistent between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }
}

enum Command {
    Append {
        prepared: Box<Prepared>,
        bytes: usize,
        done: oneshot::Sender<Result<Ack, AppendError>>,
    },
    /// Extend the lease to now.
    Renew {
        done: mpsc::Sender<()>,
    },
    /// Remove log files with nothing beyond this sequence.
    Truncate {
        through: u64,
    },
    Stop,
}

enum Job {
    /// Run a round now; flush everything if `force` is set.
    Round {
        force: bool,
        done: Option<oneshot::Sender<Result<(), FlushError>>>,
    },
    Stop,
}

/// Why rows could not be written to data files. They stay in the log and in memory.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error("cannot write rows to files")]
    Write(#[source] crate::maintain::MaintainError),
    #[error("writing rows to files was interrupted by a fault and goes on later")]
    Interrupted,
    #[error("the workspace is closed")]
    Closed,
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no table `{0}`")]
    NoTable(TableName),
    #[error("cannot read `{path}`")]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error(transparent)]
    Decode(#[from] DataFileError),
}

/// Options for opening a workspace.
pub struct Options {
    pub name: WorkspaceName,
    pub config: WorkspaceConfig,
    /// The workspace ID, stored in the column `TenantId`.
    pub id: Option<String>,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    /// Where damage and failing writes are reported.
    pub health: HealthRegister,
}

/// The durable tables of one workspace.
///
/// Single process: the caller holds the lock of the data directory.
pub struct Workspace {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Command>,
    maintainer: mpsc::Sender<Job>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    queued: Arc<AtomicUsize>,
    /// Serialises catalog changes.
    defining: Arc<Mutex<()>>,
    recovery: Recovery,
}

impl Workspace {
    /// Opens the workspace in a data directory, replaying the log.
    pub fn open(data: &Path, options: Options) -> Result<Workspace, OpenError> {
        let Options { name, config, id, disk, clock, health } = options;
        let folders = Folders {
            log: data.join("wal").join(name.as_str()),
            tables: data.join("tables").join(name.as_str()),
            quarantine: data.join("quarantine"),
        };
        let constants = Constants { tenant_id: id };
        let opened = recover::open(&disk, &folders, &config, &constants, clock.now(), &health)?;
        let shared = Arc::new(Shared {
            disk,
            clock,
            config,
            constants,
            folders,
            bell: Bell::new(),
            damaged: opened.damaged,
            health,
            state: Mutex::new(opened.state),
            log_bytes: AtomicU64::new(opened.recovery.log_bytes),
        });
        let queued = Arc::new(AtomicUsize::new(0));
        let (writer, commands) = mpsc::channel();
        let (maintainer, jobs) = mpsc::channel();
        let committer = Committer::new(opened.log, shared.clone());
        let keeper = Maintainer::new(shared.clone(), opened.keys_file);
        let (to_writer, to_maintainer, waiting, health) = (writer.clone(), maintainer.clone(), queued.clone(), shared.health.clone());
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(body).map_err(OpenError::Thread)
        };
        let threads = vec![
            spawn("log", Box::new(move || write_log(committer, &commands, &to_maintainer, &waiting)))?,
            spawn("files", Box::new(move || keep_files(keeper, &jobs, &to_writer, health)))?,
        ];
        tracing::info!(frames = opened.recovery.frames, rows = opened.recovery.rows, "workspace `{name}` is open");
        let recovery = opened.recovery;
        Ok(Workspace { shared, writer, maintainer, threads: Mutex::new(threads), queued, defining: Arc::default(), recovery })
    }

    /// Result of recovery.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Writes all rows to data files now. Not required before shutdown, because the log is durable.
    pub async fn flush(&self) -> Result<(), FlushError> {
        self.round(true).await
    }

    /// Runs one round of flush, compaction and retention for what is due.
    pub async fn maintain(&self) -> Result<(), FlushError> {
        self.round(false).await
    }

    /// All rows of a table in the memory layout, files first, skipping unreadable files (see [`Snapshots::damaged_files`]). For checks and
    /// tools; queries read files incrementally.
    pub fn rows(&self, table: &str) -> Result<Vec<RecordBatch>, ReadError> {
        let (snapshot, stored) = {
            let state = self.shared.state();
            let table = state.tables.get(table).ok_or_else(|| ReadError::NoTable(TableName::new(table)))?;
            (table.snapshot(), table.stored.clone())
        };
        let mut batches = Vec::new();
        let damaged = &self.shared.damaged;
        for file in snapshot.files.iter().filter(|file| damaged.of(&file.path).is_none()) {
            let bytes = match self.shared.disk.read(&file.path) {
                Ok(bytes) => bytes,
                Err(cause) => match fault_of(&cause) {
                    Some(fault) => {
                        damaged.report(file, fault);
                        continue;
                    }
                    None => return Err(ReadError::File { path: file.path.clone(), cause }),
                },
            };
            match datafile::decode(&stored.columns, bytes, file.proof) {
                Ok(decoded) => batches.extend(decoded),
                Err(DataFileError::Damaged(fault)) => damaged.report(file, fault),
                Err(error) => return Err(error.into()),
            }
        }
        batches.extend(snapshot.memory.iter().map(|memory| memory.batch.clone()));
        Ok(batches)
    }

    async fn round(&self, force: bool) -> Result<(), FlushError> {
        let (done, answer) = oneshot::channel();
        self.maintainer.send(Job::Round { force, done: Some(done) }).map_err(|_| FlushError::Closed)?;
        answer.await.map_err(|_| FlushError::Closed)?
    }

    /// Stops the workspace: waiting appends are stored, later ones are refused. Blocks until both threads have ended.
    pub fn close(&self) {
        let _ = self.maintainer.send(Job::Stop);
        let _ = self.writer.send(Command::Stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the workspace ended by a panic");
            }
        }
    }

    fn prepare(&self, append: &Append) -> Result<(Vec<PreparedRows>, usize), AppendError> {
        let mut rows = Vec::new();
        for part in append.rows.iter().filter(|part| part.batch.num_rows() > 0) {
            let found = self.shared.state().tables.get(&part.table).map(|table| (table.folder().to_owned(), table.schema.clone()));
            let (folder, schema) = found.ok_or_else(|| AppendError::NoTable(part.table.clone()))?;
            rows.push(PreparedRows { table: part.table.clone(), folder, schema, batch: part.batch.clone() });
        }
        let bytes = rows.iter().map(|part| part.batch.get_array_memory_size()).sum();
        Ok((rows, bytes))
    }

    /// Creates a published table for its first rows. Durable when it returns.
    async fn create_published(&self, name: &TableName) -> Result<(), AppendError> {
        let table = published::table(name.as_str()).ok_or_else(|| AppendError::NoTable(name.clone()))?;
        let created = self.change(move |catalog| Ok(catalog.create(&table)), |_| ()).await;
        created.map_err(|error| match error {
            CatalogError::Write(cause) => refusal(&cause),
            _ => AppendError::NoTable(name.clone()),
        })?;
        tracing::info!(table = %name, "published table created");
        Ok(())
    }

    /// Changes the catalog: first durably, then visibly. Returns the result of `look`, evaluated under the same lock.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&CatalogDocument) -> Result<CatalogDocument, CatalogError> + Send + 'static,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (shared, defining) = (self.shared.clone(), self.defining.clone());
        let changed = tokio::task::spawn_blocking(move || {
            let _one_at_a_time = defining.lock().unwrap_or_else(PoisonError::into_inner);
            let old = shared.state().catalog.clone();
            let new = change(&old)?;
            if new != old {
                let written = seal(&new).and_then(|bytes| replace_both(shared.disk.as_ref(), &shared.folders.catalog(), &bytes));
                written.map_err(CatalogError::Write)?;
                let mut state = shared.state();
                let gone = state.adopt(new);
                state.retired.extend(gone.into_iter().flat_map(|table| table.files));
            }
            let state = shared.state();
            Ok(look(&state))
        });
        changed.await.map_err(|cause| CatalogError::Write(io::Error::other(cause)))?
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl TableWriter for Workspace {
    async fn append(&self, append: Append) -> Result<Ack, AppendError> {
        let (rows, bytes) = loop {
            match self.prepare(&append) {
                Err(AppendError::NoTable(name)) => self.create_published(&name).await?,
                prepared => break prepared?,
            }
        };
        let waiting = self.queued.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > self.shared.config.queue.0 as usize {
            return Err(AppendError::Busy { reason: "the log is behind", retry_after_seconds: 1 });
        }
        let queued = Queued::new(&self.queued, bytes);
        let key = append.key.as_deref().map(keys::hash);
        let position = append.position;
        if let Some((source, _)) = &position
            && (source.is_empty() || source.len() > usize::from(u16::MAX))
        {
            return Err(AppendError::Log(io::Error::new(io::ErrorKind::InvalidInput, "a source needs a name of 1 to 65535 bytes")));
        }
        let tenant_id = self.shared.constants.tenant_id.as_ref().map_or(0, String::len);
        let prepared = if bytes <= ENCODE_INLINE {
            encode(rows, key, position, tenant_id)?
        } else {
            let encoded = tokio::task::spawn_blocking(move || encode(rows, key, position, tenant_id)).await;
            encoded.map_err(|cause| AppendError::Log(io::Error::other(cause)))??
        };
        if frame::body_length(&prepared.appended) > frame::MAX_BODY {
            return Err(AppendError::Log(io::Error::new(io::ErrorKind::FileTooLarge, "one append may not be larger than 512 MiB")));
        }
        let (done, answer) = oneshot::channel();
        let command = Command::Append { prepared: Box::new(prepared), bytes: queued.keep(), done };
        self.writer.send(command).map_err(|_| AppendError::Closed)?;
        answer.await.map_err(|_| AppendError::Closed)?
    }

    fn position(&self, source: &str) -> Option<Vec<u8>> {
        self.shared.state().positions.get(source).cloned()
    }
}

/// Bytes counted as queued, until the writer takes them or the append is abandoned.
struct Queued<'a> {
    queued: &'a AtomicUsize,
    bytes: usize,
}

impl<'a> Queued<'a> {
    fn new(queued: &'a AtomicUsize, bytes: usize) -> Self {
        queued.fetch_add(bytes, Ordering::Relaxed);
        Self { queued, bytes }
    }

    /// Passes responsibility for the count to the writer.
    fn keep(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// `tenant_id` is the length of the workspace's ID.
fn encode(
    rows: Vec<PreparedRows>,
    key: Option<u128>,
    position: Option<(String, Vec<u8>)>,
    tenant_id: usize,
) -> Result<Prepared, AppendError> {
    let mut appended = Appended { key, position, tables: Vec::with_capacity(rows.len()) };
    let mut compacted = Vec::with_capacity(rows.len());
    for part in rows {
        let batch = codec::compact(&part.schema, &part.batch)?;
        let batch = billing::with_size(&part.schema, batch, tenant_id).map_err(|cause| AppendError::Log(io::Error::other(cause)))?;
        let bytes = codec::encode(&batch).map_err(|cause| AppendError::Log(io::Error::other(cause)))?;
        appended.tables.push(EncodedRows { table: part.folder.clone(), rows: batch.num_rows() as u32, bytes });
        compacted.push(PreparedRows { batch, ..part });
    }
    Ok(Prepared { appended, rows: compacted })
}

#[async_trait]
impl Catalog for Workspace {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        {
            let state = self.shared.state();
            if let Some(table) = state.tables.get(name) {
                return Some(table.schema.clone());
            }
            // A saved function hides a published table without rows.
            if state.functions.contains_key(name) {
                return None;
            }
        }
        published::table(name)
    }

    fn is_created(&self, name: &str) -> bool {
        self.shared.state().tables.contains_key(name)
    }

    fn published_tables(&self) -> BTreeSet<&'static str> {
        published::names()
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        let mut tables: Vec<_> = self.shared.state().tables.values().map(|table| table.schema.clone()).collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        tables
    }

    fn table_sizes(&self) -> Vec<TableSize> {
        let mut sizes: Vec<_> = self.shared.state().tables.values().map(Table::size).collect();
        sizes.sort_by(|a, b| a.name.cmp(&b.name));
        sizes
    }

    async fn define(&self, name: &TableName, columns: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        let (wanted, asked) = (name.clone(), name.clone());
        let schema = self.change(
            move |catalog| catalog.define(&wanted, columns),
            move |state| state.tables.get(&asked).map(|table| table.schema.clone()),
        );
        schema.await?.ok_or_else(|| CatalogError::NoTable(name.clone()))
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        let name = name.clone();
        self.change(move |catalog| catalog.drop_table(&name), |_| ()).await?;
        let _ = self.maintainer.send(Job::Round { force: false, done: None });
        Ok(())
    }

    async fn set_retention(&self, name: &TableName, retention: Option<Span>) -> Result<(), CatalogError> {
        let name = name.clone();
        self.change(move |catalog| catalog.set_retention(&name, retention), |_| ()).await
    }

    fn version(&self) -> u64 {
        self.shared.state().version
    }

    fn function(&self, name: &str) -> Option<StoredFunction> {
        let saved = self.shared.state().functions.get(name).cloned()?;
        Some(StoredFunction { name: name.to_owned(), parameters: saved.function_parameters.clone(), body: saved.query.clone() })
    }

    fn saved_searches(&self) -> Vec<Arc<SavedSearch>> {
        self.shared.state().catalog.searches.values().cloned().collect()
    }

    async fn save_search(&self, search: SavedSearch) -> Result<(), CatalogError> {
        self.change(move |catalog| catalog.save_search(search), |_| ()).await
    }

    async fn remove_search(&self, name: &str) -> Result<bool, CatalogError> {
        let key = name.to_lowercase();
        let known = self.shared.state().catalog.searches.contains_key(&key);
        self.change(move |catalog| Ok(catalog.remove_search(&key)), |_| ()).await?;
        Ok(known)
    }

    fn retention(&self, name: &str) -> Option<Span> {
        let created = self.shared.state().tables.get(name).map(|table| table.stored.retention);
        let retention = created.or_else(|| published::table(name).map(|_| None))?;
        Some(retention.unwrap_or(self.shared.config.retention))
    }

    fn own_retention(&self, name: &str) -> Option<Span> {
        self.shared.state().tables.get(name).and_then(|table| table.stored.retention)
    }

    fn published(&self, name: &str) -> Option<Arc<TableSchema>> {
        if crate::builtin::is_built_in(name) { published::table(name) } else { published::azure_table(name) }
    }

    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        self.shared.bell.listen()
    }

    fn complete_until(&self) -> Timestamp {
        let now = self.shared.clock.now();
        let short = {
            let state = self.shared.state();
            state.times.in_flight.is_none() && now > state.times.lease
        };
        if short {
            let (done, renewed) = mpsc::channel();
            if self.writer.send(Command::Renew { done }).is_ok() {
                // On a slower disk the result is only older.
                let _ = renewed.recv_timeout(RENEW_WAIT);
            }
        }
        self.shared.state().times.complete_until(now)
    }
}

impl Snapshots for Workspace {
    fn snapshot(&self, table: &str) -> Option<Snapshot> {
        let created = self.shared.state().tables.get(table).map(|table| table.snapshot());
        created.or_else(|| published::empty_snapshot(table))
    }

    fn snapshots(&self, tables: &[&str]) -> Vec<Option<Snapshot>> {
        let created: Vec<Option<Snapshot>> = {
            let state = self.shared.state();
            tables.iter().map(|table| state.tables.get(*table).map(|table| table.snapshot())).collect()
        };
        created.into_iter().zip(tables).map(|(created, table)| created.or_else(|| published::empty_snapshot(table))).collect()
    }

    fn damaged_files(&self) -> DamagedFiles {
        self.shared.damaged.clone()
    }
}

/// Commands received together.
#[derive(Default)]
struct Received {
    group: Vec<Prepared>,
    waiting: Vec<oneshot::Sender<Result<Ack, AppendError>>>,
    bytes: usize,
    renew: Vec<mpsc::Sender<()>>,
    truncate: Option<u64>,
    stop: bool,
}

impl Received {
    fn add(&mut self, command: Command) {
        match command {
            Command::Append { prepared, bytes, done } => {
                self.bytes += bytes;
                self.group.push(*prepared);
                self.waiting.push(done);
            }
            Command::Renew { done } => self.renew.push(done),
            Command::Truncate { through } => self.truncate = self.truncate.max(Some(through)),
            Command::Stop => self.stop = true,
        }
    }

    fn is_full(&self) -> bool {
        self.group.len() >= GROUP || self.bytes >= GROUP_BYTES
    }
}

fn write_log(mut committer: Committer, commands: &mpsc::Receiver<Command>, maintainer: &mpsc::Sender<Job>, queued: &AtomicUsize) {
    let mut supervised = Supervised::new("log", committer.shared.health.clone());
    loop {
        let first = match supervised.until_steady() {
            Some(wait) => commands.recv_timeout(wait),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let mut received = Received::default();
        match first {
            Ok(command) => received.add(command),
            Err(RecvTimeoutError::Timeout) => {
                supervised.clear_if_steady();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while !received.is_full()
            && let Ok(command) = commands.try_recv()
        {
            received.add(command);
        }
        let Received { group, waiting, bytes, renew, truncate, stop } = received;
        if stop {
            committer.shared.state().closed = true;
        }
        let appends = waiting.len();
        let acks = supervised.run(|| {
            if let Some(through) = truncate {
                if let Err(cause) = committer.log.remove_through(through) {
                    tracing::warn!(error = %cause, "cannot remove a log file; the next round will");
                }
                committer.note_log_bytes();
            }
            if group.is_empty() {
                return Vec::new();
            }
            metrics::histogram!("bartizan_workspace_group_appends").record(appends as f64);
            committer.commit(group)
        });
        queued.fetch_sub(bytes, Ordering::Relaxed);
        let mut panicked = acks.as_ref().err().copied();
        match acks {
            Ok(acks) => {
                for (done, ack) in waiting.into_iter().zip(acks) {
                    // Rows are stored even if the sender has disconnected.
                    let _ = done.send(ack);
                }
            }
            Err(_) => waiting.into_iter().for_each(|done| drop(done.send(Err(INTERRUPTED)))),
        }
        if panicked.is_none() && appends > 0 {
            let (memory, config) = (committer.shared.state().memory as u64, &committer.shared.config);
            if memory > config.memory.0 / 2 || committer.log.bytes() > config.log_size.0 {
                let _ = maintainer.send(Job::Round { force: false, done: None });
            }
        }
        if panicked.is_none() && !renew.is_empty() {
            let renewed = supervised.run(|| {
                if let Err(cause) = committer.renew(committer.shared.clock.now()) {
                    tracing::warn!(error = %cause, "cannot make a promise of time durable");
                }
            });
            panicked = renewed.err();
        }
        drop(renew);
        if stop {
            break;
        }
        let Some(pause) = panicked else { continue };
        let until = match supervised.run(|| committer.recover()) {
            Ok(true) => Some(Instant::now() + pause),
            Ok(false) | Err(_) => {
                supervised.report_broken("the newest rows may be visible in part, so no more are taken");
                None
            }
        };
        if refuse(commands, queued, until) {
            committer.shared.state().closed = true;
            break;
        }
    }
    committer.log.close();
}

/// The answer to senders whose appends were interrupted by a panic, or arrive in the pause after it. Nothing of them was acknowledged.
const INTERRUPTED: AppendError = AppendError::Busy { reason: "the log is started again after a fault", retry_after_seconds: 1 };
/// The answer to senders after a fault that only a restart repairs.
const BROKEN: AppendError = AppendError::Busy { reason: "the log has stopped until the service is restarted", retry_after_seconds: 10 };

/// Refuses appends until the instant, or until the end if there is none. Returns true if the workspace is to stop.
fn refuse(commands: &mpsc::Receiver<Command>, queued: &AtomicUsize, until: Option<Instant>) -> bool {
    loop {
        let command = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return false,
            Some(wait) => commands.recv_timeout(wait),
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match command {
            Ok(Command::Append { bytes, done, .. }) => {
                queued.fetch_sub(bytes, Ordering::Relaxed);
                let _ = done.send(Err(if until.is_some() { INTERRUPTED } else { BROKEN }));
            }
            // A promise that is not renewed is only older, and log files are removed by a later round.
            Ok(Command::Renew { .. } | Command::Truncate { .. }) => {}
            Err(RecvTimeoutError::Timeout) => return false,
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

fn keep_files(mut maintainer: Maintainer, jobs: &mpsc::Receiver<Job>, writer: &mpsc::Sender<Command>, health: HealthRegister) {
    let mut supervised = Supervised::new("files", health);
    let mut rest = 0;
    loop {
        let (mut force, mut waiting) = (false, Vec::new());
        let mut next = match jobs.recv_timeout(ROUND.to_std()) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while let Some(job) = next {
            match job {
                Job::Round { force: all, done } => {
                    force |= all;
                    waiting.extend(done);
                }
                Job::Stop => return,
            }
            next = jobs.try_recv().ok();
        }
        // After a failure (a full disk, for example), retry after a delay, unless a caller is waiting.
        if rest > 0 && waiting.is_empty() {
            rest -= 1;
            continue;
        }
        let result = match supervised.run(|| maintainer.round(force)) {
            Ok(result) => result,
            Err(pause) => {
                rest = pause.as_secs().max(1);
                waiting.into_iter().for_each(|done| drop(done.send(Err(FlushError::Interrupted))));
                if !maintainer.recover() {
                    supervised.report_broken("rows may be counted twice until the next start, so no more files are written");
                    return;
                }
                continue;
            }
        };
        match &result {
            Ok(through) => {
                maintainer.report_success();
                if let Some(through) = through {
                    let _ = writer.send(Command::Truncate { through: *through });
                }
            }
            Err(error) => {
                rest = 5;
                maintainer.report_failure(error);
                metrics::counter!("bartizan_workspace_maintain_errors_total").increment(1);
                tracing::error!(error = %chain(error), "rows stay in the log for now");
            }
        }
        let mut result = Some(result.map(|_| ()).map_err(FlushError::Write));
        for done in waiting {
            let _ = done.send(result.take().unwrap_or(Ok(())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// A disk on which every write panics.
    struct Panics;

    impl Disk for Panics {
        fn append(&self, _: &Path) -> io::Result<Box<dyn model::DiskFile>> {
            panic_any("the disk panics")
        }

        fn replace(&self, _: &Path, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn length(&self, _: &Path) -> io::Result<u64> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn remove(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn create_dir_all(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn sync_dir(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }

        fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
            Ok(Vec::new())
        }
    }

    struct Standing;

    #[async_trait]
    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + Span::seconds(1)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(1)
        }

        async fn sleep(&self, _: Span) {
            std::future::pending().await
        }
    }

    /// A panic while a group is made visible cannot be repaired in memory: senders are still answered, and `/healthz` asks for a restart.
    #[test]
    fn a_panic_that_leaves_rows_visible_in_part_asks_for_a_restart() {
        let (disk, clock, health): (Arc<dyn Disk>, Arc<dyn Clock>, _) = (Arc::new(Panics), Arc::new(Standing), HealthRegister::default());
        let folders = Folders { log: "/wal".into(), tables: "/tables".into(), quarantine: "/quarantine".into() };
        let (config, constants) = (WorkspaceConfig::default(), Constants { tenant_id: None });
        let opened = recover::open(&disk, &folders, &config, &constants, clock.now(), &health).unwrap();
        let (bell, damaged, state) = (Bell::new(), opened.damaged, Mutex::new(opened.state));
        let log_bytes = AtomicU64::new(0);
        let shared = Arc::new(Shared { disk, clock, config, constants, folders, bell, damaged, health: health.clone(), state, log_bytes });
        let mut committer = Committer::new(opened.log, shared);
        committer.applying = true;
        let (writer, commands) = mpsc::channel();
        let (maintainer, _jobs) = mpsc::channel();
        let queued = Arc::new(AtomicUsize::new(14));
        let append = || {
            let (done, answer) = oneshot::channel();
            let appended = Appended { key: None, position: None, tables: Vec::new() };
            writer.send(Command::Append { prepared: Box::new(Prepared { appended, rows: Vec::new() }), bytes: 7, done }).unwrap();
            answer
        };
        let first = append();
        let counted = queued.clone();
        let thread = thread::spawn(move || write_log(committer, &commands, &maintainer, &counted));
        assert!(matches!(first.blocking_recv(), Ok(Err(AppendError::Busy { .. }))));
        assert!(matches!(append().blocking_recv(), Ok(Err(AppendError::Busy { retry_after_seconds: 10, .. }))));
        assert_eq!(health.condition("task.log").unwrap().severity, model::ConditionSeverity::Broken);
        assert_eq!(queued.load(Ordering::Relaxed), 0);
        writer.send(Command::Stop).unwrap();
        thread.join().unwrap();
    }
}
