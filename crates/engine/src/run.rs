//! The state of one running query: visible tables, computed relations and cancellation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::{ExecutionPlan, metrics::MetricValue};
use futures::StreamExt;
use kql::bind::External;
use kql::eval::{EvalError, Runtime};
pub(crate) use kql::ops::held::size_of_rows;
use kql::ops::held::{Held, compacted};
use kql::plan::{Field, Rel, RelOp, TableRef};
use kql::watch::Watch;
use model::{ByteSize, Catalog, ExternalData, InlineTable, MissingRows, QueryError, Scope, TableName};
use tokio_util::sync::CancellationToken;
use workspace::{DamagedFiles, Snapshot, Snapshots};

use crate::config::Settled;
use crate::direct::{Damaged, ParquetFile, Parts, Readable, ScanColumn};
use crate::files::FileTable;
use crate::interpret::Body;
use crate::lower::{Lowering, Tables, broken};
use crate::planning::PlanningTime;
use crate::scan;
use crate::session::Sessions;
use crate::stored_literals::StoredLiterals;
use crate::values::BatchesTable;

/// Access to the workspace; absent in an engine over files.
#[derive(Clone)]
pub struct Store {
    pub catalog: Arc<dyn Catalog>,
    pub snapshots: Arc<dyn Snapshots>,
}

/// Limits shared by all queries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfAll {
    pub memory: ByteSize,
    pub disk: ByteSize,
}

pub(crate) struct Run {
    pub sessions: Arc<Sessions>,
    pub session: SessionState,
    pub runtime: Runtime,
    pub scope: Scope,
    pub limits: Settled,
    /// Limits shared by all queries.
    pub all: OfAll,
    /// Stops the query's own loops.
    pub watch: Watch,
    /// Stops tasks waiting for the query.
    pub stop: CancellationToken,
    pub planning: PlanningTime,
    pub store: Option<Store>,
    /// Tables in addition to those of the workspace and the query's scope.
    pub files: Arc<Vec<FileTable>>,
    /// Reader for `externaldata`, if enabled.
    pub outside: Option<Arc<dyn ExternalData>>,
    /// Literal rows stored as tables, for tests.
    pub literals: StoredLiterals,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Relations computed before the main plan, with their fields.
    computed: Vec<Kept>,
    /// Error of a relation that the binder ran, if it hit a limit or a bug.
    failure: Option<QueryError>,
    /// Each table is read from a single snapshot, however often the query references it.
    snapshots: HashMap<String, Arc<Snapshot>>,
    /// Data of `externaldata`: read once, however often the query references it.
    external: HashMap<External, u32>,
    read: BTreeSet<TableName>,
    scanned: Scanned,
    /// Keyed by file.
    missing: BTreeMap<String, MissingRows>,
}

struct Kept {
    fields: Vec<Field>,
    rows: Vec<RecordBatch>,
    /// Reservation for the rows, held for the lifetime of the query.
    _memory: MemoryReservation,
}

/// In-memory batches that belong to the query and are charged to it.
struct Rows {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

/// Why an attempt produced no result.
enum Failed {
    With(QueryError),
    /// Order-sensitive aggregate state was spilled, see [`reordered`].
    Reordered,
    /// Rows of a workspace file are unreadable. They have been recorded: the next attempt skips them.
    Damaged,
}

impl From<QueryError> for Failed {
    fn from(why: QueryError) -> Self {
        Failed::With(why)
    }
}

/// Scan statistics.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scanned {
    pub rows: u64,
    pub bytes: u64,
}

