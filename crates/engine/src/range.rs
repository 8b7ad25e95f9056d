//! `range x from a to b step c`: rows generated on demand.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, PlanProperties};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning};
use futures::stream;
use kql::Value;
use kql::eval::Runtime;
use kql::plan::{Expr as KqlExpr, Field};
use model::{QueryError, Type};

use crate::expr::constant;
use crate::values::schema_of;

/// Start, end and step of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bounds {
    Int {
        from: i64,
        to: i64,
        step: i64,
    },
    Real {
        from: f64,
        to: f64,
        step: f64,
    },
    /// A null bound, or a step that does not lead from start to end.
    Nothing,
}

impl Bounds {
    pub(crate) fn new(ty: Type, from: &KqlExpr, to: &KqlExpr, step: &KqlExpr, runtime: &Runtime) -> std::result::Result<Self, QueryError> {
        let value = |source: &KqlExpr| constant(source, runtime).ok_or_else(|| QueryError::Run("`range` wants constant bounds".to_owned()));
        let (from, to, step) = (value(from)?, value(to)?, value(step)?);
        Ok(match ty {
            Type::Real => match (from.as_f64(), to.as_f64(), step.as_f64()) {
                (Some(from), Some(to), Some(step)) if step != 0.0 && (to - from) / step >= 0.0 => Bounds::Real { from, to, step },
                _ => Bounds::Nothing,
            },
            _ => match (whole(&from), whole(&to), whole(&step)) {
                (Some(from), Some(to), Some(step)) if step != 0 => Bounds::Int { from, to, step },
                _ => Bounds::Nothing,
            },
        })
    }

    /// Up to `count` values, starting at index `start`.
    pub(crate) fn chunk(&self, start: usize, count: usize, ty: Type) -> ArrayRef {
        match *self {
            Bounds::Int { from, to, step } => {
                let at = |index: usize| {
                    let value = i128::from(from) + index as i128 * i128::from(step);
                    let inside = if step > 0 { value <= i128::from(to) } else { value >= i128::from(to) };
                    if inside { i64::try_from(value).ok() } else { None }
                };
                let values = (start..start.saturating_add(count)).map_while(at);
                match ty {
                    Type::Int => Arc::new(values.map(|n| i32::try_from(n).ok()).collect::<Int32Array>()),
                    _ => Arc::new(Int64Array::from_iter_values(values)),
                }
            }
            Bounds::Real { from, to, step } => {
                let at = |index: usize| {
                    let value = from + index as f64 * step;
                    (if step > 0.0 { value <= to } else { value >= to }).then_some(value)
                };
                Arc::new(Float64Array::from_iter_values((start..start.saturating_add(count)).map_while(at)))
            }
            Bounds::Nothing => datafusion::arrow::array::new_empty_array(&ty.arrow()),
        }
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|n| n as i64))
}

#[derive(Debug)]
pub(crate) struct RangeTable {
    schema: SchemaRef,
    ty: Type,
    bounds: Bounds,
}

impl RangeTable {
    pub(crate) fn new(
        fields: &[Field],
        from: &KqlExpr,
        to: &KqlExpr,
        step: &KqlExpr,
        runtime: &Runtime,
    ) -> std::result::Result<Self, QueryError> {
        let ty = fields.first().map_or(Type::Long, |field| field.ty);
        Ok(Self { schema: schema_of(fields), ty, bounds: Bounds::new(ty, from, to, step, runtime)? })
    }
}

#[async_trait]
impl TableProvider for RangeTable {
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
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| vec![0]);
        let schema = Arc::new(self.schema.project(&wanted)?);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Arc::new(RangeExec { ty: self.ty, bounds: self.bounds, size: session.config().batch_size().max(1), properties }))
    }
}

#[derive(Debug)]
struct RangeExec {
    ty: Type,
    bounds: Bounds,
    size: usize,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for RangeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "RangeExec: {:?}", self.bounds)
    }
}

impl ExecutionPlan for RangeExec {
    fn name(&self) -> &str {
        "RangeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn datafusion::physical_expr::PhysicalExpr>) -> Result<datafusion::common::tree_node::TreeNodeRecursion>,
    ) -> Result<datafusion::common::tree_node::TreeNodeRecursion> {
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (ty, bounds, size, schema) = (self.ty, self.bounds, self.size, self.schema());
        let batches = stream::try_unfold(0_usize, move |start| {
            let schema = schema.clone();
            async move {
                let values = bounds.chunk(start, size, ty);
                let rows = values.len();
                if rows == 0 {
                    return Ok(None);
                }
                let options = datafusion::arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows));
                let columns = schema.fields().iter().map(|_| values.clone()).collect();
                let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
                Ok(Some((batch, start + rows)))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
