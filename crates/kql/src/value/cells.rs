//! `Value` ↔ one entry of an Arrow array, and `Value` → JSON.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Decimal256Builder, Float64Builder, Int32Builder, Int64Builder, StringViewBuilder,
    new_null_array,
};
use arrow::datatypes::{Decimal256Type, Float64Type, Int32Type, Int64Type};
use model::{DECIMAL_PRECISION, DECIMAL_SCALE, Type};

use super::{Value, cast, decimal, text};

impl Value {
    /// Entry `row` of `array`, in the representation of [`Type::arrow`] of `ty`. A null string is `""`; any other representation gives
    /// null.
    pub fn from_cell(array: &dyn Array, row: usize, ty: Type) -> Value {
        if row >= array.len() || array.is_null(row) {
            return Value::null(ty);
        }
        let value = match ty {
            Type::Bool => array.as_boolean_opt().map(|a| Value::Bool(a.value(row))),
            Type::Int => array.as_primitive_opt::<Int32Type>().map(|a| Value::Int(a.value(row))),
            Type::Long => array.as_primitive_opt::<Int64Type>().map(|a| Value::Long(a.value(row))),
            Type::Datetime => array.as_primitive_opt::<Int64Type>().map(|a| Value::Datetime(a.value(row))),
            Type::Timespan => array.as_primitive_opt::<Int64Type>().map(|a| Value::Timespan(a.value(row))),
            Type::Real => array.as_primitive_opt::<Float64Type>().map(|a| Value::Real(a.value(row))),
            Type::Decimal => array.as_primitive_opt::<Decimal256Type>().map(|a| Value::Decimal(a.value(row))),
            Type::String => array.as_string_view_opt().map(|a| Value::String(a.value(row).to_owned())),
            Type::Guid => array.as_string_view_opt().map(|a| Value::Guid(a.value(row).to_owned())),
            Type::Dynamic => array.as_string_view_opt().map(|a| Value::Dynamic(a.value(row).to_owned())),
        };
        value.unwrap_or(Value::null(ty))
    }

    /// The null of a type; `""` for strings.
    pub fn null(ty: Type) -> Value {
        match ty {
            Type::String => Value::String(String::new()),
            _ => Value::Null(ty),
        }
    }

    /// An array of length one.
    pub fn to_array(&self) -> ArrayRef {
        Value::array(std::slice::from_ref(self), self.ty())
    }

    /// One entry per value; values of other types are cast to `ty`.
    pub fn array(values: &[Value], ty: Type) -> ArrayRef {
        let mut cells = Cells::new(ty, values.len());
        for value in values {
            cells.push(value);
        }
        cells.finish()
    }

    /// Formats like `tostring`.
    pub fn to_text(&self) -> String {
        text::format(self)
    }

    /// The representation in query results: numbers and booleans as JSON, `dynamic` as its JSON, everything else as strings; real
    /// infinities and NaN as `Infinity`, `-Infinity`, `NaN`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null(_) => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => (*n).into(),
            Value::Long(n) => (*n).into(),
            Value::Real(x) if x.is_nan() => "NaN".into(),
            Value::Real(x) if x.is_infinite() => (if *x > 0.0 { "Infinity" } else { "-Infinity" }).into(),
            Value::Real(x) => (*x).into(),
            Value::Decimal(d) => decimal::format(*d).into(),
            Value::Dynamic(json) => serde_json::from_str(json).unwrap_or_else(|_| json.as_str().into()),
            other => other.to_text().into(),
        }
    }

    /// Converts to another type, like `tolong`, `tostring` …
    pub fn cast(&self, to: Type) -> Value {
        cast::value(self, to)
    }
}

/// Builds an array of a Kusto type one value at a time.
pub struct Cells {
    ty: Type,
    builder: Builder,
}

enum Builder {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Decimal(Decimal256Builder),
    Text(StringViewBuilder),
}

