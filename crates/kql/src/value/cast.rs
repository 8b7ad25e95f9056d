//! Conversion between types, by `toint`, `tostring`, `todatetime` … and the binder's implicit casts (`$cast`). If a conversion is
//! impossible, the result is null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, StringViewBuilder};
use arrow::compute::kernels::arity::unary;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use model::{Timestamp, Type};

use super::cells::{Cells, nulls};
use super::{Value, decimal, text};
use crate::dynamic::{self, Kind};

/// Converts `value` to type `to`.
pub fn value(value: &Value, to: Type) -> Value {
    if value.ty() == to {
        return value.clone();
    }
    let converted = match (value, to) {
        (Value::Null(_), _) => None,
        (_, Type::String) => Some(Value::String(text::format(value))),
        (Value::String(s), _) => return text::parse(s, to),
        (Value::Dynamic(json), _) => return from_dynamic(json, to),
        (_, Type::Dynamic) => {
            let mut json = String::new();
            dynamic::push_value(&mut json, value);
            Some(Value::Dynamic(json))
        }
        (Value::Bool(b), _) => return from_long((*b).into(), to),
        (Value::Int(n), Type::Bool) => Some(Value::Bool(*n != 0)),
        (Value::Int(n), _) => return from_long((*n).into(), to),
        (Value::Long(n) | Value::Datetime(n) | Value::Timespan(n), _) => return from_long(*n, to),
        (Value::Real(x), _) => return from_real(*x, to),
        (Value::Decimal(d), Type::Real) => Some(Value::Real(decimal::to_f64(*d))),
        (Value::Decimal(d), _) => return decimal::to_i64(*d).map_or(Value::null(to), |n| from_long(n, to)),
        (Value::Guid(_), _) => None,
    };
    converted.unwrap_or(Value::null(to))
}

fn from_long(n: i64, to: Type) -> Value {
    match to {
        Type::Bool => Some(Value::Bool(n != 0)),
        Type::Int => Some(Value::Int(n as i32)), // wraps: recorded
        Type::Long => Some(Value::Long(n)),
        Type::Real => Some(Value::Real(n as f64)),
        Type::Decimal => Some(Value::Decimal(decimal::from_i64(n))),
        Type::Datetime => Timestamp::from_ticks(n).map(|_| Value::Datetime(n)),
        Type::Timespan => Some(Value::Timespan(n)),
        Type::String | Type::Guid | Type::Dynamic => None,
    }
    .unwrap_or(Value::null(to))
}

/// Truncates towards zero and saturates (recorded: `tolong(1e30)` is the maximum long). NaN is null.
pub fn real_to_long(x: f64) -> Option<i64> {
    (!x.is_nan()).then_some(x as i64)
}

fn from_real(x: f64, to: Type) -> Value {
    match to {
        Type::Bool => Some(Value::Bool(x != 0.0)),
        Type::Int => (!x.is_nan()).then_some(Value::Int(x as i32)),
        Type::Decimal => decimal::from_f64(x).map(Value::Decimal),
        _ => return real_to_long(x).map_or(Value::null(to), |n| from_long(n, to)),
    }
    .unwrap_or(Value::null(to))
}

/// Converts a dynamic value to type `to`: its number, or its string parsed, otherwise null.
pub fn from_dynamic(json: &str, to: Type) -> Value {
    match (dynamic::kind(json), to) {
        (_, Type::Dynamic) => Value::Dynamic(json.to_owned()),
        (_, Type::String) => Value::String(dynamic::to_text(json)),
        (Kind::Bool(b), _) => from_long(b.into(), to),
        (Kind::Long(n), _) => from_long(n, to),
        (Kind::Real(x), Type::Real) => Value::Real(x),
        (Kind::Real(x), _) => from_real(x, to),
        (Kind::String, _) => text::parse(&dynamic::unquote(json), to),
        (Kind::Null | Kind::Array | Kind::Object | Kind::Invalid, _) => Value::null(to),
    }
}

