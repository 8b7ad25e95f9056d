//! Cells of text formats: the type of a column from its cells, and their values.

use kql::Value;
use model::{Column, Timestamp, Type};
use serde_json::Value as Json;

/// A cell of a text format.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Missing,
    Bool(bool),
    Long(i64),
    Real(f64),
    Text(String),
    /// An object or array.
    Dynamic(String),
}

/// Infers the type of a column from its cells.
pub(super) fn column_type<'a>(cells: impl Iterator<Item = &'a Cell>) -> Type {
    let mut found: Option<Type> = None;
    for cell in cells {
        let ty = match cell {
            Cell::Missing => continue,
            Cell::Bool(_) => Type::Bool,
            Cell::Long(_) => Type::Long,
            Cell::Real(_) => Type::Real,
            Cell::Text(text) if Timestamp::parse_iso(text).is_some() => Type::Datetime,
            Cell::Text(_) => Type::String,
            Cell::Dynamic(_) => Type::Dynamic,
        };
        found = Some(match found {
            None => ty,
            Some(known) if known == ty => ty,
            Some(Type::Long | Type::Real) if matches!(ty, Type::Long | Type::Real) => Type::Real,
            Some(Type::Datetime | Type::String) if matches!(ty, Type::Datetime | Type::String) => Type::String,
            Some(_) => Type::Dynamic,
        });
    }
    found.unwrap_or(Type::String)
}

pub(super) fn value(cell: &Cell, ty: Type) -> Value {
    match (ty, cell) {
        (_, Cell::Missing) => Value::null(ty),
        (Type::Bool, Cell::Bool(b)) => Value::Bool(*b),
        (Type::Long, Cell::Long(n)) => Value::Long(*n),
        (Type::Real, Cell::Long(n)) => Value::Real(*n as f64),
        (Type::Real, Cell::Real(n)) => Value::Real(*n),
        (Type::Datetime, Cell::Text(text)) => Timestamp::parse_iso(text).map_or(Value::Null(ty), |time| Value::Datetime(time.ticks())),
        (Type::String, Cell::Text(text)) => Value::String(text.clone()),
        (Type::Dynamic, Cell::Dynamic(json)) => Value::Dynamic(json.clone()),
        (Type::Dynamic, Cell::Bool(b)) => Value::Dynamic(b.to_string()),
        (Type::Dynamic, Cell::Long(n)) => Value::Dynamic(n.to_string()),
        (Type::Dynamic, Cell::Real(n)) => Value::Dynamic(Json::from(*n).to_string()),
        (Type::Dynamic, Cell::Text(text)) => Value::Dynamic(Json::from(text.as_str()).to_string()),
        _ => Value::null(ty),
    }
}

/// Finds the known column that matches a file's column.
pub(super) fn of_known<'k>(name: &str, known: &'k [Column]) -> Option<&'k Column> {
    // Portal exports append the time zone: `TimeGenerated [UTC]`.
    let bare = match name.split_once(" [") {
        Some((bare, zone)) if zone.ends_with(']') => bare,
        _ => name,
    };
    let exact = known.iter().find(|column| column.name == bare);
    exact.or_else(|| known.iter().find(|column| column.name.eq_ignore_ascii_case(bare)))
}

/// Converts a cell to a known column type; null if it does not fit.
pub(super) fn known_value(cell: &Cell, ty: Type) -> Value {
    match (ty, cell) {
        (_, Cell::Missing) => Value::null(ty),
        (Type::String, Cell::Text(text)) => Value::String(text.clone()),
        (Type::String, Cell::Bool(b)) => Value::Bool(*b).cast(ty),
        (Type::String, Cell::Long(n)) => Value::Long(*n).cast(ty),
        (Type::String, Cell::Real(n)) => Value::Real(*n).cast(ty),
        (Type::String, Cell::Dynamic(json)) => Value::String(json.clone()),
        // Exports contain objects and arrays as JSON text.
        (Type::Dynamic, Cell::Text(text)) if text.starts_with(['{', '[']) && serde_json::from_str::<Json>(text).is_ok() => {
            Value::Dynamic(text.clone())
        }
        (Type::Dynamic, cell) => value(cell, ty),
        (Type::Datetime, Cell::Text(text)) => {
            let exported = exported_time(text).map(|time| Value::Datetime(time.ticks()));
            exported.unwrap_or_else(|| Value::String(text.clone()).cast(ty))
        }
        (_, Cell::Text(text)) => Value::String(text.trim().to_owned()).cast(ty),
        (_, Cell::Bool(b)) => Value::Bool(*b).cast(ty),
        (_, Cell::Long(n)) => Value::Long(*n).cast(ty),
        (_, Cell::Real(n)) => Value::Real(*n).cast(ty),
        (_, Cell::Dynamic(json)) => Value::Dynamic(json.clone()).cast(ty),
    }
}

/// Parses a time as exported by the portal in English: `11/30/2026, 9:05:04.123 PM`, month first.
fn exported_time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once(", ")?;
    let mut parts = date.splitn(3, '/').map(|part| part.parse::<u32>().ok());
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, half) = clock.rsplit_once(' ')?;
    let (hour, rest) = clock.split_once(':')?;
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let hour = match half {
        "AM" => hour % 12,
        "PM" => hour % 12 + 12,
        _ => return None,
    };
    Timestamp::parse_iso(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{rest}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_portal_are_read() {
        // The format of the Azure portal's Logs page, in English.
        assert_eq!(exported_time("1/2/2026, 12:00:00.000 AM"), Timestamp::parse_iso("2026-01-02T00:00:00Z"));
        assert_eq!(exported_time("13/2/2026, 12:00:00.000 AM"), None);
    }
}
