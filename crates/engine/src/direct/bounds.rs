//! Bounds on single columns derived from a filter, used to skip row groups by their min/max statistics.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr as DfExpr, Operator};
use kql::Value;
use kql::eval::Runtime;
use kql::functions::Native;
use kql::plan::{Expr, ExprKind, Field};
use model::Type;

use super::file::ParquetFile;
use super::source::{ScanColumn, to_ticks};
use crate::expr::constant;

/// Rows whose column value is outside these bounds cannot pass.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// Index among the columns of the scan.
    pub column: usize,
    pub range: Range,
}

#[derive(Clone, Debug)]
pub(crate) enum Range {
    /// An inclusive range.
    Longs(i64, i64),
    /// A set of values.
    AnyLong(Vec<i64>),
    /// A set of non-empty values.
    AnyText(Vec<String>),
}

impl Bound {
    /// The bounds implied by each conjunct of a filter.
    pub(crate) fn of(condition: &Expr, fields: &[Field], runtime: &Runtime) -> Vec<Bound> {
        let mut found = Vec::new();
        collect(condition, fields, runtime, &mut found);
        found
    }

    /// Same for a DataFusion filter, whose columns are named by the ids of `fields`.
    pub(crate) fn of_filter(filter: &DfExpr, place: impl Fn(&str) -> Option<usize>) -> Option<Bound> {
        let DfExpr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
        let (name, value, op) = match (left.as_ref(), right.as_ref()) {
            (DfExpr::Column(column), DfExpr::Literal(value, _)) => (&column.name, value, *op),
            (DfExpr::Literal(value, _), DfExpr::Column(column)) => (&column.name, value, op.swap()?),
            _ => return None,
        };
        let column = place(name)?;
        let range = match (value, op) {
            (ScalarValue::Utf8View(Some(text)), Operator::Eq) if !text.is_empty() => Range::AnyText(vec![text.clone()]),
            (ScalarValue::Int64(Some(value)), op) => longs(native(op)?, *value)?,
            (ScalarValue::Int32(Some(value)), op) => longs(native(op)?, i64::from(*value))?,
            _ => return None,
        };
        Some(Bound { column, range })
    }

    /// Returns false if the row group cannot contain a match. `exact` holds column ranges known from elsewhere, such as the manifest.
    pub(crate) fn may_hold(&self, file: &ParquetFile, group: usize, columns: &[ScanColumn], exact: &[Exact]) -> bool {
        let Some(column) = columns.get(self.column) else { return true };
        let Some(name) = &column.physical else { return true };
        let known = || match exact.iter().find(|exact| exact.name == column.name) {
            Some(exact) => Some((exact.least, exact.most)),
            None => ends(column, file, group),
        };
        match &self.range {
            Range::AnyText(texts) => {
                let Some((least, greatest)) = file.texts(group, name) else { return true };
                texts.iter().any(|text| least <= text.as_bytes() && text.as_bytes() <= greatest)
            }
            Range::Longs(from, until) => known().is_none_or(|(least, most)| least <= *until && *from <= most),
            Range::AnyLong(any) => known().is_none_or(|(least, most)| any.iter().any(|value| least <= *value && *value <= most)),
        }
    }
}

/// Minimum and maximum of an integer or datetime column in a file, whose footer may round them.
#[derive(Clone, Debug)]
pub(crate) struct Exact {
    pub name: String,
    pub least: i64,
    pub most: i64,
}

/// Minimum and maximum, as a query sees them.
pub(crate) fn ends(column: &ScanColumn, file: &ParquetFile, group: usize) -> Option<(i64, i64)> {
    let name = column.physical.as_deref()?;
    let (least, most) = file.longs(group, name)?;
    match (column.ty, file.unit(name)) {
        (Type::Datetime, Some(unit)) => {
            // The tenths companion can only increase a value.
            let tenths = if column.tenth.is_some() { 9 } else { 0 };
            Some((to_ticks(unit, least), to_ticks(unit, most).saturating_add(tenths)))
        }
        (Type::Int | Type::Long, None) => Some((least, most)),
        _ => None,
    }
}

fn native(op: Operator) -> Option<Native> {
    Some(match op {
        Operator::Eq => Native::Equal,
        Operator::Lt => Native::Less,
        Operator::LtEq => Native::LessOrEqual,
        Operator::Gt => Native::Greater,
        Operator::GtEq => Native::GreaterOrEqual,
        _ => return None,
    })
}

fn longs(native: Native, value: i64) -> Option<Range> {
    Some(match native {
        Native::Equal => Range::Longs(value, value),
        Native::Less => Range::Longs(i64::MIN, value.checked_sub(1)?),
        Native::LessOrEqual => Range::Longs(i64::MIN, value),
        Native::Greater => Range::Longs(value.checked_add(1)?, i64::MAX),
        Native::GreaterOrEqual => Range::Longs(value, i64::MAX),
        _ => return None,
    })
}

fn collect(condition: &Expr, fields: &[Field], runtime: &Runtime, found: &mut Vec<Bound>) {
    let ExprKind::Call { function, args } = &condition.kind else { return };
    if function.native == Native::And {
        args.iter().for_each(|part| collect(part, fields, runtime, found));
        return;
    }
    let place = |part: &Expr| match part.kind {
        ExprKind::Column(id) => fields.iter().position(|field| field.id == id),
        _ => None,
    };
    match (function.name, args.as_slice()) {
        ("in", [value, list @ ..]) => {
            let Some(column) = place(value) else { return };
            let list: Option<Vec<Value>> = list.iter().map(|part| constant(part, runtime)).collect();
            let Some(list) = list else { return };
            let range = match value.ty {
                Type::String => {
                    list.iter().map(|value| text(value).filter(|text| !text.is_empty())).collect::<Option<_>>().map(Range::AnyText)
                }
                ty => list.iter().map(|value| long(value, ty)).collect::<Option<_>>().map(Range::AnyLong),
            };
            found.extend(range.map(|range| Bound { column, range }));
        }
        ("between", [value, from, until]) if value.ty == from.ty && value.ty == until.ty => {
            let Some(column) = place(value) else { return };
            let ends = [from, until].map(|end| constant(end, runtime).and_then(|end| long(&end, value.ty)));
            if let [Some(from), Some(until)] = ends {
                found.push(Bound { column, range: Range::Longs(from, until) });
            }
        }
        (_, [left, right]) if left.ty == right.ty => {
            let (column, value, native) = match (place(left), place(right)) {
                (Some(column), None) => (column, constant(right, runtime), function.native),
                (None, Some(column)) => (column, constant(left, runtime), mirrored(function.native)),
                _ => return,
            };
            let Some(value) = value else { return };
            let range = match left.ty {
                Type::String if native == Native::Equal => {
                    text(&value).filter(|text| !text.is_empty()).map(|text| Range::AnyText(vec![text]))
                }
                ty => long(&value, ty).and_then(|value| longs(native, value)),
            };
            found.extend(range.map(|range| Bound { column, range }));
        }
        _ => {}
    }
}

fn mirrored(native: Native) -> Native {
    match native {
        Native::Less => Native::Greater,
        Native::LessOrEqual => Native::GreaterOrEqual,
        Native::Greater => Native::Less,
        Native::GreaterOrEqual => Native::LessOrEqual,
        same => same,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn long(value: &Value, ty: Type) -> Option<i64> {
    match (value, ty) {
        (Value::Int(value), Type::Int) => Some(i64::from(*value)),
        (Value::Long(value), Type::Long) | (Value::Datetime(value), Type::Datetime) => Some(*value),
        _ => None,
    }
}