/// Converts an array of type `from` to type `to`.
pub fn array(array: &ArrayRef, from: Type, to: Type) -> ArrayRef {
    if from == to || array.data_type() == &to.arrow() && same_layout(from, to) {
        return array.clone();
    }
    if array.null_count() == array.len() {
        return nulls(to, array.len());
    }
    match (from, to) {
        (Type::Int, Type::Long | Type::Timespan) => {
            if let Some(ints) = array.as_primitive_opt::<Int32Type>() {
                return Arc::new(unary::<_, _, Int64Type>(ints, i64::from));
            }
        }
        (Type::Int, Type::Real) => {
            if let Some(ints) = array.as_primitive_opt::<Int32Type>() {
                return Arc::new(unary::<_, _, Float64Type>(ints, f64::from));
            }
        }
        (Type::Long | Type::Timespan | Type::Datetime, Type::Real) => {
            if let Some(longs) = array.as_primitive_opt::<Int64Type>() {
                return Arc::new(unary::<_, _, Float64Type>(longs, |n| n as f64));
            }
        }
        (Type::Real, Type::Long) => {
            if let Some(reals) = array.as_primitive_opt::<Float64Type>() {
                return Arc::new(Int64Array::from_iter(reals.iter().map(|x| x.and_then(real_to_long))));
            }
        }
        (Type::Dynamic, Type::String) => {
            if let Some(texts) = array.as_string_view_opt() {
                let mut out = StringViewBuilder::with_capacity(texts.len());
                let mut scratch = String::new();
                for json in texts.iter() {
                    match json {
                        Some(json) => out.append_value(dynamic::text(json, &mut scratch)),
                        None => out.append_value(""),
                    }
                }
                return Arc::new(out.finish());
            }
        }
        (Type::Guid, Type::String) => {
            if let Some(texts) = array.as_string_view_opt() {
                let mut out = StringViewBuilder::with_capacity(texts.len());
                texts.iter().for_each(|text| out.append_value(text.unwrap_or("")));
                return Arc::new(out.finish());
            }
        }
        (Type::String, Type::Long) => {
            if let Some(texts) = array.as_string_view_opt() {
                return Arc::new(Int64Array::from_iter(texts.iter().map(|t| t.and_then(text::parse_long))));
            }
        }
        (Type::String, Type::Int) => {
            if let Some(texts) = array.as_string_view_opt() {
                return Arc::new(Int32Array::from_iter(
                    texts.iter().map(|t| t.and_then(text::parse_long).and_then(|n| i32::try_from(n).ok())),
                ));
            }
        }
        (Type::String, Type::Real) => {
            if let Some(texts) = array.as_string_view_opt() {
                return Arc::new(Float64Array::from_iter(texts.iter().map(|t| t.and_then(text::parse_real))));
            }
        }
        (Type::String, Type::Datetime) => {
            if let Some(texts) = array.as_string_view_opt() {
                return Arc::new(Int64Array::from_iter(texts.iter().map(|t| t.and_then(text::parse_datetime).map(Timestamp::ticks))));
            }
        }
        _ => {}
    }
    let mut cells = Cells::new(to, array.len());
    for row in 0..array.len() {
        cells.push(&value(&Value::from_cell(array, row, from), to));
    }
    cells.finish()
}

/// True if both types have the same representation.
fn same_layout(from: Type, to: Type) -> bool {
    matches!((from, to), (Type::Long, Type::Timespan) | (Type::Timespan | Type::Datetime, Type::Long))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected results: recorded from Microsoft's engine.
    #[test]
    fn conversions_match_the_engine() {
        let real = |x: f64, to| value(&Value::Real(x), to);
        assert_eq!(real(-2.9, Type::Int), Value::Int(-2));
        assert_eq!(real(1e30, Type::Int), Value::Int(i32::MAX));
        assert_eq!(real(-1e19, Type::Long), Value::Long(i64::MIN));
        let json = |text: &str, to| value(&Value::Dynamic(text.to_owned()), to);
        assert_eq!(json("9223372036854775807", Type::Int), Value::Int(-1));
        assert_eq!(json("1.7976931348623157e308", Type::Int), Value::Int(i32::MAX));
        assert_eq!(json("9.99", Type::Long), Value::Long(9));
        assert_eq!(json("[1,2,3]", Type::Int), Value::Null(Type::Int));
        assert_eq!(json("\"3\"", Type::Real), Value::Real(3.0));
        assert_eq!(json("true", Type::Int), Value::Int(1));
        assert_eq!(json("true", Type::String), Value::String("true".to_owned()));
        assert_eq!(value(&Value::Bool(true), Type::String), Value::String("True".to_owned()));
        assert_eq!(value(&Value::Timespan(36_000_000_000), Type::Real), Value::Real(36_000_000_000.0));
    }

    #[test]
    fn arrays_convert_like_their_values() {
        let samples = [
            Value::Int(7),
            Value::Long(-1),
            Value::Real(2.5),
            Value::String("12".to_owned()),
            Value::Dynamic("\"2020-01-01\"".to_owned()),
            Value::Timespan(5),
            Value::Datetime(5),
            Value::Bool(true),
            Value::Decimal(decimal::from_i64(3)),
            Value::Guid("74be27de-1e4e-49d9-b579-fe0b331d3642".to_owned()),
        ];
        for sample in &samples {
            for to in Type::ALL {
                let pair = Value::array(&[sample.clone(), Value::null(sample.ty())], sample.ty());
                let cast = array(&pair, sample.ty(), to);
                assert_eq!(Value::from_cell(&cast, 0, to), sample.cast(to), "{sample:?} to {to}");
                assert_eq!(Value::from_cell(&cast, 1, to), Value::null(sample.ty()).cast(to), "null {} to {to}", sample.ty());
            }
        }
    }
}
