//! `make-series` — arrays of aggregated values along an axis. Source: the public KQL reference, `make-series-operator`.
//!
//! The axis is divided into steps aligned to `from` (`bin_at`), or to multiples of the step without `from` (`bin`). Rows outside the axis
//! are dropped before grouping; a series has a value for each step, which is the default if it has no rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use model::{Span, Timestamp, Type};

use super::keys::Keys;
use super::layout::{Layout, compile, constant, evaluate};
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::aggregates::{Emit, Groups, Start};
use crate::plan::{AggregateCall, ColumnId, Expr, Field};
use crate::value::cast;
use crate::{Value, dynamic};

/// Kusto's limit on the length of a series.
const MOST_STEPS: i64 = 1 << 20;
/// Maximum number of values in all series together.
const MOST_VALUES: i64 = 1 << 26;

/// A bound `make-series`. Outputs are the columns named here, in any order.
#[derive(Clone, Debug)]
pub struct MakeSeries {
    pub aggregates: Vec<SeriesAggregate>,
    /// Datetime, timespan or a number.
    pub axis: Expr,
    /// The dynamic column with the axis values.
    pub axis_id: ColumnId,
    /// Constant bounds of the axis, of the axis type. If one is absent, each series starts or ends with its own rows.
    pub from: Option<Expr>,
    pub to: Option<Expr>,
    /// Constant; a timespan for datetimes, otherwise of the axis type.
    pub step: Expr,
    /// Written as `in range(from, to, step)`: steps are multiples of `step`, and `to` is included.
    pub in_range: bool,
    /// `kind=nonempty`: without rows and without `by` there is one series of defaults.
    pub nonempty: bool,
    pub by: Vec<(Expr, ColumnId)>,
}

#[derive(Clone, Debug)]
pub struct SeriesAggregate {
    pub call: AggregateCall,
    /// The value of a step without rows: `default =`, otherwise 0.
    pub default: Option<Value>,
    /// A dynamic column.
    pub id: ColumnId,
}

impl TableOp for MakeSeries {
    fn name(&self) -> &'static str {
        "make-series"
    }

    fn exprs(&self) -> Vec<&Expr> {
        let args = self.aggregates.iter().flat_map(|aggregate| &aggregate.call.args);
        args.chain([&self.axis, &self.step]).chain(&self.from).chain(&self.to).chain(self.by.iter().map(|(expr, _)| expr)).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let mut mapped = self.clone();
        mapped.aggregates.iter_mut().flat_map(|aggregate| &mut aggregate.call.args).for_each(|arg| *arg = f(arg));
        mapped.axis = f(&self.axis);
        mapped.step = f(&self.step);
        mapped.from = self.from.as_ref().map(&mut *f);
        mapped.to = self.to.as_ref().map(&mut *f);
        mapped.by.iter_mut().for_each(|(expr, _)| *expr = f(expr));
        Box::new(mapped)
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let own: Vec<ColumnId> =
            self.by.iter().map(|(_, id)| *id).chain(self.aggregates.iter().map(|aggregate| aggregate.id)).chain([self.axis_id]).collect();
        let limit = |expr: &Option<Expr>| expr.as_ref().map(|expr| constant(expr, runtime)).transpose();
        let axis = Axis::new(self.axis.ty, limit(&self.from)?, limit(&self.to)?, constant(&self.step, runtime)?, self.in_range)?;
        let columns =
            self.aggregates.iter().map(|aggregate| Column::new(aggregate, &inputs[0], runtime)).collect::<Result<Vec<_>, EvalError>>()?;
        Ok(Box::new(Running {
            layout: Layout::new(&inputs[0], outputs, &own)?,
            keys: Keys::new(self.by.iter().map(|(expr, _)| expr.ty))?,
            by: compile(self.by.iter().map(|(expr, _)| expr), &inputs[0], runtime)?,
            along: Evaluator::new(&self.axis, &inputs[0], runtime)?,
            axis,
            columns,
            slots: HashMap::new(),
            nonempty: self.nonempty && self.by.is_empty(),
        }))
    }
}

/// One aggregate over all steps of all series.
struct Column {
    args: Vec<Evaluator>,
    groups: Box<dyn Groups>,
    ty: Type,
    /// As JSON.
    default: String,
}