impl Run {
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        store: Option<Store>,
        files: Arc<Vec<FileTable>>,
        outside: Option<Arc<dyn ExternalData>>,
        runtime: Runtime,
        scope: Scope,
        limits: Settled,
        all: OfAll,
    ) -> Result<Self, QueryError> {
        let memory = usize::try_from(limits.memory.0).unwrap_or(usize::MAX);
        let (session, watch) = sessions.session(memory).map_err(broken)?;
        let store = if scope.inline_only { None } else { store };
        let (stop, planning) = (CancellationToken::new(), PlanningTime::default());
        let literals = StoredLiterals::new(sessions.options.tables, &sessions.folder);
        let state = Mutex::default();
        Ok(Self { sessions, session, runtime, scope, limits, all, watch, stop, planning, store, files, outside, literals, state })
    }

    /// Cancels the query.
    pub(crate) fn stop(&self) {
        self.watch.stop();
        self.stop.cancel();
    }

    /// Records the error of a relation that the binder tried to run.
    pub(crate) fn fail(&self, why: QueryError) {
        self.state().failure.get_or_insert(why);
    }

    pub(crate) fn failure(&self) -> Option<QueryError> {
        self.state().failure.clone()
    }

    /// Peak memory of the query.
    pub(crate) fn peak_memory(&self) -> usize {
        Sessions::pool(&self.session).map_or(0, |pool| pool.peak())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inline(&self, name: &str) -> Option<&Arc<InlineTable>> {
        let files = self.files.iter().map(|file| &file.table);
        self.scope.tables.iter().chain(files).find(|table| table.schema.name.as_str() == name)
    }

    /// An inline table whose rows are in memory.
    pub(crate) fn inline_rows(&self, name: &str) -> Option<&Arc<InlineTable>> {
        self.inline(name).filter(|_| self.parquet(name).is_none())
    }

    /// The Parquet file of a table, if it has one.
    fn parquet(&self, name: &str) -> Option<&Arc<ParquetFile>> {
        if self.scope.tables.iter().any(|table| table.schema.name.as_str() == name) {
            return None;
        }
        self.files.iter().find(|file| file.table.schema.name.as_str() == name)?.parquet.as_ref()
    }

    /// Records that the query references a workspace table.
    pub(crate) fn names(&self, table: &TableName) {
        self.state().read.insert(table.clone());
    }

    pub(crate) fn tables_read(&self) -> Vec<TableName> {
        self.state().read.iter().cloned().collect()
    }

    pub(crate) fn scanned(&self) -> Scanned {
        self.state().scanned
    }

    fn snapshot(&self, store: &Store, name: &str) -> Option<Arc<Snapshot>> {
        if let Some(known) = self.state().snapshots.get(name) {
            return Some(known.clone());
        }
        // Snapshots all tables referenced so far at the same moment.
        let mut state = self.state();
        let mut names: Vec<String> =
            state.read.iter().map(|table| table.as_str().to_owned()).filter(|other| !state.snapshots.contains_key(other)).collect();
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        for (name, snapshot) in names.iter().zip(store.snapshots.snapshots(&asked)) {
            if let Some(snapshot) = snapshot {
                state.snapshots.insert(name.clone(), Arc::new(snapshot));
            }
        }
        state.snapshots.get(name).cloned()
    }

    /// Runs a prepared relation to the end, or up to `rows` rows.
    pub(crate) async fn collect(&self, rel: &Rel, rows: usize) -> Result<Vec<RecordBatch>, QueryError> {
        Ok(self.collect_within(rel, &rel.fields, rows, usize::MAX).await?.0.batches)
    }

    /// At most `rows` rows and `bytes` bytes of a result: `fields` of a prepared relation, and the limit that truncated it, if any.
    pub(crate) async fn answer(
        &self,
        rel: &Rel,
        fields: &[Field],
        rows: usize,
        bytes: usize,
    ) -> Result<(Vec<RecordBatch>, Option<QueryError>), QueryError> {
        let (rows, stopped) = self.collect_within(rel, fields, rows, bytes).await?;
        Ok((rows.batches, stopped))
    }

    async fn collect_within(
        &self,
        rel: &Rel,
        fields: &[Field],
        rows: usize,
        bytes: usize,
    ) -> Result<(Rows, Option<QueryError>), QueryError> {
        if self.sessions.options.interpret && self.is_in_memory(rel) {
            return self.interpreted(rel, fields, rows);
        }
        let first = self.attempt_undamaged(&self.session, false, rel, fields, rows, bytes).await;
        let frugal = || Sessions::pool(&self.session).is_some_and(|pool| pool.may_be_frugal());
        match first {
            // Retrying is safe: no row of the first attempt has been returned, and KQL has no side effects.
            Err(Failed::Reordered) => {
                tracing::debug!("groups are made again, of rows sorted by group");
            }
            Err(Failed::With(QueryError::Memory(_) | QueryError::SharedMemory(_))) if frugal() => {
                tracing::debug!("run again, with operators that go on on disk");
            }
            Err(Failed::With(why)) => return Err(why),
            Err(Failed::Damaged) => return Err(too_much_damage()),
            Ok(done) => return Ok(done),
        }
        self.attempt_undamaged(&self.sessions.merging(&self.session), true, rel, fields, rows, bytes).await.map_err(|why| match why {
            Failed::With(why) => why,
            Failed::Reordered => QueryError::Memory(self.limits.memory),
            Failed::Damaged => too_much_damage(),
        })
    }

    /// Like [`Run::attempt`], but retried for as long as unreadable row groups are found, each time skipping all known ones, so that the
    /// result has no row of a damaged row group.
    async fn attempt_undamaged(
        &self,
        session: &SessionState,
        frugal: bool,
        rel: &Rel,
        fields: &[Field],
        rows: usize,
        bytes: usize,
    ) -> Result<(Rows, Option<QueryError>), Failed> {
        for _ in 0..MOST_DAMAGE {
            match self.attempt(session, frugal, rel, fields, rows, bytes).await {
                Err(Failed::Damaged) => tracing::debug!("run again, without rows that cannot be read"),
                done => return done,
            }
        }
        Err(Failed::Damaged)
    }

    /// A warning about rows missing from the result because they are unreadable.
    pub(crate) fn missing(&self) -> Option<QueryError> {
        let missing: Vec<MissingRows> = self.state().missing.values().cloned().collect();
        (!missing.is_empty()).then_some(QueryError::Missing(missing))
    }

    /// True if no table of `rel` is in files.
    fn is_in_memory(&self, rel: &Rel) -> bool {
        let mut waiting = vec![rel];
        while let Some(rel) = waiting.pop() {
            match &rel.op {
                RelOp::Scan { table, .. } if table.computed.is_none() && self.inline_rows(&table.name).is_none() => return false,
                RelOp::Shared { input, .. } => waiting.push(input),
                _ => waiting.extend(rel.inputs()),
            }
        }
        true
    }

    /// The result of `rel` computed by [`crate::interpret`], as for the subquery of a group.
    fn interpreted(&self, rel: &Rel, fields: &[Field], rows: usize) -> Result<(Rows, Option<QueryError>), QueryError> {
        let _entered = self.watch.enter();
        let body = Body::compile(rel, &[], self, &self.runtime)?;
        let group = RecordBatch::new_empty(crate::values::schema_of(&[]));
        let answer = body.run(&group).map_err(|why| self.failed(crate::node::run_error(why)))?;
        let place = |field: &Field| rel.fields.iter().position(|known| known.id == field.id);
        let mut batches = scan::rename(&[answer], fields, |_, at| place(&fields[at]))?;
        let stopped = batches.iter().any(|batch| batch.num_rows() > rows).then_some(QueryError::Rows(rows));
        batches = batches.iter().map(|batch| batch.slice(0, batch.num_rows().min(rows))).collect();
        let memory = MemoryConsumer::new("answer").register(&self.session.runtime_env().memory_pool);
        memory.try_grow(batches.iter().map(size_of_rows).sum()).map_err(|why| self.failed(why))?;
        Ok((Rows { batches, memory }, stopped))
    }

    /// `frugal`: use plans that need less memory and more time.
    async fn attempt(
        &self,
        session: &SessionState,
        frugal: bool,
        rel: &Rel,
        fields: &[Field],
        rows: usize,
        bytes: usize,
    ) -> Result<(Rows, Option<QueryError>), Failed> {
        let counted = self.planning.count();
        let plan = {
            let _entered = self.watch.enter();
            let mut lowering = Lowering::new(self, self.runtime);
            lowering.frugal = frugal;
            lowering.answer(rel, fields)?
        };
        let failed = |why| self.unread(why);
        let physical = self.sessions.plan(session, &self.watch, plan).await.map_err(failed)?;
        drop(counted);
        let mut stream = Sessions::start(session, physical.clone()).map_err(failed)?;
        let memory = MemoryConsumer::new("answer").register(&session.runtime_env().memory_pool);
        let mut collected = Rows { batches: Vec::new(), memory };
        let mut held = Held::default();
        let (mut rows_left, mut bytes_left) = (rows, bytes);
        let mut stopped = None;
        while let Some(batch) = stream.next().await {
            let mut batch = batch.map_err(failed)?;
            if batch.num_rows() > rows_left {
                batch = batch.slice(0, rows_left);
                stopped = Some(QueryError::Rows(rows));
            }
            let size = size_of_rows(&batch);
            if size > bytes_left {
                stopped = Some(QueryError::Bytes(self.limits.bytes));
                break;
            }
            rows_left -= batch.num_rows();
            bytes_left -= size;
            if batch.num_rows() > 0 {
                let batch = compacted(batch).map_err(|why| failed(why.into()))?;
                collected.memory.try_grow(held.add(&batch)).map_err(failed)?;
                collected.batches.push(batch);
            }
            if stopped.is_some() {
                break;
            }
        }
        self.account(&physical);
        if reordered(&physical) {
            return Err(Failed::Reordered);
        }
        Ok((collected, stopped))
    }

    /// Runs a prepared relation and keeps its rows; returns the number by which a scan finds them.
    pub(crate) async fn keep(&self, rel: &Rel) -> Result<u32, QueryError> {
        let (rows, _) = self.collect_within(rel, &rel.fields, usize::MAX, usize::MAX).await?;
        Ok(self.keep_rows(rel.fields.clone(), rows))
    }

    fn keep_rows(&self, fields: Vec<Field>, rows: Rows) -> u32 {
        let mut state = self.state();
        state.computed.push(Kept { fields, rows: rows.batches, _memory: rows.memory });
        u32::try_from(state.computed.len() - 1).unwrap_or(u32::MAX)
    }

    /// Reads and keeps the data of an `externaldata` operator.
    pub(crate) async fn external(&self, outside: &dyn ExternalData, wanted: &External) -> Result<u32, String> {
        if let Some(number) = self.state().external.get(wanted) {
            return Ok(*number);
        }
        let (fields, batches) = crate::external::read(outside, wanted).await?;
        let memory = MemoryConsumer::new("externaldata").register(&self.session.runtime_env().memory_pool);
        let mut held = Held::default();
        for batch in &batches {
            held.add(batch);
        }
        memory.try_grow(held.bytes()).map_err(|why| {
            let why = self.failed(why);
            self.fail(why.clone());
            why.to_string()
        })?;
        let number = self.keep_rows(fields, Rows { batches, memory });
        self.state().external.insert(wanted.clone(), number);
        Ok(number)
    }

    pub(crate) fn kept(&self, number: u32) -> Option<(Vec<Field>, Vec<RecordBatch>)> {
        self.state().computed.get(number as usize).map(|kept| (kept.fields.clone(), kept.rows.clone()))
    }

    /// True if rows have been read for the plan.
    pub(crate) fn has_kept(&self) -> bool {
        !self.state().computed.is_empty()
    }

    /// Adds the statistics of a plan's leaves.
    fn account(&self, plan: &Arc<dyn ExecutionPlan>) {
        let mut read = Scanned::default();
        leaves(plan, &mut read);
        let mut state = self.state();
        state.scanned.rows += read.rows;
        state.scanned.bytes += read.bytes;
    }

    fn out_of_memory(&self) -> QueryError {
        match Sessions::pool(&self.session) {
            Some(pool) if pool.is_refused_by_all() => QueryError::SharedMemory(self.all.memory),
            _ => QueryError::Memory(self.limits.memory),
        }
    }

    /// Classifies the failure of an attempt, and records unreadable rows.
    fn unread(&self, why: DataFusionError) -> Failed {
        if let DataFusionError::External(cause) = why.find_root()
            && let Some(Damaged { file, fault }) = cause.downcast_ref::<Damaged>()
            && let Some(store) = &self.store
        {
            store.snapshots.damaged_files().report(file, *fault);
            return Failed::Damaged;
        }
        Failed::With(self.failed(why))
    }

    /// Converts a DataFusion error to a query error.
    fn failed(&self, why: DataFusionError) -> QueryError {
        match why.find_root() {
            DataFusionError::ResourcesExhausted(_) => self.out_of_memory(),
            DataFusionError::External(cause) => match (cause.downcast_ref::<EvalError>(), cause.downcast_ref::<QueryError>()) {
                (Some(EvalError::Stopped), _) => QueryError::Cancelled,
                (Some(EvalError::Memory(_)), _) => self.out_of_memory(),
                (Some(why), _) => QueryError::Run(why.to_string()),
                (_, Some(why)) => why.clone(),
                _ if is_disk_full(&cause.to_string()) => QueryError::Disk(self.all.disk),
                _ => QueryError::Internal(cause.to_string()),
            },
            other if is_disk_full(&other.to_string()) => QueryError::Disk(self.all.disk),
            DataFusionError::Execution(message) => QueryError::Run(message.clone()),
            other => QueryError::Internal(other.to_string()),
        }
    }
}

