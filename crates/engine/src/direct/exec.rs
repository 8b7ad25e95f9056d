//! Executes what [`super::plan`] planned: a DataFusion table with one partition that is read by several threads internally.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use kql::plan::Field;
use kql::watch::{Entered, Watch};
use model::Type;

use super::bounds::Bound;
use super::column::{Program, Root, batch};
use super::source::{Part, PartReader, Partner, Parts, Plan, ScanColumn, Worker, fetch};
use super::summarize::{Call, Grouped, Summarize};
use super::top::{self, Top};
use crate::node::run_error;
use crate::values::{schema_of, with_columns};

/// The operator applied to the passing rows.
#[derive(Clone)]
pub(crate) enum Shape {
    Rows { outputs: Vec<Root> },
    Groups { summarize: Summarize },
    Top { outputs: Vec<Root>, top: Top },
}

pub(crate) struct DirectTable {
    parts: Parts,
    columns: Vec<ScanColumn>,
    program: Arc<Program>,
    conditions: Vec<Root>,
    fields: Vec<Field>,
    shape: Shape,
    watch: Option<Watch>,
}

impl fmt::Debug for DirectTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectTable {:?}", self.fields)
    }
}

impl DirectTable {
    pub(crate) fn new(
        parts: Parts,
        columns: Vec<ScanColumn>,
        program: Program,
        conditions: Vec<Root>,
        fields: Vec<Field>,
        shape: Shape,
    ) -> Self {
        Self { parts, columns, program: Arc::new(program), conditions, fields, shape, watch: Watch::current() }
    }

    /// The bound on a scan column implied by a filter above.
    fn bound(&self, filter: &Expr) -> Option<Bound> {
        let Shape::Rows { outputs } = &self.shape else { return None };
        Bound::of_filter(filter, |name| {
            let at = self.fields.iter().position(|field| field.id.to_string() == name)?;
            match outputs.get(at) {
                Some(Root::Column(column)) => Some(*column),
                _ => None,
            }
        })
    }
}

