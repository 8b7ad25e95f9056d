//! Constants and in-memory rows: converts KQL values to Arrow, and provides tables over existing batches.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field as ArrowField, Schema, SchemaRef, i256};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use kql::Value;
use kql::plan::Field;
use model::{DECIMAL_PRECISION, DECIMAL_SCALE, Type};

/// The schema between operators: one nullable column per field, named by its id.
pub(crate) fn schema_of(fields: &[Field]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|field| ArrowField::new(field.id.to_string(), field.ty.arrow(), true)).collect::<Vec<_>>()))
}

/// A constant as a DataFusion literal.
pub(crate) fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null(ty) => null(*ty),
        Value::Bool(b) => ScalarValue::Boolean(Some(*b)),
        Value::Int(n) => ScalarValue::Int32(Some(*n)),
        Value::Long(n) | Value::Datetime(n) | Value::Timespan(n) => ScalarValue::Int64(Some(*n)),
        Value::Real(n) => ScalarValue::Float64(Some(*n)),
        Value::Decimal(n) => ScalarValue::Decimal256(Some(*n), DECIMAL_PRECISION, DECIMAL_SCALE),
        Value::String(text) | Value::Guid(text) | Value::Dynamic(text) => ScalarValue::Utf8View(Some(text.clone())),
    }
}

/// The null of a type; for a string, the empty text.
pub(crate) fn null(ty: Type) -> ScalarValue {
    match ty {
        Type::Bool => ScalarValue::Boolean(None),
        Type::Int => ScalarValue::Int32(None),
        Type::Long | Type::Datetime | Type::Timespan => ScalarValue::Int64(None),
        Type::Real => ScalarValue::Float64(None),
        Type::Decimal => ScalarValue::Decimal256(None::<i256>, DECIMAL_PRECISION, DECIMAL_SCALE),
        Type::String => ScalarValue::Utf8View(Some(String::new())),
        Type::Guid | Type::Dynamic => ScalarValue::Utf8View(None),
    }
}

/// Constant rows as one batch.
pub(crate) fn rows_to_batch(fields: &[Field], rows: &[Vec<Value>]) -> Result<RecordBatch> {
    let columns = fields.iter().enumerate().map(|(index, field)| {
        let cells: Vec<Value> = rows.iter().map(|row| row.get(index).cloned().unwrap_or_else(|| Value::null(field.ty))).collect();
        Value::array(&cells, field.ty)
    });
    let columns = columns.collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema_of(fields), columns, &options)?)
}

/// The columns of a batch at `indices`; keeps the row count if there are none.
pub(crate) fn with_columns(batch: &RecordBatch, schema: &SchemaRef, indices: &[usize]) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = indices.iter().map(|&index| batch.column(index).clone()).collect();
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// A table provider over batches: constant rows, inline tables, results of subplans. It has one partition, so that rows keep their order.
#[derive(Debug)]
pub(crate) struct BatchesTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl BatchesTable {
    /// `batches` must have `schema`.
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }
}

#[async_trait]
impl TableProvider for BatchesTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let size = session.config().batch_size().max(1);
        let sliced = self
            .batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).step_by(size).map(move |start| batch.slice(start, size.min(batch.num_rows() - start))));
        BatchesExec::plan(sliced.collect(), &self.schema, projection)
    }
}

/// Emits batches in order. DataFusion's equivalent may be repartitioned.
#[derive(Debug)]
pub(crate) struct BatchesExec {
    batches: Vec<RecordBatch>,
    rows: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl BatchesExec {
    pub(crate) fn plan(batches: Vec<RecordBatch>, schema: &SchemaRef, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let (schema, batches) = match projection {
            None => (schema.clone(), batches),
            Some(wanted) => {
                let schema = Arc::new(schema.project(wanted)?);
                let batches = batches.iter().map(|batch| with_columns(batch, &schema, wanted)).collect::<Result<_>>()?;
                (schema, batches)
            }
        };
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let one = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(EquivalenceProperties::new(schema), one, EmissionType::Incremental, Boundedness::Bounded);
        Ok(Arc::new(Self { batches, rows, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }))
    }
}

impl DisplayAs for BatchesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "BatchesExec: {} rows", self.rows)
    }
}

impl ExecutionPlan for BatchesExec {
    fn name(&self) -> &str {
        "BatchesExec"
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

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = self.batches.clone().into_iter().map(move |batch| {
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), futures::stream::iter(batches))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        let bytes = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Exact(self.rows);
        statistics.total_byte_size = Precision::Inexact(bytes);
        Ok(Arc::new(statistics))
    }
}
