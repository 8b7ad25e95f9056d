//! `getschema` — the columns of the input as rows. All are known to the binder, which emits them as `Values`.

use model::Type;

use crate::Value;
use crate::plan::Field;

/// Names and types of the output columns.
pub const COLUMNS: [(&str, Type); 4] =
    [("ColumnName", Type::String), ("ColumnOrdinal", Type::Long), ("DataType", Type::String), ("ColumnType", Type::String)];

/// One row per field.
pub fn rows(fields: &[Field]) -> Vec<Vec<Value>> {
    fields
        .iter()
        .enumerate()
        .map(|(ordinal, field)| {
            vec![
                Value::String(field.name.to_string()),
                Value::Long(ordinal as i64),
                Value::String(data_type(field.ty).to_owned()),
                Value::String(field.ty.name().to_owned()),
            ]
        })
        .collect()
}

/// The .NET type of a KQL type, as shown by `getschema` and the v1 API.
pub fn data_type(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "System.SByte",
        Type::Int => "System.Int32",
        Type::Long => "System.Int64",
        Type::Real => "System.Double",
        Type::Decimal => "System.Data.SqlTypes.SqlDecimal",
        Type::String => "System.String",
        Type::Datetime => "System.DateTime",
        Type::Timespan => "System.TimeSpan",
        Type::Guid => "System.Guid",
        Type::Dynamic => "System.Object",
    }
}
