//! Reads a table of the workspace: the Parquet files and the batches in memory of one [`Snapshot`].
//!
//! Files hold datetimes as microseconds and, where there is one, the odd tenth beside them; queries see ticks. A comparison with a constant
//! is turned into one over what the file holds, one microsecond wide where it must be, so that whole files, row groups and pages are
//! skipped; DataFusion then filters what is left exactly.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array};
use arrow::datatypes::{DataType, Field as ArrowField, Int8Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ScalarUDF, TableProviderFilterPushDown, TableType, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use kql::functions::kernel;
use kql::plan::Field;
use model::{INGESTION_TIME, QueryError, Scope, Type, Window};
use workspace::{DataFile, Snapshot, TimeRange, tenth_name};

use crate::expr::column;
use crate::internal::text;
use crate::lower::Source;
use crate::scalar::Call;
use crate::values::{BatchesExec, with_columns};

/// The column that an answer's `timespan` is about.
const TIME_GENERATED: &str = "TimeGenerated";

/// Ticks between 0001-01-01 and 1970-01-01.
const UNIX_EPOCH: i64 = 621_355_968_000_000_000;

/// A table as the query sees it: the fields it asks for, and what it may not see.
pub(crate) fn source(
    snapshot: Arc<Snapshot>,
    fields: &[Field],
    names: &[String],
    scope: &Scope,
) -> std::result::Result<Source, QueryError> {
    let mut columns = Vec::new();
    for (field, name) in fields.iter().zip(names) {
        columns.push(Column::new(&snapshot, field.id.to_string(), name, field.ty));
    }
    let mut conditions = Vec::new();
    let mut within = |name: &str, window: Window, first: Operator, last: Operator| {
        let hidden = Column::new(&snapshot, format!("${name}"), name, Type::Datetime);
        let compare = |op, ticks| Expr::BinaryExpr(BinaryExpr::new(Box::new(column(&hidden.name)), op, Box::new(lit(ticks))));
        conditions.push(compare(first, window.from.ticks()));
        conditions.push(compare(last, window.until.ticks()));
        columns.push(hidden);
    };
    let has_time = snapshot.schema.column(TIME_GENERATED).is_some_and(|column| column.ty == Type::Datetime);
    if let (Some(window), true) = (scope.window, has_time) {
        within(TIME_GENERATED, window, Operator::GtEq, Operator::Lt);
    }
    if let Some(window) = scope.ingested {
        within(INGESTION_TIME, window, Operator::Gt, Operator::LtEq);
    }
    let schema =
        Arc::new(Schema::new(columns.iter().map(|column| ArrowField::new(&column.name, column.ty.arrow(), true)).collect::<Vec<_>>()));
    Ok(Source { provider: Arc::new(WorkspaceTable { snapshot, columns, schema }), condition: conjunction(conditions) })
}

/// A column of the scan.
#[derive(Clone, Debug)]
struct Column {
    /// In the query.
    name: String,
    /// In the table.
    table_name: String,
    /// In the files; nothing where no file can have it.
    physical: Option<String>,
    ty: Type,
}

impl Column {
    fn new(snapshot: &Snapshot, name: String, table_name: &str, ty: Type) -> Self {
        let physical = if table_name == INGESTION_TIME {
            Some(INGESTION_TIME.to_owned())
        } else {
            snapshot.physical_name(table_name).map(str::to_owned)
        };
        Self { name, table_name: table_name.to_owned(), physical, ty }
    }

    /// How it lies in a file.
    fn stored(&self) -> DataType {
        match self.ty {
            Type::Datetime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            _ => self.ty.arrow(),
        }
    }
}

#[derive(Debug)]
struct WorkspaceTable {
    snapshot: Arc<Snapshot>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for WorkspaceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
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
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let schema = Arc::new(self.schema.project(&wanted)?);
        let columns: Vec<&Column> = wanted.iter().filter_map(|&index| self.columns.get(index)).collect();
        let bounds: Vec<Bound> = filters.iter().flat_map(split_conjunction).filter_map(|filter| self.bound(filter)).collect();
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        let files: Vec<&Arc<DataFile>> = self.snapshot.files.iter().filter(|file| may_hold(&bounds, file.time, file.ingested)).collect();
        if !files.is_empty() {
            parts.push(self.files(session, &files, &columns, &bounds)?);
        }
        let memory = self.snapshot.memory.iter().filter(|batch| may_hold(&bounds, batch.time, batch.ingested));
        let batches = memory.map(|batch| shape(&batch.batch, &columns, &schema)).collect::<Result<Vec<_>>>()?;
        if !batches.is_empty() || parts.is_empty() {
            parts.push(BatchesExec::plan(batches, &schema, None)?);
        }
        UnionExec::try_new(parts)
    }
}

