//! Runs the documentation examples of operators, aggregates, window functions, plug-ins and special forms.

use kql::bind::forms::FORMS;
use kql::syntax::parser::tabular_operators;
use kql::{aggregates, ops, windows};

/// Asserts that the last cell of each query's result equals the example, with all execution options.
fn hold(kind: &str, examples: impl Iterator<Item = (&'static str, &'static [(&'static str, &'static str)])>) {
    for (name, examples) in examples {
        for (kql, expected) in examples {
            let rows = super::rows(kql);
            let last = rows.last().unwrap_or_else(|| panic!("{kind} `{name}`: no rows from {kql}"));
            let cell = last.rsplit('|').next().unwrap_or_default();
            assert_eq!(cell, *expected, "{kind} `{name}`: {kql}");
        }
    }
}

#[test]
fn aggregate_examples_are_correct() {
    hold("aggregate", aggregates::all().map(|function| (function.name, function.examples)));
}

#[test]
fn window_examples_are_correct() {
    hold("window", windows::all().map(|function| (function.name, function.examples)));
}

#[test]
fn plugin_examples_are_correct() {
    hold("plug-in", ops::plugins::PLUGINS.iter().map(|plugin| (plugin.name, plugin.examples)));
}

#[test]
fn operator_examples_are_correct() {
    hold("operator", tabular_operators().map(|operator| (operator.name, operator.examples)));
}

#[test]
fn special_form_examples_are_correct() {
    hold("form", FORMS.iter().map(|form| (form.name, form.examples)));
}
