//! The typed plan, produced by `bind` and run by `engine`. Names and types are resolved, implicit casts are explicit.
//!
//! Columns are identified by [`ColumnId`], unique within a plan; names matter only in the final result. A passed-through column keeps its
//! id; a computed column has a new id. A tabular `let` used twice is bound twice, with fresh ids.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashSet;
use model::{Render, Type};

use crate::Value;
use crate::aggregates::AggregateFn;
use crate::functions::ScalarFn;
use crate::ops::TableOp;
use crate::windows::WindowFn;

/// A column of a plan. Displayed as `c17`, which is also its field name in Arrow batches between operators.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(pub u32);

impl fmt::Display for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Debug for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// An output column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub id: ColumnId,
    pub name: Arc<str>,
    pub ty: Type,
}

impl Field {
    /// A column not accessible by name: it carries the row order past a `project` that dropped the sort key, or the ingestion time. The
    /// root of a plan has none.
    pub fn is_hidden(&self) -> bool {
        self.name.is_empty() || &*self.name == "$IngestionTime"
    }
}

/// A bound query.
#[derive(Clone, Debug)]
pub struct Plan {
    pub root: Rel,
    /// Subqueries whose results are needed as constants first; each may reference earlier ones.
    pub subqueries: Vec<Subquery>,
    pub render: Option<Render>,
    /// The name of the first result, if `fork` names it.
    pub name: Option<String>,
    /// Additional results of `fork` and `facet`, with their names.
    pub more: Vec<(String, Rel)>,
}

#[derive(Clone, Debug)]
pub struct Subquery {
    pub rel: Rel,
    pub kind: SubqueryKind,
    pub ty: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubqueryKind {
    /// First row, first column; null (or `""`) if there is none. From `toscalar`.
    Scalar,
    /// All values of the first column as a dynamic array; type `dynamic`. From `in (T)`, `has_any (T)`.
    Set,
}

/// A relation: an operator and its output columns.
#[derive(Clone, Debug)]
pub struct Rel {
    pub op: RelOp,
    pub fields: Vec<Field>,
    /// The order of the rows, if guaranteed by KQL ("serialized"); otherwise empty. The engine enforces it for windows and the final
    /// result. Keys read fields of this relation, including hidden ones.
    pub order: Vec<OrderKey>,
    /// The row set is serialized even if `order` is empty (after `serialize`, `range`, `datatable`, `print`).
    pub serialized: bool,
}

impl Rel {
    /// Height of the operator tree, including shared relations. Iterative.
    pub fn height(&self) -> usize {
        let mut highest = 0;
        let mut waiting = vec![(self, 1)];
        while let Some((rel, height)) = waiting.pop() {
            highest = highest.max(height);
            if let RelOp::Shared { input, .. } = &rel.op {
                waiting.push((input, height + 1));
            }
            waiting.extend(rel.inputs().into_iter().map(|input| (input, height + 1)));
        }
        highest
    }

    /// The input relations, except shared ones.
    pub fn inputs(&self) -> Vec<&Rel> {
        match &self.op {
            RelOp::Scan { .. } | RelOp::Values { .. } | RelOp::Range { .. } | RelOp::Group | RelOp::Shared { .. } => Vec::new(),
            RelOp::Filter { input, .. }
            | RelOp::Project { input, .. }
            | RelOp::Aggregate { input, .. }
            | RelOp::Sort { input, .. }
            | RelOp::Take { input, .. }
            | RelOp::Window { input, .. } => vec![input],
            RelOp::Join { left, right, .. } => vec![left, right],
            RelOp::Union { inputs, .. } | RelOp::Op { inputs, .. } => inputs.iter().collect(),
            RelOp::Apply { input, body, .. } => vec![input, body],
        }
    }

