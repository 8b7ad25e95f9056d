//! Decodes the data of `externaldata` in the given format. Source: the public KQL reference, `externaldata-operator`, and its pages on
//! ingestion formats and mappings.
//!
//! CSV fields are assigned to columns by position, JSON members by name, unless a mapping says otherwise. Missing values and values of the
//! wrong type become null. Quoted fields are unquoted; records may have different numbers of fields.

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::Value;
use kql::bind::External;
use kql::plan::{ColumnId, Field};
use kql::value::cells::Cells;
use kql::value::text;
use model::{ByteSize, Column, ExternalData, Type, arrow_schema};
use serde::Deserialize;
use serde_json::Value as Json;

/// Maximum total size of all files of one `externaldata`; same as Log Analytics.
const MOST: ByteSize = ByteSize(100 << 20);

/// Maximum depth of a mapping path.
const DEEPEST: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Separated(u8),
    /// One object per line, or concatenated objects.
    Json,
    /// One value per line.
    Text,
    /// The whole file is one value.
    Raw,
}

impl Format {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "csv" => Format::Separated(b','),
            "tsv" | "tsve" => Format::Separated(b'\t'),
            "psv" => Format::Separated(b'|'),
            "scsv" => Format::Separated(b';'),
            "sohsv" => Format::Separated(1),
            "json" | "multijson" | "jsonl" | "ndjson" => Format::Json,
            "txt" => Format::Text,
            "raw" => Format::Raw,
            _ => return None,
        })
    }

    /// The given format, or the one implied by the file extension; otherwise `csv`.
    fn of(wanted: &External, location: &str) -> Result<Self, String> {
        let path = location.split(['?', '#']).next().unwrap_or_default();
        let ending = path.rsplit(['/', '\\']).next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending.to_ascii_lowercase());
        match (&wanted.format, ending.as_deref()) {
            (Some(name), _) => Format::named(name).ok_or_else(|| unread(name)),
            (None, Some(name @ ("parquet" | "avro" | "orc" | "gz" | "zip"))) => Err(unread(name)),
            (None, ending) => Ok(ending.and_then(Format::named).unwrap_or(Format::Separated(b','))),
        }
    }
}

fn unread(name: &str) -> String {
    format!("`externaldata` does not read `{name}` here; it reads csv, tsv, psv, scsv, sohsv, json, multijson, txt and raw, not compressed")
}

/// Reads all rows; also returns fields by which a scan finds the columns by name.
pub(crate) async fn read(outside: &dyn ExternalData, wanted: &External) -> Result<(Vec<Field>, Vec<RecordBatch>), String> {
    let mapping = wanted.mapping.as_deref().map(mapping).transpose()?;
    let columns: Vec<Column> = wanted.columns.iter().map(|(name, ty)| Column::new(name.clone(), *ty)).collect();
    let places: Vec<Place> = wanted.columns.iter().enumerate().map(|(at, (name, _))| place(at, name, mapping.as_deref())).collect();
    let mut cells: Vec<Cells> = columns.iter().map(|column| Cells::new(column.ty, 0)).collect();
    let (mut left, mut rows) = (MOST.0, 0);
    for location in &wanted.locations {
        let format = Format::of(wanted, location)?;
        let bytes = outside.read(location, ByteSize(left)).await.map_err(|why| why.to_string())?;
        left = left.saturating_sub(bytes.len() as u64);
        let wrong = |why: String| format!("`{location}`: {why}");
        let mut add = |row: &dyn Fn(&Place, Type) -> Value| {
            rows += 1;
            cells.iter_mut().zip(&columns).zip(&places).for_each(|((cells, column), place)| cells.push(&row(place, column.ty)));
        };
        let skipped = usize::from(wanted.ignore_first_record);
        match format {
            Format::Separated(delimiter) => {
                let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(&bytes[..]);
                for record in reader.records().skip(skipped) {
                    let record = record.map_err(|why| wrong(why.to_string()))?;
                    add(&|place, ty| {
                        let field = place.index().and_then(|index| record.get(index));
                        field.map_or(Value::null(ty), |field| typed(field, ty))
                    });
                }
            }
            Format::Json => {
                for value in serde_json::Deserializer::from_slice(&bytes).into_iter::<Json>() {
                    let value = value.map_err(|why| wrong(why.to_string()))?;
                    let records = match value {
                        Json::Array(records) => records,
                        record => vec![record],
                    };
                    for record in records {
                        add(&|place, ty| {
                            let member = match place {
                                Place::Natural(_, name) => record.get(name),
                                Place::Path(path) => path.iter().try_fold(&record, |at, step| step.of(at)),
                                Place::At(_) | Place::Nowhere => None,
                            };
                            member.map_or(Value::null(ty), |json| cell(json, ty))
                        });
                    }
                }
            }
            Format::Text | Format::Raw => {
                let whole = String::from_utf8_lossy(&bytes);
                let whole = whole.strip_prefix('\u{feff}').unwrap_or(&whole);
                let lines: Vec<&str> = if format == Format::Raw { vec![whole] } else { whole.lines().skip(skipped).collect() };
                for line in lines {
                    add(&|place, ty| if place.index() == Some(0) { typed(line, ty) } else { Value::null(ty) });
                }
            }
        }
    }
    let schema = arrow_schema(&columns);
    let arrays = cells.into_iter().map(Cells::finish).collect();
    let batch = RecordBatch::try_new_with_options(schema, arrays, &RecordBatchOptions::new().with_row_count(Some(rows)));
    let batch = batch.map_err(|why| why.to_string())?;
    // Scans find these columns by name; the id is larger than any id of the plan.
    let field =
        |(at, column): (usize, &Column)| Field { id: ColumnId(u32::MAX - at as u32), name: column.name.as_str().into(), ty: column.ty };
    Ok((columns.iter().enumerate().map(field).collect(), vec![batch]))
}

