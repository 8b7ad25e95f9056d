//! `diffpatterns(split column, a, b, weight, threshold, dimensions, wildcards…)` — patterns that tell two sets of rows apart. Source: the
//! public KQL reference, `diffpatterns-plugin`.
//!
//! Closed patterns whose shares of the two sets are at least `threshold` apart, the widest apart first. A pattern that only adds to one
//! already told, or says less than it, in the same direction, is not told: that is how the printed table reads, though how Microsoft's
//! engine chooses is not published. The split column is no column of the answer, as the printed table shows.

use std::sync::Arc;

use arrow::array::ArrayRef;
use model::Type;

use super::mined;
use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::EvalError;
use crate::ops::mining::{Mining, Split, counts, numbers, percent, rounded};
use crate::ops::patterns::{Pattern, Transactions, is_share};
use crate::plan::Expr;

pub static PLUGIN: Plugin = Plugin {
    name: "diffpatterns",
    summary: "Patterns of values that tell two sets of rows apart",
    args: &[
        PluginArg { name: "SplitColumn", shape: Shape::Expr },
        PluginArg { name: "SplitValueA", shape: Shape::Expr },
        PluginArg { name: "SplitValueB", shape: Shape::Expr },
        PluginArg { name: "WeightColumn", shape: Shape::Expr },
        PluginArg { name: "Threshold", shape: Shape::Expr },
        PluginArg { name: "MaxDimensions", shape: Shape::Expr },
        PluginArg { name: "CustomWildcard", shape: Shape::Expr },
    ],
    required: 3,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[(
        "range i from 1 to 20 step 1 | project ok = i > 10, v = iff(i > 8, 'x', strcat('y', i)) | evaluate diffpatterns(ok, 'True', 'False') | take 1",
        "x",
    )],
};

const OURS: [(&str, Type); 6] = [
    ("SegmentId", Type::Long),
    ("CountA", Type::Long),
    ("CountB", Type::Long),
    ("PercentA", Type::Real),
    ("PercentB", Type::Real),
    ("PercentDiffAB", Type::Real),
];

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let split = match call.arg(0) {
        Some(Argument::Expr { expr, .. }) if expr.as_const().is_none() => expr.clone(),
        _ => return Err(PluginError::Argument { index: 0, message: "must be the column that tells the two sets apart".to_owned() }),
    };
    let (first, second) = (mined::text(&call, 1)?, mined::text(&call, 2)?);
    let weight = mined::weight(&call, 3)?;
    let threshold = mined::number(&call, 4, 0.015, 1.0, 0.05)?;
    let most = mined::number(&call, 5, 1.0, f64::MAX, f64::MAX)?;
    let dimensions = mined::dimensions(&call, &weight.iter().chain([&split]).collect::<Vec<_>>())?;
    let most = most.min(dimensions.len() as f64) as usize;
    let wild = mined::wildcards(&call, 6, &dimensions)?;
    let fields = mined::columns(&mut call, &OURS, &dimensions);
    let types: Vec<Type> = dimensions.iter().map(|field| field.ty).collect();
    let answer = move |rows: &Transactions| {
        let patterns = apart(rows, most, threshold, 1)?;
        let mut own = vec![numbers(patterns.len()), counts(&patterns, 0), counts(&patterns, 1)];
        own.extend(percents(rows, &patterns));
        own.push(rounded(patterns.iter().map(|pattern| difference(rows, pattern).abs()), 2));
        own.extend(
            types.iter().zip(&wild).enumerate().map(|(at, (ty, wild)): (usize, (&Type, &Value))| rows.column(&patterns, at, *ty, wild)),
        );
        Ok(own)
    };
    let op = Mining {
        name: PLUGIN.name,
        dimensions: dimensions.iter().map(Expr::column).collect(),
        weight,
        split: Split::Values(split, first, second),
        words: None,
        least: threshold,
        own: fields.iter().map(|field| field.id).collect(),
        answer: Arc::new(answer),
    };
    Ok(Bound { op: Box::new(op), fields })
}

/// By how many percentage points a pattern has more of the first set than of the second.
pub fn difference(rows: &Transactions, pattern: &Pattern) -> f64 {
    percent(pattern.weights[0], rows.total[0]) - percent(pattern.weights[1], rows.total[1])
}

/// The percentages of either set.
pub fn percents(rows: &Transactions, patterns: &[Pattern]) -> [ArrayRef; 2] {
    [0, 1].map(|side| rounded(patterns.iter().map(|pattern| percent(pattern.weights[side], rows.total[side])), 2))
}

/// The patterns that tell the sets apart, of at most `most` columns and what follows from them and at least `fixed` columns in all. Where one
/// of the sets is empty there is nothing to compare.
pub fn apart(rows: &Transactions, most: usize, threshold: f64, fixed: usize) -> Result<Vec<Pattern>, EvalError> {
    if rows.total.iter().any(|total| *total <= 0.0) {
        return Ok(Vec::new());
    }
    let mut patterns = rows.closed(most, &|weights| is_share(weights, rows.total, threshold))?;
    patterns.retain(|pattern| pattern.fixed() >= fixed && difference(rows, pattern).abs() >= 100.0 * threshold - 1e-9);
    let wide = |pattern: &Pattern| difference(rows, pattern).abs();
    patterns.sort_by(|a, b| wide(b).total_cmp(&wide(a)).then_with(|| b.fixed().cmp(&a.fixed())).then_with(|| b.items.cmp(&a.items)));
    let mut kept: Vec<Pattern> = Vec::new();
    for pattern in patterns {
        let first = difference(rows, &pattern) > 0.0;
        if !kept.iter().any(|known| known.is_comparable(&pattern) && (difference(rows, known) > 0.0) == first) {
            kept.push(pattern);
        }
    }
    Ok(kept)
}
