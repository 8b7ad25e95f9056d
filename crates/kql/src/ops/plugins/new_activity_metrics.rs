//! `new_activity_metrics(id, timeline, start, end, window [, cohort] [, dimensions…] [, lookback])` — ids that first appear in a window,
//! and how many of them appear in each later one. Source: the public KQL reference, `new-activity-metrics-plugin`.
//!
//! One row for each window with new ids and each window from it on, including windows without ids. `dcount_new_values` counts the ids of
//! the later window that did not appear up to and including the earlier one. Ids of the table `lookback` (its column of the same name, or
//! the first) are never new.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use hashbrown::{HashMap, HashSet};
use model::Type;

use super::timeline::{Arguments, Events, Rows, Steps, constant, expr, field, rate};
use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::ops::keys::Keys;
use crate::ops::layout::{Layout, compile, evaluate};
use crate::ops::whole::Table;
use crate::ops::{EvalError, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "new_activity_metrics",
    summary: "How many of the ids that are new in one step of a timeline are there in each later one",
    args: &[
        expr("IdColumn"),
        expr("TimelineColumn"),
        expr("Start"),
        expr("End"),
        expr("Window"),
        PluginArg { name: "Cohort", shape: Shape::ExprOrTable },
    ],
    required: 5,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'b',1, 'a',2] | evaluate new_activity_metrics(u, t, 1, 2, 1, 1)", "0.5")],
};

/// Maximum number of steps compared with each other.
const MOST_STEPS: i64 = 1000;

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let mut args = Vec::new();
    let mut lookback: Option<Field> = None;
    for (index, arg) in call.args.iter().enumerate() {
        match arg {
            Some(Argument::Table(columns)) if index + 1 == call.args.len() => {
                let name = match call.arg(0) {
                    Some(Argument::Expr { name, .. }) => name.as_str(),
                    _ => "",
                };
                lookback = columns.iter().find(|column| *column.name == *name).or(columns.first()).cloned();
                if lookback.is_none() {
                    return Err(PluginError::Argument { index, message: "must be a table with ids".to_owned() });
                }
            }
            Some(Argument::Expr { expr, name }) => args.push((expr.clone(), name.clone())),
            Some(Argument::Table(_)) => {
                return Err(PluginError::Argument { index, message: "the table of ids must be the last argument".to_owned() });
            }
            _ => return Err(PluginError::Argument { index, message: "must be given".to_owned() }),
        }
    }
    let (exprs, names) = args.into_iter().unzip();
    let args = Arguments { exprs, names };
    if args.exprs.len() < 5 {
        return Err(PluginError::Argument { index: args.exprs.len(), message: "must be a value".to_owned() });
    }
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4], true)?;
    // A datetime that is not a column is the cohort.
    let cohort = args.exprs.get(5).is_some_and(|expr| expr.columns().is_empty());
    if cohort {
        args.moments(timeline, &[5])?;
    }
    let dimensions = if cohort { 6 } else { 5 };
    if let Some(column) = lookback.as_ref().filter(|column| column.ty != args.ty(0)) {
        let message = format!("its ids are of type {}, those of the input of type {}", column.ty, args.ty(0));
        return Err(PluginError::Argument { index: call.args.len() - 1, message });
    }
    let mut fields =
        vec![field(&mut call, &format!("from_{}", args.names[1]), timeline), field(&mut call, &format!("to_{}", args.names[1]), timeline)];
    fields.extend(args.dimensions(dimensions, &mut call));
    for name in ["dcount_new_values", "dcount_retained_values", "dcount_churn_values"] {
        fields.push(field(&mut call, name, Type::Long));
    }
    for name in ["retention_rate", "churn_rate"] {
        fields.push(field(&mut call, name, Type::Real));
    }
    let own = fields.iter().map(|field| field.id).collect();
    let op = NewActivity { exprs: args.exprs, lookback: lookback.as_ref().map(Expr::column), dimensions, own };
    Ok(Bound { op: Box::new(op), fields })
}

#[derive(Clone, Debug)]
struct NewActivity {
    exprs: Vec<Expr>,
    /// The ids of the second input.
    lookback: Option<Expr>,
    /// Index of the first dimension; if it is six, the argument before is the cohort.
    dimensions: usize,
    own: Vec<ColumnId>,
}