/// Source of a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Without a mapping: the field at this index, or the member of this name.
    Natural(usize, String),
    At(usize),
    Path(Vec<Step>),
    /// The mapping does not contain the column.
    Nowhere,
}

impl Place {
    fn index(&self) -> Option<usize> {
        match self {
            Place::Natural(index, _) | Place::At(index) => Some(*index),
            Place::Path(_) | Place::Nowhere => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

impl Step {
    fn of<'j>(&self, json: &'j Json) -> Option<&'j Json> {
        match self {
            Step::Member(name) => json.get(name),
            Step::Element(index) => json.get(index),
        }
    }
}

/// An entry of a mapping, in either of its two syntaxes.
#[derive(Deserialize)]
struct Mapped {
    #[serde(alias = "Column", alias = "Name", alias = "name")]
    column: String,
    #[serde(alias = "Path")]
    path: Option<String>,
    #[serde(alias = "Ordinal")]
    ordinal: Option<Json>,
    #[serde(alias = "Properties", default)]
    properties: std::collections::HashMap<String, Json>,
}

fn mapping(json: &str) -> Result<Vec<Mapped>, String> {
    serde_json::from_str(json).map_err(|why| format!("`ingestionMapping` is no mapping: {why}"))
}

fn place(at: usize, name: &str, mapping: Option<&[Mapped]>) -> Place {
    let Some(mapping) = mapping else { return Place::Natural(at, name.to_owned()) };
    let Some(entry) = mapping.iter().find(|entry| entry.column == name) else { return Place::Nowhere };
    let property = |name: &str| entry.properties.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let path = entry.path.as_deref().or(property("path").and_then(Json::as_str));
    let ordinal = entry.ordinal.as_ref().or(property("ordinal"));
    match (path.and_then(steps), ordinal) {
        (Some(path), _) => Place::Path(path),
        (None, Some(Json::String(text))) => Place::At(text.parse().unwrap_or(usize::MAX)),
        (None, Some(number)) => Place::At(number.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)),
        (None, None) => Place::Nowhere,
    }
}

/// Parses a path such as `$.a.b[0]['c']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() && steps.len() < DEEPEST {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            steps.push(Step::Member(tail[..end].to_owned()));
            rest = &tail[end..];
        } else {
            let (inner, tail) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(match inner.trim_matches(['\'', '"']) {
                name if name.len() < inner.len() => Step::Member(name.to_owned()),
                index => Step::Element(index.parse().ok()?),
            });
            rest = tail;
        }
    }
    Some(steps)
}

