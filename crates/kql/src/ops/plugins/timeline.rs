//! Shared by the plug-ins over a timeline: arguments, the steps of the timeline, and events by time, id and slice.
//!
//! Steps given as a number or timespan start at the beginning of the analysis; `week`, `month` and `year` are calendar units, and weeks
//! start on Sunday.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use model::{TICKS_PER_DAY, Type, civil_from_days, days_from_civil};

use super::{Argument, Bound, Call, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::EvalError;
use crate::ops::keys::Keys;
use crate::ops::whole::{Answer, Table, Whole};
use crate::plan::{Expr, Field};

/// Maximum number of steps of a timeline.
pub const MOST_STEPS: i64 = 1_000_000;

pub const fn expr(name: &'static str) -> PluginArg {
    PluginArg { name, shape: Shape::Expr }
}

/// The arguments of a plug-in over a timeline; all are expressions.
pub struct Arguments {
    pub exprs: Vec<Expr>,
    pub names: Vec<String>,
}

impl Arguments {
    pub fn of(call: &Call) -> Result<Self, PluginError> {
        let (mut exprs, mut names) = (Vec::new(), Vec::new());
        for index in 0..call.args.len() {
            let Some(Argument::Expr { expr, name }) = call.arg(index) else {
                return Err(PluginError::Argument { index, message: "must be given".to_owned() });
            };
            exprs.push(expr.clone());
            names.push(name.clone());
        }
        Ok(Self { exprs, names })
    }

    pub fn ty(&self, index: usize) -> Type {
        self.exprs[index].ty
    }

    /// The type of the timeline, argument `index`.
    pub fn timeline(&self, index: usize) -> Result<Type, PluginError> {
        match self.ty(index) {
            ty @ (Type::Int | Type::Long | Type::Datetime | Type::Timespan) => Ok(ty),
            other => {
                let message = format!("must be a datetime, a timespan or a whole number, not a {other}");
                Err(PluginError::Argument { index, message })
            }
        }
    }

    /// Checks arguments that are points on the timeline.
    pub fn moments(&self, timeline: Type, indices: &[usize]) -> Result<(), PluginError> {
        let wrong = |index: &&usize| {
            let ty = self.ty(**index);
            ty != timeline && !(whole(ty) && whole(timeline))
        };
        match indices.iter().find(wrong) {
            Some(index) => Err(PluginError::Argument {
                index: *index,
                message: format!("must be a {timeline}, like the timeline, not a {}", self.ty(*index)),
            }),
            None => Ok(()),
        }
    }

    /// Checks arguments that are lengths of time; with `calendar` also `week`, `month`, `year`.
    pub fn lengths(&self, timeline: Type, indices: &[usize], calendar: bool) -> Result<(), PluginError> {
        let wanted = if timeline == Type::Datetime { Type::Timespan } else { timeline };
        let wrong = |index: &&usize| {
            let ty = self.ty(**index);
            let named = calendar && ty == Type::String && timeline == Type::Datetime;
            ty != wanted && !(whole(ty) && whole(wanted)) && !named
        };
        match indices.iter().find(wrong) {
            Some(index) => {
                let names = if calendar && timeline == Type::Datetime { ", or `week`, `month` or `year`" } else { "" };
                let message = format!("must be a {wanted}{names}, not a {}", self.ty(*index));
                Err(PluginError::Argument { index: *index, message })
            }
            None => Ok(()),
        }
    }

    /// The arguments from `index` on are dimensions: one field each.
    pub fn dimensions(&self, index: usize, call: &mut Call) -> Vec<Field> {
        let pairs = self.exprs.iter().zip(&self.names).skip(index);
        pairs.map(|(expr, name)| Field { id: (call.fresh)(), name: name.as_str().into(), ty: expr.ty }).collect()
    }

    /// Builds the operator.
    pub fn bound(self, name: &'static str, fields: Vec<Field>, answer: Arc<Answer>) -> Bound {
        let own = fields.iter().map(|field| field.id).collect();
        Bound { op: Box::new(Whole { name, exprs: self.exprs, own, answer }), fields }
    }

    pub fn types(&self) -> Vec<Type> {
        self.exprs.iter().map(|expr| expr.ty).collect()
    }
}

fn whole(ty: Type) -> bool {
    matches!(ty, Type::Int | Type::Long)
}

/// An output field.
pub fn field(call: &mut Call, name: &str, ty: Type) -> Field {
    Field { id: (call.fresh)(), name: name.into(), ty }
}

/// An error in an argument value found at run time.
pub fn wrong(function: &'static str, message: impl Into<String>) -> EvalError {
    EvalError::Prepare { function, message: message.into() }
}

/// The constant argument `index` as an integer.
pub fn constant(table: &Table, index: usize, function: &'static str) -> Result<i64, EvalError> {
    let value = table.constants.get(index).and_then(Option::as_ref).and_then(Value::as_i64);
    value.ok_or_else(|| wrong(function, format!("argument {} must be a constant that is not null", index + 1)))
}

/// The constant argument `index` as a length.
pub fn length(table: &Table, index: usize, function: &'static str) -> Result<i64, EvalError> {
    let length = constant(table, index, function)?;
    if length > 0 { Ok(length) } else { Err(wrong(function, format!("argument {} must be greater than 0", index + 1))) }
}

/// The steps of a timeline.
#[derive(Clone, Copy, Debug)]
pub enum Steps {
    Fixed { size: i64, origin: i64 },
    Week,
    Month,
    Year,
}

impl Steps {
    /// The steps given by argument `index`; steps of fixed length start at `origin`.
    pub fn of(table: &Table, index: usize, origin: i64, function: &'static str) -> Result<Self, EvalError> {
        match table.constants.get(index).and_then(Option::as_ref) {
            Some(Value::String(name)) => match name.as_str() {
                "week" => Ok(Steps::Week),
                "month" => Ok(Steps::Month),
                "year" => Ok(Steps::Year),
                other => Err(wrong(function, format!("`{other}` is not one of `week`, `month`, `year`"))),
            },
            _ => Ok(Steps::Fixed { size: length(table, index, function)?, origin }),
        }
    }

    /// The number of the step that contains a time.
    pub fn number(&self, at: i64) -> i64 {
        let days = at.div_euclid(TICKS_PER_DAY);
        match self {
            Steps::Fixed { size, origin } => at.saturating_sub(*origin).div_euclid(*size),
            // 0001-01-01 was a Monday.
            Steps::Week => (days + 1).div_euclid(7),
            Steps::Month => {
                let (year, month, _) = civil_from_days(days);
                year * 12 + i64::from(month) - 1
            }
            Steps::Year => civil_from_days(days).0,
        }
    }

    /// The start of a step.
    pub fn start(&self, number: i64) -> i64 {
        let days = match self {
            Steps::Fixed { size, origin } => return origin.saturating_add(number.saturating_mul(*size)),
            Steps::Week => number * 7 - 1,
            Steps::Month => days_from_civil(number.div_euclid(12), number.rem_euclid(12) as u32 + 1, 1),
            Steps::Year => days_from_civil(number, 1, 1),
        };
        days.saturating_mul(TICKS_PER_DAY)
    }

    /// The numbers of all steps from `start` to `end`; an error if there are more than `most`.
    pub fn span(&self, start: i64, end: i64, most: i64, function: &'static str) -> Result<std::ops::RangeInclusive<i64>, EvalError> {
        let (first, last) = (self.number(start), self.number(end));
        if last.saturating_sub(first) >= most {
            return Err(EvalError::Limit(format!("`{function}`: from start to end there are more than {most} steps: take longer ones")));
        }
        Ok(first..=last)
    }
}

/// Events: time, id and slice of each row.
pub struct Events {
    /// Sorted by time.
    pub rows: Vec<Event>,
    dimensions: Keys,
}

#[derive(Clone, Copy)]
pub struct Event {
    pub at: i64,
    pub id: usize,
    pub slice: usize,
    pub row: usize,
}

impl Events {
    /// Ids are argument 0, the timeline is argument 1; dimensions start at `dimensions`. Rows without a time are dropped.
    pub fn new(table: &Table, types: &[Type], dimensions: usize) -> Result<Self, EvalError> {
        Self::with_ids(table, types, dimensions, &mut Keys::new([types[0]])?)
    }

    /// As [`Self::new`], with ids numbered by `ids`.
    pub fn with_ids(table: &Table, types: &[Type], dimensions: usize, ids: &mut Keys) -> Result<Self, EvalError> {
        let ids = ids.groups(&table.columns[..1], table.rows)?;
        let mut keys = Keys::new(types[dimensions..].iter().copied())?;
        let slices = keys.groups(&table.columns[dimensions..], table.rows)?;
        let event = |row: usize| {
            let at = table.value(1, row, types[1]).as_i64()?;
            Some(Event { at, id: ids[row], slice: slices[row], row })
        };
        let mut rows: Vec<Event> = (0..table.rows).filter_map(event).collect();
        rows.sort_by_key(|event| event.at);
        Ok(Self { rows, dimensions: keys })
    }

    /// The events of each slice, sorted by time.
    pub fn slices(&self) -> Vec<Vec<Event>> {
        let mut slices = vec![Vec::new(); self.dimensions.len()];
        self.rows.iter().for_each(|event| slices[event.slice].push(*event));
        slices
    }

    /// The events of each id in each slice, sorted by time.
    pub fn visits(&self) -> Vec<Vec<Event>> {
        let mut numbers: hashbrown::HashMap<(usize, usize), usize> = hashbrown::HashMap::new();
        let mut visits: Vec<Vec<Event>> = Vec::new();
        for event in &self.rows {
            let number = *numbers.entry((event.slice, event.id)).or_insert_with(|| {
                visits.push(Vec::new());
                visits.len() - 1
            });
            visits[number].push(*event);
        }
        visits
    }
}

/// Output rows: time, slice and numbers.
pub struct Rows {
    times: Vec<Vec<i64>>,
    slices: Vec<usize>,
    longs: Vec<Vec<i64>>,
    reals: Vec<Vec<f64>>,
}

impl Rows {
    pub fn new(times: usize, longs: usize, reals: usize) -> Self {
        Self { times: vec![Vec::new(); times], slices: Vec::new(), longs: vec![Vec::new(); longs], reals: vec![Vec::new(); reals] }
    }

    pub fn push(&mut self, times: &[i64], slice: usize, longs: &[i64], reals: &[f64]) {
        self.times.iter_mut().zip(times).for_each(|(column, value)| column.push(*value));
        self.slices.push(slice);
        self.longs.iter_mut().zip(longs).for_each(|(column, value)| column.push(*value));
        self.reals.iter_mut().zip(reals).for_each(|(column, value)| column.push(*value));
    }

    /// Builds the columns: times of type `ty`, the dimensions, the numbers.
    pub fn finish(self, ty: Type, events: &Events) -> Result<Vec<ArrayRef>, EvalError> {
        let mut own: Vec<ArrayRef> = Vec::new();
        for times in self.times {
            let times: Vec<Value> = times.into_iter().map(|at| Value::Long(at).cast(ty)).collect();
            own.push(Value::array(&times, ty));
        }
        own.extend(events.dimensions.columns(&self.slices)?);
        own.extend(self.longs.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef));
        own.extend(self.reals.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef));
        Ok(own)
    }
}

/// The ratio of `part` to `all`; NaN if `all` is 0.
pub fn rate(part: usize, all: usize) -> f64 {
    if all == 0 { f64::NAN } else { part as f64 / all as f64 }
}
