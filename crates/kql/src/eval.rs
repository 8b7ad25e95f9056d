//! Evaluates expressions over Arrow batches: for constant folding and inside table operators. The engine uses the same kernels.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_empty_array};
use arrow::compute::concat;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use model::{Timestamp, Type};

use crate::Value;
use crate::functions::{Args, Column, Kernel, Prepare};
use crate::ops::held::size_of_values;
use crate::plan::{ColumnId, Expr, ExprKind, Field};
use crate::watch;

/// Run-time context of a query.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// The value of `now()`.
    pub now: Timestamp,
}

/// Why an expression or operator failed.
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
    /// The query was cancelled; its result is discarded.
    #[error("the query was stopped")]
    Stopped,
    /// One step would exceed the query's memory limit.
    #[error("`{0}` makes more than the query may hold in memory")]
    Memory(&'static str),
}

/// Maximum depth of an expression, so that no query can exhaust the stack.
const MAX_DEPTH: usize = 512;

/// A compiled expression.
pub struct Evaluator {
    root: Node,
    ty: Type,
    /// Estimated number of rows to evaluate at a time; 0 if unlimited.
    step: AtomicUsize,
}

enum Node {
    /// An array of length one.
    Const(ArrayRef),
    /// Name of the column, and its expected index in a batch.
    Column(String, usize),
    Call {
        /// Name of the function.
        name: &'static str,
        kernel: Box<dyn Kernel>,
        args: Vec<Node>,
        /// Constant arguments give a constant result.
        deterministic: bool,
        /// Results are of unbounded size: strings and dynamics.
        text: bool,
    },
}

impl Evaluator {
    /// Compiles `expr`; its columns are found in batches whose columns are named by `ColumnId`. Calls without columns are evaluated once,
    /// at compile time.
    pub fn new(expr: &Expr, inputs: &[Field], runtime: &Runtime) -> Result<Self, EvalError> {
        let places: HashMap<ColumnId, usize> = inputs.iter().enumerate().rev().map(|(at, field)| (field.id, at)).collect();
        let root = compile(expr, &|id| places.get(&id).copied(), runtime, 0)?;
        let step = AtomicUsize::new(if root.builds_between() { FIRST_ROWS } else { 0 });
        Ok(Self { root, ty: expr.ty, step })
    }

    /// Evaluates to one entry per row.
    pub fn eval(&self, batch: &RecordBatch) -> Result<ArrayRef, EvalError> {
        Ok(match self.eval_column(batch)? {
            Column::Array(array) => array,
            Column::Scalar(one) => repeat(&one, batch.num_rows()),
        })
    }

    /// Like [`Self::eval`], but a constant is not expanded.
    pub fn eval_column(&self, batch: &RecordBatch) -> Result<Column, EvalError> {
        let rows = batch.num_rows();
        match self.step.load(Ordering::Relaxed) {
            0 => self.root.eval(batch),
            step if step >= rows => self.measured(batch),
            step => self.in_steps(batch, step),
        }
    }

    /// Evaluates all rows at once, and records whether the next batch should be split.
    fn measured(&self, batch: &RecordBatch) -> Result<Column, EvalError> {
        let scope = watch::scope();
        let column = self.root.eval(batch)?;
        self.adapt(batch.num_rows(), scope.built());
        Ok(column)
    }

