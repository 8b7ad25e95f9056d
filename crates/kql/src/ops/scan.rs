//! `scan` — a state machine over ordered rows. Source: the public KQL reference, `scan-operator`, "matching logic".
//!
//! Step *k* stores the last row it matched, with the rows of the preceding steps that led to it. Each row is tested against the last step
//! first: it matches if its condition is true and either the previous step has a state (which then moves here) or this step has one (or is
//! the first). Conditions and assignments read the rows of steps by separate column ids, see [`Step`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use model::Type;

use super::keys::Keys;
use super::layout::{Layout, build, compile, constant, evaluate, run, schema};
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::Value;
use crate::plan::{ColumnId, Expr, Field};
use crate::value::cells::nulls;

/// A bound `scan`. Outputs are the input's fields (passed through), the declared columns, and `match_id`.
#[derive(Clone, Debug)]
pub struct Scan {
    pub declared: Vec<Declared>,
    pub steps: Vec<Step>,
    /// The column of `with_match_id`, a long starting at 0.
    pub match_id: Option<ColumnId>,
    /// Partition keys; each partition has its own state machine.
    pub partition: Vec<Expr>,
}

/// A column of `declare`.
#[derive(Clone, Debug)]
pub struct Declared {
    pub id: ColumnId,
    pub ty: Type,
    /// Constant, of type `ty`; null (`""`) if absent.
    pub default: Option<Expr>,
}

/// Expressions read the row (by input ids), the declared columns at their defaults (by their ids), and the columns of every step's last row
/// by the ids in that step's `state`: `s.cum` is the id of `cum` in the state of `s`. For a step without a row these are null, and the
/// defaults for declared columns.
#[derive(Clone, Debug)]
pub struct Step {
    pub optional: bool,
    pub output: StepOutput,
    pub condition: Expr,
    /// A declared column (by index) and its new value, already of the right type.
    pub assignments: Vec<(usize, Expr)>,
    /// Maps ids to columns of this step's state, with types; only those used are listed.
    pub state: Vec<(Field, StateColumn)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateColumn {
    Input(ColumnId),
    Declared(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StepOutput {
    #[default]
    All,
    Last,
    None,
}

impl TableOp for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn exprs(&self) -> Vec<&Expr> {
        let steps =
            self.steps.iter().flat_map(|step| std::iter::once(&step.condition).chain(step.assignments.iter().map(|(_, expr)| expr)));
        steps.chain(self.declared.iter().filter_map(|declared| declared.default.as_ref())).chain(&self.partition).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let mut mapped = self.clone();
        for step in &mut mapped.steps {
            step.condition = f(&step.condition);
            step.assignments.iter_mut().for_each(|(_, expr)| *expr = f(expr));
        }
        mapped.declared.iter_mut().filter_map(|declared| declared.default.as_mut()).for_each(|default| *default = f(default));
        mapped.partition.iter_mut().for_each(|expr| *expr = f(expr));
        Box::new(mapped)
    }

    fn per_row(&self) -> bool {
        false
    }

    fn ordered(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let input = &inputs[0];
        let mut scope = Vec::new();
        let used: Vec<ColumnId> = self.steps.iter().flat_map(|step| step.exprs().flat_map(Expr::columns).collect::<Vec<_>>()).collect();
        let mut see = |field: Field, source: Source| {
            if used.contains(&field.id) {
                scope.push((field, source));
            }
        };
        input.iter().for_each(|field| see(field.clone(), Source::Input(field.id.to_string())));
        for (at, declared) in self.declared.iter().enumerate() {
            see(Field { id: declared.id, name: "".into(), ty: declared.ty }, Source::Declared(at));
        }
        for (step, of) in self.steps.iter().enumerate() {
            for (at, (field, column)) in of.state.iter().enumerate() {
                see(field.clone(), Source::State { step, at, column: *column });
            }
        }
        let (fields, sources): (Vec<Field>, Vec<Source>) = scope.into_iter().unzip();
        let defaults = self.declared.iter().map(|declared| match &declared.default {
            Some(default) => Ok(Value::array(&[constant(default, runtime)?], declared.ty)),
            None => Ok(nulls(declared.ty, 1)),
        });
        let steps = self.steps.iter().map(|step| {
            let assign = |(at, expr): &(usize, Expr)| Ok((*at, Evaluator::new(expr, &fields, runtime)?));
            Ok(Compiled {
                output: step.output,
                optional: step.optional,
                condition: Evaluator::new(&step.condition, &fields, runtime)?,
                assignments: step.assignments.iter().map(assign).collect::<Result<_, EvalError>>()?,
                state: step.state.iter().map(|(_, column)| *column).collect(),
            })
        });
        let own: Vec<ColumnId> = self.declared.iter().map(|declared| declared.id).chain(self.match_id).collect();
        Ok(Box::new(Running {
            layout: Layout::new(input, outputs, &own)?,
            scope: schema(&fields),
            sources,
            types: fields.iter().map(|field| field.ty).collect(),
            defaults: defaults.collect::<Result<_, EvalError>>()?,
            steps: steps.collect::<Result<_, EvalError>>()?,
            keys: Keys::new(self.partition.iter().map(|expr| expr.ty))?,
            partition: compile(&self.partition, input, runtime)?,
            machines: Vec::new(),
            next_match: 0,
        }))
    }
}

impl Step {
    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.condition).chain(self.assignments.iter().map(|(_, expr)| expr))
    }
}

