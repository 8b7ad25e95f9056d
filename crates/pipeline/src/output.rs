//! Adapts the output of a flow to its table: columns, types, sizes, `TimeGenerated`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use model::{Column, Span, TableSchema, Timestamp, Type};

use crate::cell::{CellBuilder, from_json, from_text};

/// Maximum bytes of a value; longer values are truncated, as in Log Analytics.
pub const MAX_FIELD: usize = 64 * 1024;

/// Allowed distance of `TimeGenerated` from the arrival; like Log Analytics, values outside it are replaced by the time of arrival.
/// Microsoft's documentation is contradictory on whether such rows are dropped instead; rows are kept here, and the dead-letter table
/// records the replacement.
const OLDEST: Span = Span(2 * model::TICKS_PER_DAY);
const NEWEST: Span = Span(model::TICKS_PER_DAY);

/// Which times of events are kept.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// Those near the arrival; others become the arrival, as Log Analytics has it for uploads.
    Recent(Timestamp),
    /// All. Rows without one get the arrival.
    All(Timestamp),
}

impl Times {
    /// The arrival.
    pub fn now(self) -> Timestamp {
        match self {
            Times::Recent(now) | Times::All(now) => now,
        }
    }

    fn keeps(self, tick: i64) -> bool {
        match self {
            Times::Recent(now) => ((now - OLDEST).ticks()..=(now + NEWEST).ticks()).contains(&tick),
            Times::All(_) => true,
        }
    }
}

/// Rows that fit, and what was done to make them.
pub struct Fitted {
    pub batch: RecordBatch,
    /// Columns that the table does not have.
    pub dropped: Vec<String>,
    /// One sentence per kind of change.
    pub notes: Vec<String>,
}

/// Makes a batch with these columns fit the table.
pub fn fit(table: &TableSchema, columns: &[Column], batch: &RecordBatch, kept: Times) -> Fitted {
    let (mut fields, mut arrays, mut dropped, mut notes) = (Vec::new(), Vec::<ArrayRef>::new(), Vec::new(), Vec::new());
    for (column, array) in columns.iter().zip(batch.columns()) {
        let Some(wanted) = table.column(&column.name) else {
            dropped.push(column.name.clone());
            continue;
        };
        if fields.iter().any(|field: &Field| field.name() == &column.name) {
            continue;
        }
        let (array, lost) = coerce(array, column.ty, wanted.ty);
        if lost > 0 {
            notes.push(format!("{lost} values of column `{}` are no {} and were stored as null", column.name, wanted.ty));
        }
        let (array, cut) = shorten(array, wanted.ty);
        if cut > 0 {
            notes.push(format!("{cut} values of column `{}` were longer than 64 KB and were cut", column.name));
        }
        fields.push(Field::new(&column.name, wanted.ty.arrow(), true));
        arrays.push(array);
    }
    if table.column("TimeGenerated").is_some_and(|column| column.ty == Type::Datetime) {
        let place = fields.iter().position(|field| field.name() == "TimeGenerated");
        let (times, replaced) = times(place.map(|place| &arrays[place]), batch.num_rows(), kept);
        if replaced > 0 {
            notes.push(format!(
                "{replaced} values of `TimeGenerated` were more than 2 days old or 1 day ahead and were replaced by the time of arrival"
            ));
        }
        match place {
            Some(place) => arrays[place] = times,
            None => {
                fields.push(Field::new("TimeGenerated", DataType::Int64, true));
                arrays.push(times);
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options).unwrap_or_else(|_| RecordBatch::new_empty(schema));
    Fitted { batch, dropped, notes }
}

/// True if no column except the time exists in the table, so that rows would be blank.
pub fn is_blank(table: &TableSchema, columns: &[Column]) -> bool {
    let mut others = columns.iter().filter(|column| column.name != "TimeGenerated").peekable();
    others.peek().is_some() && others.all(|column| table.column(&column.name).is_none())
}

/// Converts the values to another type; also returns how many could not be converted.
fn coerce(array: &ArrayRef, from: Type, to: Type) -> (ArrayRef, u64) {
    if from == to || (from.arrow() == to.arrow() && to == Type::String && from == Type::Guid) {
        return (array.clone(), 0);
    }
    let mut builder = CellBuilder::new(to);
    let mut lost = 0;
    for row in 0..array.len() {
        let text = text_of(array, from, row);
        let cell = match &text {
            None => Ok(crate::cell::Cell::Null),
            Some(text) => match (from, to) {
                // Parsed as JSON: a quoted string becomes its content, an object stays an object.
                (Type::Dynamic, _) => from_json(to, text),
                (Type::String | Type::Guid | Type::Datetime | Type::Timespan, _) => from_text(to, text),
                // Numbers and booleans are valid JSON as written.
                (_, Type::Dynamic) => from_json(to, text),
                _ => from_text(to, text),
            },
        };
        match cell {
            Ok(cell) => builder.push(&cell),
            Err(_) => {
                lost += 1;
                builder.push(&crate::cell::Cell::Null);
            }
        }
    }
    (builder.finish(), lost)
}

/// A value as text for [`from_text`]; `None` if it is null.
fn text_of(array: &ArrayRef, ty: Type, row: usize) -> Option<Cow<'_, str>> {
    if array.is_null(row) {
        return None;
    }
    Some(match ty {
        Type::String | Type::Guid | Type::Dynamic => Cow::Borrowed(array.as_string_view().value(row)),
        Type::Datetime => Timestamp::clamp_ticks(array.as_primitive::<Int64Type>().value(row)).to_string().into(),
        Type::Timespan => Span(array.as_primitive::<Int64Type>().value(row)).to_string().into(),
        _ => {
            let one = cast(&array.slice(row, 1), &DataType::Utf8View).ok()?;
            one.as_string_view().value(0).to_owned().into()
        }
    })
}

/// Truncates texts to [`MAX_FIELD`] bytes and counts them. Truncated JSON is no longer JSON and becomes a string.
fn shorten(array: ArrayRef, ty: Type) -> (ArrayRef, u64) {
    let Some(texts) = array.as_string_view_opt() else { return (array, 0) };
    let long = |text: Option<&str>| text.is_some_and(|text| text.len() > MAX_FIELD);
    let count = texts.iter().filter(|text| long(*text)).count() as u64;
    if count == 0 {
        return (array, 0);
    }
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        match text {
            Some(text) if text.len() > MAX_FIELD => {
                let short = &text[..text.floor_char_boundary(MAX_FIELD)];
                if ty == Type::Dynamic {
                    builder.append_value(serde_json::Value::from(short).to_string());
                } else {
                    builder.append_value(short);
                }
            }
            other => builder.append_option(other),
        }
    }
    (Arc::new(builder.finish()), count)
}