    /// Evaluates a few rows at a time, to limit the size of intermediate results.
    fn in_steps(&self, batch: &RecordBatch, mut step: usize) -> Result<Column, EvalError> {
        let (rows, mut start) = (batch.num_rows(), 0);
        let mut parts = Vec::new();
        while start < rows {
            watch::check()?;
            let count = step.min(rows - start);
            let part = match self.measured(&batch.slice(start, count))? {
                Column::Array(part) => part,
                // The result does not depend on the row.
                scalar @ Column::Scalar(_) => return Ok(scalar),
            };
            if !watch::build(size_of_values(&part)) {
                watch::refused();
                return Err(EvalError::Memory(self.root.name()));
            }
            parts.push(part);
            start += count;
            step = self.step.load(Ordering::Relaxed).max(1);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
        concat(&parts).map(Column::Array).map_err(|why| EvalError::Run(why.to_string()))
    }

    fn adapt(&self, rows: usize, built: usize) {
        let step = if built > PIECE { (rows.saturating_mul(PIECE) / built).max(1) } else { rows.saturating_mul(4).clamp(FIRST_ROWS, MANY) };
        self.step.store(step, Ordering::Relaxed);
    }

    /// The result type.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The value, if it does not depend on the row.
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
    watch::check()?;
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
            let text = matches!(expr.ty, Type::String | Type::Dynamic);
            let node = Node::Call { name: function.name, kernel, args: nodes, deterministic: function.deterministic, text };
            match node.fold()? {
                Some(one) => Ok(Node::Const(one)),
                None => Ok(node),
            }
        }
    }
}

impl Node {
    fn name(&self) -> &'static str {
        match self {
            Node::Call { name, .. } => name,
            Node::Const(_) | Node::Column(..) => "expression",
        }
    }

    fn eval(&self, batch: &RecordBatch) -> Result<Column, EvalError> {
        match self {
            Node::Const(one) => Ok(Column::Scalar(one.clone())),
            Node::Column(name, at) => {
                let schema = batch.schema_ref();
                // Columns are nearly always at the expected index.
                let at = match schema.fields().get(*at) {
                    Some(field) if field.name() == name => *at,
                    _ => schema.index_of(name).map_err(|_| EvalError::MissingColumn(name.clone()))?,
                };
                Ok(Column::Array(batch.column(at).clone()))
            }
            Node::Call { name, kernel, args, deterministic, text } => {
                let arrays: Vec<Column> = args.iter().map(|arg| arg.eval(batch)).collect::<Result<_, _>>()?;
                if *deterministic && !arrays.is_empty() && arrays.iter().all(|column| matches!(column, Column::Scalar(_))) {
                    return run(name, kernel.as_ref(), &arrays, 1).map(Column::Scalar);
                }
                evaluate(name, kernel.as_ref(), &arrays, batch.num_rows(), *text).map(Column::Array)
            }
        }
    }

    /// The result of a call whose arguments are all constant.
    fn fold(&self) -> Result<Option<ArrayRef>, EvalError> {
        let Node::Call { name, kernel, args, deterministic: true, .. } = self else { return Ok(None) };
        let constants = args.iter().map(|arg| match arg {
            Node::Const(one) => Some(Column::Scalar(one.clone())),
            _ => None,
        });
        let Some(arrays) = constants.collect::<Option<Vec<Column>>>() else { return Ok(None) };
        let _scope = watch::scope();
        run(name, kernel.as_ref(), &arrays, 1).map(Some)
    }

    /// True if a nested call builds strings or dynamics as intermediate results.
    fn builds_between(&self) -> bool {
        let Node::Call { args, .. } = self else { return false };
        args.iter().any(|arg| matches!(arg, Node::Call { text: true, .. }) || arg.builds_between())
    }
}

/// Functions with large results: a few input bytes may become a megabyte.
const GROWING: [&str; 8] =
    ["range", "repeat", "replace_regex", "replace_string", "replace_strings", "strcat_array", "strcat_delim", "strrep"];
/// Maximum rows per call of other functions; batches are smaller, except for whole tables.
const MANY: usize = 64 << 10;
/// Target bytes of text per call.
const PIECE: usize = 4 << 20;
/// Minimum rows per call, unless constants are very large.
const FEW: usize = 16;
/// Rows evaluated first, before the result size is known.
const FIRST_ROWS: usize = 64;

/// True if a function's result may be much larger than its input.
pub fn is_growing(name: &str) -> bool {
    GROWING.contains(&name)
}