impl TableOp for NewActivity {
    fn name(&self) -> &'static str {
        PLUGIN.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.exprs.iter().chain(&self.lookback).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let exprs = self.exprs.iter().map(&mut *f).collect();
        Box::new(Self { exprs, lookback: self.lookback.as_ref().map(f), ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let types: Vec<Type> = self.exprs.iter().map(|expr| expr.ty).collect();
        let known = Arc::new(std::sync::Mutex::new(Vec::new()));
        let lookback = match (&self.lookback, inputs.get(1)) {
            (Some(expr), Some(fields)) => compile([expr], fields, runtime)?,
            _ => Vec::new(),
        };
        let dimensions = self.dimensions;
        let ids = known.clone();
        let answer = move |table: &Table| {
            let known = ids.lock().map(|mut ids| std::mem::take(&mut *ids)).unwrap_or_default();
            answer(table, &types, dimensions, &known)
        };
        let main = crate::ops::whole::start(&self.exprs, &self.own, Arc::new(answer), inputs, outputs, runtime)?;
        Layout::new(&[], outputs, &self.own)?;
        Ok(Box::new(Running { main, lookback, known, bytes: 0 }))
    }
}

/// The input, and the id columns of the second input.
struct Running {
    main: Box<dyn OpState>,
    lookback: Vec<crate::ops::Evaluator>,
    known: Arc<std::sync::Mutex<Vec<ArrayRef>>>,
    bytes: usize,
}

impl OpState for Running {
    fn push(&mut self, input: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        if input == 0 {
            return self.main.push(0, batch, out);
        }
        for column in evaluate(&self.lookback, batch)? {
            self.bytes += column.get_array_memory_size();
            if let Ok(mut known) = self.known.lock() {
                known.push(column);
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        self.main.finish(out)
    }

    fn size(&self) -> usize {
        self.main.size() + self.bytes
    }
}

fn answer(table: &Table, types: &[Type], dimensions: usize, known: &[ArrayRef]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let steps = Steps::of(table, 4, start, name)?;
    let span = steps.span(start, end, MOST_STEPS, name)?;
    let (first, last) = (*span.start(), *span.end());
    let cohort = if dimensions == 6 { Some(steps.number(constant(table, 5, name)?)) } else { None };
    let mut ids = Keys::new([types[0]])?;
    let mut old: HashSet<usize> = HashSet::new();
    for column in known {
        old.extend(ids.groups(std::slice::from_ref(column), column.len())?);
    }
    let events = Events::with_ids(table, types, dimensions, &mut ids)?;
    let mut rows = Rows::new(2, 3, 2);
    for (slice, visits) in events.slices().into_iter().enumerate() {
        // The first step of each id, and for each step the ids present by the step they were new in.
        let mut firsts: HashMap<usize, i64> = HashMap::new();
        let mut seen: HashSet<(usize, i64)> = HashSet::new();
        let width = usize::try_from(last - first + 1).unwrap_or(0);
        let mut there = vec![0usize; width * width];
        for visit in visits.iter().filter(|visit| (start..=end).contains(&visit.at) && !old.contains(&visit.id)) {
            let step = steps.number(visit.at);
            let new = *firsts.entry(visit.id).or_insert(step);
            if seen.insert((visit.id, step)) {
                there[(new - first) as usize * width + (step - first) as usize] += 1;
            }
        }
        for from in (0..width).filter(|from| cohort.is_none_or(|cohort| cohort - first == *from as i64)) {
            let size = there[from * width + from];
            for to in (from..width).filter(|_| size > 0) {
                let later: usize = (from + 1..=to).map(|new| there[new * width + to]).sum();
                let back = there[from * width + to];
                let new = if to == from { size } else { later };
                let moments = [steps.start(first + from as i64), steps.start(first + to as i64)];
                let counts = [new as i64, back as i64, (size - back) as i64];
                rows.push(&moments, slice, &counts, &[rate(back, size), rate(size - back, size)]);
            }
        }
    }
    rows.finish(types[1], &events)
}
