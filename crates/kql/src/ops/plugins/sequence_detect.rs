//! `sequence_detect(timeline, step window, span, step = (condition), …, dimensions…)` — detect sequences of conditions. Source: the public
//! KQL reference, `sequence-detect-plugin`.
//!
//! Returns every distinct combination of times, one per condition in non-decreasing order, in which adjacent times differ by at most the
//! window and the total is at most the span. Bool arguments are steps, all others dimensions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use model::Type;

use super::timeline::{Arguments, constant, expr, field};
use super::{Bound, Call, Plugin, PluginError};
use crate::Value;
use crate::ops::EvalError;
use crate::ops::keys::Keys;
use crate::ops::whole::Table;
use crate::plan::Field;

pub static PLUGIN: Plugin = Plugin {
    name: "sequence_detect",
    summary: "Times at which conditions became true one after the other",
    args: &[expr("TimelineColumn"), expr("MaxSequenceStepWindow"), expr("MaxSequenceSpan"), expr("Expr")],
    required: 4,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[(
        "datatable(t:datetime, s:string)[datetime(2020-01-01), 'a', datetime(2020-01-02), 'b'] \
         | evaluate sequence_detect(t, 2d, 2d, one = (s == 'a'), two = (s == 'b'))",
        "1.00:00:00",
    )],
};

/// Maximum number of sequences found by one call.
const MOST_SEQUENCES: usize = 5_000_000;

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(0)?;
    args.lengths(timeline, &[1, 2], false)?;
    let (steps, dimensions): (Vec<usize>, Vec<usize>) = (3..args.exprs.len()).partition(|index| args.ty(*index) == Type::Bool);
    if steps.is_empty() {
        return Err(PluginError::Argument { index: 3, message: "must be a condition".to_owned() });
    }
    let mut fields: Vec<Field> = Vec::new();
    for index in &dimensions {
        fields.push(field(&mut call, &args.names[*index], args.ty(*index)));
    }
    for index in &steps {
        fields.push(field(&mut call, &format!("{}_{}", args.names[*index], args.names[0]), timeline));
    }
    fields.push(field(&mut call, "Duration", if timeline == Type::Datetime { Type::Timespan } else { timeline }));
    let mut names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(PluginError::Columns(format!("there would be two columns `{}`: give each step a name, as in `first = (…)`", twice[0])));
    }
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types, &steps, &dimensions))))
}

fn answer(table: &Table, types: &[Type], steps: &[usize], dimensions: &[usize]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (window, span) = (constant(table, 1, name)?, constant(table, 2, name)?);
    let mut keys = Keys::new(dimensions.iter().map(|index| types[*index]))?;
    let columns: Vec<ArrayRef> = dimensions.iter().map(|index| table.columns[*index].clone()).collect();
    let slices = keys.groups(&columns, table.rows)?;
    // Distinct times of each step in each slice.
    let mut moments: Vec<Vec<Vec<i64>>> = vec![vec![Vec::new(); steps.len()]; keys.len()];
    for (step, index) in steps.iter().enumerate() {
        let Some(holds) = table.columns[*index].as_boolean_opt() else { continue };
        for row in (0..table.rows).filter(|row| holds.is_valid(*row) && holds.value(*row)) {
            if let Some(at) = table.value(0, row, types[0]).as_i64() {
                moments[slices[row]][step].push(at);
            }
        }
    }
    let (mut owners, mut times, mut lengths) = (Vec::new(), vec![Vec::new(); steps.len()], Vec::new());
    for (slice, mut moments) in moments.into_iter().enumerate() {
        for step in &mut moments {
            step.sort_unstable();
            step.dedup();
        }
        // Sequences so far; each step is combined with all of them.
        let mut sequences: Vec<Vec<i64>> = moments.first().into_iter().flatten().map(|at| vec![*at]).collect();
        for step in &moments[1..] {
            let mut longer = Vec::new();
            for sequence in &sequences {
                let (Some(first), Some(last)) = (sequence.first(), sequence.last()) else { continue };
                let latest = last.saturating_add(window).min(first.saturating_add(span));
                let from = step.partition_point(|at| at < last);
                let to = step.partition_point(|at| *at <= latest);
                for at in step.get(from..to).unwrap_or_default() {
                    let mut next = sequence.clone();
                    next.push(*at);
                    longer.push(next);
                }
                if longer.len() > MOST_SEQUENCES {
                    return Err(EvalError::Limit(format!("`{name}` finds more than {MOST_SEQUENCES} sequences: narrow its conditions")));
                }
            }
            sequences = longer;
        }
        for sequence in sequences {
            owners.push(slice);
            lengths.push(Value::Long(sequence.last().copied().unwrap_or(0) - sequence.first().copied().unwrap_or(0)));
            times.iter_mut().zip(sequence).for_each(|(column, at)| column.push(Value::Long(at).cast(types[0])));
        }
    }
    let duration = if types[0] == Type::Datetime { Type::Timespan } else { types[0] };
    let lengths: Vec<Value> = lengths.into_iter().map(|length| length.cast(duration)).collect();
    let mut own = keys.columns(&owners)?;
    own.extend(times.iter().map(|column| Value::array(column, types[0])));
    own.push(Value::array(&lengths, duration));
    Ok(own)
}