/// Runs a kernel over `rows` rows, in pieces if rows are large or many, so that cancellation and the memory limit are checked in between.
///
/// `text`: the result consists of strings or dynamics, which may include constants.
pub fn evaluate(name: &'static str, kernel: &dyn Kernel, arrays: &[Column], rows: usize, text: bool) -> Result<ArrayRef, EvalError> {
    // Start with one row if the result may be large, and adapt.
    let growing = is_growing(name);
    let mut step = if growing { 1 } else { piece(arrays, rows, text) };
    if rows <= step {
        return run(name, kernel, arrays, rows);
    }
    let mut parts = Vec::new();
    let (mut made, mut start) = (0_usize, 0);
    while start < rows {
        let count = step.min(rows - start);
        let slices: Vec<Column> = arrays
            .iter()
            .map(|column| match column {
                Column::Array(array) => Column::Array(array.slice(start, count)),
                Column::Scalar(one) => Column::Scalar(one.clone()),
            })
            .collect();
        let part = run(name, kernel, &slices, count)?;
        let bytes = size_of_values(&part);
        made = made.saturating_add(bytes);
        start += count;
        if growing {
            step = if bytes > PIECE { (count.saturating_mul(PIECE) / bytes).max(1) } else { (step * 4).min(MANY) };
        }
        // Account for the parts and their concatenation.
        if made > watch::memory() / 2 {
            return Err(EvalError::Memory(name));
        }
        parts.push(part);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
    concat(&parts).map_err(|why| EvalError::Run(why.to_string()))
}

/// One call of a kernel. Its result is discarded if the query was cancelled or exceeded its memory limit.
fn run(name: &'static str, kernel: &dyn Kernel, arrays: &[Column], rows: usize) -> Result<ArrayRef, EvalError> {
    watch::check()?;
    let answer = kernel.eval(&Args { arrays, rows });
    if watch::refused() {
        return Err(EvalError::Memory(name));
    }
    watch::check()?;
    Ok(answer)
}

/// The number of rows per call.
fn piece(arrays: &[Column], rows: usize, text: bool) -> usize {
    let buffered = |array: &ArrayRef| {
        array.as_string_view_opt().map_or(0, |texts| texts.data_buffers().iter().map(|buffer| buffer.len()).sum::<usize>())
    };
    let (mut most, mut of_all) = (0, 0);
    for column in arrays {
        match column {
            Column::Array(array) => most += buffered(array),
            // The constant may be copied into every row.
            Column::Scalar(one) if text => of_all += buffered(one),
            Column::Scalar(_) => {}
        }
    }
    if of_all.saturating_mul(rows).saturating_add(most) <= PIECE {
        return MANY;
    }
    let columns = arrays.iter().filter(|column| matches!(column, Column::Array(_)));
    let row = columns.map(|column| size_of_values(column.inner())).sum::<usize>() / rows.max(1) + of_all;
    // Kernels may process a constant again on each call.
    (PIECE / row.max(1)).max(FEW.min(FEW * PIECE / row.max(1))).clamp(1, MANY)
}

/// The value of an expression without columns; `None` if it is not constant (`rand()`, subqueries) or fails.
pub fn fold(expr: &Expr, runtime: &Runtime) -> Option<Value> {
    try_fold(expr, runtime).ok().flatten()
}

/// Like [`fold`], but returns the error if an expression without columns fails.
pub fn try_fold(expr: &Expr, runtime: &Runtime) -> Result<Option<Value>, EvalError> {
    if let ExprKind::Const(value) = &expr.kind {
        return Ok(Some(value.clone()));
    }
    let mut open = false;
    expr.walk(&mut |part| open |= !matches!(part.kind, ExprKind::Const(_) | ExprKind::Call { .. }));
    if open {
        return Ok(None);
    }
    let _scope = watch::scope();
    let node = compile(expr, &|_| None, runtime, 0)?;
    Ok(match node {
        Node::Const(one) => Some(Value::from_cell(&one, 0, expr.ty)),
        _ => None,
    })
}

/// Repeats `one[0]` `rows` times.
pub fn repeat(one: &ArrayRef, rows: usize) -> ArrayRef {
    if rows == 1 && one.len() == 1 {
        return one.clone();
    }
    let indices = UInt32Array::from_value(0, rows);
    arrow::compute::take(one, &indices, None).unwrap_or_else(|_| new_empty_array(one.data_type()))
}
