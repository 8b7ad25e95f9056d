//! Binding results for editors: the columns before and after each operator, the types of expressions, the meaning of `let`s and the columns
//! that names refer to. Recorded only on request, not when a query is run.
//!
//! A `let` is bound at its definition and at each use: the last binding, which has the most information, is kept. Locations are those of
//! the parsed text; nothing is recorded inside stored functions, whose locations refer to another text.

use std::collections::HashMap;

use model::Type;

use super::Binder;
use super::scope::{Binding, Relation, Scalar, UserFunction};
use crate::plan::{ColumnId, Field};
use crate::syntax::ast::{Name, ParameterType, Place};

/// A column, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedColumn {
    pub id: ColumnId,
    pub name: String,
    /// `None` if known only at run time.
    pub ty: Option<Type>,
}

/// Columns, and whether there may be others.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub columns: Vec<TracedColumn>,
    pub open: bool,
}

/// Columns before and after an operator.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub input: Columns,
    /// The second input of a `join` or `lookup`.
    pub right: Option<Columns>,
    pub output: Columns,
    /// True if the input is ordered, so that window functions are allowed.
    pub serialized: bool,
}

/// What a `let`, a parameter or `as` names.
#[derive(Clone, Debug)]
pub enum Meaning {
    Scalar(Option<Type>),
    Table(Columns),
    /// The declared parameters, `(a: long, T: (*))`, and whether it returns a table.
    Function {
        parameters: String,
        tabular: bool,
    },
}

#[derive(Debug, Default)]
pub struct Trace {
    /// Keyed by the start of the operator's keyword.
    pub steps: HashMap<usize, Step>,
    /// Keyed by the span of the expression; `None` if the type is unknown.
    pub types: HashMap<(usize, usize), Option<Type>>,
    /// Keyed by the position of the defined name.
    pub definitions: HashMap<usize, Meaning>,
    /// The columns a name refers to, keyed by its start.
    pub columns: HashMap<usize, Vec<TracedColumn>>,
}

impl Binder<'_> {
    /// The trace, if recording is active.
    fn traced(&mut self) -> Option<&mut Trace> {
        self.trace.as_deref_mut().filter(|_| self.calling.is_empty())
    }

    fn traced_column(&self, field: &Field) -> TracedColumn {
        TracedColumn { id: field.id, name: field.name.to_string(), ty: (!self.unknown.contains(&field.id)).then_some(field.ty) }
    }

    fn traced_columns(&self, relation: &Relation) -> Columns {
        Columns { columns: relation.visible().map(|field| self.traced_column(field)).collect(), open: relation.open }
    }

    pub(super) fn saw_input(&mut self, operator: usize, input: &Relation) {
        if self.trace.is_some() {
            let (columns, serialized) = (self.traced_columns(input), input.rel.serialized && !input.open);
            if let Some(trace) = self.traced() {
                trace.steps.insert(operator, Step { input: columns, serialized, ..Step::default() });
            }
        }
    }

    pub(super) fn saw_right(&mut self, operator: usize, right: &Relation) {
        if self.trace.is_some() {
            let columns = self.traced_columns(right);
            if let Some(step) = self.traced().and_then(|trace| trace.steps.get_mut(&operator)) {
                step.right = Some(columns);
            }
        }
    }

    pub(super) fn saw_output(&mut self, operator: usize, output: &Relation) {
        if self.trace.is_some() {
            let columns = self.traced_columns(output);
            if let Some(step) = self.traced().and_then(|trace| trace.steps.get_mut(&operator)) {
                step.output = columns;
            }
        }
    }

    pub(super) fn saw_scalar(&mut self, place: &Place, value: &Scalar) {
        let ty = value.known.then(|| value.ty());
        if let Some(trace) = self.traced() {
            trace.types.insert((place.start, place.end), ty);
        }
    }

    pub(super) fn saw_column(&mut self, place: &Place, field: &Field) {
        if self.trace.is_some() {
            let column = self.traced_column(field);
            if let Some(trace) = self.traced() {
                let known = trace.columns.entry(place.start).or_default();
                // Both sides of a join have a column of that name; a second binding of the same text adds others.
                if known.len() > 1 {
                    known.clear();
                }
                known.push(column);
            }
        }
    }

    pub(super) fn saw_definition(&mut self, name: &Name, binding: &Binding) {
        if self.trace.is_none() {
            return;
        }
        let meaning = match binding {
            Binding::Scalar(value) => Meaning::Scalar(value.known.then(|| value.ty())),
            Binding::Function(function) => Meaning::Function { parameters: declared(function), tabular: function.tabular },
            // The columns were recorded where the table was bound.
            Binding::Table(_) | Binding::Pattern(_) => return,
            Binding::Shared(shared) => {
                let columns = shared.rel.fields.iter().filter(|field| !field.is_hidden()).map(|field| self.traced_column(field)).collect();
                Meaning::Table(Columns { columns, open: shared.open })
            }
        };
        if let Some(trace) = self.traced() {
            trace.definitions.insert(name.place.start, meaning);
        }
    }

    pub(super) fn saw_table(&mut self, name: &Name, table: &Relation) {
        if self.trace.is_some() {
            let columns = self.traced_columns(table);
            if let Some(trace) = self.traced() {
                trace.definitions.insert(name.place.start, Meaning::Table(columns));
            }
        }
    }
}

/// The declared parameters of a function, as text.
fn declared(function: &UserFunction) -> String {
    let parameters = function.function.parameters.iter().map(|parameter| match &parameter.ty {
        ParameterType::Scalar(ty) => format!("{}: {}", parameter.name.text, ty.name()),
        ParameterType::Table(None) => format!("{}: (*)", parameter.name.text),
        ParameterType::Table(Some(columns)) => {
            let columns = columns.iter().map(|(name, ty)| format!("{}: {}", name.text, ty.name())).collect::<Vec<_>>();
            format!("{}: ({})", parameter.name.text, columns.join(", "))
        }
    });
    format!("({})", parameters.collect::<Vec<_>>().join(", "))
}
