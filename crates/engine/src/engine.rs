//! The engine: runs query text and returns results.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use kql::bind::{Bound, bind};
use kql::eval::Runtime;
use kql::plan::{Field, Rel};
use kql::syntax::codes::is_tolerated;
use model::{
    Answer, AnswerTable, Clock, Column, Diagnostic, DiagnosticKind, ExternalData, Query, QueryEngine, QueryError, QueryStats, Span,
    TableName, Timestamp, Type,
};
use tokio::runtime;

use crate::config::QueryConfig;
use crate::files::FileTable;
use crate::lanes::Lanes;
use crate::plans::Plans;
use crate::prepare::prepare;
use crate::run::{OfAll, Run, Store, size_of_rows};
use crate::schema::Names;
use crate::session::{Options, Sessions, Temporary};

/// Interval at which the planning time of a query is checked.
const PLANNING_LOOK: Span = Span(model::TICKS_PER_SECOND / 10);

/// Runs KQL over the workspace, files, or tables supplied with the query.
///
/// Each query has its own threads ([`crate::lanes`]), so that an expensive query does not delay others. Dropping the future of
/// [`QueryEngine::query`] cancels the query.
pub struct Engine {
    sessions: Arc<Sessions>,
    store: Option<Store>,
    files: Arc<Vec<FileTable>>,
    outside: Option<Arc<dyn ExternalData>>,
    clock: Arc<dyn Clock>,
    config: QueryConfig,
    options: Options,
    /// Removed with the engine, even if some queries are still shutting down.
    temporary: Temporary,
    lanes: Lanes,
    plans: Arc<Plans>,
}

/// Current resource usage of all queries of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Queries that still run or hold memory.
    pub queries: usize,
    /// Bytes of memory held.
    pub memory: usize,
    /// Bytes spilled to disk.
    pub disk: u64,
}

