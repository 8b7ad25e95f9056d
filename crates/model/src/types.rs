//! Kusto's scalar types and their Arrow representation.

use std::fmt;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

/// Precision of a `decimal`, and its scale.
pub const DECIMAL_PRECISION: u8 = 76;
pub const DECIMAL_SCALE: i8 = 34;

/// A scalar type of the Kusto Query Language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    Bool,
    Int,
    Long,
    Real,
    Decimal,
    String,
    /// 100-ns ticks since 0001-01-01T00:00:00Z.
    Datetime,
    /// 100-ns ticks.
    Timespan,
    Guid,
    /// JSON text.
    Dynamic,
}

impl Type {
    pub const ALL: [Type; 10] = [
        Type::Bool,
        Type::Int,
        Type::Long,
        Type::Real,
        Type::Decimal,
        Type::String,
        Type::Datetime,
        Type::Timespan,
        Type::Guid,
        Type::Dynamic,
    ];

    /// The name printed by `getschema` and the Log Analytics API.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Long => "long",
            Type::Real => "real",
            Type::Decimal => "decimal",
            Type::String => "string",
            Type::Datetime => "datetime",
            Type::Timespan => "timespan",
            Type::Guid => "guid",
            Type::Dynamic => "dynamic",
        }
    }

    /// The type with this name in a query, a table schema or a stream declaration, including aliases.
    pub fn parse(name: &str) -> Option<Type> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bool" | "boolean" => Type::Bool,
            "int" | "int32" => Type::Int,
            "long" | "int64" => Type::Long,
            "real" | "double" => Type::Real,
            "decimal" => Type::Decimal,
            "string" => Type::String,
            "datetime" | "date" => Type::Datetime,
            "timespan" | "time" => Type::Timespan,
            "guid" | "uuid" | "uniqueid" => Type::Guid,
            "dynamic" | "object" => Type::Dynamic,
            _ => return None,
        })
    }

    /// The in-memory representation, everywhere above the file layer: `datetime` and `timespan` as `Int64` ticks, `guid` as lower-case
    /// text, `dynamic` as JSON text. A `string` is never null; every other type may be. A `dynamic` null is an Arrow null, never the text
    /// `null`.
    pub fn arrow(self) -> DataType {
        match self {
            Type::Bool => DataType::Boolean,
            Type::Int => DataType::Int32,
            Type::Long | Type::Datetime | Type::Timespan => DataType::Int64,
            Type::Real => DataType::Float64,
            Type::Decimal => DataType::Decimal256(DECIMAL_PRECISION, DECIMAL_SCALE),
            Type::String | Type::Guid | Type::Dynamic => DataType::Utf8View,
        }
    }

    pub fn is_numeric(self) -> bool {
        matches!(self, Type::Int | Type::Long | Type::Real | Type::Decimal)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
