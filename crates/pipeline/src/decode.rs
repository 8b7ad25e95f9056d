//! Decodes a JSON body directly into typed columns, without an intermediate tree.
//!
//! One pass finds the rows and checks the syntax, a second reads the members of each row. A value that does not fit its column becomes null
//! and is counted; a row that is not an object is rejected with a reason and its text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use model::{Column, arrow_schema};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::bounds::{MAX_CELLS, MAX_DEPTH, MAX_RECORDS, MAX_STRAYS, Survey, survey};
use crate::cell::{Cell, CellBuilder, from_json, refusal};

/// Why a body could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is no JSON array of objects")]
    NotAnArray,
    #[error("the body is no JSON: {problem} at line {line}, column {column}")]
    Syntax { problem: String, line: usize, column: usize },
    #[error("the body nests more than {MAX_DEPTH} levels deep")]
    TooDeep,
    #[error("more than {MAX_STRAYS} elements of the array are no objects")]
    TooManyStrays,
    #[error("the body has more than {MAX_RECORDS} records; send smaller batches")]
    TooManyRecords,
    #[error("{records} records for a stream of {columns} columns are more than {MAX_CELLS} values; send smaller batches")]
    TooManyCells { records: usize, columns: usize },
}

/// A row that is not an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit<'a> {
    pub record: &'a str,
    pub reason: String,
}

/// Result of decoding a body.
pub struct Decoded<'a> {
    pub batch: RecordBatch,
    /// The text of each row of `batch`.
    pub records: Vec<&'a str>,
    pub misfits: Vec<Misfit<'a>>,
    /// Number of members without a declared column; they are dropped.
    pub unknown: u64,
    /// One sentence per column with values that did not fit.
    pub notes: Vec<String>,
}

/// Count of a column's values that did not fit.
#[derive(Clone, Default)]
struct Unfits {
    count: u64,
    /// The first such value, as sent.
    first: String,
}

impl Unfits {
    fn note(&self, column: &Column) -> String {
        let instead = if column.name == "TimeGenerated" { "the time of arrival" } else { "null" };
        let (name, first) = (&column.name, refusal(column.ty, &self.first));
        format!("{} values of column `{name}` did not fit and were stored as {instead}; the first: {first}", self.count)
    }
}

/// Checks, before decoding, that the body is within the limits for this many columns.
pub fn look_over(body: &[u8], columns: usize) -> Result<Survey, BodyError> {
    let found = survey(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    found.check(columns)?;
    Ok(found)
}

/// Decodes an array of objects into the columns of a stream. Call [`look_over`] first.
pub fn decode<'a>(body: &'a [u8], columns: &[Column]) -> Result<Decoded<'a>, BodyError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {}
        Some(b'{') => return Err(BodyError::NotAnArray),
        _ => {
            // Not an array. If the body is not valid JSON, report that instead.
            serde_json::from_slice::<serde::de::IgnoredAny>(body).map_err(syntax)?;
            return Err(BodyError::NotAnArray);
        }
    }
    let rows: Vec<&RawValue> = serde_json::from_slice(body).map_err(syntax)?;
    let places: HashMap<&str, usize> = columns.iter().enumerate().map(|(place, column)| (column.name.as_str(), place)).collect();
    let mut builders: Vec<CellBuilder> = columns.iter().map(|column| CellBuilder::new(column.ty)).collect();
    let (mut records, mut misfits, mut unknown) = (Vec::with_capacity(rows.len()), Vec::new(), 0);
    let mut cells = vec![Cell::Null; columns.len()];
    let mut unfits = vec![Unfits::default(); columns.len()];
    for row in rows {
        let record = row.get();
        cells.fill(Cell::Null);
        match read_row(record, columns, &places, &mut cells, &mut unfits) {
            Ok(left_out) => {
                unknown += left_out;
                records.push(record);
                builders.iter_mut().zip(&cells).for_each(|(builder, cell)| builder.push(cell));
            }
            Err(reason) => misfits.push(Misfit { record, reason }),
        }
    }
    let arrays = builders.into_iter().map(CellBuilder::finish).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    let batch = RecordBatch::try_new_with_options(arrow_schema(columns), arrays, &options);
    // Unreachable: every builder got one cell per row. If it happens, reject the rows instead of losing them.
    let batch = match batch {
        Ok(batch) => batch,
        Err(cause) => {
            misfits.extend(records.drain(..).map(|record| Misfit { record, reason: format!("the columns do not fit together: {cause}") }));
            RecordBatch::new_empty(Arc::new(arrow_schema(columns).as_ref().clone()))
        }
    };
    let notes = columns.iter().zip(&unfits).filter(|(_, unfits)| unfits.count > 0).map(|(column, unfits)| unfits.note(column)).collect();
    Ok(Decoded { batch, records, misfits, unknown, notes })
}

