//! What binding saw on its way, for editors: the columns before and behind each operator, the types of expressions, what `let`s are, and
//! which column a name meant. Noted only where somebody asks; a run does without.
//!
//! A `let` is bound at its definition and at each use: the last binding, which knows most, stays. Places are those of the text that was
//! parsed; nothing is noted within stored functions, whose places belong to another text.

use std::collections::HashMap;

use model::Type;

use super::Binder;
use super::scope::{Binding, Relation, Scalar, UserFunction};
use crate::plan::{ColumnId, Field};
use crate::syntax::ast::{Name, ParameterType, Place};

/// A column as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedColumn {
    pub id: ColumnId,
    pub name: String,
    /// Nothing where only a run can tell.
    pub ty: Option<Type>,
}

/// Columns, and whether there may be more.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub columns: Vec<TracedColumn>,
    pub open: bool,
}

/// What was there before and behind an operator.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub input: Columns,
    /// The other table of a `join` or `lookup`.
    pub right: Option<Columns>,
    pub output: Columns,
    /// The rows before it have an order: window functions may stand here.
    pub serialized: bool,
}

/// What a `let`, a parameter or `as` gives a name to.
#[derive(Clone, Debug)]
pub enum Meaning {
    Scalar(Option<Type>),
    Table(Columns),
    /// As declared: `(a: long, T: (*))`, and whether it gives a table.
    Function {
        parameters: String,
        tabular: bool,
    },
}

#[derive(Debug, Default)]
pub struct Trace {
    /// By where the operator's keyword begins.
    pub steps: HashMap<usize, Step>,
    /// By the place of the expression; nothing where the type is not known.
    pub types: HashMap<(usize, usize), Option<Type>>,
    /// By where the name stands that is given.
    pub definitions: HashMap<usize, Meaning>,
    /// Which columns names mean, by where they begin.
    pub columns: HashMap<usize, Vec<TracedColumn>>,
}

impl Binder<'_> {
    /// Whether something is to be noted now.
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
                // The two sides of a join have a column of that name each; a second binding of the same text has others.
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
            // Whoever bound it has told of its columns.
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

/// The parameters of a function as people write them.
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