#[async_trait]
impl TableProvider for DirectTable {
    fn schema(&self) -> SchemaRef {
        schema_of(&self.fields)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match self.bound(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.fields.len()).collect());
        let bounds: Vec<Bound> = filters.iter().filter_map(|filter| self.bound(filter)).collect();
        let parts: Vec<Part> = self.parts.parts.iter().filter(|part| part.may_hold(&self.columns, &bounds)).cloned().collect();
        let types: Vec<Type> = wanted.iter().filter_map(|at| self.fields.get(*at)).map(|field| field.ty).collect();
        let pick = |outputs: &[Root]| wanted.iter().filter_map(|at| outputs.get(*at).cloned()).collect::<Vec<_>>();
        let mut reads = Vec::new();
        let mut places = Vec::new();
        let shape = match &self.shape {
            Shape::Rows { outputs } => {
                let outputs = pick(outputs);
                outputs.iter().for_each(|root| self.program.reads(root, &mut reads));
                Shape::Rows { outputs }
            }
            Shape::Groups { summarize } => {
                let (summarize, found) = narrowed(summarize, &wanted);
                places = found;
                let roots = summarize.keys.iter().chain(summarize.calls.iter().flat_map(|call| &call.args));
                roots.chain(summarize.orders.iter().map(|(order, _)| order)).for_each(|root| self.program.reads(root, &mut reads));
                Shape::Groups { summarize }
            }
            Shape::Top { outputs, top } => {
                top.keys.iter().for_each(|(root, ..)| self.program.reads(root, &mut reads));
                Shape::Top { outputs: pick(outputs), top: top.clone() }
            }
        };
        let schema = Arc::new(schema_of(&self.fields).project(&wanted)?);
        let plan = Plan { columns: self.columns.clone(), wanted: reads, conditions: self.conditions.clone(), partners: Vec::new() };
        let watch = self.watch.clone();
        let job = Job { parts, plan, program: self.program.clone(), shape, types, schema: schema.clone(), places, watch };
        let one = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(EquivalenceProperties::new(schema), one, EmissionType::Incremental, Boundedness::Bounded);
        Ok(Arc::new(DirectExec {
            job: Arc::new(job),
            limit,
            threads: session.config().target_partitions().max(1),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

/// Keeps only the requested aggregates; also returns the new position of each requested column.
fn narrowed(summarize: &Summarize, wanted: &[usize]) -> (Summarize, Vec<usize>) {
    let keys = summarize.keys.len();
    let mut calls: Vec<Call> = Vec::new();
    let mut places = Vec::new();
    for at in wanted {
        match at.checked_sub(keys).and_then(|at| summarize.calls.get(at)) {
            Some(call) => {
                places.push(keys + calls.len());
                calls.push(call.clone());
            }
            None => places.push(*at),
        }
    }
    (Summarize { keys: summarize.keys.clone(), key_types: summarize.key_types.clone(), calls, orders: summarize.orders.clone() }, places)
}

/// State shared by the threads of a scan.
#[derive(Clone)]
struct Job {
    parts: Vec<Part>,
    plan: Plan,
    program: Arc<Program>,
    shape: Shape,
    /// Types of the output columns, and their schema.
    types: Vec<Type>,
    schema: SchemaRef,
    /// Position of each output column in the result of `summarize`.
    places: Vec<usize>,
    watch: Option<Watch>,
}

/// Scan statistics.
#[derive(Clone)]
struct Counts {
    rows: Count,
    bytes: Count,
}

impl Counts {
    fn add(&self, worker: &mut Worker) {
        let read = std::mem::take(&mut worker.read);
        self.rows.add(read.rows);
        self.bytes.add(read.bytes);
    }
}

impl Job {
    /// Enters the query's cancellation scope on this thread until the guard is dropped, which must happen before the next `await`.
    fn enter(&self) -> Result<Option<Entered>> {
        let Some(watch) = &self.watch else { return Ok(None) };
        watch.check().map_err(run_error)?;
        Ok(Some(watch.enter()))
    }

    /// Splits the parts into runs of about equally many rows.
    fn runs(&self, threads: usize) -> Vec<std::ops::Range<usize>> {
        let total: usize = self.parts.iter().map(Part::rows).sum();
        let share = total.div_ceil(threads).max(1);
        let mut runs = Vec::new();
        let (mut from, mut rows) = (0, 0);
        for (at, part) in self.parts.iter().enumerate() {
            rows += part.rows();
            if rows >= share {
                runs.push(from..at + 1);
                (from, rows) = (at + 1, 0);
            }
        }
        if from < self.parts.len() {
            runs.push(from..self.parts.len());
        }
        runs
    }

    /// Returns the rows of some parts, at most `limit` if given.
    async fn rows(
        &self,
        parts: std::ops::Range<usize>,
        limit: Option<usize>,
        held: MemoryReservation,
        counts: &Counts,
    ) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
        let Shape::Rows { outputs } = &self.shape else { return internal_err!("these are no rows") };
        let mut worker = Worker::default();
        let mut out = Vec::new();
        let mut left = limit.unwrap_or(usize::MAX);
        for part in &self.parts[parts] {
            let mut reader = PartReader::new(&self.plan, &self.program, part);
            while left > 0 {
                let entered = self.enter()?;
                let Some(passed) = reader.next(&mut worker)? else { break };
                let made = batch(&self.program, outputs, &self.types, &self.schema, &passed.rows, &mut worker.memo)?;
                drop(entered);
                let made = if made.num_rows() > left { made.slice(0, left) } else { made };
                left -= made.num_rows();
                held.try_grow(crate::run::size_of_rows(&made))?;
                out.push(made);
                tokio::task::yield_now().await;
            }
        }
        counts.add(&mut worker);
        Ok((out, held))
    }

    async fn groups(
        &self,
        parts: std::ops::Range<usize>,
        held: MemoryReservation,
        counts: &Counts,
    ) -> Result<(Grouped, MemoryReservation)> {
        let Shape::Groups { summarize } = &self.shape else { return internal_err!("these are no groups") };
        let mut worker = Worker::default();
        let mut grouped = summarize.start()?;
        for part in &self.parts[parts] {
            let mut reader = PartReader::new(&self.plan, &self.program, part);
            loop {
                let entered = self.enter()?;
                let Some(passed) = reader.next(&mut worker)? else { break };
                summarize.push(&mut grouped, &self.program, &passed.rows, &mut worker.memo)?;
                drop(entered);
                held.try_resize(grouped.size())?;
                tokio::task::yield_now().await;
            }
        }
        counts.add(&mut worker);
        Ok((grouped, held))
    }

    /// Orders the parts by their best possible first key.
    fn by_promise(&self, top: &Top) -> Vec<(usize, Option<i64>)> {
        let mut parts: Vec<(usize, Option<i64>)> = self.parts.iter().enumerate().map(|(at, part)| (at, self.promise(top, part))).collect();
        let descending = top.keys.first().is_some_and(|(_, _, options)| options.descending);
        parts.sort_by_key(|(at, promise)| (promise.is_some(), promise.map(|best| if descending { !best } else { best }), *at));
        parts
    }

    /// The best possible first key of a part.
    fn promise(&self, top: &Top, part: &Part) -> Option<i64> {
        let (root, _, options) = top.keys.first()?;
        let Root::Column(at) = root else { return None };
        let (least, most) = part.ends(self.plan.columns.get(*at)?)?;
        Some(if options.descending { most } else { least })
    }

    async fn best(
        &self,
        parts: Vec<(usize, Option<i64>)>,
        held: MemoryReservation,
        counts: &Counts,
    ) -> Result<(top::Best, MemoryReservation)> {
        let Shape::Top { top, .. } = &self.shape else { return internal_err!("this is no top") };
        let mut worker = Worker::default();
        let mut best = top::Best::default();
        for (at, promise) in parts {
            if promise.is_some_and(|promise| top.is_beaten(&best, promise)) {
                continue;
            }
            let mut reader = PartReader::new(&self.plan, &self.program, &self.parts[at]);
            loop {
                let entered = self.enter()?;
                let Some(passed) = reader.next(&mut worker)? else { break };
                top.push(&mut best, &self.program, at, &passed, &mut worker.memo)?;
                drop(entered);
                held.try_resize(best.size())?;
                tokio::task::yield_now().await;
            }
        }
        counts.add(&mut worker);
        Ok((best, held))
    }

    /// Reads the complete result rows, in table order.
    async fn whole(&self, rows: &[(usize, u32)], counts: &Counts) -> Result<Vec<RecordBatch>> {
        let Shape::Top { outputs, .. } = &self.shape else { return internal_err!("this is no top") };
        let mut columns = Vec::new();
        outputs.iter().for_each(|root| self.program.reads(root, &mut columns));
        let mut worker = Worker::default();
        let mut out = Vec::new();
        for of_part in rows.chunk_by(|a, b| a.0 == b.0) {
            let Some((part, _)) = of_part.first() else { continue };
            let places: Vec<u32> = of_part.iter().map(|(_, place)| *place).collect();
            let entered = self.enter()?;
            let rows = fetch(&self.plan, &self.program, &self.parts[*part], &columns, &places, &mut worker)?;
            out.push(batch(&self.program, outputs, &self.types, &self.schema, &rows, &mut worker.memo)?);
            drop(entered);
            tokio::task::yield_now().await;
        }
        // These rows were counted when their sort keys were read.
        worker.read.rows = 0;
        counts.add(&mut worker);
        Ok(out)
    }
}

struct DirectExec {
    job: Arc<Job>,
    limit: Option<usize>,
    threads: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for DirectExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectExec")
    }
}

impl DisplayAs for DirectExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let shape = match &self.job.shape {
            Shape::Rows { .. } => "rows",
            Shape::Groups { .. } => "groups",
            Shape::Top { .. } => "top",
        };
        write!(f, "DirectExec: {shape}, parts={}, conditions={}", self.job.parts.len(), self.job.plan.conditions.len())
    }
}

