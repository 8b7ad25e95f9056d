//! Projections that build strings or dynamics, evaluated a few rows at a time if rows are large.
//!
//! DataFusion's projection evaluates all columns of a batch at once: eight thousand rows of a megabyte each are eight gigabytes before any
//! accounting. This one evaluates as many rows as produce a few megabytes, reserves memory for the output, and emits it as a batch of its
//! own.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};

use crate::run::size_of_rows;

/// Target size of an output batch; a single larger row exceeds it.
const BATCH_BYTES: usize = 4 << 20;

/// Number of rows evaluated first, before the row size is known.
const FIRST_ROWS: usize = 64;

/// Replaces projections that build strings by [`BoundedProjection`]. Must run last, because other rules match on DataFusion's own node.
#[derive(Debug)]
pub(crate) struct BoundProjections;

impl PhysicalOptimizerRule for BoundProjections {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(projection) = node.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(node)) };
            if !projection.expr().iter().any(|column| builds_text(&column.expr)) {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(Arc::new(BoundedProjection { projection: projection.clone() })))
        })
        .data()
    }

    fn name(&self) -> &str {
        "bound_projections"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// True if any part of an expression builds a string.
fn builds_text(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut waiting = vec![expr];
    while let Some(expr) = waiting.pop() {
        if expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| call.return_type() == &DataType::Utf8View) {
            return true;
        }
        waiting.extend(expr.children());
    }
    false
}

/// A projection whose output batches are limited in bytes.
#[derive(Debug)]
struct BoundedProjection {
    projection: ProjectionExec,
}

impl DisplayAs for BoundedProjection {
    fn fmt_as(&self, ty: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Bounded")?;
        self.projection.fmt_as(ty, f)
    }
}

impl ExecutionPlan for BoundedProjection {
    fn name(&self) -> &str {
        "BoundedProjection"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.projection.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.projection.input()]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.projection.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("a projection has one input") };
        Ok(Arc::new(Self { projection: ProjectionExec::try_new(self.projection.expr().to_vec(), input)? }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.projection.input().execute(partition, context.clone())?;
        let schema = self.schema();
        let running = Running {
            exprs: self.projection.expr().iter().map(|column| column.expr.clone()).collect(),
            schema: schema.clone(),
            input,
            batch: None,
            step: FIRST_ROWS,
            memory: MemoryConsumer::new("projection").register(context.memory_pool()),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::try_unfold(running, Running::next))))
    }
}

struct Running {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    /// The rest of the current input batch.
    batch: Option<RecordBatch>,
    /// Number of rows to evaluate next.
    step: usize,
    memory: MemoryReservation,
}

impl Running {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => match self.input.next().await {
                Some(batch) => batch?,
                None => return Ok(None),
            },
        };
        let rows = self.step.min(batch.num_rows());
        let part = if rows == batch.num_rows() {
            batch
        } else {
            self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
            batch.slice(0, rows)
        };
        // The previously emitted batch is now accounted for by the next operator.
        self.memory.free();
        let columns = self.exprs.iter().map(|expr| expr.evaluate(&part)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let made = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let bytes = size_of_rows(&made);
        if bytes > BATCH_BYTES {
            self.memory.try_grow(bytes)?;
            self.step = (rows.saturating_mul(BATCH_BYTES) / bytes).max(1);
        } else {
            // Spilling operators yield to memory registered here.
            self.memory.grow(bytes);
            self.step = rows.saturating_mul(4).max(self.step);
        }
        Ok(Some((made, self)))
    }
}
