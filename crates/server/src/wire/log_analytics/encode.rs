//! Encodes results as Log Analytics does: rows of JSON values.
//!
//! Numbers and booleans as they are (non-finite numbers as `"NaN"`, `"Infinity"`, `"-Infinity"`), `datetime` in ISO 8601 with up to seven
//! digits, `timespan` as `d.hh:mm:ss.fffffff`, `guid` and `decimal` as strings, `dynamic` as a string of JSON, or the plain string if the
//! value is one.

use std::io::Write;

use arrow::array::{Array, AsArray, Decimal256Array};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use model::{Answer, Column, Span, Timestamp, Type};
use serde_json::{Value, json};

use super::prefer::Prefer;

/// The whole result as JSON text.
pub fn answer(answer: &Answer, prefer: Prefer) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 << 10);
    out.extend_from_slice(br#"{"tables":["#);
    table(&mut out, answer.name.as_deref().unwrap_or("PrimaryResult"), &answer.columns, &answer.batches);
    for further in &answer.more {
        out.push(b',');
        table(&mut out, &further.name, &further.columns, &further.batches);
    }
    out.push(b']');
    if prefer.statistics {
        member(&mut out, "statistics", &statistics(answer));
    }
    if prefer.render {
        member(&mut out, "render", &render(answer));
    }
    if let Some(reason) = &answer.partial {
        member(&mut out, "error", &super::failure::partial(reason));
    }
    out.push(b'}');
    out
}

