//! The operator for `basket`, `autocluster`, `diffpatterns` and `diffpatterns_text`: passes the rows to [`super::patterns`], and the
//! plug-in's function computes the result.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use model::Type;

use super::layout::{Layout, compile, evaluate};
use super::patterns::{Pattern, Rows, Transactions, Weights};
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};
use crate::value::cast;

/// Computes the operator's columns, all of equal length.
pub type Answer = dyn Fn(&Transactions) -> Result<Vec<ArrayRef>, EvalError> + Send + Sync;

#[derive(Clone)]
pub struct Mining {
    pub name: &'static str,
    /// The columns whose values form patterns; a single text if [`Mining::words`] is set.
    pub dimensions: Vec<Expr>,
    /// A number: how many rows a row represents.
    pub weight: Option<Expr>,
    pub split: Split,
    /// Use the first this many words of the text as columns.
    pub words: Option<usize>,
    /// Minimum share of a value in either set.
    pub least: f64,
    pub own: Vec<ColumnId>,
    pub answer: Arc<Answer>,
}

/// How rows are divided into two sets.
#[derive(Clone, Debug)]
pub enum Split {
    /// A single set.
    None,
    /// The first or second text selects the set; other rows are dropped.
    Values(Expr, String, String),
    /// True is the first set, anything else the second.
    Condition(Expr),
}

impl Split {
    fn expr(&self) -> Option<&Expr> {
        match self {
            Split::None => None,
            Split::Values(expr, ..) | Split::Condition(expr) => Some(expr),
        }
    }
}

impl fmt::Debug for Mining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("dimensions", &self.dimensions).field("weight", &self.weight).field("split", &self.split).finish()
    }
}

impl TableOp for Mining {
    fn name(&self) -> &'static str {
        self.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.dimensions.iter().chain(&self.weight).chain(self.split.expr()).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let dimensions = self.dimensions.iter().map(&mut *f).collect();
        let weight = self.weight.as_ref().map(&mut *f);
        let split = match &self.split {
            Split::None => Split::None,
            Split::Values(expr, a, b) => Split::Values(f(expr), a.clone(), b.clone()),
            Split::Condition(expr) => Split::Condition(f(expr)),
        };
        Box::new(Self { dimensions, weight, split, ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let compile_one = |expr: &Expr| Evaluator::new(expr, &inputs[0], runtime);
        let types: Vec<Type> = self.dimensions.iter().map(|expr| expr.ty).collect();
        let rows = match self.words {
            Some(count) => Rows::words(count, self.least),
            None => Rows::new(&types, self.least)?,
        };
        Ok(Box::new(Running {
            dimensions: compile(&self.dimensions, &inputs[0], runtime)?,
            weight: self.weight.as_ref().map(compile_one).transpose()?,
            split: self.split.expr().map(compile_one).transpose()?,
            layout: Layout::new(&[], outputs, &self.own)?,
            rows: Some(rows),
            op: self.clone(),
        }))
    }
}

struct Running {
    op: Mining,
    dimensions: Vec<Evaluator>,
    weight: Option<Evaluator>,
    split: Option<Evaluator>,
    layout: Layout,
    rows: Option<Rows>,
}

impl Running {
    /// The weights each row adds to the two sets.
    fn weights(&self, batch: &RecordBatch) -> Result<Vec<Weights>, EvalError> {
        let rows = batch.num_rows();
        let mut weights = vec![1.0; rows];
        if let Some(evaluator) = &self.weight {
            let numbers = cast::array(&evaluator.eval(batch)?, evaluator.ty(), Type::Real);
            for (weight, number) in weights.iter_mut().zip(numbers.as_primitive::<Float64Type>()) {
                *weight = number.filter(|number| number.is_finite() && *number > 0.0).unwrap_or(0.0);
            }
        }
        let Some(evaluator) = &self.split else { return Ok(weights.into_iter().map(|weight| [weight, 0.0]).collect()) };
        let column = evaluator.eval(batch)?;
        let sides: Vec<Option<bool>> = match &self.op.split {
            Split::None => vec![Some(true); rows],
            Split::Condition(_) => column.as_boolean().iter().map(|side| Some(side.unwrap_or(false))).collect(),
            Split::Values(_, first, second) => {
                let texts = cast::array(&column, evaluator.ty(), Type::String);
                let side = |text: Option<&str>| match text.unwrap_or_default() {
                    text if text == first => Some(true),
                    text if text == second => Some(false),
                    _ => None,
                };
                texts.as_string_view().iter().map(side).collect()
            }
        };
        let weigh = |(weight, side)| match side {
            Some(true) => [weight, 0.0],
            Some(false) => [0.0, weight],
            None => [0.0, 0.0],
        };
        Ok(weights.into_iter().zip(sides).map(weigh).collect())
    }
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let weights = self.weights(batch)?;
        let columns = evaluate(&self.dimensions, batch)?;
        let Some(rows) = &mut self.rows else { return Ok(()) };
        if self.op.words.is_none() {
            return rows.add(&columns, &weights);
        }
        let Some(texts) = columns.first().map(|column| column.as_string_view()) else { return Ok(()) };
        for (row, weight) in weights.iter().enumerate().filter(|(_, weight)| weight[0] + weight[1] > 0.0) {
            let text = if texts.is_valid(row) { texts.value(row) } else { "" };
            rows.add_words(text.split_whitespace(), *weight);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let Some(rows) = self.rows.take() else { return Ok(()) };
        let own = (self.op.answer)(&rows.finish()?)?;
        let rows = own.first().map_or(0, |column| column.len());
        if rows > 0 {
            out.push(self.layout.batch(&RecordBatch::new_empty(Arc::new(Schema::empty())), None, &own, rows)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.rows.as_ref().map_or(0, Rows::size)
    }
}

/// Sorts by rows and number of fixed columns, descending, like the tables in the reference; ties put shorter patterns first.
pub fn sort_by_size(patterns: &mut [Pattern]) {
    let size = |pattern: &Pattern| pattern.weights[0] * pattern.fixed() as f64;
    patterns.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| b.items.cmp(&a.items)));
}

/// A column of segment numbers.
pub fn numbers(count: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..count as i64))
}

/// Rows of patterns on one side.
pub fn counts(patterns: &[Pattern], side: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(patterns.iter().map(|pattern| pattern.weights[side].round() as i64)))
}

/// Numbers rounded to `digits` decimal places.
pub fn rounded(numbers: impl Iterator<Item = f64>, digits: i32) -> ArrayRef {
    let scale = 10f64.powi(digits);
    Arc::new(Float64Array::from_iter_values(numbers.map(|number| (number * scale).round() / scale)))
}

/// The percentage of `part` in `whole`; 0 if `whole` is 0.
pub fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}