/// Converts a field to the column's type. In a dynamic column, text that is not JSON becomes a string.
fn typed(field: &str, ty: Type) -> Value {
    match (ty, text::parse(field, ty)) {
        (Type::Dynamic, Value::Null(_)) if !field.is_empty() => Value::Dynamic(Json::from(field).to_string()),
        (_, value) => value,
    }
}

/// Converts a JSON member to the column's type: strings are parsed, numbers converted, objects serialised to JSON.
fn cell(json: &Json, ty: Type) -> Value {
    match (json, ty) {
        (Json::Null, _) => Value::null(ty),
        (json, Type::Dynamic) => Value::Dynamic(json.to_string()),
        (Json::String(text), _) => text::parse(text, ty),
        (Json::Bool(flag), _) => Value::Bool(*flag).cast(ty),
        (json, Type::String) => Value::String(json.to_string()),
        (Json::Number(number), _) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => Value::Long(n).cast(ty),
            (None, Some(x)) => Value::Real(x).cast(ty),
            (None, None) => Value::null(ty),
        },
        _ => Value::null(ty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use model::ExternalError;

    /// Files in memory, by name.
    struct Files(Vec<(&'static str, &'static str)>);

    #[async_trait]
    impl ExternalData for Files {
        async fn read(&self, location: &str, _: ByteSize) -> Result<Vec<u8>, ExternalError> {
            let found = self.0.iter().find(|(name, _)| *name == location);
            found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| ExternalError::Refused(location.to_owned()))
        }
    }

    async fn rows(name: &'static str, text: &'static str, change: impl FnOnce(&mut External)) -> Vec<String> {
        let columns = vec![("a".to_owned(), Type::Long), ("b".to_owned(), Type::String)];
        let mut wanted = External { columns, locations: vec![name.to_owned()], format: None, ignore_first_record: false, mapping: None };
        change(&mut wanted);
        let (_, batches) = read(&Files(vec![(name, text)]), &wanted).await.unwrap();
        let cell = |row: usize, at: usize| Value::from_cell(batches[0].column(at), row, wanted.columns[at].1).to_text();
        (0..batches[0].num_rows()).map(|row| format!("{}|{}", cell(row, 0), cell(row, 1))).collect()
    }

    #[tokio::test]
    async fn external_formats_are_decoded() {
        // The formats documented in the reference's ingestion pages.
        assert_eq!(rows("x.csv", "a,b\n1,\"x, y\"\nno\n", |wanted| wanted.ignore_first_record = true).await, ["1|x, y", "|"]);
        assert_eq!(rows("x.tsv", "1\tx\n", |_| ()).await, ["1|x"]);
        assert_eq!(rows("x.json", "{\"b\":\"x\",\"a\":1}\n{\"a\":\"2\"}", |_| ()).await, ["1|x", "2|"]);
        assert_eq!(rows("x", "[{\"a\":1},\n{\"a\":2}]", |wanted| wanted.format = Some("multijson".to_owned())).await, ["1|", "2|"]);
        assert_eq!(rows("users.txt", "7\nx\n", |_| ()).await, ["7|", "|"]);
        assert_eq!(rows("whole", "7", |wanted| wanted.format = Some("raw".to_owned())).await, ["7|"]);
        let mapping = r#"[{"Column":"a","Properties":{"Path":"$.data.n[1]"}},{"column":"b","path":"$['t x']"}]"#;
        let json = r#"{"t x":"y","data":{"n":[1,2]}}"#;
        assert_eq!(rows("x.json", json, |wanted| wanted.mapping = Some(mapping.to_owned())).await, ["2|y"]);
    }

    #[tokio::test]
    async fn unreadable_external_data_is_an_error() {
        let wanted = External {
            columns: vec![("a".to_owned(), Type::Long)],
            locations: vec!["x.parquet".to_owned()],
            format: None,
            ignore_first_record: false,
            mapping: None,
        };
        assert!(read(&Files(Vec::new()), &wanted).await.unwrap_err().contains("`parquet`"));
        let elsewhere = External { locations: vec!["/etc/passwd".to_owned()], ..wanted };
        assert!(read(&Files(Vec::new()), &elsewhere).await.unwrap_err().contains("operator allows"));
    }
}
