//! Checks of tables: names, columns, retention.
//!
//! Rules for names and columns: learn.microsoft.com/azure/azure-monitor/logs/create-custom-table and …/logs-ingestion-api-overview. Azure's
//! further restrictions (reserved names, `_CF` suffix on custom columns of Microsoft tables, at most 500 columns) are a check of their own,
//! which `lenient` tables skip.

use model::{Column, Span, TableName, TableSchema, Type};
use serde_json::Value;

use super::data_collection_rules::MAX_COLUMNS;
use crate::refusal::Refusal;

/// Maximum columns of a `lenient` table, existing ones included. Each buffered row has a cell for every column.
const MAX_LENIENT_COLUMNS: usize = 2_000;

/// The validated columns of a request. Existing columns may be omitted.
pub fn columns(schema: &Value, name: &TableName, existing: Option<&TableSchema>) -> Result<Vec<Column>, Refusal> {
    if let Some(said) = schema.get("name").and_then(Value::as_str)
        && !said.eq_ignore_ascii_case(name.as_str())
    {
        return Err(invalid(format!("The schema's name '{said}' is not the table's, '{name}'."), "properties.schema.name"));
    }
    if existing.is_none() && !name.as_str().ends_with("_CL") {
        return Err(invalid(format!("The name of a custom table must end with '_CL': '{name}_CL' would do."), "name"));
    }
    let written = schema.get("columns").and_then(Value::as_array).filter(|columns| !columns.is_empty());
    let written =
        written.ok_or_else(|| invalid("The schema needs an array 'columns' with at least one column.", "properties.schema.columns"))?;
    // Checked first, because the checks below compare all pairs.
    if written.len() > MAX_LENIENT_COLUMNS {
        return Err(too_many_columns(written.len()));
    }
    let mut columns: Vec<Column> = Vec::with_capacity(written.len());
    for (index, column) in written.iter().enumerate() {
        let place = format!("properties.schema.columns[{index}]");
        let text = |key: &str| column.get(key).and_then(Value::as_str);
        let column_name = text("name").ok_or_else(|| invalid("A column needs a 'name'.", format!("{place}.name")))?;
        let type_name = text("type")
            .or_else(|| text("columnType"))
            .ok_or_else(|| invalid(format!("Column '{column_name}' needs a 'type'."), format!("{place}.type")))?;
        let ty = parse_type(type_name).ok_or_else(|| {
            let message = format!(
                "Column '{column_name}' has the unknown type '{type_name}'; known are string, int, long, real, boolean, dateTime, guid and dynamic."
            );
            invalid(message, format!("{place}.type"))
        })?;
        if columns.iter().any(|known| known.name == column_name) {
            return Err(invalid(format!("Column '{column_name}' is there twice."), place));
        }
        columns.push(Column::new(column_name, ty));
    }
    let others = existing.map_or(&[][..], |table| &table.columns).iter().filter(|known| !columns.iter().any(|new| new.name == known.name));
    let count = columns.len() + others.count();
    // A Microsoft table may already be wider; it just cannot grow further.
    if count > MAX_LENIENT_COLUMNS.max(existing.map_or(0, |table| table.columns.len())) {
        return Err(too_many_columns(count));
    }
    let time =
        existing.and_then(|table| table.column("TimeGenerated")).or_else(|| columns.iter().find(|column| column.name == "TimeGenerated"));
    match time {
        Some(column) if column.ty == Type::Datetime => Ok(columns),
        Some(_) => Err(invalid("Column 'TimeGenerated' must be of type dateTime.", "properties.schema.columns")),
        None => Err(invalid("A table needs a column 'TimeGenerated' of type dateTime.", "properties.schema.columns")),
    }
}

/// Names reserved by Azure ("`_ResourceId`, `id`, … are reserved column names").
const RESERVED: [&str; 7] = ["_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title"];
/// Maximum length of a column name.
const MAX_NAME: usize = 45;

/// Applies Azure's restrictions to new columns. Existing columns are exempt: Microsoft tables have some of the reserved names.
pub fn as_azure_has_it(columns: &[Column], name: &TableName, existing: Option<&TableSchema>) -> Result<(), Refusal> {
    const PLACE: &str = "properties.schema.columns";
    let is_new = |column: &&Column| existing.is_none_or(|table| table.column(&column.name).is_none());
    let is_custom = name.as_str().ends_with("_CL");
    for column in columns.iter().filter(is_new) {
        let name = column.name.as_str();
        if RESERVED.contains(&name) {
            return Err(invalid(format!("'{name}' is a reserved column name."), PLACE));
        }
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || name.len() > MAX_NAME {
            let message =
                format!("Column name '{name}' must start with a letter and have at most {MAX_NAME} letters, digits and underscores.");
            return Err(invalid(message, PLACE));
        }
        if !is_custom && !name.ends_with("_CF") {
            return Err(invalid(
                format!("The name of a column that is added to an Azure table must end with '_CF': '{name}_CF' would do."),
                PLACE,
            ));
        }
    }
    let count = existing.map_or(0, |table| table.columns.len()) + columns.iter().filter(is_new).count();
    if count > MAX_COLUMNS {
        return Err(invalid(format!("The table would have {count} columns; {MAX_COLUMNS} are the most."), PLACE));
    }
    Ok(())
}

/// Column types of tables: Kusto's without `decimal` and `timespan`, which Log Analytics does not store.
pub fn parse_type(name: &str) -> Option<Type> {
    Type::parse(name).filter(|ty| !matches!(ty, Type::Decimal | Type::Timespan))
}