impl Column {
    fn new(aggregate: &SeriesAggregate, inputs: &[Field], runtime: &Runtime) -> Result<Self, EvalError> {
        let call = &aggregate.call;
        let args = compile(&call.args, inputs, runtime)?;
        let types: Vec<Type> = call.args.iter().map(|arg| arg.ty).collect();
        let constants: Vec<Option<Value>> = args.iter().map(Evaluator::constant).collect();
        let start = Start { types: &types, constants: &constants, returns: call.ty };
        let groups = (call.function.start)(&start)
            .map_err(|error| EvalError::Prepare { function: call.function.name, message: error.to_string() })?;
        let default = aggregate.default.clone().unwrap_or(Value::Long(0));
        let mut json = String::new();
        // A number is converted to the aggregate's type, so that the default 0 of an average is `0.0`; a null is kept.
        let default = if default.is_null() || default.ty() == call.ty { default } else { default.cast(call.ty) };
        dynamic::push_value(&mut json, &default);
        Ok(Self { args, groups, ty: call.ty, default: json })
    }
}

struct Running {
    layout: Layout,
    keys: Keys,
    by: Vec<Evaluator>,
    along: Evaluator,
    axis: Axis,
    columns: Vec<Column>,
    /// Series and step → group of the aggregates.
    slots: HashMap<(usize, i64), usize>,
    nonempty: bool,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let along = self.along.eval(batch)?;
        let steps = self.axis.steps(&along);
        let inside: Vec<usize> = steps.iter().enumerate().filter(|(_, step)| step.is_some()).map(|(row, _)| row).collect();
        if inside.is_empty() {
            return Ok(());
        }
        let picked = arrow::array::UInt32Array::from_iter_values(inside.iter().map(|row| *row as u32));
        let batch = arrow::compute::take_record_batch(batch, &picked).map_err(super::layout::run)?;
        let series = self.keys.groups(&evaluate(&self.by, &batch)?, batch.num_rows())?;
        let slots = &mut self.slots;
        let groups: Vec<usize> = series
            .iter()
            .zip(steps.iter().flatten())
            .map(|(series, step)| {
                let next = slots.len();
                *slots.entry((*series, *step)).or_insert(next)
            })
            .collect();
        for column in &mut self.columns {
            column.groups.update(&evaluate(&column.args, &batch)?, &groups, None, slots.len());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let mut count = if self.by.is_empty() { usize::from(!self.slots.is_empty() || self.nonempty) } else { self.keys.len() };
        let mut ranges: Vec<Option<(i64, i64)>> = vec![None; count];
        for (series, step) in self.slots.keys() {
            let range = &mut ranges[*series];
            *range = Some(range.map_or((*step, *step), |(least, most)| (least.min(*step), most.max(*step))));
        }
        let mut total = 0i64;
        let ranges: Vec<(i64, i64)> = ranges.into_iter().map(|range| self.axis.range(range)).collect();
        for (first, behind) in &ranges {
            let length = behind.saturating_sub(*first);
            total = total.saturating_add(length);
            if length > MOST_STEPS || total > MOST_VALUES {
                return Err(EvalError::Limit(format!(
                    "`make-series` would make a series of {length} values, at most {MOST_STEPS} are allowed"
                )));
            }
        }
        // An axis without steps produces no series.
        let series: Vec<usize> = (0..count).filter(|series| ranges[*series].0 < ranges[*series].1).collect();
        count = series.len();
        if count == 0 {
            return Ok(());
        }
        let mut own = if self.by.is_empty() { Vec::new() } else { self.keys.columns(&series)? };
        for column in &mut self.columns {
            let values = column.groups.evaluate(Emit::All);
            own.push(Arc::new(StringViewArray::from_iter_values(series.iter().map(|series| {
                let (first, behind) = ranges[*series];
                array(first..behind, |json, step| match self.slots.get(&(*series, step)) {
                    Some(slot) => dynamic::push_value(json, &Value::from_cell(&values, *slot, column.ty)),
                    None => json.push_str(&column.default),
                })
            }))));
        }
        let mut axes: HashMap<(i64, i64), String> = HashMap::new();
        own.push(Arc::new(StringViewArray::from_iter_values(series.iter().map(|series| {
            let (first, behind) = ranges[*series];
            axes.entry((first, behind)).or_insert_with(|| array(first..behind, |json, step| self.axis.push(json, step))).clone()
        }))));
        out.push(self.layout.batch(&RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty())), None, &own, count)?);
        Ok(())
    }

    fn size(&self) -> usize {
        self.keys.size() + self.slots.capacity() * 48 + self.columns.iter().map(|column| column.groups.size()).sum::<usize>()
    }
}

fn array(steps: std::ops::Range<i64>, mut push: impl FnMut(&mut String, i64)) -> String {
    let mut json = String::from("[");
    let first = steps.start;
    for step in steps {
        if step > first {
            json.push(',');
        }
        push(&mut json, step);
    }
    json.push(']');
    json
}

/// The axis, divided into numbered steps.
struct Axis {
    ty: Type,
    scale: Scale,
    /// The first step and the one after the last, if given.
    first: Option<i64>,
    behind: Option<i64>,
}

