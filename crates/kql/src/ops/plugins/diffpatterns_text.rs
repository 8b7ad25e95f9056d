//! `diffpatterns_text(text, condition, least words, threshold, most words)` — word patterns that distinguish two sets of texts. Source: the
//! public KQL reference, `diffpatterns-text-plugin`.
//!
//! Like `diffpatterns` over the words of the text, with one column per word position: patterns in the reference have at most twenty words,
//! aligned by position. `*` matches any word, and at the end any rest.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use model::Type;

use super::diffpatterns::{apart, difference, percents};
use super::mined;
use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::mining::{Mining, Split, counts};
use crate::ops::patterns::{Pattern, Transactions};

pub static PLUGIN: Plugin = Plugin {
    name: "diffpatterns_text",
    summary: "Patterns of words that tell two sets of texts apart",
    args: &[
        PluginArg { name: "TextColumn", shape: Shape::Expr },
        PluginArg { name: "BooleanCondition", shape: Shape::Expr },
        PluginArg { name: "MinTokens", shape: Shape::Expr },
        PluginArg { name: "Threshold", shape: Shape::Expr },
        PluginArg { name: "MaxTokens", shape: Shape::Expr },
    ],
    required: 2,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[(
        "range i from 1 to 20 step 1 | project s = strcat(iff(i > 10, 'disk ', 'fan '), tostring(i), ' failed now') | evaluate diffpatterns_text(s, s has 'disk') | take 1",
        "disk * failed now",
    )],
};

const OURS: [(&str, Type); 5] = [
    ("Count_of_True", Type::Long),
    ("Count_of_False", Type::Long),
    ("Percent_of_True", Type::Real),
    ("Percent_of_False", Type::Real),
    ("Pattern", Type::String),
];

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let expr = |index: usize, ty: Type, message: &str| match call.arg(index) {
        Some(Argument::Expr { expr, .. }) if expr.ty == ty => Ok(expr.clone()),
        _ => Err(PluginError::Argument { index, message: message.to_owned() }),
    };
    let text = expr(0, Type::String, "must be a text")?;
    let condition = expr(1, Type::Bool, "must be a condition")?;
    let least = mined::number(&call, 2, 0.0, 200.0, 1.0)? as usize;
    let threshold = mined::number(&call, 3, 0.015, 1.0, 0.05)?;
    let words = mined::number(&call, 4, 1.0, 20.0, 20.0)? as usize;
    let fields = mined::fields(&mut call, OURS.map(|(name, ty)| (name.to_owned(), ty)));
    let answer = move |rows: &Transactions| {
        let mut patterns = apart(rows, words, threshold, least.max(1))?;
        // Patterns of the true set first, as in the reference.
        patterns.sort_by(|a, b| difference(rows, b).total_cmp(&difference(rows, a)));
        let mut own = vec![counts(&patterns, 0), counts(&patterns, 1)];
        own.extend(percents(rows, &patterns));
        let texts = patterns.iter().map(|pattern| shown(rows, pattern));
        own.push(Arc::new(StringViewArray::from_iter_values(texts)) as ArrayRef);
        Ok(own)
    };
    let op = Mining {
        name: PLUGIN.name,
        dimensions: vec![text],
        weight: None,
        split: Split::Condition(condition),
        words: Some(words),
        least: threshold,
        own: fields.iter().map(|field| field.id).collect(),
        answer: Arc::new(answer),
    };
    Ok(Bound { op: Box::new(op), fields })
}

/// The words up to the last fixed one, with a final `*` if texts continue.
fn shown(rows: &Transactions, pattern: &Pattern) -> String {
    let last = pattern.items.iter().rposition(|item| *item > 0).unwrap_or(0);
    let word = |(column, item): (usize, &u16)| match item {
        0 => "*".to_owned(),
        item => rows.values[column].get(usize::from(*item) - 1).map(Value::to_text).unwrap_or_default(),
    };
    let mut words: Vec<String> = pattern.items.iter().enumerate().take(last + 1).map(word).collect();
    if last + 1 < pattern.items.len() && rows.longest(pattern) > last + 1 {
        words.push("*".to_owned());
    }
    words.join(" ")
}