fn table(out: &mut Vec<u8>, name: &str, columns: &[Column], batches: &[RecordBatch]) {
    out.extend_from_slice(br#"{"name":"#);
    string(out, name);
    out.extend_from_slice(br#","columns":["#);
    for (index, column) in columns.iter().enumerate() {
        comma(out, index);
        out.extend_from_slice(br#"{"name":"#);
        string(out, &column.name);
        out.extend_from_slice(br#","type":""#);
        out.extend_from_slice(column.ty.name().as_bytes());
        out.extend_from_slice(br#""}"#);
    }
    out.extend_from_slice(br#"],"rows":["#);
    let mut count = 0;
    for batch in batches {
        rows(out, columns, batch, &mut count);
    }
    out.extend_from_slice(b"]}");
}

fn rows(out: &mut Vec<u8>, columns: &[Column], batch: &RecordBatch, count: &mut usize) {
    let cells: Vec<Cells> = columns.iter().zip(batch.columns()).map(|(column, array)| Cells::of(column.ty, array.as_ref())).collect();
    for row in 0..batch.num_rows() {
        comma(out, *count);
        *count += 1;
        out.push(b'[');
        for (index, cell) in cells.iter().enumerate() {
            comma(out, index);
            cell.write(out, row);
        }
        out.push(b']');
    }
}

/// A column, downcast once.
enum Cells<'a> {
    Bool(&'a arrow::array::BooleanArray),
    Int(&'a arrow::array::Int32Array),
    Long(&'a arrow::array::Int64Array),
    Real(&'a arrow::array::Float64Array),
    Decimal(&'a Decimal256Array),
    /// KQL strings are never null: null becomes an empty string.
    String(&'a arrow::array::StringViewArray),
    Guid(&'a arrow::array::StringViewArray),
    Dynamic(&'a arrow::array::StringViewArray),
    Datetime(&'a arrow::array::Int64Array),
    Timespan(&'a arrow::array::Int64Array),
    /// Unexpected column type from the engine; nulls are better than a panic.
    Unknown,
}

impl<'a> Cells<'a> {
    fn of(ty: Type, array: &'a dyn Array) -> Self {
        let cells = match ty {
            Type::Bool => array.as_boolean_opt().map(Cells::Bool),
            Type::Int => array.as_primitive_opt::<Int32Type>().map(Cells::Int),
            Type::Long => array.as_primitive_opt::<Int64Type>().map(Cells::Long),
            Type::Real => array.as_primitive_opt::<Float64Type>().map(Cells::Real),
            Type::Decimal => array.as_any().downcast_ref::<Decimal256Array>().map(Cells::Decimal),
            Type::String => array.as_string_view_opt().map(Cells::String),
            Type::Guid => array.as_string_view_opt().map(Cells::Guid),
            Type::Dynamic => array.as_string_view_opt().map(Cells::Dynamic),
            Type::Datetime => array.as_primitive_opt::<Int64Type>().map(Cells::Datetime),
            Type::Timespan => array.as_primitive_opt::<Int64Type>().map(Cells::Timespan),
        };
        cells.unwrap_or(Cells::Unknown)
    }

    fn array(&self) -> Option<&dyn Array> {
        Some(match self {
            Cells::Bool(array) => *array,
            Cells::Int(array) => *array,
            Cells::Long(array) | Cells::Datetime(array) | Cells::Timespan(array) => *array,
            Cells::Real(array) => *array,
            Cells::Decimal(array) => *array,
            Cells::String(array) | Cells::Guid(array) | Cells::Dynamic(array) => *array,
            Cells::Unknown => return None,
        })
    }

    fn write(&self, out: &mut Vec<u8>, row: usize) {
        if self.array().is_none_or(|array| array.is_null(row)) {
            out.extend_from_slice(if matches!(self, Cells::String(_)) { br#""""# } else { b"null" });
            return;
        }
        match self {
            Cells::Bool(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Cells::Int(array) => print(out, format_args!("{}", array.value(row))),
            Cells::Long(array) => print(out, format_args!("{}", array.value(row))),
            Cells::Real(array) => real(out, array.value(row)),
            Cells::Decimal(array) => {
                let text = array.value_as_string(row);
                let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
                string(out, short);
            }
            Cells::String(array) | Cells::Guid(array) => string(out, array.value(row)),
            Cells::Dynamic(array) => dynamic(out, array.value(row)),
            Cells::Datetime(array) => datetime(out, Timestamp::clamp_ticks(array.value(row))),
            Cells::Timespan(array) => print(out, format_args!("\"{}\"", Span(array.value(row)))),
            Cells::Unknown => {}
        }
    }
}

fn real(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(br#""NaN""#);
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { br#""Infinity""# } else { br#""-Infinity""# });
    } else {
        // Serializing a number into memory cannot fail.
        let _ = serde_json::to_writer(out, &value);
    }
}

/// With only the significant fractional digits, as .NET formats it: `12:00:00Z`, `12:00:00.25Z`.
fn datetime(out: &mut Vec<u8>, value: Timestamp) {
    let text = value.to_string();
    // `2026-01-01T00:00:00` is 19 bytes, followed by the point, seven digits and the zone.
    let (seconds, fraction) = text.split_at(19);
    let fraction = fraction.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    print(out, format_args!("\"{seconds}{fraction}Z\""));
}

fn dynamic(out: &mut Vec<u8>, json: &str) {
    if json.starts_with('"') { out.extend_from_slice(json.as_bytes()) } else { string(out, json) }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Serializing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory cannot fail.
    let _ = out.write_fmt(text);
}

fn comma(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &Value) {
    print(out, format_args!(",\"{name}\":{value}"));
}

fn statistics(answer: &Answer) -> Value {
    let stats = &answer.stats;
    json!({ "query": {
        "executionTime": stats.elapsed.to_std().as_secs_f64(),
        "resourceUsage": { "memory": { "peak_per_node": stats.peak_memory } },
        "inputDatasetStatistics": { "extents": {}, "rows": { "scanned": stats.rows_scanned }, "bytes": { "scanned": stats.bytes_scanned } },
        "datasetStatistics": [{ "tableRowCount": answer.rows(), "tableSize": answer.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() }],
    } })
}

/// The options of `render`, with the defaults that the service fills in.
fn render(answer: &Answer) -> Value {
    let mut value = json!({
        "visualization": answer.render.as_ref().map(|render| render.visualization.as_str()), "title": null, "accumulate": false, "isQuerySorted": false,
        "kind": null, "annotation": "", "by": null, "legend": null, "series": null, "xAxis": null, "xColumn": null, "xTitle": null, "yAxis": null,
        "yColumns": null, "ySplit": null, "yTitle": null, "anomalyColumns": null, "ymin": null, "ymax": null,
    });
    for (name, text) in answer.render.iter().flat_map(|render| &render.properties) {
        let known = value.as_object().and_then(|object| object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned());
        value[known.as_deref().unwrap_or(name)] = json!(text);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray};
    use arrow::datatypes::i256;

    #[test]
    fn every_type_has_its_form() {
        let noon = Timestamp::parse_iso("2026-01-01T12:00:00Z").unwrap();
        let cells: Vec<(Type, ArrayRef)> = vec![
            (Type::Bool, Arc::new(BooleanArray::from(vec![Some(true), None]))),
            (Type::Long, Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
            (Type::Real, Arc::new(Float64Array::from(vec![f64::NAN, 1.5]))),
            (Type::String, Arc::new(StringViewArray::from(vec![Some("a\"b\u{1}é"), None]))),
            (Type::Dynamic, Arc::new(StringViewArray::from(vec![Some(r#"{"a":1}"#), Some(r#""text""#)]))),
            (Type::Datetime, Arc::new(Int64Array::from(vec![noon.ticks(), noon.ticks() + 2_500_000]))),
            (Type::Timespan, Arc::new(Int64Array::from(vec![Span::DAY.ticks() + 1, -Span::HOUR.ticks()]))),
            (
                Type::Decimal,
                Arc::new(
                    Decimal256Array::from(vec![Some(i256::from_i128(15 * 10_i128.pow(33))), None])
                        .with_precision_and_scale(model::DECIMAL_PRECISION, model::DECIMAL_SCALE)
                        .unwrap(),
                ),
            ),
        ];
        let columns: Vec<Column> = cells.iter().enumerate().map(|(index, (ty, _))| Column::new(format!("c{index}"), *ty)).collect();
        let batch = RecordBatch::try_new(model::arrow_schema(&columns), cells.into_iter().map(|(_, array)| array).collect()).unwrap();
        let answered = answer(&Answer { columns, batches: vec![batch], ..Answer::default() }, Prefer::parse([]));
        let value: Value = serde_json::from_slice(&answered).unwrap();
        // Forms: the Kusto JSON of learn.microsoft.com/kusto/api/rest/response-http and WIRE §4.
        assert_eq!(
            value["tables"][0]["rows"],
            json!([
                [true, i64::MAX, "NaN", "a\"b\u{1}é", "{\"a\":1}", "2026-01-01T12:00:00Z", "1.00:00:00.0000001", "1.5"],
                [null, null, 1.5, "", "text", "2026-01-01T12:00:00.25Z", "-01:00:00", null],
            ])
        );
        assert_eq!(value["tables"][0]["columns"][5], json!({ "name": "c5", "type": "datetime" }));
    }

    #[test]
    fn several_tables_stand_beside_each_other() {
        // `fork` of the KQL reference: a table for each subquery, with its name.
        let count = |name: &str, n: i64| {
            let columns = vec![Column::new(name, Type::Long)];
            let batch = RecordBatch::try_new(model::arrow_schema(&columns), vec![Arc::new(Int64Array::from(vec![n]))]).unwrap();
            (columns, vec![batch])
        };
        let ((columns, batches), (other, rows)) = (count("a", 1), count("b", 2));
        let more = vec![model::AnswerTable { name: "Second".to_owned(), columns: other, batches: rows }];
        let value: Value =
            serde_json::from_slice(&answer(&Answer { columns, batches, more, ..Answer::default() }, Prefer::parse([]))).unwrap();
        assert_eq!(
            value["tables"],
            json!([
                { "name": "PrimaryResult", "columns": [{ "name": "a", "type": "long" }], "rows": [[1]] },
                { "name": "Second", "columns": [{ "name": "b", "type": "long" }], "rows": [[2]] },
            ])
        );
    }

    #[test]
    fn seconds_keep_their_zeros() {
        for (ticks, wanted) in
            [(0, "\"0001-01-01T00:00:00Z\""), (100_000_000, "\"0001-01-01T00:00:10Z\""), (1_000_000, "\"0001-01-01T00:00:00.1Z\"")]
        {
            let mut out = Vec::new();
            datetime(&mut out, Timestamp::clamp_ticks(ticks));
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }
}