/// Maximum number of damaged row groups one query may discover; those found are skipped by the next query.
const MOST_DAMAGE: usize = 64;

fn too_much_damage() -> QueryError {
    QueryError::Run(format!("more than {MOST_DAMAGE} parts of the tables' files cannot be read; ask again, without them"))
}

/// DataFusion has no error type for an exceeded disk limit, so the message is matched.
fn is_disk_full(message: &str) -> bool {
    message.contains("used disk space during the spilling process has exceeded")
}

/// True if an aggregation that depends on a guaranteed input order has spilled: merged states of a group come in any order. Fail rather
/// than return a wrong result.
fn reordered(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let spilled = |plan: &Arc<dyn ExecutionPlan>| plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0) > 0;
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && aggregate.aggr_expr().iter().any(|call| crate::aggregate::Call::reads_order(call.fun()))
        && spilled(plan)
    {
        return true;
    }
    plan.children().into_iter().any(reordered)
}

fn leaves(plan: &Arc<dyn ExecutionPlan>, read: &mut Scanned) {
    let children = plan.children();
    if children.is_empty()
        && let Some(metrics) = plan.metrics()
    {
        read.rows += metrics.output_rows().unwrap_or(0) as u64;
        for metric in metrics.iter() {
            match metric.value() {
                MetricValue::Count { name, count } if name == "rows_scanned" => read.rows += count.value() as u64,
                MetricValue::Count { name, count } if name == "bytes_scanned" => read.bytes += count.value() as u64,
                _ => {}
            }
        }
    }
    for child in children {
        leaves(child, read);
    }
}