impl Cells {
    pub fn new(ty: Type, capacity: usize) -> Self {
        let builder = match ty {
            Type::Bool => Builder::Bool(BooleanBuilder::with_capacity(capacity)),
            Type::Int => Builder::Int(Int32Builder::with_capacity(capacity)),
            Type::Long | Type::Datetime | Type::Timespan => Builder::Long(Int64Builder::with_capacity(capacity)),
            Type::Real => Builder::Real(Float64Builder::with_capacity(capacity)),
            Type::Decimal => Builder::Decimal(Decimal256Builder::with_capacity(capacity).with_data_type(ty.arrow())),
            Type::String | Type::Guid | Type::Dynamic => Builder::Text(StringViewBuilder::with_capacity(capacity)),
        };
        Self { ty, builder }
    }

    /// Appends `value`, cast if its type differs.
    pub fn push(&mut self, value: &Value) {
        let cast;
        let value = if value.ty() == self.ty {
            value
        } else {
            cast = value.cast(self.ty);
            &cast
        };
        match (&mut self.builder, value) {
            (Builder::Bool(b), Value::Bool(v)) => b.append_value(*v),
            (Builder::Int(b), Value::Int(v)) => b.append_value(*v),
            (Builder::Long(b), Value::Long(v) | Value::Datetime(v) | Value::Timespan(v)) => b.append_value(*v),
            (Builder::Real(b), Value::Real(v)) => b.append_value(*v),
            (Builder::Decimal(b), Value::Decimal(v)) => b.append_value(*v),
            (Builder::Text(b), Value::String(v) | Value::Guid(v) | Value::Dynamic(v)) => b.append_value(v),
            (Builder::Text(b), _) if self.ty == Type::String => b.append_value(""),
            (Builder::Bool(b), _) => b.append_null(),
            (Builder::Int(b), _) => b.append_null(),
            (Builder::Long(b), _) => b.append_null(),
            (Builder::Real(b), _) => b.append_null(),
            (Builder::Decimal(b), _) => b.append_null(),
            (Builder::Text(b), _) => b.append_null(),
        }
    }

    pub fn finish(mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::Long(b) => Arc::new(b.finish()),
            Builder::Real(b) => Arc::new(b.finish()),
            Builder::Decimal(b) => Arc::new(b.finish()),
            Builder::Text(b) => Arc::new(b.finish()),
        }
    }
}

/// `rows` nulls of a type; empty strings for strings.
pub fn nulls(ty: Type, rows: usize) -> ArrayRef {
    match ty {
        Type::String => {
            let mut builder = StringViewBuilder::with_capacity(rows);
            for _ in 0..rows {
                builder.append_value("");
            }
            Arc::new(builder.finish())
        }
        _ => new_null_array(&ty.arrow(), rows),
    }
}

const _: () = assert!(DECIMAL_PRECISION == 76 && DECIMAL_SCALE == 34);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_round_trips_through_an_array() {
        let values = [
            Value::Bool(true),
            Value::Int(-3),
            Value::Long(1 << 60),
            Value::Real(2.5),
            Value::Decimal(decimal::from_i64(7)),
            Value::String("a".repeat(40)),
            Value::Datetime(0),
            Value::Timespan(-1),
            Value::Guid("74be27de-1e4e-49d9-b579-fe0b331d3642".to_owned()),
            Value::Dynamic("[1]".to_owned()),
        ];
        for value in values {
            let array = value.to_array();
            assert_eq!(*array.data_type(), value.ty().arrow());
            assert_eq!(Value::from_cell(&array, 0, value.ty()), value);
            let null = Value::null(value.ty());
            assert_eq!(Value::from_cell(&null.to_array(), 0, value.ty()), null);
        }
        // A wrong representation gives null, not a panic.
        assert_eq!(Value::from_cell(&Value::Long(1).to_array(), 0, Type::Bool), Value::Null(Type::Bool));
    }
}
