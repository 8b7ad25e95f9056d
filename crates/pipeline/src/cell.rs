//! Conversion of JSON values to typed columns: which JSON fits which type, and the column builders.
//!
//! Follows Kusto's ingestion: text is parsed as by `toint`, `tobool`, `todatetime` …, empty text is null unless the column is a string,
//! string and dynamic columns accept any JSON. A value that does not fit becomes null
//! (learn.microsoft.com/azure/data-explorer/ingest-invalid-data: "Value not matching the table schema data type. For example: floating
//! point value ingested into an int column", "NULL value filled"). Numbers are exact: nothing is rounded.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Decimal256Builder, Float64Builder, Int32Builder, Int64Builder, StringViewBuilder};
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{Decimal256Type, i256};
use model::{DECIMAL_PRECISION, DECIMAL_SCALE, Span, Type};

/// A value of a column's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i32),
    /// Also timespans and datetimes, in ticks.
    Long(i64),
    Real(f64),
    Decimal(i256),
    Text(Cow<'a, str>),
}

/// The value has the wrong type or is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// Converts a JSON value, given as text, to a cell of type `ty`.
pub fn from_json(ty: Type, json: &str) -> Result<Cell<'_>, Unfit> {
    let json = json.trim();
    match json.as_bytes().first() {
        None | Some(b'n') => Ok(Cell::Null),
        _ if ty == Type::Dynamic => Ok(Cell::Text(minified(json))),
        Some(b'"') => {
            let text = unquoted(json).ok_or(Unfit)?;
            match text {
                Cow::Borrowed(text) => from_text(ty, text),
                // The unescaped text is owned, so the cell must be owned too.
                Cow::Owned(text) => from_text(ty, &text).map(Cell::into_owned),
            }
        }
        Some(b'{' | b'[') if ty != Type::String => Err(Unfit),
        Some(b't' | b'f') if !matches!(ty, Type::String | Type::Bool) => Err(Unfit),
        Some(b'{' | b'[') => Ok(Cell::Text(minified(json))),
        // Numbers are not converted to times: only the transform knows whether they are seconds, milliseconds or ticks.
        _ if ty == Type::Datetime || ty == Type::Timespan || ty == Type::Guid => Err(Unfit),
        _ => from_text(ty, json),
    }
}

/// Converts text to a cell of type `ty`.
pub fn from_text(ty: Type, text: &str) -> Result<Cell<'_>, Unfit> {
    if ty == Type::String {
        return Ok(Cell::Text(text.into()));
    }
    let word = text.trim();
    if word.is_empty() {
        return Ok(Cell::Null);
    }
    let cell = match ty {
        Type::Bool => match word {
            "1" => Some(Cell::Bool(true)),
            "0" => Some(Cell::Bool(false)),
            _ if word.eq_ignore_ascii_case("true") => Some(Cell::Bool(true)),
            _ if word.eq_ignore_ascii_case("false") => Some(Cell::Bool(false)),
            _ => None,
        },
        Type::Int => whole(word).and_then(|n| i32::try_from(n).ok()).map(Cell::Int),
        Type::Long => whole(word).map(Cell::Long),
        Type::Real => word.parse().ok().map(Cell::Real),
        Type::Decimal => parse_decimal::<Decimal256Type>(word, DECIMAL_PRECISION, DECIMAL_SCALE).ok().map(Cell::Decimal),
        Type::Datetime => kql::value::text::parse_datetime(word).map(|time| Cell::Long(time.ticks())),
        Type::Timespan => word.parse::<Span>().ok().map(|span| Cell::Long(span.ticks())),
        Type::Guid => uuid::Uuid::parse_str(word).ok().map(|guid| Cell::Text(guid.hyphenated().to_string().into())),
        Type::Dynamic => Some(Cell::Text(serde_json::Value::from(text).to_string().into())),
        Type::String => None,
    };
    cell.ok_or(Unfit)
}