fn syntax(error: serde_json::Error) -> BodyError {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
    BodyError::Syntax { problem, line: error.line(), column: error.column() }
}

/// Reads an object's members into the cells; returns the number of members without a column.
fn read_row<'a>(
    record: &'a str,
    columns: &[Column],
    places: &HashMap<&str, usize>,
    cells: &mut [Cell<'a>],
    unfits: &mut [Unfits],
) -> Result<u64, String> {
    if !record.starts_with('{') {
        return Err("the record is no JSON object".to_owned());
    }
    let mut reader = serde_json::Deserializer::from_str(record);
    reader.deserialize_map(Row { columns, places, cells, unfits }).map_err(|error| error.to_string())
}

struct Row<'r, 'a> {
    columns: &'r [Column],
    places: &'r HashMap<&'r str, usize>,
    cells: &'r mut [Cell<'a>],
    unfits: &'r mut [Unfits],
}

impl<'a> Visitor<'a> for Row<'_, 'a> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut unknown = 0;
        while let Some(Key(name)) = map.next_key::<Key<'a>>()? {
            let value: &'a RawValue = map.next_value()?;
            let Some(&place) = self.places.get(name.as_ref()) else {
                unknown += 1;
                continue;
            };
            self.cells[place] = from_json(self.columns[place].ty, value.get()).unwrap_or_else(|_| {
                let unfits = &mut self.unfits[place];
                if unfits.count == 0 {
                    unfits.first = value.get().trim_matches('"').to_owned();
                }
                unfits.count += 1;
                Cell::Null
            });
        }
        Ok(unknown)
    }
}

/// A member name, borrowed unless it contains escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;
    use model::Type;

    use super::*;

    fn columns() -> Vec<Column> {
        vec![Column::new("n", Type::Int), Column::new("url", Type::String), Column::new("Url", Type::String)]
    }

    #[test]
    fn invalid_row_does_not_affect_others() {
        let body = br#" [ {"n": 1, "url": "a", "Url": "A", "more": {"x": []}}, 5, {"n": "two"}, {"n": null}, {} ] "#;
        let decoded = decode(body, &columns()).unwrap();
        assert_eq!(decoded.batch.num_rows(), 4);
        assert_eq!(decoded.batch.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, None, None]);
        assert_eq!(decoded.batch.column(2).as_string_view().iter().collect::<Vec<_>>(), [Some("A"), Some(""), Some(""), Some("")]);
        assert_eq!(decoded.unknown, 1);
        let misfits: Vec<_> = decoded.misfits.iter().map(|misfit| (misfit.record, misfit.reason.as_str())).collect();
        assert_eq!(misfits, [("5", "the record is no JSON object")]);
        assert_eq!(decoded.notes, ["1 values of column `n` did not fit and were stored as null; the first: `two` is no int"]);
    }

    #[test]
    fn invalid_bodies_have_distinct_errors() {
        let error = |body: &[u8]| look_over(body, 3).and_then(|_| decode(body, &columns())).err().unwrap();
        assert_eq!(error(b"{}"), BodyError::NotAnArray);
        assert_eq!(error(b"\"x\""), BodyError::NotAnArray);
        assert!(matches!(error(b""), BodyError::Syntax { .. }));
        assert!(matches!(error(b"[{\"n\": 1}, "), BodyError::Syntax { line: 1, .. }));
        assert!(matches!(error(b"[{\"n\": 1}] x"), BodyError::Syntax { .. }));
        assert!(matches!(error(b"[\"\xff\"]"), BodyError::Syntax { .. }));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(error(deep(1000).as_bytes()), BodyError::TooDeep);
        assert_eq!(error(deep(65).as_bytes()), BodyError::TooDeep);
        assert!(decode(deep(64).as_bytes(), &columns()).is_ok());
        assert_eq!(decode(b"\xef\xbb\xbf[]", &columns()).unwrap().batch.num_rows(), 0);
    }
}
