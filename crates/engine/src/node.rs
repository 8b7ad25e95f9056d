//! One logical and one physical node for every [`TableOp`]: `mv-expand`, `parse`, `make-series`, plug-ins, and the engine's own window,
//! group and deduplication operators.
//!
//! The node declares the input columns it needs and the predicates that may be pushed below it. An operator that processes each row
//! independently keeps the partitioning of its input; any other runs on one partition and sees rows in their order.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, stream};
use kql::eval::{EvalError, Runtime};
use kql::ops::held::{Held, compact};
use kql::ops::{OpState, TableOp};
use kql::plan::{ColumnId, Field};
use kql::watch::Watch;

use crate::values::schema_of;

/// Larger batches are emitted in slices of this many rows.
const SLICE: usize = 8192;

/// Logical plan node: an operator over its inputs.
#[derive(Clone)]
pub(crate) struct OpNode {
    op: Arc<dyn TableOp>,
    runtime: Runtime,
    watch: Option<Watch>,
    inputs: Vec<LogicalPlan>,
    /// For each input, the fields passed to the operator: those still present in the input.
    takes: Vec<Vec<Field>>,
    gives: Vec<Field>,
    schema: DFSchemaRef,
}

impl OpNode {
    /// `takes` are the fields of each input relation, `gives` those of the operator.
    pub(crate) fn plan(
        op: Arc<dyn TableOp>,
        runtime: Runtime,
        inputs: Vec<LogicalPlan>,
        takes: Vec<Vec<Field>>,
        gives: Vec<Field>,
    ) -> Result<LogicalPlan> {
        let schema = Arc::new(DFSchema::try_from(schema_of(&gives).as_ref().clone())?);
        let node = Self { op, runtime, watch: Watch::current(), inputs, takes, gives, schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// Columns read by the operator's own expressions.
    fn reads(&self) -> HashSet<ColumnId> {
        self.op.exprs().into_iter().flat_map(kql::plan::Expr::columns).collect()
    }

    fn is_passed(&self, id: ColumnId) -> bool {
        self.op.passes(id) && self.takes.iter().flatten().any(|field| field.id == id)
    }

    fn is_handed_on(&self, id: ColumnId) -> bool {
        self.op.hands_on(id) && self.takes.iter().flatten().any(|field| field.id == id)
    }
}

impl fmt::Debug for OpNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())
    }
}

impl PartialEq for OpNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.op, &other.op) && self.inputs == other.inputs && self.gives == other.gives
    }
}

impl Eq for OpNode {}

impl Hash for OpNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.op.name().hash(state);
        self.inputs.hash(state);
        self.gives.iter().for_each(|field| field.id.hash(state));
    }
}

impl PartialOrd for OpNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.inputs.partial_cmp(&other.inputs)
    }
}

impl UserDefinedLogicalNodeCore for OpNode {
    fn name(&self) -> &str {
        self.op.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        // Our expressions are evaluated by KQL's evaluator, not by DataFusion.
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let single = self.inputs.len() == 1;
        self.gives.iter().filter(|field| !(single && self.is_passed(field.id))).map(|field| field.id.to_string()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {:?}", self.op.name(), self.gives.iter().map(|field| field.id).collect::<Vec<_>>())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let has = |input: &LogicalPlan, id: ColumnId| input.schema().has_column_with_unqualified_name(&id.to_string());
        let takes: Vec<Vec<Field>> = self
            .takes
            .iter()
            .zip(&inputs)
            .map(|(fields, input)| fields.iter().filter(|field| has(input, field.id)).cloned().collect())
            .collect();
        // A pass-through field missing from the input is not needed by any operator above.
        let gone = |id: ColumnId| self.is_handed_on(id) && !takes.iter().flatten().any(|field| field.id == id);
        let gives: Vec<Field> = self.gives.iter().filter(|field| !gone(field.id)).cloned().collect();
        let schema = Arc::new(DFSchema::try_from(schema_of(&gives).as_ref().clone())?);
        Ok(Self { op: self.op.clone(), runtime: self.runtime, watch: self.watch.clone(), inputs, takes, gives, schema })
    }

    fn necessary_children_exprs(&self, wanted: &[usize]) -> Option<Vec<Vec<usize>>> {
        let reads = self.reads();
        let wanted: HashSet<ColumnId> = wanted.iter().filter_map(|&index| self.gives.get(index)).map(|field| field.id).collect();
        let needs = |field: &Field| {
            let given = self.gives.iter().any(|given| given.id == field.id);
            reads.contains(&field.id) || (given && (wanted.contains(&field.id) || !self.is_handed_on(field.id)))
        };
        let children = self.inputs.iter().zip(&self.takes).map(|(input, fields)| {
            let mut indices: Vec<usize> = fields
                .iter()
                .filter(|field| needs(field))
                .filter_map(|field| input.schema().index_of_column_by_name(None, &field.id.to_string()))
                .collect();
            indices.sort_unstable();
            indices
        });
        Some(children.collect())
    }
}

/// Plans [`OpNode`] as [`OpExec`].
pub(crate) struct OpPlanner;

#[async_trait]
impl ExtensionPlanner for OpPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<OpNode>() else { return Ok(None) };
        let watch = node.watch.clone();
        Ok(Some(Arc::new(OpExec::new(node.op.clone(), node.runtime, watch, inputs.to_vec(), node.takes.clone(), node.gives.clone()))))
    }
}

