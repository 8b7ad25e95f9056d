//! One query while it runs: what it sees, what it has computed, and when it must stop.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_plan::{ExecutionPlan, metrics::MetricValue};
use futures::StreamExt;
use kql::bind::External;
use kql::eval::{EvalError, Runtime};
use kql::plan::{Field, Rel, TableRef};
use model::{Catalog, ExternalData, InlineTable, Limits, QueryError, Scope, TableName};
use workspace::{Snapshot, Snapshots};

use crate::direct::{ParquetFile, Parts, Readable, ScanColumn};
use crate::files::FileTable;
use crate::lower::{Lowering, Tables, broken};
use crate::scan;
use crate::session::Sessions;
use crate::values::BatchesTable;

/// Where the rows of the workspace come from; nothing in an engine over files.
#[derive(Clone)]
pub struct Store {
    pub catalog: Arc<dyn Catalog>,
    pub snapshots: Arc<dyn Snapshots>,
}

pub(crate) struct Run {
    pub sessions: Arc<Sessions>,
    pub session: SessionState,
    pub runtime: Runtime,
    pub scope: Scope,
    pub limits: Limits,
    pub store: Option<Store>,
    /// Tables that exist besides those of the workspace and the scope.
    pub files: Arc<Vec<FileTable>>,
    /// What `externaldata` may read, where it may.
    pub outside: Option<Arc<dyn ExternalData>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Relations run before the rest, with their fields.
    computed: Vec<(Vec<Field>, Vec<RecordBatch>)>,
    /// Each table is read at one moment, however often the query names it.
    snapshots: HashMap<String, Arc<Snapshot>>,
    /// What was read from outside: once, however often the query names it.
    external: HashMap<External, u32>,
    read: BTreeSet<TableName>,
    scanned: Scanned,
}

