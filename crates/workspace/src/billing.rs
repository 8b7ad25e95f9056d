//! The standard columns `_BilledSize` and `_IsBillable`.
//!
//! The size of a record is that of the text of its columns, without those in [`EXCLUDED`]
//! (learn.microsoft.com/azure/azure-monitor/logs/cost-logs, "Data size calculation"). It is computed when rows are appended, by the thread of
//! the sender, and stored: at query time it would read every column.

use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema};
use arrow::error::ArrowError;
use model::{TableName, TableSchema, Type};

pub const BILLED_SIZE: &str = "_BilledSize";
pub const IS_BILLABLE: &str = "_IsBillable";

/// Standard columns that do not count.
const EXCLUDED: [&str; 6] = ["_ResourceId", "_SubscriptionId", "_ItemId", IS_BILLABLE, BILLED_SIZE, "Type"];

/// Length of `2026-03-01T12:00:00.0000000Z`.
const DATETIME: u64 = 28;
/// Length of `00:00:00.0000000`.
const TIMESPAN: u64 = 16;

/// The text of `_IsBillable`.
pub fn billable_text(table: &TableName) -> &'static str {
    if model::is_billable(table.as_str()) { "True" } else { "False" }
}

/// Returns the rows with the column `_BilledSize`, if the table has it; values of the sender are replaced. `tenant_id` is the length of the
/// `TenantId` that rows without one get.
pub fn with_size(schema: &TableSchema, batch: RecordBatch, tenant_id: usize) -> Result<RecordBatch, ArrowError> {
    if schema.column(BILLED_SIZE).is_none_or(|column| column.ty != Type::Real) {
        return Ok(batch);
    }
    let adds_tenant =
        schema.column("TenantId").is_some_and(|column| column.ty == Type::String) && batch.column_by_name("TenantId").is_none();
    let mut sizes = vec![if adds_tenant { tenant_id as u64 } else { 0 }; batch.num_rows()];
    let mut fields: Vec<Field> = Vec::with_capacity(batch.num_columns() + 1);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns() + 1);
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == BILLED_SIZE {
            continue;
        }
        if !EXCLUDED.contains(&field.name().as_str())
            && let Some(column) = schema.column(field.name())
        {
            add_sizes(&mut sizes, column.ty, array.as_ref());
        }
        fields.push(field.as_ref().clone());
        columns.push(array.clone());
    }
    fields.push(Field::new(BILLED_SIZE, DataType::Float64, true));
    columns.push(Arc::new(Float64Array::from_iter_values(sizes.into_iter().map(|size| size as f64))));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Adds the size of each value; null has none.
fn add_sizes(sizes: &mut [u64], ty: Type, array: &dyn Array) {
    let mut add = |size: &dyn Fn(usize) -> u64| {
        for (row, total) in sizes.iter_mut().enumerate().filter(|(row, _)| array.is_valid(*row)) {
            *total += size(row);
        }
    };
    match ty {
        Type::String | Type::Guid | Type::Dynamic => {
            let Some(texts) = array.as_string_view_opt() else { return };
            // The low 32 bits of a view are the length.
            let views = texts.views();
            add(&|row| u64::from(views[row] as u32));
        }
        Type::Datetime => add(&|_| DATETIME),
        Type::Timespan => add(&|_| TIMESPAN),
        Type::Bool => {
            let Some(values) = array.as_boolean_opt() else { return };
            add(&|row| if values.value(row) { 4 } else { 5 });
        }
        Type::Int => {
            let Some(values) = array.as_primitive_opt::<Int32Type>() else { return };
            add(&|row| digits(values.value(row).into()));
        }
        Type::Long => {
            let Some(values) = array.as_primitive_opt::<Int64Type>() else { return };
            add(&|row| digits(values.value(row)));
        }
        Type::Real => {
            let Some(values) = array.as_primitive_opt::<Float64Type>() else { return };
            add(&|row| length(values.value(row)));
        }
        // Tables have no columns of this type.
        Type::Decimal => {}
    }
}

/// Length of the decimal text of a whole number.
fn digits(number: i64) -> u64 {
    u64::from(number.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)) + u64::from(number < 0)
}

/// Length of the text of a real.
fn length(number: f64) -> u64 {
    struct Counter(u64);
    impl Write for Counter {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len() as u64;
            Ok(())
        }
    }
    let mut counter = Counter(0);
    let _ = write!(counter, "{number}");
    counter.0
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int64Array, StringViewArray};
    use model::Column;

    use super::*;

    fn schema(names: &[(&str, Type)]) -> TableSchema {
        TableSchema::new("T_CL", names.iter().map(|(name, ty)| Column::new(*name, *ty)).collect())
    }

    fn sizes(batch: &RecordBatch) -> Vec<f64> {
        batch.column_by_name(BILLED_SIZE).unwrap().as_primitive::<Float64Type>().values().to_vec()
    }

    #[test]
    fn a_record_is_as_large_as_the_text_of_its_columns() {
        let table = schema(&[
            ("TimeGenerated", Type::Datetime),
            ("Text", Type::String),
            ("Count", Type::Long),
            ("Share", Type::Real),
            ("Up", Type::Bool),
            ("TenantId", Type::String),
            ("Type", Type::String),
            ("_ResourceId", Type::String),
            (BILLED_SIZE, Type::Real),
        ]);
        let long = "a text that is longer than twelve bytes";
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("TimeGenerated", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef, true),
            ("Text", Arc::new(StringViewArray::from(vec![Some("ü"), Some(long)])) as ArrayRef, true),
            ("Count", Arc::new(Int64Array::from(vec![Some(-120), Some(0)])) as ArrayRef, true),
            ("Share", Arc::new(Float64Array::from(vec![Some(0.25), None])) as ArrayRef, true),
            ("Up", Arc::new(BooleanArray::from(vec![Some(true), Some(false)])) as ArrayRef, true),
            ("_ResourceId", Arc::new(StringViewArray::from(vec![Some("/some/resource"), None])) as ArrayRef, true),
            (BILLED_SIZE, Arc::new(Float64Array::from(vec![Some(9e9), None])) as ArrayRef, true),
        ])
        .unwrap();
        let sized = with_size(&table, rows, 36).unwrap();
        assert_eq!(sizes(&sized), [28.0 + 2.0 + 4.0 + 4.0 + 4.0 + 36.0, long.len() as f64 + 1.0 + 5.0 + 36.0]);
        assert_eq!(sized.num_columns(), 7);
    }

    #[test]
    fn tables_without_the_column_are_left_as_they_are() {
        let rows = RecordBatch::try_from_iter([("Text", Arc::new(StringViewArray::from(vec!["a"])) as ArrayRef)]).unwrap();
        assert_eq!(with_size(&schema(&[("Text", Type::String)]), rows.clone(), 36).unwrap(), rows);
        assert_eq!(sizes(&with_size(&schema(&[("Text", Type::String), (BILLED_SIZE, Type::Real)]), rows, 36).unwrap()), [1.0]);
    }

    #[test]
    fn whole_numbers_are_counted_by_digits() {
        for number in [0, 9, 10, -1, -10, i64::MAX, i64::MIN] {
            assert_eq!(digits(number), number.to_string().len() as u64, "{number}");
        }
    }

    #[test]
    fn free_tables_are_not_billable() {
        assert_eq!(billable_text(&TableName::new("Heartbeat")), "False");
        assert_eq!(billable_text(&TableName::new("Syslog")), "True");
    }
}