/// Physical plan node: an operator over its inputs.
#[derive(Debug)]
pub(crate) struct OpExec {
    op: Arc<dyn TableOp>,
    runtime: Runtime,
    watch: Option<Watch>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    takes: Vec<Vec<Field>>,
    gives: Vec<Field>,
    properties: Arc<PlanProperties>,
}

impl OpExec {
    fn new(
        op: Arc<dyn TableOp>,
        runtime: Runtime,
        watch: Option<Watch>,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        takes: Vec<Vec<Field>>,
        gives: Vec<Field>,
    ) -> Self {
        let partitions = match inputs.as_slice() {
            [input] if op.per_row() => input.properties().output_partitioning().partition_count(),
            _ => 1,
        };
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema_of(&gives)),
            Partitioning::UnknownPartitioning(partitions),
            if op.per_row() { EmissionType::Incremental } else { EmissionType::Final },
            Boundedness::Bounded,
        ));
        Self { op, runtime, watch, inputs, takes, gives, properties }
    }

    fn is_parallel(&self) -> bool {
        self.op.per_row() && self.inputs.len() == 1
    }
}

impl DisplayAs for OpExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "OpExec: {}", self.op.name())
    }
}

impl ExecutionPlan for OpExec {
    fn name(&self) -> &str {
        "OpExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let one = if self.is_parallel() { Distribution::UnspecifiedDistribution } else { Distribution::SinglePartition };
        vec![one; self.inputs.len()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // Rows come out in input order, but not every sort key is among the output columns.
        vec![false; self.inputs.len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let watch = self.watch.clone();
        Ok(Arc::new(Self::new(self.op.clone(), self.runtime, watch, children, self.takes.clone(), self.gives.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if !self.is_parallel() && partition != 0 {
            return internal_err!("`{}` has one partition, not {partition}", self.op.name());
        }
        let state = self.op.start(&self.takes, &self.gives, &self.runtime).map_err(run_error)?;
        // Last input first: a binary operator builds from the second input and streams the first.
        let inputs = self.inputs.iter().enumerate().rev();
        let streams =
            inputs.map(|(index, input)| Ok((index, input.execute(partition, context.clone())?))).collect::<Result<VecDeque<_>>>()?;
        let reservation = MemoryConsumer::new(self.op.name()).register(context.memory_pool());
        let schema = self.schema();
        let running = Running {
            state,
            streams,
            input: None,
            step: if self.op.multiplies() { 1 } else { usize::MAX },
            multiplies: self.op.multiplies(),
            reservation,
            watch: self.watch.clone(),
            out: VecDeque::new(),
            handed: 0,
            made: 0,
            schema: schema.clone(),
            finishing: false,
            finished: false,
            name: self.op.name(),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::try_unfold(running, Running::next))))
    }
}

struct Running {
    state: Box<dyn OpState>,
    /// In reading order.
    streams: VecDeque<(usize, SendableRecordBatchStream)>,
    /// The current batch: its input, the rows, and how many of them have been passed to the operator.
    input: Option<(usize, RecordBatch, usize)>,
    /// Rows passed to the operator per step.
    step: usize,
    multiplies: bool,
    reservation: MemoryReservation,
    watch: Option<Watch>,
    /// Output batches, and how many rows of the first have been emitted.
    out: VecDeque<RecordBatch>,
    handed: usize,
    /// Bytes of `out`.
    made: usize,
    schema: SchemaRef,
    finishing: bool,
    finished: bool,
    name: &'static str,
}

impl Running {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            if let Some(batch) = self.hand_on()? {
                return Ok(Some((batch, self)));
            }
            if self.finished {
                return Ok(None);
            }
            if self.input.is_none() {
                match self.streams.front_mut() {
                    Some((index, stream)) => match stream.next().await {
                        Some(batch) => self.input = Some((*index, batch?, 0)),
                        None => {
                            self.streams.pop_front();
                            continue;
                        }
                    },
                    None => {
                        self.finish()?;
                        if !self.finished && self.out.is_empty() {
                            // Yield during long work without output, so that the task can be cancelled.
                            tokio::task::yield_now().await;
                        }
                        continue;
                    }
                }
            }
            self.push()?;
        }
    }

    /// Passes the next rows to the operator.
    fn push(&mut self) -> Result<()> {
        let Some((index, batch, had)) = self.input.take() else { return Ok(()) };
        let rows = self.step.min(batch.num_rows() - had);
        let part = if rows == batch.num_rows() { batch.clone() } else { batch.slice(had, rows) };
        let mut made = Vec::new();
        self.watched(|state| state.push(index, &part, &mut made))?;
        if had + rows < batch.num_rows() {
            self.input = Some((index, batch, had + rows));
        }
        if self.multiplies {
            let made: usize = made.iter().map(RecordBatch::num_rows).sum();
            self.step = if made > 4 * SLICE { (rows * SLICE / made).max(1) } else { self.step.saturating_mul(4).min(SLICE) };
        }
        self.take(made)?;
        Ok(self.reservation.try_resize(self.state.size() + self.made)?)
    }

    /// Signals the end of the input; called repeatedly until all output has been emitted.
    fn finish(&mut self) -> Result<()> {
        if !self.finishing {
            self.finishing = true;
            self.reservation.try_resize(self.state.peak())?;
        }
        let (mut made, mut last) = (Vec::new(), true);
        self.watched(|state| {
            last = state.finish_some(&mut made)?;
            Ok(())
        })?;
        self.finished = last;
        self.take(made)?;
        self.reservation.try_resize(self.state.size() + self.made)
    }

    fn watched(&mut self, work: impl FnOnce(&mut dyn OpState) -> Result<(), EvalError>) -> Result<()> {
        let entered = match &self.watch {
            None => None,
            Some(watch) => {
                watch.check().map_err(run_error)?;
                Some(watch.enter())
            }
        };
        let done = work(self.state.as_mut()).map_err(run_error);
        drop(entered);
        done
    }

    fn take(&mut self, made: Vec<RecordBatch>) -> Result<()> {
        let mut held = Held::default();
        for batch in made {
            let batch = conform(&batch, &self.schema, self.name)?;
            held.add(&batch);
            if batch.num_rows() > 0 {
                self.out.push_back(batch);
            }
        }
        self.made += held.bytes();
        Ok(())
    }

    /// The next output batch, of limited size. Parts of a larger batch are copied: a slice would keep the whole batch alive, and memory
    /// accounting would count the whole batch once per slice.
    fn hand_on(&mut self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.out.front() else { return Ok(None) };
        let rows = first.num_rows();
        if rows <= SLICE {
            let batch = self.out.pop_front();
            self.handed_on();
            return Ok(batch);
        }
        let count = SLICE.min(rows - self.handed);
        let part = compact(&first.slice(self.handed, count))?;
        self.handed += count;
        if self.handed == rows {
            self.out.pop_front();
            self.handed = 0;
            self.handed_on();
        }
        Ok(Some(part))
    }

    /// Drops batches that have been emitted completely.
    fn handed_on(&mut self) {
        if self.out.is_empty() && self.made > 0 {
            self.made = 0;
            self.reservation.resize(self.state.size());
        }
    }
}

/// Selects the columns of `schema` from `batch`, by name.
fn conform(batch: &RecordBatch, schema: &SchemaRef, name: &str) -> Result<RecordBatch> {
    if schema.fields().is_empty() {
        let options = datafusion::arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        return Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?);
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Ok(column.clone()),
            None => internal_err!("`{name}` did not give column `{}`", field.name()),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

/// Wraps an operator's error so that DataFusion propagates it unchanged.
pub(crate) fn run_error(why: EvalError) -> DataFusionError {
    DataFusionError::External(Box::new(why))
}