fn joined<T>(answer: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    answer.map_err(|why| DataFusionError::External(Box::new(why)))?
}

impl ExecutionPlan for DirectExec {
    fn name(&self) -> &str {
        "DirectExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut answer = FilterPushdownPropagation::all_unsupported(result.clone());
        let Shape::Rows { outputs } = &self.job.shape else { return Ok(answer) };
        if phase != FilterPushdownPhase::Post || self.limit.is_some() {
            return Ok(answer);
        }
        let mut partners = self.job.plan.partners.clone();
        for filter in result.parent_filters.into_iter().map(|parent| parent.filter) {
            // Text columns only, which are never null: joins here match null with null, but the dynamic filter excludes null.
            let columns: Vec<_> = collect_columns(&filter).into_iter().collect();
            if filter.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
                && let [column] = &columns[..]
                && self.job.types.get(column.index()) == Some(&Type::String)
                && let Some(root) = outputs.get(column.index())
            {
                partners.push(Partner::new(root.clone(), column.name(), filter)?);
            }
        }
        if partners.len() > self.job.plan.partners.len() {
            let mut job = self.job.as_ref().clone();
            job.plan.partners = partners;
            let (properties, metrics) = (self.properties.clone(), ExecutionPlanMetricsSet::new());
            answer.updated_node =
                Some(Arc::new(Self { job: Arc::new(job), limit: self.limit, threads: self.threads, properties, metrics }));
        }
        Ok(answer)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let counts = Counts {
            rows: MetricBuilder::new(&self.metrics).counter("rows_scanned", partition),
            bytes: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
        };
        let (job, schema, threads, limit) = (self.job.clone(), self.schema(), self.threads, self.limit);
        let pool = context.memory_pool().clone();
        let reserve = move || MemoryConsumer::new("direct").register(&pool);
        let batches = match &self.job.shape {
            Shape::Rows { .. } if limit.is_some() => {
                let all = 0..job.parts.len();
                let made = async move { job.rows(all, limit, reserve(), &counts).await };
                stream::once(made).map_ok(hand_on).try_flatten().boxed()
            }
            Shape::Rows { .. } => {
                let parts = job.parts.len();
                let made = stream::iter(0..parts).map(move |part| {
                    let (job, counts, held) = (job.clone(), counts.clone(), reserve());
                    let task = async move { job.rows(part..part + 1, None, held, &counts).await };
                    async move { joined(SpawnedTask::spawn(task).join().await) }
                });
                made.buffered(threads).map_ok(hand_on).try_flatten().boxed()
            }
            Shape::Groups { .. } => stream::once(grouped(job, threads, reserve, counts)).boxed(),
            Shape::Top { .. } => stream::once(found(job, threads, reserve, counts)).boxed(),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        let rows: usize = self.job.parts.iter().map(Part::rows).sum();
        // A rough estimate for the optimizer: filters keep one row in ten.
        match &self.job.shape {
            Shape::Rows { .. } if self.job.plan.conditions.is_empty() => statistics.num_rows = Precision::Inexact(rows),
            Shape::Rows { .. } => statistics.num_rows = Precision::Inexact(rows / 10),
            Shape::Groups { .. } => {}
            Shape::Top { top, .. } => statistics.num_rows = Precision::Inexact(rows.min(top.count)),
        }
        Ok(Arc::new(statistics))
    }
}

/// Emits the batches one by one; their reservation is released at the end.
fn hand_on((batches, held): (Vec<RecordBatch>, MemoryReservation)) -> impl futures::Stream<Item = Result<RecordBatch>> {
    stream::unfold((batches.into_iter(), held), |(mut batches, held)| async move { Some((Ok(batches.next()?), (batches, held))) })
}

async fn grouped(job: Arc<Job>, threads: usize, reserve: impl Fn() -> MemoryReservation, counts: Counts) -> Result<RecordBatch> {
    let Shape::Groups { summarize } = &job.shape else { return internal_err!("these are no groups") };
    let tasks: Vec<_> = job
        .runs(threads)
        .into_iter()
        .map(|run| {
            let (job, held, counts) = (job.clone(), reserve(), counts.clone());
            SpawnedTask::spawn(async move { job.groups(run, held, &counts).await })
        })
        .collect();
    let mut all: Option<(Grouped, MemoryReservation)> = None;
    for task in tasks {
        let (next, next_held) = joined(task.join().await)?;
        match &mut all {
            None => all = Some((next, next_held)),
            Some((grouped, held)) => {
                summarize.merge(grouped, next)?;
                drop(next_held);
                held.try_resize(grouped.size())?;
            }
        }
    }
    let grouped = match all {
        Some((grouped, _)) => grouped,
        None => summarize.start()?,
    };
    let batch = summarize.finish(grouped)?;
    with_columns(&batch, &job.schema, &job.places)
}

async fn found(job: Arc<Job>, threads: usize, reserve: impl Fn() -> MemoryReservation, counts: Counts) -> Result<RecordBatch> {
    let Shape::Top { top, .. } = &job.shape else { return internal_err!("this is no top") };
    let parts = job.by_promise(top);
    let tasks: Vec<_> = (0..threads.min(parts.len()))
        .map(|thread| {
            let (job, held, counts) = (job.clone(), reserve(), counts.clone());
            let parts = parts.iter().copied().skip(thread).step_by(threads).collect();
            SpawnedTask::spawn(async move { job.best(parts, held, &counts).await })
        })
        .collect();
    let mut best = top::Best::default();
    for task in tasks {
        let (next, _held) = joined(task.join().await)?;
        top.merge(&mut best, next)?;
    }
    let want: Vec<(usize, u32)> = best.rows().collect();
    let mut have = want.clone();
    have.sort_unstable();
    let tasks: Vec<_> = shares(&have, threads)
        .into_iter()
        .map(|share| {
            let (job, counts) = (job.clone(), counts.clone());
            SpawnedTask::spawn(async move { job.whole(&share, &counts).await })
        })
        .collect();
    let mut batches = Vec::new();
    for task in tasks {
        batches.extend(joined(task.join().await)?);
    }
    match top::arrange(&batches, &have, &want)? {
        Some(batch) => Ok(batch),
        None => {
            let options = RecordBatchOptions::new().with_row_count(Some(0));
            let columns = job.types.iter().map(|ty| arrow::array::new_empty_array(&ty.arrow())).collect();
            Ok(RecordBatch::try_new_with_options(job.schema.clone(), columns, &options)?)
        }
    }
}

/// Distributes rows over threads by part, so that no part is read by two threads.
fn shares(rows: &[(usize, u32)], threads: usize) -> Vec<Vec<(usize, u32)>> {
    let parts: Vec<&[(usize, u32)]> = rows.chunk_by(|a, b| a.0 == b.0).collect();
    parts.chunks(parts.len().div_ceil(threads).max(1)).map(|share| share.concat()).collect()
}
