//! Shared by the lookup plug-ins: output columns, and joining rows side by side.

use arrow::array::UInt32Array;
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use model::Type;

use crate::Value;
use crate::ops::EvalError;
use crate::ops::layout::{build, run, schema};
use crate::plan::{ColumnId, Field};
use crate::value::cells::nulls;

/// The input's columns followed by the table's except `without`, renamed if a name is taken; also the ids of the table's columns.
pub fn fields(input: &[Field], table: &[Field], without: &[ColumnId]) -> (Vec<Field>, Vec<ColumnId>) {
    let mut fields: Vec<Field> = input.to_vec();
    let mut columns = Vec::new();
    for field in table.iter().filter(|field| !without.contains(&field.id)) {
        let mut name = field.name.to_string();
        let mut number = 0;
        while fields.iter().any(|known| *known.name == *name) {
            number += 1;
            name = format!("{}{number}", field.name);
        }
        // The table's columns keep their ids, so that the engine can prune unused ones.
        columns.push(field.id);
        fields.push(Field { id: field.id, name: name.into(), ty: field.ty });
    }
    (fields, columns)
}

/// Joins rows of `batch` with rows of `table`, or with nulls; `columns` are those taken from the table.
pub fn beside(
    outputs: &[Field],
    columns: &[ColumnId],
    batch: &RecordBatch,
    table: Option<&RecordBatch>,
    ours: Vec<u32>,
    theirs: Vec<Option<u32>>,
) -> Result<RecordBatch, EvalError> {
    let rows = ours.len();
    let (ours, theirs) = (UInt32Array::from(ours), UInt32Array::from(theirs));
    let arrays = outputs.iter().map(|field| {
        let name = field.id.to_string();
        match columns.contains(&field.id) {
            false => {
                let column = batch.column_by_name(&name).ok_or(EvalError::MissingColumn(name))?;
                take(column, &ours, None).map_err(run)
            }
            true => match table.and_then(|table| table.column_by_name(&name)) {
                // A string is never null.
                Some(column) if field.ty == Type::String => {
                    let taken = take(column, &theirs, None).map_err(run)?;
                    let texts = (0..rows).map(|row| Value::from_cell(&taken, row, Type::String));
                    Ok(Value::array(&texts.collect::<Vec<_>>(), Type::String))
                }
                Some(column) => take(column, &theirs, None).map_err(run),
                None => Ok(nulls(field.ty, rows)),
            },
        }
    });
    build(schema(outputs), arrays.collect::<Result<_, EvalError>>()?, rows)
}
