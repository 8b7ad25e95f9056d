//! Evaluates expressions over Arrow batches: for constant folding and inside operators of ours. The engine uses the same kernels.

use arrow::array::{ArrayRef, UInt32Array, new_empty_array};
use arrow::record_batch::RecordBatch;
use model::{Timestamp, Type};

use crate::Value;
use crate::functions::{Args, Column, Kernel, Prepare};
use crate::plan::{ColumnId, Expr, ExprKind, Field};

/// What a running query knows beyond its rows.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// What `now()` answers.
    pub now: Timestamp,
}

/// Why an expression or operator cannot run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvalError {
    #[error("`{function}`: {message}")]
    Prepare { function: &'static str, message: String },
    #[error("{0}")]
    Limit(String),
    #[error("column `{0}` is missing from a batch")]
    MissingColumn(String),
    #[error("{0}")]
    Run(String),
}

/// Deeper expressions than this are refused, so that no query can exhaust the stack.
const MAX_DEPTH: usize = 512;

/// A compiled expression.
pub struct Evaluator {
    root: Node,
    ty: Type,
}

enum Node {
    /// An array of length one.
    Const(ArrayRef),
    /// Name of the column, and where it stands in batches laid out as announced.
    Column(String, usize),
    Call {
        kernel: Box<dyn Kernel>,
        args: Vec<Node>,
        /// Constant arguments give a constant.
        deterministic: bool,
    },
}

impl Evaluator {
    /// Compiles `expr`; its columns are found by id in batches whose columns are named by `ColumnId`. Calls without columns are evaluated
    /// here, once.
    pub fn new(expr: &Expr, inputs: &[Field], runtime: &Runtime) -> Result<Self, EvalError> {
        Ok(Self { root: compile(expr, &|id| inputs.iter().position(|field| field.id == id), runtime, 0)?, ty: expr.ty })
    }

    /// One entry a row.
    pub fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        Ok(match self.root.eval(batch)? {
            Column::Array(array) => array,
            Column::Scalar(one) => repeat(&one, batch.num_rows()),
        })
    }

    /// As [`Self::eval`], but a constant is not repeated.
    pub fn eval_column(&self, batch: &RecordBatch) -> Result<Column, EvalError> {
        self.root.eval(batch)
    }

    /// The type of what it gives.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The value, where it does not depend on the row.
    pub fn constant(&self) -> Option<Value> {
        match &self.root {
            Node::Const(one) => Some(Value::from_cell(one, 0, self.ty)),
            _ => None,
        }
    }
}

fn compile(expr: &Expr, position: &dyn Fn(ColumnId) -> Option<usize>, runtime: &Runtime, depth: usize) -> Result<Node, EvalError> {
    if depth > MAX_DEPTH {
        return Err(EvalError::Limit(format!("expression is nested more than {MAX_DEPTH} deep")));
    }
    match &expr.kind {
        ExprKind::Const(value) => Ok(Node::Const(Value::array(std::slice::from_ref(value), expr.ty))),
        ExprKind::Column(id) => match position(*id) {
            Some(at) => Ok(Node::Column(id.to_string(), at)),
            None => Err(EvalError::MissingColumn(id.to_string())),
        },
        ExprKind::Subquery(_) => Err(EvalError::Run("a subquery has not been run yet".to_owned())),
        ExprKind::Window { function, .. } => Err(EvalError::Run(format!("`{}` needs a serialized row set", function.name))),
        ExprKind::Call { function, args } => {
            let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
            let nodes: Vec<Node> = args.iter().map(|arg| compile(arg, position, runtime, depth + 1)).collect::<Result<_, _>>()?;
            let constants: Vec<Option<Value>> = nodes
                .iter()
                .zip(&types)
                .map(|(node, ty)| match node {
                    Node::Const(one) => Some(Value::from_cell(one, 0, *ty)),
                    _ => None,
                })
                .collect();
            let prepare = Prepare { constants: &constants, types: &types, returns: expr.ty, now: runtime.now };
            let kernel = (function.prepare)(&prepare)
                .map_err(|error| EvalError::Prepare { function: function.shown(), message: error.to_string() })?;
            let node = Node::Call { kernel, args: nodes, deterministic: function.deterministic };
            match node.fold() {
                Some(one) => Ok(Node::Const(one)),
                None => Ok(node),
            }
        }
    }
}

impl Node {
    fn eval(&self, batch: &RecordBatch) -> Result<Column, EvalError> {
        match self {
            Node::Const(one) => Ok(Column::Scalar(one.clone())),
            Node::Column(name, at) => {
                let schema = batch.schema_ref();
                // Batches come in the announced order nearly always.
                let at = match schema.fields().get(*at) {
                    Some(field) if field.name() == name => *at,
                    _ => schema.index_of(name).map_err(|_| EvalError::MissingColumn(name.clone()))?,
                };
                Ok(Column::Array(batch.column(at).clone()))
            }
            Node::Call { kernel, args, deterministic } => {
                let arrays: Vec<Column> = args.iter().map(|arg| arg.eval(batch)).collect::<Result<_, _>>()?;
                if *deterministic && !arrays.is_empty() && arrays.iter().all(|column| matches!(column, Column::Scalar(_))) {
                    return Ok(Column::Scalar(kernel.eval(&Args { arrays: &arrays, rows: 1 })));
                }
                Ok(Column::Array(kernel.eval(&Args { arrays: &arrays, rows: batch.num_rows() })))
            }
        }
    }

    /// The answer of a call whose arguments are all constant.
    fn fold(&self) -> Option<ArrayRef> {
        let Node::Call { kernel, args, deterministic: true } = self else { return None };
        let arrays: Vec<Column> = args
            .iter()
            .map(|arg| match arg {
                Node::Const(one) => Some(Column::Scalar(one.clone())),
                _ => None,
            })
            .collect::<Option<_>>()?;
        Some(kernel.eval(&Args { arrays: &arrays, rows: 1 }))
    }
}

/// The value of an expression without columns, or nothing where it is not constant (`rand()`, subqueries) or cannot run.
pub fn fold(expr: &Expr, runtime: &Runtime) -> Option<Value> {
    try_fold(expr, runtime).ok().flatten()
}

/// As [`fold`], but says why an expression without columns cannot run.
pub fn try_fold(expr: &Expr, runtime: &Runtime) -> Result<Option<Value>, EvalError> {
    if let ExprKind::Const(value) = &expr.kind {
        return Ok(Some(value.clone()));
    }
    let mut open = false;
    expr.walk(&mut |part| open |= !matches!(part.kind, ExprKind::Const(_) | ExprKind::Call { .. }));
    if open {
        return Ok(None);
    }
    let node = compile(expr, &|_| None, runtime, 0)?;
    Ok(match node {
        Node::Const(one) => Some(Value::from_cell(&one, 0, expr.ty)),
        _ => None,
    })
}

/// `one[0]`, `rows` times.
pub fn repeat(one: &ArrayRef, rows: usize) -> ArrayRef {
    if rows == 1 && one.len() == 1 {
        return one.clone();
    }
    let indices = UInt32Array::from_value(0, rows);
    arrow::compute::take(one, &indices, None).unwrap_or_else(|_| new_empty_array(one.data_type()))
}
