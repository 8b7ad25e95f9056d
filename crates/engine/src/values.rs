//! Constants and rows in memory: KQL's values as Arrow's, and a table provider over batches that are already there.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field as ArrowField, Schema, SchemaRef, i256};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use kql::Value;
use kql::plan::Field;
use model::{DECIMAL_PRECISION, DECIMAL_SCALE, Type};

/// The schema between operators: one nullable column a field, named by its id.
pub(crate) fn schema_of(fields: &[Field]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|field| ArrowField::new(field.id.to_string(), field.ty.arrow(), true)).collect::<Vec<_>>()))
}

/// A constant as DataFusion's literal.
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

/// The null of a type; a string has none, so its empty text.
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

/// The columns at `indices` of a batch, keeping its number of rows when there are none.
pub(crate) fn with_columns(batch: &RecordBatch, schema: &SchemaRef, indices: &[usize]) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = indices.iter().map(|&index| batch.column(index).clone()).collect();
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Batches as a table: constant rows, inline tables, answers of subplans. One partition, so that the rows keep their order.
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
        Ok(MemorySourceConfig::try_new_exec(&[sliced.collect()], self.schema.clone(), projection.cloned())?)
    }
}
