//! Which incidents, and in what order: a small tree that becomes SQL with bound values here and nowhere else.

use model::{Severity, Timestamp};
use serde_json::{Value, json};
use sqlx::{QueryBuilder, Sqlite};

/// What can be searched and sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentField {
    Id,
    Number,
    Title,
    Description,
    /// Compares by how bad it is, not by letters.
    Severity,
    Status,
    Classification,
    OwnerName,
    OwnerEmail,
    OwnerUserPrincipalName,
    OwnerId,
    ProviderName,
    ProviderIncidentId,
    Created,
    Modified,
    FirstActivity,
    LastActivity,
    Closed,
    AlertsCount,
}

/// How a value lies in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Compared as written.
    Text,
    /// One of an enumeration: its case does not count.
    Name,
    Severity,
    Time,
    Number,
}

impl IncidentField {
    /// What it is compared with.
    pub fn operand(self) -> Operand {
        use IncidentField::*;
        match self {
            Number | AlertsCount => Operand::Number,
            Severity => Operand::Severity,
            Id | Status | Classification | OwnerId => Operand::Name,
            Created | Modified | FirstActivity | LastActivity | Closed => Operand::Time,
            Title | Description | OwnerName | OwnerEmail | OwnerUserPrincipalName | ProviderName | ProviderIncidentId => Operand::Text,
        }
    }

    fn column(self) -> &'static str {
        use IncidentField::*;
        match self {
            Id => "id",
            Number => "number",
            Title => "title",
            Description => "description",
            Severity => "severity_rank",
            Status => "status",
            Classification => "classification",
            OwnerName => "owner_name",
            OwnerEmail => "owner_email",
            OwnerUserPrincipalName => "owner_upn",
            OwnerId => "owner_id",
            ProviderName => "provider_name",
            ProviderIncidentId => "provider_id",
            Created => "created",
            Modified => "modified",
            FirstActivity => "first_activity",
            LastActivity => "last_activity",
            Closed => "closed",
            AlertsCount => "alerts",
        }
    }

    fn is_text(self) -> bool {
        matches!(self.operand(), Operand::Text | Operand::Name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => " = ",
            Comparison::NotEqual => " <> ",
            Comparison::Greater => " > ",
            Comparison::GreaterOrEqual => " >= ",
            Comparison::Less => " < ",
            Comparison::LessOrEqual => " <= ",
        }
    }
}

/// A condition on incidents. A field without a value is equal to null, and unequal to everything else.
#[derive(Clone, Debug, PartialEq)]
pub enum IncidentFilter {
    And(Vec<IncidentFilter>),
    Or(Vec<IncidentFilter>),
    Not(Box<IncidentFilter>),
    Text(IncidentField, Comparison, String),
    Number(IncidentField, Comparison, i64),
    Time(IncidentField, Comparison, Timestamp),
    Severity(Comparison, Severity),
    IsNull(IncidentField),
    Contains(IncidentField, String),
    StartsWith(IncidentField, String),
    EndsWith(IncidentField, String),
}