/// Parses an integer, also if written as `5.0` or `5e0`, exactly.
fn whole(word: &str) -> Option<i64> {
    if let Ok(number) = word.parse() {
        return Some(number);
    }
    let (mantissa, exponent) = word.split_once(['e', 'E']).unwrap_or((word, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (int, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    if int.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number = Some(0_i64);
    // Digits before the decimal point after applying the exponent.
    let places = i64::try_from(int.len()).ok()? + i64::from(exponent);
    let mut seen = 0;
    for byte in int.bytes().chain(fraction.bytes()) {
        let digit = digit(byte)?;
        if seen < places {
            number = number.and_then(|number| number.checked_mul(10)?.checked_add(sign * digit));
        } else if digit != 0 {
            return None;
        }
        seen += 1;
    }
    while seen < places && number.is_some_and(|number| number != 0) {
        number = number.and_then(|number| number.checked_mul(10));
        seen += 1;
    }
    number
}

/// The message for a value that does not fit.
pub fn refusal(ty: Type, value: &str) -> String {
    const SHOWN: usize = 40;
    let cut = value.char_indices().nth(SHOWN).map_or(value.len(), |(at, _)| at);
    let more = if cut < value.len() { "…" } else { "" };
    format!("`{}{more}` is no {ty}", &value[..cut])
}

fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.get(1..json.len().checked_sub(1)?)?;
    if inner.contains('\\') { serde_json::from_str::<String>(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// JSON without white space between tokens.
fn minified(json: &str) -> Cow<'_, str> {
    let (mut inside, mut escaped) = (false, false);
    let mut keep = |byte: char| {
        let keep = inside || !byte.is_ascii_whitespace();
        match byte {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
        keep
    };
    match json.find(|c| !keep(c)) {
        None => Cow::Borrowed(json),
        Some(first) => {
            let mut out = json[..first].to_owned();
            out.extend(json[first + 1..].chars().filter(|c| keep(*c)));
            Cow::Owned(out)
        }
    }
}

impl Cell<'_> {
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Bool(value) => Cell::Bool(value),
            Cell::Int(value) => Cell::Int(value),
            Cell::Long(value) => Cell::Long(value),
            Cell::Real(value) => Cell::Real(value),
            Cell::Decimal(value) => Cell::Decimal(value),
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
        }
    }
}

/// Builds a column from cells.
pub enum CellBuilder {
    Bool(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
    Decimal(Decimal256Builder),
    /// If the flag is set, null becomes empty text, because a `string` has no null.
    Text(StringViewBuilder, bool),
}

impl CellBuilder {
    pub fn new(ty: Type) -> Self {
        match ty {
            Type::Bool => Self::Bool(BooleanBuilder::new()),
            Type::Int => Self::Int(Int32Builder::new()),
            Type::Long | Type::Datetime | Type::Timespan => Self::Long(Int64Builder::new()),
            Type::Real => Self::Real(Float64Builder::new()),
            Type::Decimal => Self::Decimal(Decimal256Builder::new().with_data_type(ty.arrow())),
            Type::String | Type::Guid | Type::Dynamic => Self::Text(StringViewBuilder::new(), ty == Type::String),
        }
    }

    /// Appends a cell; one of another type becomes null, which [`from_json`] and [`from_text`] never return.
    pub fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Bool(builder), Cell::Bool(value)) => builder.append_value(*value),
            (Self::Bool(builder), _) => builder.append_null(),
            (Self::Int(builder), Cell::Int(value)) => builder.append_value(*value),
            (Self::Int(builder), _) => builder.append_null(),
            (Self::Long(builder), Cell::Long(value)) => builder.append_value(*value),
            (Self::Long(builder), _) => builder.append_null(),
            (Self::Real(builder), Cell::Real(value)) => builder.append_value(*value),
            (Self::Real(builder), _) => builder.append_null(),
            (Self::Decimal(builder), Cell::Decimal(value)) => builder.append_value(*value),
            (Self::Decimal(builder), _) => builder.append_null(),
            (Self::Text(builder, _), Cell::Text(value)) => builder.append_value(value),
            (Self::Text(builder, true), _) => builder.append_value(""),
            (Self::Text(builder, false), _) => builder.append_null(),
        }
    }

    pub fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int(mut builder) => Arc::new(builder.finish()),
            Self::Long(mut builder) => Arc::new(builder.finish()),
            Self::Real(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder) => Arc::new(builder.finish()),
            Self::Text(mut builder, _) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn json_converts_to_column_types() {
        let text = |text: &str| Ok(Cell::Text(text.to_owned().into()));
        let time = |iso: &str| Ok(Cell::Long(Timestamp::parse_iso(iso).unwrap().ticks()));
        let cases: Vec<(Type, &str, Result<Cell<'_>, Unfit>)> = vec![
            (Type::Int, "7", Ok(Cell::Int(7))),
            (Type::Int, "\"7\"", Ok(Cell::Int(7))),
            (Type::Int, "7.0", Ok(Cell::Int(7))),
            (Type::Int, "1.5", Err(Unfit)),
            (Type::Int, "3000000000", Err(Unfit)),
            (Type::Int, "-2147483648", Ok(Cell::Int(i32::MIN))),
            (Type::Long, "9007199254740993", Ok(Cell::Long(9_007_199_254_740_993))),
            // github.com/open-telemetry/otel-arrow/pull/2535: beyond 2^53 a conversion through f64 would round.
            (Type::Long, "9007199254740993.0", Ok(Cell::Long(9_007_199_254_740_993))),
            (Type::Long, "\"9007199254740993.000\"", Ok(Cell::Long(9_007_199_254_740_993))),
            (Type::Long, "9.007199254740993e15", Ok(Cell::Long(9_007_199_254_740_993))),
            (Type::Long, "-9223372036854775808.0", Ok(Cell::Long(i64::MIN))),
            (Type::Long, "9223372036854775808", Err(Unfit)),
            (Type::Long, "9223372036854775808.0", Err(Unfit)),
            (Type::Long, "1e3", Ok(Cell::Long(1000))),
            (Type::Long, "12000e-3", Ok(Cell::Long(12))),
            (Type::Long, "0e999999999", Ok(Cell::Long(0))),
            (Type::Long, "1e999999999", Err(Unfit)),
            (Type::Long, "5e-1", Err(Unfit)),
            (Type::Long, "\".\"", Err(Unfit)),
            (Type::Long, "\"\"", Ok(Cell::Null)),
            (Type::Long, "true", Err(Unfit)),
            (Type::Real, "1e3", Ok(Cell::Real(1000.0))),
            (Type::Bool, "\"False\"", Ok(Cell::Bool(false))),
            (Type::Bool, "\"yes\"", Err(Unfit)),
            (Type::Bool, "[]", Err(Unfit)),
            (Type::Datetime, "\"1970-01-01T00:00:00Z\"", Ok(Cell::Long(model::UNIX_EPOCH_TICKS))),
            // The formats documented for `datetime`; a number is not one of them.
            (Type::Datetime, "\"Mon, 30 Nov 2026 21:45:44 GMT\"", time("2026-11-30T21:45:44Z")),
            (Type::Datetime, "\"Monday, 30-Nov-26 21:45:44\"", time("2026-11-30T21:45:44Z")),
            (Type::Datetime, "\"11/30/2026 9:45:44 PM\"", time("2026-11-30T21:45:44Z")),
            (Type::Datetime, "1796075144", Err(Unfit)),
            (Type::Datetime, "1796075144.25", Err(Unfit)),
            (Type::Datetime, "\"1796075144\"", Err(Unfit)),
            (Type::Datetime, "\"/Date(1796075144000)/\"", Err(Unfit)),
            (Type::Datetime, "\"\\/Date(1796075144000)\\/\"", Err(Unfit)),
            (Type::String, "\"a\\u00e9\\n\"", text("aé\n")),
            (Type::String, "{ \"a\" : [1, \"x y\"] }", text("{\"a\":[1,\"x y\"]}")),
            (Type::String, "1.50", text("1.50")),
            (Type::Dynamic, "{ \"a\\\" b\" : 1.50 }", text("{\"a\\\" b\":1.50}")),
            (Type::Dynamic, "null", Ok(Cell::Null)),
            (Type::Guid, "\"74BE27DE-1E4E-49D9-B579-FE0B331D3642\"", text("74be27de-1e4e-49d9-b579-fe0b331d3642")),
            (Type::Timespan, "\"1.02:00:00\"", Ok(Cell::Long(26 * model::TICKS_PER_HOUR))),
        ];
        for (ty, json, expected) in cases {
            assert_eq!(from_json(ty, json), expected, "{json} as {ty}");
        }
    }
}
