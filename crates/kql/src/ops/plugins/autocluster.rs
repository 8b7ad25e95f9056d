//! `autocluster(size weight, weight, seeds, wildcards…)` — a few patterns that describe the rows. Source: the public KQL reference,
//! `autocluster-plugin`: patterns are grown from seed rows and scored by the weighted geometric mean of their share of rows and their share
//! of fixed columns.
//!
//! The reference does not specify every step: the choice of seeds, and the rule that at least half of a pattern's rows must not be covered
//! by better ones, are ours. Values in fewer than 2 % of the rows are left open, and a pattern has at least two rows.

use std::sync::Arc;

use model::Type;

use super::mined;
use super::{Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::mining::{Mining, Split, counts, numbers, percent, rounded, sort_by_size};
use crate::ops::patterns::{Pattern, Transactions};
use crate::plan::Expr;

pub static PLUGIN: Plugin = Plugin {
    name: "autocluster",
    summary: "A few patterns of values that describe the rows",
    args: &[
        PluginArg { name: "SizeWeight", shape: Shape::Expr },
        PluginArg { name: "WeightColumn", shape: Shape::Expr },
        PluginArg { name: "NumSeeds", shape: Shape::Expr },
        PluginArg { name: "CustomWildcard", shape: Shape::Expr },
    ],
    required: 0,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[(
        "range i from 1 to 100 step 1 | project k = iff(i <= 60, 'a', tostring(i)), v = iff(i <= 60, 'x', 'y') | evaluate autocluster() | take 1",
        "x",
    )],
};

/// Minimum share of rows of a value.
const LEAST: f64 = 0.02;

/// Minimum rows of a pattern, if there are as many.
const LEAST_ROWS: f64 = 2.0;

/// Maximum number of seed rows.
const MOST_SEEDS: f64 = 1000.0;

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let size_weight = mined::number(&call, 0, 0.0, 1.0, 0.5)?;
    let weight = mined::weight(&call, 1)?;
    let seeds = mined::number(&call, 2, 1.0, MOST_SEEDS, 25.0)? as usize;
    let dimensions = mined::dimensions(&call, &weight.iter().collect::<Vec<_>>())?;
    let wild = mined::wildcards(&call, 3, &dimensions)?;
    let fields = mined::columns(&mut call, &[("SegmentId", Type::Long), ("Count", Type::Long), ("Percent", Type::Real)], &dimensions);
    let types: Vec<Type> = dimensions.iter().map(|field| field.ty).collect();
    let answer = move |rows: &Transactions| {
        let is_small = |pattern: &Pattern| pattern.weights[0] < LEAST_ROWS.min(rows.total[0]);
        let score = |pattern: &Pattern| {
            if is_small(pattern) {
                return -1.0;
            }
            let (size, detail) = (pattern.weights[0] / rows.total[0], pattern.fixed() as f64 / types.len() as f64);
            size.powf(size_weight) * detail.powf(1.0 - size_weight)
        };
        let mut patterns = rows.expand(seeds, &score)?;
        patterns.retain(|pattern| !is_small(pattern));
        patterns.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| a.items.cmp(&b.items)));
        let mut patterns = rows.apart(patterns);
        sort_by_size(&mut patterns);
        let mut own = vec![numbers(patterns.len()), counts(&patterns, 0)];
        own.push(rounded(patterns.iter().map(|pattern| percent(pattern.weights[0], rows.total[0])), 1));
        own.extend(
            types.iter().zip(&wild).enumerate().map(|(at, (ty, wild)): (usize, (&Type, &Value))| rows.column(&patterns, at, *ty, wild)),
        );
        Ok(own)
    };
    let op = Mining {
        name: PLUGIN.name,
        dimensions: dimensions.iter().map(Expr::column).collect(),
        weight,
        split: Split::None,
        words: None,
        least: LEAST,
        own: fields.iter().map(|field| field.id).collect(),
        answer: Arc::new(answer),
    };
    Ok(Bound { op: Box::new(op), fields })
}