impl IncidentFilter {
    pub(crate) fn push(&self, sql: &mut QueryBuilder<Sqlite>) {
        match self {
            IncidentFilter::And(parts) => push_joined(sql, parts, " AND ", "1"),
            IncidentFilter::Or(parts) => push_joined(sql, parts, " OR ", "0"),
            IncidentFilter::Not(inner) => {
                sql.push("NOT (");
                inner.push(sql);
                sql.push(")");
            }
            IncidentFilter::Text(field, comparison, text) => {
                sql.push("coalesce(").push(field.column()).push(", '')").push(comparison.sql()).push_bind(text.clone());
                if field.operand() == Operand::Name {
                    sql.push(" COLLATE NOCASE");
                }
            }
            IncidentFilter::Number(field, comparison, number) => push_number(sql, *field, *comparison, *number),
            IncidentFilter::Time(field, comparison, time) => push_number(sql, *field, *comparison, time.ticks()),
            IncidentFilter::Severity(comparison, severity) => push_number(sql, IncidentField::Severity, *comparison, *severity as i64),
            IncidentFilter::IsNull(field) => {
                sql.push(field.column()).push(" IS NULL");
            }
            IncidentFilter::Contains(field, text) => {
                sql.push("instr(coalesce(").push(field.column()).push(", ''), ").push_bind(text.clone()).push(") > 0");
            }
            IncidentFilter::StartsWith(field, text) => {
                sql.push("substr(coalesce(").push(field.column()).push(", ''), 1, ").push_bind(text.chars().count() as i64);
                sql.push(") = ").push_bind(text.clone());
            }
            IncidentFilter::EndsWith(field, text) => {
                let count = text.chars().count() as i64;
                sql.push("(length(coalesce(").push(field.column()).push(", '')) >= ").push_bind(count);
                sql.push(" AND substr(").push(field.column()).push(", length(").push(field.column()).push(") - ").push_bind(count - 1);
                sql.push(") = ").push_bind(text.clone()).push(")");
            }
        }
    }
}

fn push_joined(sql: &mut QueryBuilder<Sqlite>, parts: &[IncidentFilter], connective: &str, none: &str) {
    if parts.is_empty() {
        sql.push(none);
        return;
    }
    sql.push("(");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            sql.push(connective);
        }
        part.push(sql);
    }
    sql.push(")");
}

fn push_number(sql: &mut QueryBuilder<Sqlite>, field: IncidentField, comparison: Comparison, number: i64) {
    // A missing time is neither before nor after anything, but it is unequal.
    sql.push("coalesce(").push(field.column()).push(comparison.sql()).push_bind(number);
    sql.push(if comparison == Comparison::NotEqual { ", 1)" } else { ", 0)" });
}

/// What to sort by. The incident's number settles ties, so every order is total and pages neither repeat nor skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentOrder {
    pub field: IncidentField,
    pub descending: bool,
}

impl IncidentOrder {
    /// The expression that sorts: null sorts before every value.
    pub(crate) fn expression(self) -> String {
        let null = if self.field.is_text() { "''" } else { "-1" };
        format!("coalesce({}, {null})", self.field.column())
    }

    /// Whether `value` may stand for a place in this order.
    fn fits(self, value: &Value) -> bool {
        if self.field.is_text() { value.is_string() } else { value.is_i64() }
    }
}

/// Adds the condition "after this place in this order". False where the place is not of this order.
pub(crate) fn push_after(sql: &mut QueryBuilder<Sqlite>, order: &[IncidentOrder], place: &[Value]) -> bool {
    if order.len() != place.len() || !order.iter().zip(place).all(|(order, value)| order.fits(value)) {
        return false;
    }
    sql.push("(");
    for (index, (last, value)) in order.iter().zip(place).enumerate() {
        if index > 0 {
            sql.push(" OR ");
        }
        sql.push("(");
        for (equal, value) in order.iter().zip(place).take(index) {
            sql.push(equal.expression()).push(" = ");
            push_value(sql, value);
            sql.push(" AND ");
        }
        sql.push(last.expression()).push(if last.descending { " < " } else { " > " });
        push_value(sql, value);
        sql.push(")");
    }
    sql.push(")");
    true
}

fn push_value(sql: &mut QueryBuilder<Sqlite>, value: &Value) {
    match value {
        Value::String(text) => sql.push_bind(text.clone()),
        other => sql.push_bind(other.as_i64().unwrap_or_default()),
    };
}

/// The value at column `index` of a row, as part of a place.
pub(crate) fn place_value(row: &sqlx::sqlite::SqliteRow, index: usize, order: IncidentOrder) -> Result<Value, sqlx::Error> {
    use sqlx::Row;
    Ok(if order.field.is_text() { json!(row.try_get::<String, _>(index)?) } else { json!(row.try_get::<i64, _>(index)?) })
}
