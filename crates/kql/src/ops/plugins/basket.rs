//! `basket(threshold, weight, dimensions, wildcards…)` — patterns that many rows share. Source: the public KQL reference, `basket-plugin`.
//!
//! All closed patterns of at least `threshold` of the rows, that at most `dimensions` columns and what follows from them make; by number of
//! rows times number of columns, as the printed tables are sorted. Microsoft's engine samples the values to begin with, this one counts.

use std::sync::Arc;

use model::Type;

use super::mined;
use super::{Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::mining::{Mining, Split, counts, numbers, percent, rounded, sort_by_size};
use crate::ops::patterns::{Transactions, is_share};
use crate::plan::Expr;

pub static PLUGIN: Plugin = Plugin {
    name: "basket",
    summary: "Patterns of values that many rows share",
    args: &[
        PluginArg { name: "Threshold", shape: Shape::Expr },
        PluginArg { name: "WeightColumn", shape: Shape::Expr },
        PluginArg { name: "MaxDimensions", shape: Shape::Expr },
        PluginArg { name: "CustomWildcard", shape: Shape::Expr },
    ],
    required: 0,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[(
        "range i from 1 to 10 step 1 | project k = iff(i <= 8, 'a', 'b'), v = iff(i <= 6, 'x', 'y') | evaluate basket(0.3, '~', '~', '*') | take 1",
        "x",
    )],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    // Down to 0.015, says the reference; published rules ask for less.
    let threshold = mined::number(&call, 0, 0.0, 1.0, 0.05)?;
    let weight = mined::weight(&call, 1)?;
    let most = mined::number(&call, 2, 1.0, f64::MAX, 5.0)? as usize;
    let dimensions = mined::dimensions(&call, &weight.iter().collect::<Vec<_>>())?;
    let wild = mined::wildcards(&call, 3, &dimensions)?;
    let fields = mined::columns(&mut call, &[("SegmentId", Type::Long), ("Count", Type::Long), ("Percent", Type::Real)], &dimensions);
    let types: Vec<Type> = dimensions.iter().map(|field| field.ty).collect();
    let answer = move |rows: &Transactions| {
        let mut patterns = rows.closed(most, &|weights| is_share(weights, rows.total, threshold))?;
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
        least: threshold,
        own: fields.iter().map(|field| field.id).collect(),
        answer: Arc::new(answer),
    };
    Ok(Bound { op: Box::new(op), fields })
}
