//! A single KQL value, and its conversion to and from Arrow cells, text and JSON.
//!
//! | file | what |
//! |---|---|
//! | [`cells`] | `Value` ↔ an entry of an Arrow array |
//! | [`text`] | formatting like `tostring`, and parsing like `toint`, `todatetime` … |
//! | [`cast`] | conversion between types |
//! | [`decimal`] | arithmetic on `decimal` |
//! | [`real`] | formatting of `real` |

use model::Type;

pub mod cast;
pub mod cells;
pub mod decimal;
pub mod real;
pub mod text;

/// A constant: a literal, a folded expression or a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null of a type. A `string` has no null: its empty value is `String("")`.
    Null(Type),
    Bool(bool),
    Int(i32),
    Long(i64),
    Real(f64),
    /// Scaled by 10^[`model::DECIMAL_SCALE`].
    Decimal(arrow::datatypes::i256),
    String(String),
    /// Ticks since 0001-01-01.
    Datetime(i64),
    /// Ticks.
    Timespan(i64),
    /// 36 lower-case characters.
    Guid(String),
    /// JSON text as printed by Kusto.
    Dynamic(String),
}

impl Value {
    pub fn ty(&self) -> Type {
        match self {
            Value::Null(ty) => *ty,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Long(_) => Type::Long,
            Value::Real(_) => Type::Real,
            Value::Decimal(_) => Type::Decimal,
            Value::String(_) => Type::String,
            Value::Datetime(_) => Type::Datetime,
            Value::Timespan(_) => Type::Timespan,
            Value::Guid(_) => Type::Guid,
            Value::Dynamic(_) => Type::Dynamic,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null(_))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Guid(text) | Value::Dynamic(text) => Some(text),
            _ => None,
        }
    }

    /// The integer in an int, long, datetime or timespan.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some((*n).into()),
            Value::Long(n) | Value::Datetime(n) | Value::Timespan(n) => Some(*n),
            _ => None,
        }
    }

    /// The number in an int, long or real.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some((*n).into()),
            Value::Long(n) => Some(*n as f64),
            Value::Real(n) => Some(*n),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }
}
