//! Scans a workspace table: the Parquet files and in-memory batches of one [`Snapshot`].
//!
//! Files store datetimes as microseconds with an optional companion of tenths; queries see ticks. Whole files are skipped by the time
//! ranges in the manifest, row groups by the filters ([`crate::direct`]).

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::Value;
use kql::functions::find;
use kql::plan::{ColumnId, Expr, Field};
use model::{INGESTION_TIME, MissingRows, QueryError, Scope, Timestamp, Type};
use workspace::{DamagedFiles, Snapshot, TimeRange, Unreadable, inside, tenth_name};

use crate::direct::{Exact, Footers, OpenError, Part, Parts, Readable, ScanColumn};
use crate::values::with_columns;

/// The column that a request's `timespan` applies to.
const TIME_GENERATED: &str = "TimeGenerated";

/// Ids of columns used only by the scope filter; ids of the plan count up from 0.
const HIDDEN_ID: u32 = 1 << 31;

/// A table as visible to the query: the requested fields, restricted to the query's scope.
pub(crate) fn readable(
    snapshot: &Snapshot,
    fields: &[Field],
    names: &[String],
    scope: &Scope,
    footers: &Footers,
    damaged: &DamagedFiles,
) -> Result<Readable, QueryError> {
    let mut columns: Vec<ScanColumn> = fields.iter().zip(names).map(|(field, name)| column(snapshot, name, field.ty)).collect();
    let (mut hidden, mut conditions) = (Vec::new(), Vec::new());
    let mut within = |name: &str, bounds: [(&str, Timestamp); 2]| {
        let id = ColumnId(HIDDEN_ID + u32::try_from(hidden.len()).unwrap_or(0));
        let field = Field { id, name: name.into(), ty: Type::Datetime };
        columns.push(column(snapshot, name, Type::Datetime));
        for (sign, time) in bounds {
            let compare = find(sign).ok_or_else(|| QueryError::Internal(format!("there is no `{sign}`")))?;
            conditions.push(Expr::call(compare, vec![Expr::column(&field), Expr::constant(Value::Datetime(time.ticks()))], Type::Bool));
        }
        hidden.push(field);
        Ok::<_, QueryError>(())
    };
    let timed = snapshot.schema.column(TIME_GENERATED).is_some_and(|column| column.ty == Type::Datetime);
    let window = scope.window.filter(|_| timed);
    if let Some(window) = window {
        within(TIME_GENERATED, [(">=", window.from), ("<", window.until)])?;
    }
    if let Some(window) = scope.ingested {
        within(INGESTION_TIME, [(">", window.from), ("<=", window.until)])?;
    }
    // All null: no comparison is true.
    let generated = |time: Option<TimeRange>| {
        window.is_none_or(|window| time.is_some_and(|time| window.from <= time.last && time.first < window.until))
    };
    let ingested = |time: TimeRange| scope.ingested.is_none_or(|window| window.from < time.last && time.first <= window.until);
    let (mut parts, mut missing) = (Parts::default(), Vec::new());
    for file in snapshot.files.iter().filter(|file| generated(file.time) && ingested(file.ingested)) {
        let mut unreadable = damaged.of(&file.path);
        let opened = match &unreadable {
            Some(Unreadable::Whole(_)) => None,
            _ => match footers.open(file) {
                Ok(opened) => Some(opened),
                Err(OpenError::Damaged(fault)) => {
                    damaged.report(file, fault);
                    unreadable = Some(Unreadable::Whole(fault));
                    None
                }
                Err(OpenError::Disk(kind)) => {
                    return Err(QueryError::Run(format!("`{}` cannot be read now: {kind}", inside(&file.path))));
                }
            },
        };
        let rows_left_out = match (&unreadable, &opened) {
            (None, _) => None,
            (Some(Unreadable::Groups(groups)), Some(opened)) => {
                let rows = groups.iter().filter_map(|group| opened.groups().get(*group)).map(|group| group.num_rows().max(0) as u64);
                Some(rows.sum())
            }
            (Some(_), _) => Some(file.rows),
        };
        missing.extend(rows_left_out.map(|rows| MissingRows {
            table: snapshot.schema.name.as_str().to_owned(),
            file: inside(&file.path),
            rows,
            first: file.ingested.first,
            last: file.ingested.last,
        }));
        let Some(opened) = opened else { continue };
        let leave_out = |group: usize| matches!(&unreadable, Some(Unreadable::Groups(groups)) if groups.contains(&group));
        let exact = |name: &str, time: TimeRange| Exact { name: name.to_owned(), least: time.first.ticks(), most: time.last.ticks() };
        let generated = file.time.filter(|_| timed).map(|time| exact(TIME_GENERATED, time));
        parts.add(&opened, generated.into_iter().chain([exact(INGESTION_TIME, file.ingested)]).collect(), leave_out);
    }
    let memory = snapshot.memory.iter().filter(|batch| generated(batch.time) && ingested(batch.ingested));
    parts.parts.extend(memory.map(|batch| Part::Memory(batch.batch.clone())));
    Ok(Readable { parts, columns, hidden, conditions, missing })
}

fn column(snapshot: &Snapshot, name: &str, ty: Type) -> ScanColumn {
    let physical = if name == INGESTION_TIME { Some(INGESTION_TIME) } else { snapshot.physical_name(name) };
    let tenth = physical.filter(|_| ty == Type::Datetime).map(tenth_name);
    ScanColumn { name: name.to_owned(), physical: physical.map(str::to_owned), tenth, ty }
}

/// Renames the columns of memory batches to the ids of `fields`: field `i` is the column at `place(batch, i)`, or null if there is none.
pub(crate) fn rename(
    batches: &[RecordBatch],
    fields: &[Field],
    place: impl Fn(&RecordBatch, usize) -> Option<usize>,
) -> Result<Vec<RecordBatch>, QueryError> {
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
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<datafusion::common::Result<_>>()?, &options)?)
    });
    renamed.collect::<datafusion::common::Result<_>>().map_err(|why| QueryError::Internal(why.to_string()))
}