/// Why an engine could not be created.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("cannot start the threads of the engine")]
    Threads(#[source] std::io::Error),
    #[error("cannot make a folder for what memory cannot hold")]
    Folder(#[source] std::io::Error),
    #[error("cannot set up the engine")]
    Session(#[source] datafusion::error::DataFusionError),
}

impl Engine {
    /// Creates an engine over a workspace, or over tables supplied with queries.
    pub fn new(store: Option<Store>, clock: Arc<dyn Clock>, options: Options) -> Result<Self, EngineError> {
        let config = QueryConfig::default();
        let temporary = Temporary::begin(None).map_err(EngineError::Folder)?;
        let sessions = sessions(options, &temporary, &config)?;
        let lanes = Lanes::new(options.partitions, |class| config.width(class));
        Ok(Self { sessions, store, files: Arc::default(), outside: None, clock, config, options, temporary, lanes, plans: Arc::default() })
    }

    /// Adds tables visible to every query, such as files given on the command line.
    pub fn with_files(mut self, files: impl IntoIterator<Item = impl Into<FileTable>>) -> Self {
        self.files = Arc::new(files.into_iter().map(Into::into).collect());
        self.plans = Arc::default();
        self
    }

    /// Enables `externaldata` to read through this port; without it the operator is rejected.
    pub fn with_external(mut self, outside: Arc<dyn ExternalData>) -> Self {
        self.outside = Some(outside);
        self
    }

    /// Sets limits, and a spill folder exclusive to this engine; without a folder it uses one in the system's temporary directory.
    pub fn with_config(mut self, config: QueryConfig, folder: Option<&Path>) -> Result<Self, EngineError> {
        if folder.is_some() {
            match Temporary::begin(folder) {
                Ok(temporary) => self.temporary = temporary,
                // A full disk must not prevent queries over stored data; the system's temporary directory may be on another disk.
                Err(cause) => tracing::warn!(error = %cause, "queries spill to the system's temporary folder"),
            }
        }
        self.sessions = sessions(self.options, &self.temporary, &config)?;
        self.lanes = Lanes::new(self.options.partitions, |class| config.width(class));
        self.config = config;
        Ok(self)
    }

    pub fn load(&self) -> Load {
        Load { queries: self.sessions.alive(), memory: self.sessions.in_memory(), disk: self.sessions.on_disk() }
    }

    /// Number of texts bound since the engine was created; a text whose plan was found in the cache does not count.
    pub fn texts_bound(&self) -> u64 {
        self.plans.bound()
    }

    fn begin(&self, query: &Query) -> Result<Arc<Run>, QueryError> {
        let runtime = Runtime { now: query.scope.now.unwrap_or_else(|| self.clock.now()) };
        let (scope, limits) = (query.scope.clone(), self.config.settle(&query.limits));
        let (sessions, store, files, outside) = (self.sessions.clone(), self.store.clone(), self.files.clone(), self.outside.clone());
        let all = OfAll { memory: self.config.total_memory(), disk: self.config.disk };
        Ok(Arc::new(Run::new(sessions, store, files, outside, runtime, scope, limits, all)?))
    }

    /// Runs `work` within the query's time limits. If the future is dropped or cancelled, the query is cancelled.
    async fn within_limits<T>(
        &self,
        query: &Query,
        run: &Arc<Run>,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let _stopping = Stopping(run.clone());
        let (time, planning) = (run.limits.time, self.config.planning);
        let planned_too_long = async {
            while run.planning.total() < planning.to_std() {
                self.clock.sleep(PLANNING_LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = query.cancel.cancelled() => Err(QueryError::Cancelled),
            () = self.clock.sleep(time) => Err(QueryError::Time(time)),
            () = planned_too_long => Err(QueryError::Planning(planning)),
            done = work => done,
        }
    }

    /// Binds a query without running it.
    async fn checked(&self, query: &Query) -> Result<(Arc<Run>, Bound), QueryError> {
        let run = self.begin(query)?;
        let work = async {
            let lease = self.lanes.lease(query.class, &query.caller).await?;
            let bound = self.bind(&lease.handle()?, &run, &query.kql, true).await?;
            errors(&bound)?;
            Ok(bound)
        };
        let bound = self.within_limits(query, &run, work).await?;
        Ok((run, bound))
    }

    /// Parses and binds on a thread that may block and has a large stack.
    async fn bind(&self, handle: &runtime::Handle, run: &Arc<Run>, kql: &str, check: bool) -> Result<Bound, QueryError> {
        let names = Names { run: run.clone(), handle: (!check).then(|| handle.clone()) };
        let (text, now, run_there) = (kql.to_owned(), run.runtime.now, run.clone());
        let plans = (!check).then(|| self.plans.clone());
        let bound = joined(
            handle
                .spawn_blocking(move || {
                    let _counted = run_there.planning.count();
                    let _entered = run_there.watch.enter();
                    match plans {
                        Some(plans) => plans.bind(&text, &names, now),
                        None => bind(&kql::syntax::parse(&text), &names, now),
                    }
                })
                .await,
        )?;
        // If a relation evaluated by the binder failed, report that failure instead of the bind error.
        run.failure().map_or(Ok(bound), Err)
    }
}

fn sessions(options: Options, temporary: &Temporary, config: &QueryConfig) -> Result<Arc<Sessions>, EngineError> {
    let memory = usize::try_from(config.total_memory().0).unwrap_or(usize::MAX);
    Sessions::new(options, temporary.path(), config.disk.0, memory).map(Arc::new).map_err(EngineError::Session)
}

/// Returns the result of a task; a panic in it becomes an error of that query only.
fn joined<T>(answer: Result<T, tokio::task::JoinError>) -> Result<T, QueryError> {
    answer.map_err(|why| {
        if why.is_cancelled() {
            return QueryError::Cancelled;
        }
        let panic = why.into_panic();
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
        QueryError::Internal(message.unwrap_or_else(|| "a panic without words".to_owned()))
    })
}

/// Aborts the task when dropped.
struct Aborting<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Cancels the query when dropped.
struct Stopping(Arc<Run>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

async fn on<T: Send + 'static>(
    handle: &runtime::Handle,
    task: impl Future<Output = Result<T, QueryError>> + Send + 'static,
) -> Result<T, QueryError> {
    let mut task = Aborting(handle.spawn(task));
    joined((&mut task.0).await)?
}

/// Columns and rows.
type Table = (Vec<Column>, Vec<RecordBatch>);

/// Runs relations one after another under common limits; relations after a truncated one are not run.
async fn collect(run: &Run, relations: impl Iterator<Item = Rel>) -> Result<(Vec<Table>, Option<QueryError>), QueryError> {
    let limits = run.limits;
    let (mut rows, mut bytes) = (limits.rows, usize::try_from(limits.bytes.0).unwrap_or(usize::MAX));
    let mut tables = Vec::new();
    let mut partial = None;
    for rel in relations {
        let fields: Vec<Field> = rel.fields.iter().filter(|field| !field.is_hidden()).cloned().collect();
        let columns: Vec<Column> = fields.iter().map(|field| Column::new(field.name.to_string(), field.ty)).collect();
        let mut batches = Vec::new();
        if partial.is_none() {
            (batches, partial) = run.answer(&rel, &fields, rows, bytes).await?;
            if matches!(partial, Some(QueryError::Rows(_))) {
                partial = Some(QueryError::Rows(limits.rows));
            }
        }
        rows = rows.saturating_sub(batches.iter().map(RecordBatch::num_rows).sum());
        bytes = bytes.saturating_sub(batches.iter().map(size_of_rows).sum());
        let schema = model::arrow_schema(&columns);
        let places: Vec<usize> = (0..columns.len()).collect();
        let batches = batches.iter().map(|batch| crate::values::with_columns(batch, &schema, &places));
        tables.push((columns, batches.collect::<Result<_, _>>().map_err(crate::lower::broken)?));
    }
    Ok((tables, partial))
}

/// Returns the errors, if any.
fn errors(bound: &Bound) -> Result<(), QueryError> {
    let wrong: Vec<_> = bound.diagnostics.iter().filter(|diagnostic| !is_tolerated(diagnostic.code)).cloned().collect();
    if wrong.is_empty() { Ok(()) } else { Err(QueryError::Wrong(wrong)) }
}

#[async_trait]
impl QueryEngine for Engine {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        let started = self.clock.monotonic();
        let run = self.begin(&query)?;
        let work = async {
            let lease = self.lanes.lease(query.class, &query.caller).await?;
            let handle = lease.handle()?;
            let bound = self.bind(&handle, &run, &query.kql, false).await?;
            errors(&bound)?;
            let Some(plan) = bound.plan else { return Err(bound.open.map_or_else(nothing_to_run, |why| QueryError::Wrong(vec![why]))) };
            let (render, name) = (plan.render.clone(), plan.name.clone());
            let names: Vec<String> = plan.more.iter().map(|(name, _)| name.clone()).collect();
            let task = {
                let run = run.clone();
                async move {
                    let (root, more) = prepare(&run, plan).await?;
                    collect(&run, std::iter::once(root).chain(more)).await
                }
            };
            let (tables, partial) = on(&handle, task).await?;
            let mut tables = tables.into_iter();
            let (columns, batches) = tables.next().unwrap_or_default();
            let more = names.into_iter().zip(tables).map(|(name, (columns, batches))| AnswerTable { name, columns, batches }).collect();
            let partial = partial.or_else(|| run.missing());
            Ok(Answer { columns, batches, render, name, more, partial, stats: QueryStats::default() })
        };
        let mut answer = self.within_limits(&query, &run, work).await?;
        let elapsed = self.clock.monotonic().saturating_sub(started);
        let scanned = run.scanned();
        answer.stats = QueryStats {
            elapsed: Span((elapsed.as_nanos() / 100) as i64),
            rows_scanned: scanned.rows,
            bytes_scanned: scanned.bytes,
            peak_memory: run.peak_memory() as u64,
        };
        Ok(answer)
    }

    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        let (_, bound) = self.checked(query).await?;
        let known = |(name, ty): (String, Option<Type>)| ty.map(|ty| Column::new(name, ty));
        Ok(bound.columns.and_then(|columns| columns.into_iter().map(known).collect()))
    }

    async fn tables_read(&self, query: &Query) -> Result<Vec<TableName>, QueryError> {
        let (run, _) = self.checked(query).await?;
        Ok(run.tables_read())
    }
}

/// The error for a text without a query, or a binder that returned neither a plan nor a diagnostic.
fn nothing_to_run() -> QueryError {
    QueryError::Wrong(vec![Diagnostic {
        code: "KQL0000",
        kind: DiagnosticKind::Semantic,
        message: "there is no query to run".to_owned(),
        help: Some("end the text with a query, such as `print 1`".to_owned()),
        start: 0,
        end: 0,
    }])
}

/// A clock for engines outside the service.
pub struct SystemClock {
    started: std::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system(std::time::SystemTime::now())
    }

    fn monotonic(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, span: Span) {
        tokio::time::sleep(span.to_std()).await;
    }
}
