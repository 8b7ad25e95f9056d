//! Scopes: `let` variables, functions and parameters, and the columns of the current row.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use model::Type;

use super::elements::Elements;
use crate::plan::{AggregateCall, ColumnId, Expr, Field, Rel};
use crate::syntax::ast;

/// A bound scalar. If `known` is false, its type depends on an open schema or on a reported error: no further diagnostics are produced for
/// it, and there will be no plan.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub expr: Expr,
    pub known: bool,
}

impl Scalar {
    pub fn known(expr: Expr) -> Self {
        Self { expr, known: true }
    }

    pub fn ty(&self) -> Type {
        self.expr.ty
    }
}

/// A bound table, and whether it may have unknown columns.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub rel: Rel,
    pub open: bool,
}

/// What a name is bound to.
#[derive(Clone)]
pub(super) enum Binding {
    Scalar(Scalar),
    Table(Rc<Lazy>),
    Function(Rc<UserFunction>),
    Shared(Rc<SharedTable>),
    Pattern(Rc<DeclaredPattern>),
}

/// A `declare pattern`: tables selected by strings.
pub(super) struct DeclaredPattern {
    pub has_path: bool,
    /// A case is a function that takes its strings as arguments.
    pub cases: Vec<(Vec<String>, Rc<UserFunction>)>,
}

/// A tabular `let`: bound again at each use, in the environment of its definition.
pub(super) struct Lazy {
    pub expr: Rc<ast::Expr>,
    pub env: Env,
    /// Set on first use if defined by `materialize(…)`.
    pub shared: OnceCell<Rc<SharedTable>>,
    pub use_of: Use,
}

impl Lazy {
    pub fn new(expr: &ast::Expr, env: &Env) -> Self {
        Self { expr: Rc::new(expr.clone()), env: env.clone(), shared: OnceCell::new(), use_of: Use::default() }
    }
}

/// Whether a `let` is used, and whether the errors of its definition are held back until then.
#[derive(Clone, Default)]
pub(super) struct Use(Rc<(Cell<bool>, Cell<bool>)>);

impl Use {
    pub fn set(&self) {
        self.0.0.set(true);
    }

    pub fn is_set(&self) -> bool {
        self.0.0.get()
    }

    pub fn hold(&self) {
        self.0.1.set(true);
    }

    pub fn is_held(&self) -> bool {
        self.0.1.get()
    }
}

/// A `let` function or a stored one.
pub(super) struct UserFunction {
    pub name: String,
    pub function: ast::Function,
    pub env: Env,
    pub tabular: bool,
    /// From the workspace: locations in its text are meaningless to the user.
    pub stored: bool,
    pub use_of: Use,
}

/// A relation that is computed once.
pub(super) struct SharedTable {
    pub id: u32,
    pub rel: Arc<Rel>,
    pub open: bool,
}

/// Visible variables; later ones shadow earlier ones. Cheap to clone, so that functions and tables capture their definition's environment.
#[derive(Clone, Default)]
pub(super) struct Env(Option<Rc<Node>>);

struct Node {
    name: String,
    binding: Binding,
    parent: Env,
}

impl Env {
    pub fn with(&self, name: &str, binding: Binding) -> Env {
        Env(Some(Rc::new(Node { name: name.to_owned(), binding, parent: self.clone() })))
    }

    pub fn get(&self, name: &str) -> Option<&Binding> {
        self.nodes().find(|node| node.name == name).map(|node| &node.binding)
    }

    /// All visible names, innermost first.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Binding)> {
        self.nodes().map(|node| (node.name.as_str(), &node.binding))
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.0.as_deref(), |node| node.parent.0.as_deref())
    }
}

impl Drop for Node {
    /// Drops the list iteratively: a script may have a hundred thousand `let`s.
    fn drop(&mut self) {
        let mut next = self.parent.0.take();
        while let Some(node) = next {
            next = match Rc::try_unwrap(node) {
                Ok(mut node) => node.parent.0.take(),
                Err(_) => None,
            };
        }
    }
}

/// Context of an expression: the visible names and the kinds of calls allowed.
pub(super) struct Cx<'c> {
    pub env: &'c Env,
    pub fields: &'c [Field],
    pub open: bool,
    /// The other side, in join conditions: `fields` is then `$left`.
    pub right: Option<(&'c [Field], bool)>,
    /// Steps of a `scan`, whose last rows are read as `step.column`.
    pub steps: Option<&'c mut Steps>,
    /// Elements of a graph pattern, whose properties are read as `element.property`.
    pub graph: Option<&'c mut Elements>,
    /// Collects aggregate calls, if they are allowed.
    pub aggregates: Option<&'c mut Aggregates>,
    /// Collects window calls, if the rows have an order.
    pub windows: Option<&'c mut Windows>,
}

impl<'c> Cx<'c> {
    /// Without a row: only constants and variables.
    pub fn constant(env: &'c Env) -> Self {
        Self { env, fields: &[], open: false, right: None, steps: None, graph: None, aggregates: None, windows: None }
    }

    pub fn row(env: &'c Env, input: &'c Relation) -> Self {
        Self { fields: &input.rel.fields, open: input.open, ..Self::constant(env) }
    }
}

/// Aggregate calls found while binding, with their columns.
#[derive(Default)]
pub(super) struct Aggregates {
    pub calls: Vec<(AggregateCall, Field)>,
}

/// Window calls found while binding. A call that uses the result of another is one level above it.
#[derive(Default)]
pub(super) struct Windows {
    pub calls: Vec<WindowCall>,
}

pub(super) struct WindowCall {
    pub expr: Expr,
    pub field: Field,
    pub level: usize,
}

impl Windows {
    /// One more than the highest window level that `args` read.
    pub fn level(&self, args: &[Expr]) -> usize {
        let mut level = 0;
        for id in args.iter().flat_map(Expr::columns) {
            if let Some(call) = self.calls.iter().find(|call| call.field.id == id) {
                level = level.max(call.level + 1);
            }
        }
        level
    }
}

/// States of the steps of a `scan` read by expressions so far.
#[derive(Default)]
pub(super) struct Steps {
    pub names: Vec<String>,
    /// Fields of a state: those of the input, then the declared ones.
    pub fields: Vec<Field>,
    /// Step, index of the field, and the column id by which it is read.
    pub used: Vec<(usize, usize, ColumnId)>,
}