/// Start of step 0 and length of a step.
enum Scale {
    Whole { origin: i64, step: i64 },
    Real { origin: f64, step: f64 },
}

impl Axis {
    fn new(ty: Type, from: Option<Value>, to: Option<Value>, step: Value, in_range: bool) -> Result<Self, EvalError> {
        let bad = |message: &str| EvalError::Prepare { function: "make-series", message: message.to_owned() };
        let from = from.filter(|value| !value.is_null());
        let to = to.filter(|value| !value.is_null());
        match ty {
            Type::Int | Type::Long | Type::Datetime | Type::Timespan => {
                let whole = |value: &Value| value.as_i64().or_else(|| value.cast(Type::Long).as_i64());
                let step = whole(&step).filter(|step| *step > 0).ok_or_else(|| bad("the step must be greater than 0"))?;
                let (from, to) = (from.as_ref().and_then(whole), to.as_ref().and_then(whole));
                // `in range` is aligned to zero like `bin`; otherwise steps start at `from`.
                let origin = if in_range { 0 } else { from.unwrap_or(0) };
                let floor = |at: i64| i128::from(at).wrapping_sub(origin.into()).div_euclid(step.into());
                let narrow = |step: i128| i64::try_from(step).unwrap_or(if step < 0 { i64::MIN / 4 } else { i64::MAX / 4 });
                let first = from.map(|from| narrow(floor(from)));
                // The step that contains `to` is included if `to` is inclusive or not the step's first value.
                let behind = to.map(|to| narrow(if in_range { floor(to) + 1 } else { -floor_neg(to, origin, step) }));
                Ok(Self { ty, scale: Scale::Whole { origin, step }, first, behind })
            }
            Type::Real | Type::Decimal => {
                let real = |value: &Value| value.as_f64().or_else(|| value.cast(Type::Real).as_f64());
                let step = real(&step).filter(|step| *step > 0.0).ok_or_else(|| bad("the step must be greater than 0"))?;
                let (from, to) = (from.as_ref().and_then(real), to.as_ref().and_then(real));
                let origin = if in_range { 0.0 } else { from.unwrap_or(0.0) };
                let first = from.map(|from| ((from - origin) / step).floor() as i64);
                let behind = to.map(|to| {
                    let steps = (to - origin) / step;
                    if in_range { steps.floor() as i64 + 1 } else { steps.ceil() as i64 }
                });
                Ok(Self { ty, scale: Scale::Real { origin, step }, first, behind })
            }
            _ => Err(bad("the axis must be a number, a datetime or a timespan")),
        }
    }

    /// The step of each entry; `None` for nulls and outside the axis.
    fn steps(&self, along: &ArrayRef) -> Vec<Option<i64>> {
        let inside = |step: i64| self.first.is_none_or(|first| step >= first) && self.behind.is_none_or(|behind| step < behind);
        match &self.scale {
            Scale::Whole { origin, step } => {
                let along = cast::array(along, self.ty, if self.ty == Type::Int { Type::Long } else { self.ty });
                let values = along.as_primitive::<Int64Type>();
                values.iter().map(|value| Some(value?.checked_sub(*origin)?.div_euclid(*step)).filter(|step| inside(*step))).collect()
            }
            Scale::Real { origin, step } => {
                let along = cast::array(along, self.ty, Type::Real);
                let values = along.as_primitive::<Float64Type>();
                let at = |value: f64| value.is_finite().then(|| ((value - origin) / step).floor() as i64);
                values.iter().map(|value| value.and_then(at).filter(|step| inside(*step))).collect()
            }
        }
    }

    /// The first step of a series and the one after its last, given the steps with rows.
    fn range(&self, rows: Option<(i64, i64)>) -> (i64, i64) {
        let (least, most) = rows.unwrap_or((0, -1));
        (self.first.unwrap_or(least), self.behind.unwrap_or(most + 1))
    }

    /// Appends the start of a step.
    fn push(&self, json: &mut String, step: i64) {
        let value = match &self.scale {
            Scale::Whole { origin, step: length } => {
                let at = origin.saturating_add(step.saturating_mul(*length));
                match self.ty {
                    Type::Datetime => Value::String(Timestamp::clamp_ticks(at).to_string()),
                    Type::Timespan => Value::String(Span(at).to_string()),
                    _ => Value::Long(at),
                }
            }
            Scale::Real { origin, step: length } => Value::Real(origin + step as f64 * length),
        };
        dynamic::push_value(json, &value);
    }
}

/// The floor of (origin - at) / step: its negation is the ceiling of (at - origin) / step.
fn floor_neg(at: i64, origin: i64, step: i64) -> i128 {
    (i128::from(origin) - i128::from(at)).div_euclid(step.into())
}
