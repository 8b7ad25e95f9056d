//! Filter and order of incidents: an expression tree translated to SQL with bound values.

use model::{Severity, Timestamp};
use serde_json::{Value, json};
use sqlx::{QueryBuilder, Sqlite};

/// Fields for filtering and sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentField {
    Id,
    Number,
    Title,
    Description,
    /// Compares by severity, not alphabetically.
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
    /// Only within [`IncidentFilter::Any`]: the element of the list.
    Element,
    ElementLabelName,
    ElementLabelType,
}

/// A list of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentList {
    Labels,
    Tactics,
    Techniques,
    AlertProductNames,
}

impl IncidentList {
    fn path(self) -> &'static str {
        match self {
            IncidentList::Labels => "$.labels",
            IncidentList::Tactics => "$.tactics",
            IncidentList::Techniques => "$.techniques",
            IncidentList::AlertProductNames => "$.alert_products",
        }
    }
}

/// How text is case-folded for comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fold {
    #[default]
    AsWritten,
    Lower,
    Upper,
}

/// How a value is stored in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Compared as written.
    Text,
    /// An enumeration value, case-insensitive.
    Name,
    Severity,
    Time,
    Number,
}

impl IncidentField {
    /// The kind of operand it is compared with.
    pub fn operand(self) -> Operand {
        use IncidentField::*;
        match self {
            Number | AlertsCount => Operand::Number,
            Severity => Operand::Severity,
            Id | Status | Classification | OwnerId => Operand::Name,
            Created | Modified | FirstActivity | LastActivity | Closed => Operand::Time,
            Title | Description | OwnerName | OwnerEmail | OwnerUserPrincipalName | ProviderName | ProviderIncidentId => Operand::Text,
            Element | ElementLabelName | ElementLabelType => Operand::Text,
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
            Element => "element.value",
            ElementLabelName => "json_extract(element.value, '$.labelName')",
            ElementLabelType => "json_extract(element.value, '$.labelType')",
        }
    }

    /// SQL for the text of the column; empty for null.
    fn text(self, fold: Fold) -> String {
        let column = self.column();
        match fold {
            Fold::AsWritten => format!("coalesce({column}, '')"),
            Fold::Lower => format!("lower(coalesce({column}, ''))"),
            Fold::Upper => format!("upper(coalesce({column}, ''))"),
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

/// A condition on incidents. A field without a value equals null and nothing else.
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
    /// Texts within are compared with this folding.
    Folded(Fold, Box<IncidentFilter>),
    /// Index of a substring, from 0; -1 if it does not occur.
    IndexOf(IncidentField, String, Comparison, i64),
    /// Length of a text in characters.
    Length(IncidentField, Comparison, i64),
    /// Some element of the list matches the condition; without one, the list is not empty.
    Any(IncidentList, Option<Box<IncidentFilter>>),
    /// Every element of the list matches the condition.
    All(IncidentList, Box<IncidentFilter>),
}

impl IncidentFilter {
    pub(crate) fn push(&self, sql: &mut QueryBuilder<Sqlite>) {
        self.push_folded(sql, Fold::AsWritten);
    }

    fn push_folded(&self, sql: &mut QueryBuilder<Sqlite>, fold: Fold) {
        match self {
            IncidentFilter::And(parts) => push_joined(sql, parts, " AND ", "1", fold),
            IncidentFilter::Or(parts) => push_joined(sql, parts, " OR ", "0", fold),
            IncidentFilter::Not(inner) => {
                sql.push("NOT (");
                inner.push_folded(sql, fold);
                sql.push(")");
            }
            IncidentFilter::Text(field, comparison, text) => {
                sql.push(field.text(fold)).push(comparison.sql()).push_bind(text.clone());
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
                sql.push("instr(").push(field.text(fold)).push(", ").push_bind(text.clone()).push(") > 0");
            }
            IncidentFilter::StartsWith(field, text) => {
                sql.push("substr(").push(field.text(fold)).push(", 1, ").push_bind(text.chars().count() as i64);
                sql.push(") = ").push_bind(text.clone());
            }
            IncidentFilter::EndsWith(field, text) => {
                let (count, column) = (text.chars().count() as i64, field.text(fold));
                sql.push("(length(").push(&column).push(") >= ").push_bind(count);
                sql.push(" AND substr(").push(&column).push(", length(").push(&column).push(") - ").push_bind(count - 1);
                sql.push(") = ").push_bind(text.clone()).push(")");
            }
            IncidentFilter::Folded(fold, inner) => inner.push_folded(sql, *fold),
            IncidentFilter::IndexOf(field, text, comparison, place) => {
                sql.push("(instr(").push(field.text(fold)).push(", ").push_bind(text.clone()).push(") - 1)");
                sql.push(comparison.sql()).push_bind(*place);
            }
            IncidentFilter::Length(field, comparison, length) => {
                sql.push("length(").push(field.text(fold)).push(")").push(comparison.sql()).push_bind(*length);
            }
            IncidentFilter::Any(list, inner) => {
                sql.push("EXISTS (SELECT 1 FROM json_each(incidents.body, '").push(list.path()).push("') AS element WHERE ");
                match inner {
                    Some(inner) => inner.push_folded(sql, fold),
                    None => _ = sql.push("1"),
                }
                sql.push(")");
            }
            IncidentFilter::All(list, inner) => {
                sql.push("NOT EXISTS (SELECT 1 FROM json_each(incidents.body, '").push(list.path()).push("') AS element WHERE NOT (");
                inner.push_folded(sql, fold);
                sql.push("))");
            }
        }
    }
}

fn push_joined(sql: &mut QueryBuilder<Sqlite>, parts: &[IncidentFilter], connective: &str, none: &str, fold: Fold) {
    if parts.is_empty() {
        sql.push(none);
        return;
    }
    sql.push("(");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            sql.push(connective);
        }
        part.push_folded(sql, fold);
    }
    sql.push(")");
}

fn push_number(sql: &mut QueryBuilder<Sqlite>, field: IncidentField, comparison: Comparison, number: i64) {
    // A null time is neither before nor after anything, but unequal to everything.
    sql.push("coalesce(").push(field.column()).push(comparison.sql()).push_bind(number);
    sql.push(if comparison == Comparison::NotEqual { ", 1)" } else { ", 0)" });
}

/// Sort key. The incident number breaks ties, so that the order is total and paging neither repeats nor skips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentOrder {
    pub field: IncidentField,
    pub descending: bool,
}

impl IncidentOrder {
    /// SQL expression of the sort key: null sorts first.
    pub(crate) fn expression(self) -> String {
        let null = if self.field.is_text() { "''" } else { "-1" };
        format!("coalesce({}, {null})", self.field.column())
    }

    /// Whether `value` is a valid key of this order.
    fn fits(self, value: &Value) -> bool {
        if self.field.is_text() { value.is_string() } else { value.is_i64() }
    }
}

/// Adds the condition "after this position in this order". Returns false if the position does not belong to the order.
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

/// The value at column `index` of a row, as part of a position.
pub(crate) fn place_value(row: &sqlx::sqlite::SqliteRow, index: usize, order: IncidentOrder) -> Result<Value, sqlx::Error> {
    use sqlx::Row;
    Ok(if order.field.is_text() { json!(row.try_get::<String, _>(index)?) } else { json!(row.try_get::<i64, _>(index)?) })
}
