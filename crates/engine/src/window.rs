//! Window functions (`row_number`, `prev`, `row_cumsum`, …) over the whole serialized table.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field as ArrowField, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::Value;
use kql::eval::{EvalError, Evaluator, Runtime};
use kql::functions::{Args, Column, Prepare};
use kql::ops::held::Held;
use kql::ops::{OpState, TableOp};
use kql::plan::{ColumnId, Expr, ExprKind, Field};
use kql::watch;
use kql::windows::Window;
use model::Type;

use crate::together::together;
use crate::unique::arrow_error;
use crate::values::schema_of;

/// The output has the fields of the input, then one per expression.
#[derive(Clone, Debug)]
pub(crate) struct WindowOp {
    exprs: Vec<(ColumnId, Expr)>,
    passed: HashSet<ColumnId>,
}

impl WindowOp {
    pub(crate) fn new(input: &[Field], output: &[Field], exprs: Vec<Expr>) -> Self {
        let new = output.len().saturating_sub(exprs.len());
        let ids = output.iter().skip(new).map(|field| field.id);
        Self { exprs: ids.zip(exprs).collect(), passed: input.iter().map(|field| field.id).collect() }
    }

    pub(crate) fn compile(&self, fields: &[Field], outputs: &[Field], runtime: &Runtime) -> Result<Compiled, EvalError> {
        let mut compiled = Compiled { fields: fields.to_vec(), steps: Vec::new(), outputs: outputs.to_vec() };
        for (id, source) in &self.exprs {
            if !outputs.iter().any(|field| field.id == *id) {
                continue;
            }
            let plain = compiled.extract(source, runtime)?;
            compiled.step(*id, plain.ty, Step::Plain(Evaluator::new(&plain, &compiled.fields, runtime)?));
        }
        Ok(compiled)
    }
}

impl TableOp for WindowOp {
    fn name(&self) -> &'static str {
        "serialize"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.exprs.iter().map(|(_, source)| source).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let exprs = self.exprs.iter().map(|(id, source)| (*id, f(source))).collect();
        Box::new(Self { exprs, passed: self.passed.clone() })
    }

    fn hands_on(&self, field: ColumnId) -> bool {
        self.passed.contains(&field)
    }

    fn per_row(&self) -> bool {
        false
    }

    fn ordered(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let fields = inputs.first().map(Vec::as_slice).unwrap_or_default();
        Ok(Box::new(Collect { window: self.compile(fields, outputs, runtime)?, batches: Vec::new(), held: Held::default(), rows: 0 }))
    }
}

/// Window calls extracted from their expressions, innermost first; each adds a column that later steps read.
pub(crate) struct Compiled {
    /// The input's fields, then one per step so far.
    fields: Vec<Field>,
    steps: Vec<Step>,
    outputs: Vec<Field>,
}

enum Step {
    Plain(Evaluator),
    Window { window: Box<dyn Window>, args: Vec<Evaluator> },
}

/// Ids of intermediate columns count down from here; ids of the plan count up from 0.
const LAST_ID: u32 = u32::MAX;

impl Compiled {
    fn step(&mut self, id: ColumnId, ty: Type, step: Step) {
        self.fields.push(Field { id, name: id.to_string().into(), ty });
        self.steps.push(step);
    }

    /// Replaces the window calls in `source` by columns.
    fn extract(&mut self, source: &Expr, runtime: &Runtime) -> Result<Expr, EvalError> {
        let kind = match &source.kind {
            ExprKind::Window { function, args } => {
                let args = args.iter().map(|arg| self.extract(arg, runtime)).collect::<Result<Vec<_>, _>>()?;
                let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
                let constants: Vec<Option<Value>> = args.iter().map(|arg| crate::expr::constant(arg, runtime)).collect();
                let prepare = Prepare { constants: &constants, types: &types, returns: source.ty, now: runtime.now };
                let window =
                    (function.prepare)(&prepare).map_err(|why| EvalError::Prepare { function: function.name, message: why.to_string() })?;
                let args = args.iter().map(|arg| Evaluator::new(arg, &self.fields, runtime)).collect::<Result<_, _>>()?;
                let id = ColumnId(LAST_ID - u32::try_from(self.steps.len()).unwrap_or(0));
                self.step(id, source.ty, Step::Window { window, args });
                ExprKind::Column(id)
            }
            ExprKind::Call { function, args } => {
                ExprKind::Call { function, args: args.iter().map(|arg| self.extract(arg, runtime)).collect::<Result<_, _>>()? }
            }
            other => other.clone(),
        };
        Ok(Expr { kind, ty: source.ty })
    }

    /// Bytes that the steps add per row, excluding strings and dynamics.
    fn width(&self) -> usize {
        let added = self.fields.len() - self.steps.len();
        self.fields[added..].iter().map(|field| field.ty.arrow().primitive_width().unwrap_or(size_of::<u128>())).sum()
    }

    pub(crate) fn run(&self, batch: &RecordBatch) -> Result<RecordBatch, EvalError> {
        let rows = batch.num_rows();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = batch.clone();
        let added = self.fields.len() - self.steps.len();
        for (step, field) in self.steps.iter().zip(&self.fields[added..]) {
            watch::check()?;
            let column: ArrayRef = match step {
                Step::Plain(evaluator) => evaluator.eval(&batch)?,
                Step::Window { window, args } => {
                    let arrays = args.iter().map(|arg| arg.eval_column(&batch)).collect::<Result<Vec<Column>, _>>()?;
                    let _scope = watch::scope();
                    let column = window.eval(&Args { arrays: &arrays, rows });
                    if watch::refused() {
                        return Err(EvalError::Memory("window"));
                    }
                    column
                }
            };
            let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
            fields.push(Arc::new(ArrowField::new(field.id.to_string(), field.ty.arrow(), true)));
            let mut columns = batch.columns().to_vec();
            columns.push(column);
            batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(arrow_error)?;
        }
        let columns = self.outputs.iter().map(|field| {
            batch.column_by_name(&field.id.to_string()).cloned().ok_or_else(|| EvalError::MissingColumn(field.id.to_string()))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new_with_options(schema_of(&self.outputs), columns, &options).map_err(arrow_error)
    }
}

struct Collect {
    window: Compiled,
    batches: Vec<RecordBatch>,
    held: Held,
    rows: usize,
}

impl OpState for Collect {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        self.held.add(batch);
        self.rows += batch.num_rows();
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        if let Some(whole) = together(&std::mem::take(&mut self.batches))? {
            out.push(self.window.run(&whole)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.held.bytes()
    }

    fn peak(&self) -> usize {
        // The concatenated rows, and a column per step.
        2 * self.size() + self.rows * self.window.width()
    }
}