impl Tables for Run {
    fn readable(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<Readable>, QueryError> {
        if table.computed.is_some() {
            return Ok(None);
        }
        if let Some(snapshot) = self.literals.snapshot(&table.name) {
            return scan::readable(&snapshot, fields, columns, &Scope::default(), &self.sessions.footers, &DamagedFiles::default())
                .map(Some);
        }
        if let Some(file) = self.parquet(&table.name) {
            let mut parts = Parts::default();
            parts.add(file, Vec::new(), |_| false);
            let columns = columns.iter().zip(fields).map(|(name, field)| ScanColumn::of_file(name, field.ty)).collect();
            return Ok(Some(Readable { parts, columns, hidden: Vec::new(), conditions: Vec::new(), missing: Vec::new() }));
        }
        let Some(store) = self.store.as_ref().filter(|_| self.inline(&table.name).is_none()) else { return Ok(None) };
        let snapshot = self.snapshot(store, &table.name).ok_or_else(|| QueryError::Run(format!("there is no table `{}`", table.name)))?;
        let damaged = store.snapshots.damaged_files();
        let readable = scan::readable(&snapshot, fields, columns, &self.scope, &self.sessions.footers, &damaged)?;
        let missing = readable.missing.iter().map(|each| (each.file.clone(), each.clone()));
        self.state().missing.extend(missing);
        Ok(Some(readable))
    }

    fn source(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Arc<dyn TableProvider>, QueryError> {
        let rows = self.rows_of(table, fields, columns)?;
        let rows = rows.ok_or_else(|| QueryError::Internal(format!("there is no table `{}` here", table.name)))?;
        Ok(Arc::new(BatchesTable::new(crate::values::schema_of(fields), rows)))
    }

    fn is_empty(&self, table: &TableRef) -> bool {
        if let Some(number) = table.computed {
            return self.kept(number).is_some_and(|(_, batches)| batches.iter().all(|batch| batch.num_rows() == 0));
        }
        if let Some(snapshot) = self.literals.snapshot(&table.name) {
            return snapshot.rows() == 0;
        }
        if self.parquet(&table.name).is_some() {
            return false;
        }
        if let Some(inline) = self.inline(&table.name) {
            return inline.batches.iter().all(|batch| batch.num_rows() == 0);
        }
        self.store.as_ref().and_then(|store| self.snapshot(store, &table.name)).is_some_and(|snapshot| snapshot.rows() == 0)
    }

    fn rows(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<RecordBatch>, QueryError> {
        let Some(batches) = self.rows_of(table, fields, columns)? else { return Ok(None) };
        arrow::compute::concat_batches(&crate::values::schema_of(fields), &batches)
            .map(Some)
            .map_err(|why| QueryError::Internal(why.to_string()))
    }
}

impl Run {
    /// In-memory rows with columns named by the ids of `fields`; `None` for a workspace table.
    fn rows_of(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<Vec<RecordBatch>>, QueryError> {
        let batches = if let Some(number) = table.computed {
            let (known, batches) = self.kept(number).ok_or_else(|| QueryError::Internal(format!("nothing was kept as {number}")))?;
            // The column may then be referenced by id or by name.
            let place = |column: &String| known.iter().position(|field| field.id.to_string() == *column || *field.name == **column);
            let places: Vec<Option<usize>> = columns.iter().map(place).collect();
            scan::rename(&batches, fields, |_, index| places.get(index).copied().flatten())
        } else if self.parquet(&table.name).is_some() {
            return Ok(None);
        } else if let Some(inline) = self.inline(&table.name) {
            scan::rename(&inline.batches, fields, |batch, index| columns.get(index).and_then(|name| batch.schema_ref().index_of(name).ok()))
        } else {
            return Ok(None);
        };
        batches.map(Some)
    }
}