/// `Some(None)` for the workspace's default, which Azure writes as -1.
pub fn retention(properties: &serde_json::Map<String, Value>) -> Result<Option<Option<Span>>, Refusal> {
    // All retained data is queryable here, so total retention wins if both are given.
    let (key, most) = if properties.get("totalRetentionInDays").is_some_and(|value| !value.is_null()) {
        ("totalRetentionInDays", 4_383)
    } else {
        ("retentionInDays", 730)
    };
    match properties.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(-1) => Ok(Some(None)),
            Some(days) if (4..=most).contains(&days) => Ok(Some(Some(Span(days * Span::DAY.ticks())))),
            _ => Err(invalid(format!("'{key}' must be -1 or a number of days from 4 to {most}."), format!("properties.{key}"))),
        },
    }
}

fn invalid(message: impl Into<String>, target: impl Into<String>) -> Refusal {
    Refusal::bad_request("InvalidParameter", message).target(target)
}

fn too_many_columns(count: usize) -> Refusal {
    let message = format!(
        "A table may have at most {MAX_LENIENT_COLUMNS} columns; this one would have {count}. Put the others into a dynamic column."
    );
    invalid(message, "properties.schema.columns")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_checked_before_the_catalog_sees_them() {
        let name = TableName::new("T_CL");
        let read = |schema: Value| columns(&schema, &name, None);
        let good = read(
            json!({ "name": "t_cl", "columns": [{ "name": "TimeGenerated", "type": "DateTime" }, { "name": "Url", "type": "string" }, { "name": "url", "type": "guid" }] }),
        );
        assert_eq!(good.unwrap().len(), 3);
        let target = |schema: Value| read(schema).unwrap_err().target.unwrap();
        assert_eq!(target(json!({ "columns": [{ "name": "A", "type": "string" }] })), "properties.schema.columns");
        assert_eq!(target(json!({ "columns": [{ "name": "A", "type": "decimal" }] })), "properties.schema.columns[0].type");
        assert_eq!(target(json!({ "name": "Other_CL", "columns": [] })), "properties.schema.name");
        // The hard limit counts existing columns; Azure's own limit is checked after it.
        let wide = |from: usize, count: usize| {
            let columns = (from..from + count).map(|n| json!({ "name": format!("C{n}"), "type": "string" }));
            let columns: Vec<Value> = std::iter::once(json!({ "name": "TimeGenerated", "type": "datetime" })).chain(columns).collect();
            json!({ "columns": columns })
        };
        let full = read(wide(0, 1_999)).unwrap();
        assert!(read(wide(0, 2_000)).unwrap_err().message.contains("2001"));
        assert!(read(wide(0, 100_000)).unwrap_err().message.contains("at most 2000 columns"));
        let table = TableSchema::new("T_CL", full);
        assert!(columns(&wide(0, 1_999), &name, Some(&table)).is_ok());
        assert!(columns(&wide(1_999, 1), &name, Some(&table)).unwrap_err().message.contains("2001"));
        assert!(columns(&json!({ "columns": [] }), &TableName::new("T"), None).unwrap_err().message.contains("'T_CL'"));
    }

    #[test]
    fn columns_that_azure_refuses_are_refused() {
        let columns = |names: &[&str]| names.iter().map(|name| Column::new(*name, Type::String)).collect::<Vec<_>>();
        let custom = TableName::new("T_CL");
        let check = |names: &[&str], name: &TableName, existing: Option<&TableSchema>| as_azure_has_it(&columns(names), name, existing);
        for reserved in RESERVED {
            assert!(check(&[reserved], &custom, None).unwrap_err().message.contains("reserved"), "{reserved}");
            // Flare's published table has a column `id`, and so does ours: it is not new.
            let existing = TableSchema::new("T_CL", columns(&[reserved]));
            assert!(check(&[reserved], &custom, Some(&existing)).is_ok(), "{reserved}");
        }
        assert!(check(&["Id", "type", "a_1"], &custom, None).is_ok());
        for bad in ["_x", "1x", "a b", "é", &"x".repeat(46)] {
            assert!(check(&[bad], &custom, None).is_err(), "{bad}");
        }
        let syslog = TableSchema::new("Syslog", columns(&["Computer"]));
        let built_in = TableName::new("Syslog");
        assert!(check(&["Computer", "Mine_CF"], &built_in, Some(&syslog)).is_ok());
        assert!(check(&["Mine"], &built_in, Some(&syslog)).unwrap_err().message.contains("'Mine_CF'"));
        let many: Vec<String> = (0..501).map(|n| format!("c{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(check(&many, &custom, None).unwrap_err().message.contains("501"));
        assert!(check(&many[1..], &custom, None).is_ok());
    }

    #[test]
    fn retention_follows_azures_ranges() {
        // learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure: 4–730 days interactive, up to 4 383 in all, -1 resets.
        let read = |value: Value| retention(value.as_object().unwrap());
        assert_eq!(read(json!({ "retentionInDays": 30 })).unwrap(), Some(Some(Span(30 * Span::DAY.ticks()))));
        assert_eq!(read(json!({ "retentionInDays": -1 })).unwrap(), Some(None));
        assert_eq!(read(json!({})).unwrap(), None);
        assert!(read(json!({ "retentionInDays": 3 })).is_err() && read(json!({ "retentionInDays": 731 })).is_err());
        assert!(read(json!({ "totalRetentionInDays": 4383, "retentionInDays": 30 })).is_ok());
    }
}
