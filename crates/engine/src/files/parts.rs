//! Parts of a table: columns built from cells, parts put together, and known columns added.

use std::path::{Path, PathBuf};

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::value::cells::{Cells, nulls};
use model::{Column, InlineTable, TableSchema, Type, arrow_schema};

use super::FileError;
use super::cells::{Cell, column_type, known_value, of_known, value};

/// Rows of one input, with their own columns.
pub(super) struct Part {
    pub path: PathBuf,
    pub columns: Vec<Column>,
    pub batches: Vec<RecordBatch>,
}

/// Concatenates all parts; columns are matched by name, in order of first appearance.
pub(super) fn united(name: &str, parts: Vec<Part>) -> Result<InlineTable, FileError> {
    let mut columns: Vec<Column> = Vec::new();
    for Part { path, columns: own, .. } in &parts {
        for column in own {
            match columns.iter().find(|known| known.name == column.name) {
                Some(known) if known.ty != column.ty => {
                    let (table, column, ty, other) = (name.to_owned(), column.name.clone(), column.ty, known.ty);
                    return Err(FileError::Differs { table, path: path.clone(), column, ty, other });
                }
                Some(_) => {}
                None => columns.push(column.clone()),
            }
        }
    }
    let schema = arrow_schema(&columns);
    let mut batches = Vec::new();
    for Part { path, columns: own, batches: rows } in parts {
        for batch in rows {
            if own == columns {
                batches.push(batch);
                continue;
            }
            let array = |column: &Column| match own.iter().position(|known| known.name == column.name) {
                Some(index) => batch.column(index).clone(),
                None => nulls(column.ty, batch.num_rows()),
            };
            let arrays = columns.iter().map(array).collect();
            let aligned = RecordBatch::try_new(schema.clone(), arrays).map_err(|cause| FileError::Layout { path: path.clone(), cause })?;
            batches.push(aligned);
        }
    }
    Ok(InlineTable { schema: TableSchema::new(name, columns), batches })
}

/// The known columns, followed by the others of a table.
pub(super) fn completed(own: &[Column], known: &[Column]) -> Vec<Column> {
    let further = own.iter().filter(|column| known.iter().all(|there| there.name != column.name));
    // Parquet files keep their own types.
    let first = known.iter().map(|column| own.iter().find(|there| there.name == column.name).unwrap_or(column));
    first.chain(further).cloned().collect()
}

/// Adds the known columns missing from all inputs, as nulls, and moves known columns to the front.
pub(super) fn complete(table: &mut InlineTable, known: &[Column]) -> Result<(), arrow::error::ArrowError> {
    if known.is_empty() {
        return Ok(());
    }
    let own = &table.schema.columns;
    let columns = completed(own, known);
    let schema = arrow_schema(&columns);
    let aligned = |batch: &RecordBatch| {
        let array = |column: &Column| match own.iter().position(|there| there.name == column.name) {
            Some(index) => batch.column(index).clone(),
            None => nulls(column.ty, batch.num_rows()),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), columns.iter().map(array).collect(), &options)
    };
    table.batches = table.batches.iter().map(aligned).collect::<Result<_, _>>()?;
    table.schema.columns = columns;
    Ok(())
}

/// Builds a part of a table from named columns of equal length.
pub(super) fn part(path: &Path, names: Vec<String>, columns: &[Vec<Cell>], mixed: Type, known: &[Column]) -> Result<Part, FileError> {
    let mut schema = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, cells) in names.into_iter().zip(columns) {
        if let Some(column) = of_known(&name, known).filter(|column| schema.iter().all(|there: &Column| there.name != column.name)) {
            let mut builder = Cells::new(column.ty, cells.len());
            cells.iter().for_each(|cell| builder.push(&known_value(cell, column.ty)));
            arrays.push(builder.finish());
            schema.push(column.clone());
            continue;
        }
        let ty = match column_type(cells.iter()) {
            // In an untyped format, a mix of numbers and words is text.
            Type::Dynamic if mixed == Type::String => Type::String,
            ty => ty,
        };
        let mut builder = Cells::new(ty, cells.len());
        cells.iter().for_each(|cell| builder.push(&value(cell, ty)));
        arrays.push(builder.finish());
        schema.push(Column::new(name, ty));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(columns.first().map_or(0, Vec::len)));
    let batch = RecordBatch::try_new_with_options(arrow_schema(&schema), arrays, &options)
        .map_err(|cause| FileError::Layout { path: path.to_owned(), cause })?;
    Ok(Part { path: path.to_owned(), columns: schema, batches: vec![batch] })
}