/// A comparison of a column with a constant, as far as it can skip rows.
struct Bound {
    table_name: String,
    op: Operator,
    value: ScalarValue,
    /// The same over what files hold.
    stored: Expr,
}

impl WorkspaceTable {
    fn bound(&self, filter: &Expr) -> Option<Bound> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
        let (name, value, op) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => (&column.name, value, *op),
            (Expr::Literal(value, _), Expr::Column(column)) => (&column.name, value, op.swap()?),
            _ => return None,
        };
        if value.is_null() || !matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) {
            return None;
        }
        let column = self.columns.iter().find(|column| column.name == *name)?;
        let physical = column.physical.clone()?;
        let (stored_op, stored) = match (column.ty, value) {
            (Type::Datetime, ScalarValue::Int64(Some(ticks))) => {
                // A file knows whole microseconds: the bound moves to the microsecond it lies in, which is then included.
                let micros = (ticks - UNIX_EPOCH).div_euclid(10);
                let included = match op {
                    Operator::Lt => Operator::LtEq,
                    Operator::Gt => Operator::GtEq,
                    same => same,
                };
                (included, ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
            }
            (Type::Int | Type::Long | Type::Timespan, value) => (op, value.clone()),
            // A text that is not there at all is null in the file and `""` in the query.
            (Type::String | Type::Guid, value)
                if op == Operator::Eq && !matches!(value, ScalarValue::Utf8View(Some(text)) if text.is_empty()) =>
            {
                (op, value.clone())
            }
            _ => return None,
        };
        let stored = Expr::BinaryExpr(BinaryExpr::new(Box::new(self::column(physical)), stored_op, Box::new(lit(stored))));
        Some(Bound { table_name: column.table_name.clone(), op, value: value.clone(), stored })
    }

    fn files(
        &self,
        session: &dyn Session,
        files: &[&Arc<DataFile>],
        columns: &[&Column],
        bounds: &[Bound],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The files' columns: those asked for, those bounds look at, and companions.
        let mut fields: Vec<ArrowField> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut add = |name: &str, ty: DataType| {
            places.entry(name.to_owned()).or_insert_with(|| {
                fields.push(ArrowField::new(name, ty, true));
                fields.len() - 1
            });
        };
        let mut read: Vec<String> = Vec::new();
        for column in columns {
            let Some(physical) = &column.physical else { continue };
            add(physical, column.stored());
            read.push(physical.clone());
            if column.ty == Type::Datetime {
                add(&tenth_name(physical), DataType::Int8);
                read.push(tenth_name(physical));
            }
        }
        for column in self.columns.iter().filter(|column| bounds.iter().any(|bound| bound.table_name == column.table_name)) {
            if let Some(physical) = &column.physical {
                add(physical, column.stored());
            }
        }
        read.sort();
        read.dedup();
        let file_schema = Arc::new(Schema::new(fields));
        let mut parquet = ParquetSource::new(file_schema.clone());
        if let Some(predicate) = conjunction(bounds.iter().map(|bound| bound.stored.clone())) {
            parquet = parquet.with_predicate(session.create_physical_expr(predicate, &DFSchema::try_from(file_schema.as_ref().clone())?)?);
        }
        let projection: Vec<usize> = read.iter().filter_map(|name| places.get(name).copied()).collect();
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(parquet))
            .with_file_groups(groups(files, session.config().target_partitions())?)
            .with_projection_indices(Some(projection))?
            .build();
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        let scanned = DFSchema::try_from(scan.schema().as_ref().clone())?;
        let exprs = columns.iter().map(|column| {
            let expr = match &column.physical {
                None => lit(crate::values::null(column.ty)),
                Some(physical) => match column.ty {
                    Type::Datetime => ticks().call(vec![self::column(physical), self::column(tenth_name(physical))]),
                    Type::String => text(self::column(physical)),
                    _ => self::column(physical),
                },
            };
            Ok(ProjectionExpr { expr: session.create_physical_expr(expr, &scanned)?, alias: column.name.clone() })
        });
        Ok(Arc::new(ProjectionExec::try_new(exprs.collect::<Result<Vec<_>>>()?, scan)?))
    }
}

