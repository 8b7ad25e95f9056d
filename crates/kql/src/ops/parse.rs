//! `parse` and `parse-where` — extract columns from text with a pattern. Source: the public KQL reference, `parse-operator`.
//!
//! *Simple* and *relaxed* patterns must match the whole text: each literal of the pattern is searched after the previous one, and the text
//! in between is a column's value. In *simple* mode a value of the wrong type fails the row; in *relaxed* mode only that value is null. A
//! *regex* pattern may match anywhere; columns are greedy (recorded from Microsoft's engine), numbers match digits only. A row that fails
//! has nulls in all columns (`""` for strings), or is dropped by `parse-where`.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::record_batch::RecordBatch;
use model::Type;
use regex::Regex;

use super::layout::Layout;
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::Value;
use crate::plan::{ColumnId, Expr, Field};
use crate::value::cells::Cells;
use crate::value::text;

/// A bound `parse`. All other output fields are passed through.
#[derive(Clone, Debug)]
pub struct Parse {
    /// A string.
    pub source: Expr,
    pub kind: ParseKind,
    /// A `string` column is never directly followed by another column or a star.
    pub parts: Vec<ParsePart>,
    /// `parse-where`: rows that do not match are dropped.
    pub filter: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseKind {
    Simple,
    Relaxed,
    /// With the letters of `flags=`.
    Regex {
        flags: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsePart {
    Star,
    Text(String),
    /// A new column of type `ty` (default `string`).
    Column {
        id: ColumnId,
        ty: Type,
    },
}

impl TableOp for Parse {
    fn name(&self) -> &'static str {
        if self.filter { "parse-where" } else { "parse" }
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.source]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { source: f(&self.source), ..self.clone() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        !self.columns().any(|(id, _)| id == field)
    }

    fn per_row(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let columns: Vec<(ColumnId, Type)> = self.columns().collect();
        let own: Vec<ColumnId> = columns.iter().map(|(id, _)| *id).collect();
        let pattern = match &self.kind {
            ParseKind::Simple => Pattern::Texts { parts: self.parts.clone(), relaxed: false },
            ParseKind::Relaxed => Pattern::Texts { parts: self.parts.clone(), relaxed: true },
            ParseKind::Regex { flags } => Pattern::Regex(regex(&self.parts, flags)?),
        };
        Ok(Box::new(Running {
            source: Evaluator::new(&self.source, &inputs[0], runtime)?,
            types: columns.into_iter().map(|(_, ty)| ty).collect(),
            pattern,
            filter: self.filter,
            layout: Layout::new(&inputs[0], outputs, &own)?,
        }))
    }
}

impl Parse {
    fn columns(&self) -> impl Iterator<Item = (ColumnId, Type)> {
        self.parts.iter().filter_map(|part| match part {
            ParsePart::Column { id, ty } => Some((*id, *ty)),
            _ => None,
        })
    }
}

enum Pattern {
    Texts { parts: Vec<ParsePart>, relaxed: bool },
    Regex(Regex),
}

struct Running {
    source: Evaluator,
    types: Vec<Type>,
    pattern: Pattern,
    filter: bool,
    layout: Layout,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let source = self.source.eval(batch)?;
        let texts = source.as_string_view();
        let mut cells: Vec<Cells> = self.types.iter().map(|ty| Cells::new(*ty, batch.num_rows())).collect();
        let mut kept = Vec::new();
        let mut values = Vec::with_capacity(self.types.len());
        for row in 0..batch.num_rows() {
            values.clear();
            let text = if texts.is_valid(row) { texts.value(row) } else { "" };
            let matched = match &self.pattern {
                Pattern::Texts { parts, relaxed } => match_texts(parts, *relaxed, text, &mut values),
                Pattern::Regex(regex) => match_regex(regex, &self.types, text, &mut values),
            };
            if matched.is_none() {
                if self.filter {
                    continue;
                }
                values.clear();
                values.extend(self.types.iter().map(|ty| Value::null(*ty)));
            }
            kept.push(row as u32);
            cells.iter_mut().zip(&values).for_each(|(cells, value)| cells.push(value));
        }
        let rows = kept.len();
        if rows > 0 {
            let own: Vec<ArrayRef> = cells.into_iter().map(Cells::finish).collect();
            let picked = (rows < batch.num_rows()).then(|| UInt32Array::from(kept));
            out.push(self.layout.batch(batch, picked.as_ref(), &own, rows)?);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}

/// Appends one value per column. `None` if the text does not match the pattern.
fn match_texts(parts: &[ParsePart], relaxed: bool, text: &str, values: &mut Vec<Value>) -> Option<()> {
    let mut rest = text;
    // The next literal may occur anywhere from here.
    let mut skip = false;
    // The column whose value ends at the next literal.
    let mut open: Option<Type> = None;
    for (at, part) in parts.iter().enumerate() {
        match part {
            ParsePart::Star => {
                if let Some(ty) = open.take() {
                    let (value, behind) = take_prefix(rest, ty);
                    push(value, ty, relaxed, values)?;
                    rest = behind;
                }
                skip = true;
            }
            ParsePart::Column { ty, .. } => {
                if let Some(before) = open.replace(*ty) {
                    let (value, behind) = take_prefix(rest, before);
                    push(value, before, relaxed, values)?;
                    rest = behind;
                }
            }
            ParsePart::Text(needle) => {
                let last = at + 1 == parts.len();
                let found = match (skip || open.is_some(), last) {
                    (false, true) => (rest == needle).then_some(0)?,
                    (false, false) => rest.starts_with(needle.as_str()).then_some(0)?,
                    // The pattern ends at the end of the text.
                    (true, true) => rest.strip_suffix(needle.as_str())?.len(),
                    (true, false) => memchr::memmem::find(rest.as_bytes(), needle.as_bytes())?,
                };
                if let Some(ty) = open.take() {
                    // After a star, the column starts at once.
                    push(&rest[..found], ty, relaxed, values)?;
                }
                rest = &rest[found + needle.len()..];
                skip = false;
            }
        }
    }
    if let Some(ty) = open {
        push(rest, ty, relaxed, values)?;
        return Some(());
    }
    (skip || rest.is_empty()).then_some(())
}

/// Appends the value; `None` if it has the wrong type in strict mode.
fn push(text: &str, ty: Type, relaxed: bool, values: &mut Vec<Value>) -> Option<()> {
    let value = text::parse(text, ty);
    if value.is_null() && !relaxed {
        return None;
    }
    values.push(value);
    Some(())
}

/// Splits off the prefix that a number consumes if no literal follows; other types consume everything.
fn take_prefix(text: &str, ty: Type) -> (&str, &str) {
    if !ty.is_numeric() {
        return (text, "");
    }
    let bytes = text.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let mut end = digits(sign);
    if matches!(ty, Type::Real | Type::Decimal) && bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    text.split_at(end)
}

/// Converts the pattern to a regular expression; columns are the named groups `c0`, `c1`, …, so that groups in the query do not shift them.
fn regex(parts: &[ParsePart], flags: &str) -> Result<Regex, EvalError> {
    let mut pattern = String::new();
    if !flags.is_empty() {
        pattern.push_str(&format!("(?{flags})"));
    }
    let mut columns = 0;
    for part in parts {
        match part {
            // Recorded: skips are lazy if columns are greedy, and vice versa under `U`.
            ParsePart::Star => pattern.push_str(".*?"),
            ParsePart::Text(text) => {
                // Recorded: text that is not a valid regular expression is matched literally.
                let text = if Regex::new(text).is_ok() { text.clone() } else { regex::escape(text) };
                pattern.push_str(&format!("(?:{text})"));
            }
            ParsePart::Column { ty, .. } => {
                let what = match ty {
                    Type::Int | Type::Long => r"-?\d+",
                    Type::Real | Type::Decimal => r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?",
                    _ => ".*",
                };
                pattern.push_str(&format!("(?P<c{columns}>{what})"));
                columns += 1;
            }
        }
    }
    Regex::new(&pattern).map_err(|error| EvalError::Prepare { function: "parse", message: error.to_string() })
}

fn match_regex(regex: &Regex, types: &[Type], text: &str, values: &mut Vec<Value>) -> Option<()> {
    let captures = regex.captures(text)?;
    for (at, ty) in types.iter().enumerate() {
        push(captures.name(&format!("c{at}")).map_or("", |group| group.as_str()), *ty, false, values)?;
    }
    Some(())
}
