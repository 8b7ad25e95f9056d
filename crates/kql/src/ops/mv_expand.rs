//! `mv-expand` — one row for each element of an array or property of a bag. Source: the public KQL reference, `mv-expand-operator`.
//!
//! A null gives one row with a null, an empty array or bag gives none, and a scalar gives one row. Several columns are expanded in
//! parallel; the longest determines the number of rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::record_batch::RecordBatch;
use model::Type;

use super::layout::{BATCH_ROWS, Layout, constant_count};
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::Value;
use crate::dynamic::{self, Kind};
use crate::plan::{ColumnId, Expr, Field};
use crate::value::cells::Cells;

/// A bound `mv-expand`. All other output fields are passed through.
#[derive(Clone, Debug)]
pub struct MvExpand {
    /// Expanded in parallel; shorter ones are padded with null.
    pub items: Vec<MvItem>,
    pub kind: MvKind,
    /// The column of `with_itemindex`, a long starting at 0.
    pub index: Option<ColumnId>,
    /// Maximum number of rows per input row; a long.
    pub limit: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct MvItem {
    /// A dynamic.
    pub expr: Expr,
    /// The new column, of type `ty`.
    pub id: ColumnId,
    /// `dynamic`, or the type given by `to typeof()`.
    pub ty: Type,
}

/// How a bag is expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MvKind {
    /// Bags with one property.
    #[default]
    Bag,
    /// Arrays of name and value.
    Array,
}

impl TableOp for MvExpand {
    fn name(&self) -> &'static str {
        "mv-expand"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.items.iter().map(|item| &item.expr).chain(&self.limit).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let mut mapped = self.clone();
        mapped.items.iter_mut().for_each(|item| item.expr = f(&item.expr));
        mapped.limit = self.limit.as_ref().map(f);
        Box::new(mapped)
    }

    fn passes(&self, field: ColumnId) -> bool {
        self.index != Some(field) && self.items.iter().all(|item| item.id != field)
    }

    fn per_row(&self) -> bool {
        true
    }

    fn multiplies(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let own: Vec<ColumnId> = self.items.iter().map(|item| item.id).chain(self.index).collect();
        Ok(Box::new(Running {
            items: self
                .items
                .iter()
                .map(|item| Ok((Evaluator::new(&item.expr, &inputs[0], runtime)?, item.ty)))
                .collect::<Result<_, EvalError>>()?,
            kind: self.kind,
            limit: self.limit.as_ref().map_or(Ok(usize::MAX), |limit| constant_count(limit, runtime))?,
            layout: Layout::new(&inputs[0], outputs, &own)?,
        }))
    }
}

struct Running {
    items: Vec<(Evaluator, Type)>,
    kind: MvKind,
    limit: usize,
    layout: Layout,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let columns: Vec<ArrayRef> = self.items.iter().map(|(evaluator, _)| evaluator.eval(batch)).collect::<Result<_, _>>()?;
        let mut pending = Pending::new(self);
        let mut scratch = String::new();
        for row in 0..batch.num_rows() {
            let expanded: Vec<Expansion> = columns.iter().map(|column| expand(column, row)).collect();
            let rows = expanded.iter().map(Expansion::rows).max().unwrap_or(0).min(self.limit);
            for ((mut expansion, cells), (_, ty)) in expanded.into_iter().zip(&mut pending.cells).zip(&self.items) {
                for _ in 0..rows {
                    cells.push(&expansion.next(self.kind, *ty, &mut scratch));
                }
            }
            pending.picked.extend(std::iter::repeat_n(row as u32, rows));
            pending.index.extend(0..rows as i64);
            if pending.picked.len() >= BATCH_ROWS {
                crate::watch::check()?;
                std::mem::replace(&mut pending, Pending::new(self)).flush(&self.layout, batch, out)?;
            }
        }
        pending.flush(&self.layout, batch, out)
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}

/// The output batch under construction.
struct Pending {
    picked: Vec<u32>,
    index: Vec<i64>,
    cells: Vec<Cells>,
}

impl Pending {
    fn new(running: &Running) -> Self {
        Self { picked: Vec::new(), index: Vec::new(), cells: running.items.iter().map(|(_, ty)| Cells::new(*ty, 0)).collect() }
    }

    fn flush(self, layout: &Layout, input: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let rows = self.picked.len();
        if rows > 0 {
            let mut own: Vec<ArrayRef> = self.cells.into_iter().map(Cells::finish).collect();
            own.push(Arc::new(Int64Array::from(self.index)));
            out.push(layout.batch(input, Some(&UInt32Array::from(self.picked)), &own, rows)?);
        }
        Ok(())
    }
}

/// The values of one cell.
enum Expansion<'a> {
    Null,
    Itself(Option<&'a str>),
    Elements(usize, dynamic::Elements<'a>),
    Entries(usize, dynamic::Entries<'a>),
}

fn expand(column: &ArrayRef, row: usize) -> Expansion<'_> {
    if column.is_null(row) {
        return Expansion::Null;
    }
    let json = column.as_string_view().value(row);
    if let Some(elements) = dynamic::elements(json) {
        return Expansion::Elements(elements.clone().count(), elements);
    }
    if let Some(entries) = dynamic::entries(json) {
        return Expansion::Entries(entries.clone().count(), entries);
    }
    Expansion::Itself(Some(json))
}

impl Expansion<'_> {
    fn rows(&self) -> usize {
        match self {
            Expansion::Null | Expansion::Itself(_) => 1,
            Expansion::Elements(count, _) | Expansion::Entries(count, _) => *count,
        }
    }

    /// The next value, converted to `ty`; null after the last.
    fn next(&mut self, kind: MvKind, ty: Type, scratch: &mut String) -> Value {
        match self {
            Expansion::Null => Value::null(ty),
            Expansion::Itself(json) => json.take().map_or(Value::null(ty), |json| conform(json, ty)),
            Expansion::Elements(_, elements) => elements.next().map_or(Value::null(ty), |json| conform(json, ty)),
            Expansion::Entries(_, entries) => match entries.next() {
                None => Value::null(ty),
                Some((key, value)) => {
                    scratch.clear();
                    let (open, middle, close) = if kind == MvKind::Bag { ('{', ':', '}') } else { ('[', ',', ']') };
                    scratch.push(open);
                    scratch.push_str(key);
                    scratch.push(middle);
                    scratch.push_str(value);
                    scratch.push(close);
                    conform(scratch, ty)
                }
            },
        }
    }
}

/// Converts a dynamic like `to typeof(ty)`: strings are not parsed, so `"1"` is not a long and `"1.00:00:00"` is not a timespan (recorded).
/// Datetimes and guids are strings in JSON.
fn conform(json: &str, ty: Type) -> Value {
    let kind = dynamic::kind(json);
    match (kind, ty) {
        (Kind::Null | Kind::Invalid, _) => Value::null(ty),
        (_, Type::Dynamic) => Value::Dynamic(json.to_owned()),
        (_, Type::String) => Value::String(dynamic::to_text(json)),
        (Kind::Bool(b), Type::Bool) => Value::Bool(b),
        (Kind::Long(n), Type::Bool) => Value::Bool(n != 0), // recorded; a real is not converted
        (Kind::Long(_) | Kind::Real(_), Type::Int | Type::Long | Type::Real | Type::Decimal) => Value::Dynamic(json.to_owned()).cast(ty),
        (Kind::String, Type::Datetime | Type::Guid | Type::Decimal) => Value::String(dynamic::unquote(json).into_owned()).cast(ty),
        _ => Value::null(ty),
    }
}