/// Files shared out so that each partition has about as many bytes to read.
fn groups(files: &[&Arc<DataFile>], partitions: usize) -> Result<Vec<FileGroup>> {
    let count = partitions.clamp(1, files.len().max(1));
    let mut groups: Vec<(u64, FileGroup)> = (0..count).map(|_| (0, FileGroup::new(vec![]))).collect();
    for file in files {
        let path = object_store::path::Path::from_absolute_path(&file.path)
            .map_err(|why| datafusion::error::DataFusionError::External(Box::new(why)))?;
        let mut part = datafusion::datasource::listing::PartitionedFile::new(path.to_string(), file.bytes);
        part.object_meta.location = path;
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.bytes.max(1);
            group.push(part);
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

/// Whether rows with times in these ranges can pass all bounds.
fn may_hold(bounds: &[Bound], time: Option<TimeRange>, ingested: TimeRange) -> bool {
    bounds.iter().all(|bound| {
        let range = match bound.table_name.as_str() {
            INGESTION_TIME => Some(ingested),
            TIME_GENERATED => time,
            _ => return true,
        };
        // All null: no comparison holds.
        let Some(range) = range else { return false };
        let ScalarValue::Int64(Some(ticks)) = bound.value else { return true };
        match bound.op {
            Operator::Eq => range.first.ticks() <= ticks && ticks <= range.last.ticks(),
            Operator::Lt => range.first.ticks() < ticks,
            Operator::LtEq => range.first.ticks() <= ticks,
            Operator::Gt => range.last.ticks() > ticks,
            Operator::GtEq => range.last.ticks() >= ticks,
            _ => true,
        }
    })
}

/// Microseconds since 1970 and the odd tenths as ticks since year 1.
fn ticks() -> Arc<ScalarUDF> {
    static TICKS: std::sync::LazyLock<Arc<ScalarUDF>> = std::sync::LazyLock::new(|| {
        let eval = kernel(|args| {
            let micros = args.array(0);
            let tenths = args.array(1);
            to_ticks(&micros, tenths.as_primitive_opt::<Int8Type>())
        });
        Arc::new(Call::internal("$ticks", eval, DataType::Int64, 2))
    });
    TICKS.clone()
}

fn to_ticks(micros: &ArrayRef, tenths: Option<&Int8Array>) -> ArrayRef {
    let Some(micros) = micros.as_primitive_opt::<TimestampMicrosecondType>() else {
        return arrow::array::new_null_array(&DataType::Int64, micros.len());
    };
    match tenths.filter(|tenths| tenths.null_count() < tenths.len()) {
        None => Arc::new(micros.unary::<_, Int64Type>(|micros| micros.saturating_mul(10).saturating_add(UNIX_EPOCH))),
        Some(tenths) => {
            let whole = micros.iter().zip(tenths.iter());
            Arc::new(
                whole
                    .map(|(micros, tenth)| Some(micros?.saturating_mul(10).saturating_add(UNIX_EPOCH) + i64::from(tenth.unwrap_or(0))))
                    .collect::<Int64Array>(),
            )
        }
    }
}

/// The columns of a batch in memory, in the scan's order; what it lacks is null or empty.
fn shape(batch: &RecordBatch, columns: &[&Column], schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let columns = columns
        .iter()
        .map(|column| match batch.column_by_name(&column.table_name) {
            Some(values) if values.data_type() == &column.ty.arrow() => {
                Ok(if column.ty == Type::String { crate::internal::fill(values.clone()) } else { values.clone() })
            }
            _ => crate::values::null(column.ty).to_array_of_size(rows),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Batches in memory with columns named by the ids of `fields`: field `i` is the column at `place(batch, i)`, or null where there is none.
pub(crate) fn rename(
    batches: &[RecordBatch],
    fields: &[Field],
    place: impl Fn(&RecordBatch, usize) -> Option<usize>,
) -> std::result::Result<Vec<RecordBatch>, QueryError> {
    let schema = crate::values::schema_of(fields);
    let renamed = batches.iter().map(|batch| {
        let places: Vec<Option<usize>> = (0..fields.len()).map(|index| place(batch, index)).collect();
        if let Some(all) = places.iter().copied().collect::<Option<Vec<usize>>>()
            && fields.iter().zip(&all).all(|(field, &at)| {
                batch.column(at).data_type() == &field.ty.arrow() && (field.ty != Type::String || batch.column(at).null_count() == 0)
            })
        {
            return with_columns(batch, &schema, &all);
        }
        let columns = fields.iter().zip(places).map(|(field, place)| {
            let values = place.map(|at| batch.column(at)).filter(|values| values.data_type() == &field.ty.arrow());
            match values {
                Some(values) if field.ty == Type::String => Ok(crate::internal::fill(values.clone())),
                Some(values) => Ok(values.clone()),
                None => crate::values::null(field.ty).to_array_of_size(batch.num_rows()),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_>>()?, &options)?)
    });
    renamed.collect::<Result<_>>().map_err(|why| QueryError::Internal(why.to_string()))
}