/// Source of a column visible to expressions.
enum Source {
    Input(String),
    Declared(usize),
    State { step: usize, at: usize, column: StateColumn },
}

struct Compiled {
    output: StepOutput,
    optional: bool,
    condition: Evaluator,
    assignments: Vec<(usize, Evaluator)>,
    state: Vec<StateColumn>,
}

/// The stored row of a step: its `state`, as arrays of length one.
type Remembered = Arc<Vec<ArrayRef>>;

/// The state of one step: the stored rows of all steps up to it.
#[derive(Clone)]
struct Sequence {
    rows: Vec<Option<Remembered>>,
    match_id: i64,
}

#[derive(Clone)]
struct Machine {
    states: Vec<Option<Sequence>>,
    /// For `output=last`: the row a step emits once its run of matches has ended.
    held: Vec<Option<RecordBatch>>,
}

struct Running {
    layout: Layout,
    scope: SchemaRef,
    sources: Vec<Source>,
    types: Vec<Type>,
    /// Arrays of length one.
    defaults: Vec<ArrayRef>,
    steps: Vec<Compiled>,
    keys: Keys,
    partition: Vec<Evaluator>,
    machines: Vec<Machine>,
    next_match: i64,
}

/// Output rows of a batch: indices, declared columns, match ids.
#[derive(Default)]
struct Pending {
    picked: Vec<u32>,
    declared: Vec<Vec<ArrayRef>>,
    matches: Vec<i64>,
}

impl Running {
    /// The columns visible to expressions at a row, given the state of a sequence.
    fn view(&self, batch: &RecordBatch, row: usize, sequence: Option<&Sequence>) -> Result<RecordBatch, EvalError> {
        let columns = self.sources.iter().zip(&self.types).map(|(source, ty)| match source {
            Source::Input(name) => Ok(batch.column_by_name(name).ok_or_else(|| EvalError::MissingColumn(name.clone()))?.slice(row, 1)),
            Source::Declared(at) => Ok(self.defaults[*at].clone()),
            Source::State { step, at, column } => Ok(match (sequence.and_then(|sequence| sequence.rows[*step].as_ref()), column) {
                (Some(remembered), _) => remembered[*at].clone(),
                (None, StateColumn::Declared(declared)) => self.defaults[*declared].clone(),
                (None, StateColumn::Input(_)) => nulls(*ty, 1),
            }),
        });
        build(self.scope.clone(), columns.collect::<Result<_, EvalError>>()?, 1)
    }

    /// The declared columns of the row if step `k` matches it after `sequence`.
    fn matches(&self, k: usize, batch: &RecordBatch, row: usize, sequence: Option<&Sequence>) -> Result<Option<Vec<ArrayRef>>, EvalError> {
        let view = self.view(batch, row, sequence)?;
        let truth = self.steps[k].condition.eval(&view)?;
        let truth = truth.as_boolean();
        if truth.is_null(0) || !truth.value(0) {
            return Ok(None);
        }
        let mut declared = self.defaults.clone();
        for (at, assignment) in &self.steps[k].assignments {
            declared[*at] = assignment.eval(&view)?;
        }
        Ok(Some(declared))
    }

    /// The nearest earlier step that has a state and from which `k` can be reached.
    fn before(&self, machine: &Machine, k: usize) -> Option<usize> {
        for j in (0..k).rev() {
            if machine.states[j].is_some() {
                return Some(j);
            }
            if !self.steps[j].optional {
                return None;
            }
        }
        None
    }