/// The times with arrival where there is none, and how many were too far away.
fn times(array: Option<&ArrayRef>, rows: usize, kept: Times) -> (ArrayRef, u64) {
    let now = kept.now();
    let Some(sent) = array.and_then(|array| array.as_primitive_opt::<Int64Type>()) else {
        return (Arc::new(Int64Array::from_value(now.ticks(), rows)), 0);
    };
    let mut replaced = 0;
    let times: Int64Array = sent
        .iter()
        .map(|tick| {
            Some(match tick {
                Some(tick) if kept.keeps(tick) => tick,
                Some(_) => {
                    replaced += 1;
                    now.ticks()
                }
                None => now.ticks(),
            })
        })
        .collect();
    (Arc::new(times), replaced)
}

/// A string column of these values.
pub fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

/// The same text in every row, stored once.
pub fn repeated(value: &str, rows: usize) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows).with_deduplicate_strings();
    (0..rows).for_each(|_| builder.append_value(value));
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableSchema {
        let columns = [("TimeGenerated", Type::Datetime), ("S", Type::String), ("N", Type::Int), ("D", Type::Dynamic)];
        TableSchema::new("T_CL", columns.map(|(name, ty)| Column::new(name, ty)).to_vec())
    }

    #[test]
    fn values_are_converted_to_the_table() {
        let now = Timestamp::parse_iso("2026-05-01").unwrap();
        let hour_ago = (now - Span::HOUR).ticks();
        let columns = vec![
            Column::new("TimeGenerated", Type::Datetime),
            Column::new("S", Type::Long),
            Column::new("N", Type::String),
            Column::new("D", Type::String),
            Column::new("Extra", Type::Int),
        ];
        let long = "x".repeat(MAX_FIELD + 1);
        let batch = RecordBatch::try_new(
            model::arrow_schema(&columns),
            vec![
                Arc::new(Int64Array::from(vec![Some(hour_ago), None, Some((now - Span(3 * model::TICKS_PER_DAY)).ticks())])),
                Arc::new(Int64Array::from(vec![Some(-5), None, Some(7)])),
                texts(["12", "many", ""]),
                texts(["plain", "", &long]),
                Arc::new(arrow::array::Int32Array::from(vec![1, 2, 3])),
            ],
        )
        .unwrap();
        let fitted = fit(&table(), &columns, &batch, Times::Recent(now));
        assert_eq!(fitted.dropped, ["Extra"]);
        assert_eq!(fitted.batch.column(0).as_primitive::<Int64Type>().values(), &[hour_ago, now.ticks(), now.ticks()]);
        assert_eq!(fitted.batch.column(1).as_string_view().iter().collect::<Vec<_>>(), [Some("-5"), Some(""), Some("7")]);
        assert_eq!(fitted.batch.column(2).as_primitive::<arrow::datatypes::Int32Type>().iter().collect::<Vec<_>>(), [Some(12), None, None]);
        assert_eq!(fitted.batch.column(3).as_string_view().value(0), "\"plain\"");
        assert_eq!(fitted.notes.len(), 3, "{:?}", fitted.notes);
    }
}