    /// The input relations, except shared ones.
    pub fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        match &mut self.op {
            RelOp::Scan { .. } | RelOp::Values { .. } | RelOp::Range { .. } | RelOp::Group | RelOp::Shared { .. } => Vec::new(),
            RelOp::Filter { input, .. }
            | RelOp::Project { input, .. }
            | RelOp::Aggregate { input, .. }
            | RelOp::Sort { input, .. }
            | RelOp::Take { input, .. }
            | RelOp::Window { input, .. } => vec![input],
            RelOp::Join { left, right, .. } => vec![left, right],
            RelOp::Union { inputs, .. } | RelOp::Op { inputs, .. } => inputs.iter_mut().collect(),
            RelOp::Apply { input, body, .. } => vec![input, body],
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct OrderKey {
    pub expr: Expr,
    pub ascending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug)]
pub enum RelOp {
    /// Rows of a table. `columns` names the table column of each field; only used columns are read.
    Scan {
        table: TableRef,
        columns: Vec<String>,
    },
    /// Constant rows: `datatable`, and `print` as one row without columns under a `Project`.
    Values {
        rows: Arc<Vec<Vec<Value>>>,
    },
    /// `range x from a to b step c`, inclusive; `from`, `to`, `step` are constant expressions of the column's family.
    Range {
        from: Expr,
        to: Expr,
        step: Expr,
    },
    Filter {
        input: Box<Rel>,
        predicate: Expr,
    },
    /// Each field is the expression with the same index: `extend`, `project`, `project-away`, renaming, reordering.
    Project {
        input: Box<Rel>,
        exprs: Vec<Expr>,
    },
    /// Fields are the keys, then the aggregates. Without keys there is always exactly one row. Without aggregates: `distinct`. A `Project`
    /// above may reorder the fields.
    Aggregate {
        input: Box<Rel>,
        keys: Vec<Expr>,
        aggregates: Vec<AggregateCall>,
    },
    /// Fields are a subset of left and right fields. Keys are pairs of expressions, one over each side, of equal type. A null key never
    /// matches, except that `""` matches `""`. `filter` is an additional condition over both sides.
    Join {
        kind: JoinKind,
        left: Box<Rel>,
        right: Box<Rel>,
        on: Vec<(Expr, Expr)>,
    },
    /// Rows of all inputs. `columns[i][f]` is the expression over input `i` for field `f` (a column, or a null constant if it has none).
    Union {
        inputs: Vec<Rel>,
        columns: Vec<Vec<Expr>>,
    },
    /// Stable where the engine can; order is also in `Rel::order`.
    Sort {
        input: Box<Rel>,
        keys: Vec<OrderKey>,
    },
    /// The first `count` rows in `input.order`, or any rows if there is none. `top` is `Take` over `Sort`.
    Take {
        input: Box<Rel>,
        count: Expr,
    },
    /// Window functions over a serialized input, all rows at once: fields are the input's, then one per expression.
    Window {
        input: Box<Rel>,
        exprs: Vec<Expr>,
    },
    /// A table operator (see [`TableOp`]): `mv-expand`, `parse`, `make-series`, `scan`, plug-ins …
    Op {
        op: Arc<dyn TableOp>,
        inputs: Vec<Rel>,
    },
    /// `mv-apply` and `partition`: `body` runs once per group of rows of `input` with equal `keys`, and reads only those rows. Inside
    /// `body`, `RelOp::Group` is the group's rows. Fields are those of `body`.
    Apply {
        input: Box<Rel>,
        keys: Vec<Expr>,
        body: Box<Rel>,
    },
    /// The rows of the current group in an `Apply`.
    Group,
    /// A relation that is computed once, even if used several times (`materialize`, `as`, repeated subplans). Fields are fresh ids for
    /// those of `input`, by index.
    Shared {
        id: u32,
        input: Arc<Rel>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRef {
    pub name: String,
    /// Batches computed earlier in this query, see [`crate::bind::Schema::run`].
    pub computed: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// Left rows deduplicated on the key first.
    InnerUnique,
    Inner,
    LeftOuter,
    RightOuter,
    FullOuter,
    LeftSemi,
    RightSemi,
    LeftAnti,
    RightAnti,
}

#[derive(Clone, Debug)]
pub struct AggregateCall {
    pub function: &'static AggregateFn,
    /// Casts to the accepted types are already inserted.
    pub args: Vec<Expr>,
    pub ty: Type,
}

/// The size of an expression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub depth: usize,
    /// Number of calls, columns and constants.
    pub parts: usize,
    pub calls: usize,
}

/// A scalar expression with its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Const(Value),
    Column(ColumnId),
    /// The result of `Plan::subqueries[i]`; a constant once the engine has run it.
    Subquery(usize),
    /// Operators are functions, too: `==` is [`ScalarFn`] `"=="`.
    Call {
        function: &'static ScalarFn,
        args: Vec<Expr>,
    },
    /// Only in `RelOp::Window`, possibly nested in calls.
    Window {
        function: &'static WindowFn,
        args: Vec<Expr>,
    },
}

impl PartialEq for ExprKind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ExprKind::Const(a), ExprKind::Const(b)) => a == b,
            (ExprKind::Column(a), ExprKind::Column(b)) => a == b,
            (ExprKind::Subquery(a), ExprKind::Subquery(b)) => a == b,
            (ExprKind::Call { function: f, args: a }, ExprKind::Call { function: g, args: b }) => std::ptr::eq(*f, *g) && a == b,
            (ExprKind::Window { function: f, args: a }, ExprKind::Window { function: g, args: b }) => std::ptr::eq(*f, *g) && a == b,
            _ => false,
        }
    }
}

impl Expr {
    pub fn constant(value: Value) -> Self {
        let ty = value.ty();
        Self { kind: ExprKind::Const(value), ty }
    }

    pub fn column(field: &Field) -> Self {
        Self { kind: ExprKind::Column(field.id), ty: field.ty }
    }

    pub fn call(function: &'static ScalarFn, args: Vec<Expr>, ty: Type) -> Self {
        Self { kind: ExprKind::Call { function, args }, ty }
    }

    pub fn as_const(&self) -> Option<&Value> {
        match &self.kind {
            ExprKind::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Calls `visit` for this expression and all subexpressions.
    pub fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        if let ExprKind::Call { args, .. } | ExprKind::Window { args, .. } = &self.kind {
            for arg in args {
                arg.walk(visit);
            }
        }
    }

    /// Nesting depth and number of parts. Iterative.
    pub fn extent(&self) -> Extent {
        let mut extent = Extent::default();
        let mut waiting = vec![(self, 1)];
        while let Some((part, depth)) = waiting.pop() {
            extent.depth = extent.depth.max(depth);
            extent.parts += 1;
            if let ExprKind::Call { args, .. } | ExprKind::Window { args, .. } = &part.kind {
                extent.calls += 1;
                waiting.extend(args.iter().map(|arg| (arg, depth + 1)));
            }
        }
        extent
    }

    /// Replaces the id of every column read.
    pub fn map_columns(&mut self, f: &dyn Fn(ColumnId) -> ColumnId) {
        match &mut self.kind {
            ExprKind::Column(id) => *id = f(*id),
            ExprKind::Call { args, .. } | ExprKind::Window { args, .. } => args.iter_mut().for_each(|arg| arg.map_columns(f)),
            ExprKind::Const(_) | ExprKind::Subquery(_) => {}
        }
    }

    /// Ids of all columns read.
    pub fn columns(&self) -> Vec<ColumnId> {
        let (mut ids, mut seen) = (Vec::new(), HashSet::new());
        self.walk(&mut |expr| {
            if let ExprKind::Column(id) = expr.kind
                && seen.insert(id)
            {
                ids.push(id);
            }
        });
        ids
    }
}
