//! Converts cells of any type to JSON, for lists, sets and bags.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal256Type, Float64Type, Int32Type, Int64Type};
use model::{Span, Timestamp, Type};

use crate::dynamic;
use crate::value::decimal;

/// Appends entry `row` of `array`, of type `ty`, as JSON; null as `null`. Decimals become strings, as recorded from Microsoft's engine.
pub fn push_cell(out: &mut String, array: &dyn Array, row: usize, ty: Type) {
    use std::fmt::Write;
    if array.is_null(row) {
        out.push_str(if ty == Type::String { "\"\"" } else { "null" });
        return;
    }
    // Writing to a string cannot fail.
    let _ = match ty {
        Type::Bool => write!(out, "{}", array.as_boolean().value(row)),
        Type::Int => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        Type::Long => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        Type::Real => {
            dynamic::push_real(out, array.as_primitive::<Float64Type>().value(row));
            Ok(())
        }
        Type::Decimal => write!(out, "\"{}\"", decimal::format(array.as_primitive::<Decimal256Type>().value(row))),
        Type::Datetime => write!(out, "\"{}\"", Timestamp::clamp_ticks(array.as_primitive::<Int64Type>().value(row))),
        Type::Timespan => write!(out, "\"{}\"", Span(array.as_primitive::<Int64Type>().value(row))),
        Type::String | Type::Guid => {
            dynamic::push_string(out, array.as_string_view().value(row));
            Ok(())
        }
        Type::Dynamic => {
            out.push_str(array.as_string_view().value(row));
            Ok(())
        }
    };
}

/// Calls `visit` with the JSON of a cell; a dynamic array is split into its elements, as in lists and sets. Nulls are passed as `None`.
/// `scratch` is reused.
pub fn for_each_part(array: &dyn Array, row: usize, ty: Type, scratch: &mut String, mut visit: impl FnMut(Option<&str>)) {
    if array.is_null(row) && ty != Type::String {
        return visit(None);
    }
    if ty == Type::Dynamic {
        let json = array.as_string_view().value(row);
        return match dynamic::elements(json) {
            Some(elements) => elements.for_each(|element| visit(Some(element))),
            None => visit(Some(json)),
        };
    }
    scratch.clear();
    push_cell(scratch, array, row, ty);
    visit(Some(scratch));
}