    fn row(
        &mut self,
        group: usize,
        batch: &RecordBatch,
        row: usize,
        pending: &mut Pending,
        out: &mut Vec<RecordBatch>,
    ) -> Result<(), EvalError> {
        let mut machine = std::mem::replace(&mut self.machines[group], Machine { states: Vec::new(), held: Vec::new() });
        for k in (0..self.steps.len()).rev() {
            let promoted = match self.before(&machine, k) {
                Some(j) => self.matches(k, batch, row, machine.states[j].as_ref())?.map(|declared| (j, declared)),
                None => None,
            };
            let (mut sequence, declared) = if let Some((j, declared)) = promoted {
                for ended in [j, k] {
                    self.release(&mut machine, ended, batch, pending, out)?;
                }
                let Some(mut sequence) = machine.states[j].take() else { continue };
                sequence.rows[k] = None;
                (sequence, declared)
            } else if k == 0 || machine.states[k].is_some() {
                let Some(declared) = self.matches(k, batch, row, machine.states[k].as_ref())? else { continue };
                let sequence = machine.states[k].take().unwrap_or_else(|| {
                    self.next_match += 1;
                    Sequence { rows: vec![None; self.steps.len()], match_id: self.next_match - 1 }
                });
                (sequence, declared)
            } else {
                continue;
            };
            let remember = |column: &StateColumn| match column {
                StateColumn::Declared(at) => Ok(declared[*at].clone()),
                StateColumn::Input(id) => {
                    let name = id.to_string();
                    let array = batch.column_by_name(&name).ok_or(EvalError::MissingColumn(name))?;
                    take(array, &UInt32Array::from_value(row as u32, 1), None).map_err(run)
                }
            };
            sequence.rows[k] = Some(Arc::new(self.steps[k].state.iter().map(remember).collect::<Result<_, EvalError>>()?));
            match self.steps[k].output {
                StepOutput::None => {}
                StepOutput::All => {
                    pending.picked.push(row as u32);
                    pending.declared.push(declared);
                    pending.matches.push(sequence.match_id);
                }
                StepOutput::Last => {
                    let mut own = declared;
                    own.push(Arc::new(Int64Array::from_value(sequence.match_id, 1)));
                    machine.held[k] = Some(self.layout.batch(&batch.slice(row, 1), None, &own, 1)?);
                }
            }
            machine.states[k] = Some(sequence);
        }
        self.machines[group] = machine;
        Ok(())
    }

    /// Emits the row held by step `k`, because its run of matches has ended.
    fn release(
        &self,
        machine: &mut Machine,
        k: usize,
        batch: &RecordBatch,
        pending: &mut Pending,
        out: &mut Vec<RecordBatch>,
    ) -> Result<(), EvalError> {
        if let Some(held) = machine.held[k].take() {
            self.flush(batch, pending, out)?;
            out.push(held);
        }
        Ok(())
    }

    fn flush(&self, batch: &RecordBatch, pending: &mut Pending, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let Pending { picked, declared, matches } = std::mem::take(pending);
        if picked.is_empty() {
            return Ok(());
        }
        let column = |at: usize| {
            let parts: Vec<&dyn Array> = declared.iter().map(|row| row[at].as_ref()).collect();
            concat(&parts).map_err(run)
        };
        let mut own = (0..self.defaults.len()).map(column).collect::<Result<Vec<_>, EvalError>>()?;
        own.push(Arc::new(Int64Array::from(matches)));
        out.push(self.layout.batch(batch, Some(&UInt32Array::from(picked)), &own, own[own.len() - 1].len())?);
        Ok(())
    }
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let groups = self.keys.groups(&evaluate(&self.partition, batch)?, batch.num_rows())?;
        let steps = self.steps.len();
        self.machines.resize_with(self.keys.len(), || Machine { states: vec![None; steps], held: vec![None; steps] });
        let mut pending = Pending::default();
        for (row, group) in groups.into_iter().enumerate() {
            self.row(group, batch, row, &mut pending, out)?;
        }
        self.flush(batch, &mut pending, out)
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        out.extend(std::mem::take(&mut self.machines).into_iter().flat_map(|machine| machine.held).flatten());
        Ok(())
    }

    fn size(&self) -> usize {
        self.keys.size() + self.machines.len() * self.steps.len() * 128
    }
}