/// What was read.
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
        limits: Limits,
    ) -> Result<Self, QueryError> {
        let memory = usize::try_from(limits.memory.0).unwrap_or(usize::MAX);
        let session = sessions.session(memory).map_err(broken)?;
        let store = if scope.inline_only { None } else { store };
        Ok(Self { sessions, session, runtime, scope, limits, store, files, outside, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inline(&self, name: &str) -> Option<&Arc<InlineTable>> {
        let files = self.files.iter().map(|file| &file.table);
        self.scope.tables.iter().chain(files).find(|table| table.schema.name.as_str() == name)
    }

    /// The Parquet file behind a table, where there is one.
    fn parquet(&self, name: &str) -> Option<&Arc<ParquetFile>> {
        if self.scope.tables.iter().any(|table| table.schema.name.as_str() == name) {
            return None;
        }
        self.files.iter().find(|file| file.table.schema.name.as_str() == name)?.parquet.as_ref()
    }

    /// The query has named a table of the workspace.
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
        // All that the query has named so far, at one moment.
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

    /// Runs a prepared relation to its end. The second is true when rows are missing because a limit of the answer was met.
    pub(crate) async fn collect(&self, rel: &Rel) -> Result<(Vec<RecordBatch>, Option<QueryError>), QueryError> {
        self.collect_within(rel, &rel.fields, usize::MAX, usize::MAX).await
    }

    pub(crate) async fn collect_within(
        &self,
        rel: &Rel,
        fields: &[Field],
        rows: usize,
        bytes: usize,
    ) -> Result<(Vec<RecordBatch>, Option<QueryError>), QueryError> {
        let plan = Lowering::new(self, self.runtime).answer(rel, fields)?;
        let failed = |why| self.failed(why);
        let physical = self.sessions.plan(&self.session, plan).await.map_err(failed)?;
        let mut stream = Sessions::start(&self.session, physical.clone()).map_err(failed)?;
        let mut batches = Vec::new();
        let (mut rows_left, mut bytes_left) = (rows, bytes);
        let mut stopped = None;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(failed)?;
            if batch.num_rows() > rows_left {
                batches.push(batch.slice(0, rows_left));
                stopped = Some(QueryError::Rows(rows));
                break;
            }
            let size = size_of_rows(&batch);
            if size > bytes_left {
                stopped = Some(QueryError::Bytes(self.limits.bytes));
                break;
            }
            rows_left -= batch.num_rows();
            bytes_left -= size;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        self.account(&physical);
        Ok((batches, stopped))
    }

    /// Runs a prepared relation and keeps its rows; gives the number by which a scan finds them.
    pub(crate) async fn keep(&self, rel: &Rel) -> Result<u32, QueryError> {
        let memory = usize::try_from(self.limits.memory.0).unwrap_or(usize::MAX);
        let (batches, stopped) = self.collect_within(rel, &rel.fields, usize::MAX, memory).await?;
        if stopped.is_some() {
            return Err(QueryError::Memory(self.limits.memory));
        }
        Ok(self.keep_rows(rel.fields.clone(), batches))
    }

    fn keep_rows(&self, fields: Vec<Field>, batches: Vec<RecordBatch>) -> u32 {
        let mut state = self.state();
        state.computed.push((fields, batches));
        u32::try_from(state.computed.len() - 1).unwrap_or(u32::MAX)
    }

    /// Reads what `externaldata` asks for and keeps it.
    pub(crate) async fn external(&self, outside: &dyn ExternalData, wanted: &External) -> Result<u32, String> {
        if let Some(number) = self.state().external.get(wanted) {
            return Ok(*number);
        }
        let (fields, batches) = crate::external::read(outside, wanted).await?;
        let number = self.keep_rows(fields, batches);
        self.state().external.insert(wanted.clone(), number);
        Ok(number)
    }

    pub(crate) fn kept(&self, number: u32) -> Option<(Vec<Field>, Vec<RecordBatch>)> {
        self.state().computed.get(number as usize).cloned()
    }

    /// Adds what the leaves of a plan have read.
    fn account(&self, plan: &Arc<dyn ExecutionPlan>) {
        let mut read = Scanned::default();
        leaves(plan, &mut read);
        let mut state = self.state();
        state.scanned.rows += read.rows;
        state.scanned.bytes += read.bytes;
    }

    /// DataFusion's error as the query's.
    fn failed(&self, why: DataFusionError) -> QueryError {
        match why.find_root() {
            DataFusionError::ResourcesExhausted(_) => QueryError::Memory(self.limits.memory),
            DataFusionError::External(cause) => match (cause.downcast_ref::<EvalError>(), cause.downcast_ref::<QueryError>()) {
                (Some(why), _) => QueryError::Run(why.to_string()),
                (_, Some(why)) => why.clone(),
                _ => QueryError::Internal(cause.to_string()),
            },
            DataFusionError::Execution(message) => QueryError::Run(message.clone()),
            other => QueryError::Internal(other.to_string()),
        }
    }
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

/// Bytes of the values of a batch, whatever larger buffers they lie in.
pub(crate) fn size_of_rows(batch: &RecordBatch) -> usize {
    let texts = |column: &dyn Array| column.as_string_view_opt().map(|text| text.lengths().map(|length| length as usize).sum::<usize>());
    let sizes = batch.columns().iter().map(|column| match texts(column.as_ref()) {
        Some(bytes) => bytes + 2 * column.len(),
        None => column.data_type().primitive_width().unwrap_or(1) * column.len(),
    });
    sizes.sum()
}

impl Tables for Run {
    fn readable(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<Readable>, QueryError> {
        if table.computed.is_some() {
            return Ok(None);
        }
        if let Some(file) = self.parquet(&table.name) {
            let mut parts = Parts::default();
            parts.add(file, Vec::new());
            let columns = columns.iter().zip(fields).map(|(name, field)| ScanColumn::of_file(name, field.ty)).collect();
            return Ok(Some(Readable { parts, columns, hidden: Vec::new(), conditions: Vec::new() }));
        }
        let Some(store) = self.store.as_ref().filter(|_| self.inline(&table.name).is_none()) else { return Ok(None) };
        let snapshot = self.snapshot(store, &table.name).ok_or_else(|| QueryError::Run(format!("there is no table `{}`", table.name)))?;
        scan::readable(&snapshot, fields, columns, &self.scope, &self.sessions.footers).map(Some)
    }

    fn source(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Arc<dyn TableProvider>, QueryError> {
        let rows = self.rows_of(table, fields, columns)?;
        let rows = rows.ok_or_else(|| QueryError::Internal(format!("there is no table `{}` here", table.name)))?;
        Ok(Arc::new(BatchesTable::new(crate::values::schema_of(fields), rows)))
    }

    fn rows(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<RecordBatch>, QueryError> {
        let Some(batches) = self.rows_of(table, fields, columns)? else { return Ok(None) };
        arrow::compute::concat_batches(&crate::values::schema_of(fields), &batches)
            .map(Some)
            .map_err(|why| QueryError::Internal(why.to_string()))
    }
}

impl Run {
    /// Rows in memory with columns named by the ids of `fields`; nothing for a table of the workspace.
    fn rows_of(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<Vec<RecordBatch>>, QueryError> {
        let batches = if let Some(number) = table.computed {
            let (known, batches) = self.kept(number).ok_or_else(|| QueryError::Internal(format!("nothing was kept as {number}")))?;
            // A column may be asked for by its id then or by its name.
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
