//! Converts scalar expressions to DataFusion expressions.
//!
//! Every call becomes one of our UDFs; a large expression becomes a single UDF ([`crate::opaque`]). Comparisons become native DataFusion
//! comparisons, which it can push down and use for pruning, only in positive conjuncts of a `where`, where null and false are equivalent.
//! [`native`] lists the conditions under which they have exactly KQL's semantics.

use datafusion::common::Column;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use kql::Value;
use kql::eval::{Runtime, fold};
use kql::functions::Native;
use kql::plan::{Expr as KqlExpr, ExprKind};
use kql::watch;
use model::{QueryError, Type};

use crate::opaque::{hidden, is_better_hidden};
use crate::scalar::Call;
use crate::values::scalar;

/// The column of an id.
pub(crate) fn column(name: impl ToString) -> Expr {
    Expr::Column(Column::new_unqualified(name.to_string()))
}

/// Converts an expression with exactly KQL's semantics.
pub(crate) fn expr(source: &KqlExpr, runtime: &Runtime) -> Result<Expr, QueryError> {
    if watch::stopped() {
        return Err(QueryError::Cancelled);
    }
    if let Some(value) = constant(source, runtime) {
        return Ok(lit(scalar(&value)));
    }
    match &source.kind {
        ExprKind::Const(value) => Ok(lit(scalar(value))),
        ExprKind::Column(id) => Ok(column(id)),
        ExprKind::Call { .. } if is_better_hidden(source) => hidden(source, runtime),
        ExprKind::Call { function, args } => {
            let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
            let constants: Vec<Option<Value>> = args.iter().map(|arg| constant(arg, runtime)).collect();
            let call = Call::prepare(function, &types, &constants, source.ty, runtime.now)
                .map_err(|why| QueryError::Run(format!("`{}`: {why}", function.shown())))?;
            let args = args.iter().map(|arg| expr(arg, runtime)).collect::<Result<Vec<_>, _>>()?;
            Ok(call.call(args))
        }
        ExprKind::Subquery(index) => Err(QueryError::Internal(format!("subquery {index} has not been run"))),
        ExprKind::Window { function, .. } => Err(QueryError::Run(format!("`{}` needs a serialized row set", function.name))),
    }
}

/// Evaluates an expression that reads no columns; `None` if it does.
pub(crate) fn constant(source: &KqlExpr, runtime: &Runtime) -> Option<Value> {
    match &source.kind {
        ExprKind::Const(value) => Some(value.clone()),
        ExprKind::Column(_) | ExprKind::Subquery(_) | ExprKind::Window { .. } => None,
        ExprKind::Call { .. } => {
            let mut rowless = true;
            source.walk(&mut |part| {
                rowless &= match &part.kind {
                    ExprKind::Const(_) => true,
                    ExprKind::Call { function, .. } => function.deterministic,
                    _ => false,
                }
            });
            if rowless { fold(source, runtime) } else { None }
        }
    }
}

/// Maximum number of native `and` and `or` nodes in all filters of a plan: DataFusion merges consecutive filters into a tree whose depth is
/// their number.
pub(crate) const MOST_JUNCTIONS: usize = 256;

/// Converts the condition of a `where`: rows are kept if it is true; null and false are equivalent. `left` is the remaining number of
/// native `and` and `or` nodes.
pub(crate) fn predicate(source: &KqlExpr, runtime: &Runtime, left: &mut usize) -> Result<Expr, QueryError> {
    if let ExprKind::Call { function, args } = &source.kind
        && let [one, other] = args.as_slice()
    {
        let junction = match function.native {
            // A prefix of a long conjunction is still useful for pruning; part of a disjunction is not.
            Native::And if *left > 0 => Some(Operator::And),
            Native::Or if junctions(source, *left) <= *left => Some(Operator::Or),
            _ => None,
        };
        if let Some(op) = junction {
            *left = left.saturating_sub(1);
            return Ok(binary(predicate(one, runtime, left)?, op, predicate(other, runtime, left)?));
        }
        let (left, right) = (one, other);
        if let Some(op) = native(function.native, left, right, runtime) {
            return Ok(binary(expr(left, runtime)?, op, expr(right, runtime)?));
        }
    }
    expr(source, runtime)
}

/// Counts the `and` and `or` nodes of a condition; stops beyond `most`.
fn junctions(source: &KqlExpr, most: usize) -> usize {
    let mut count = 0;
    let mut waiting = vec![source];
    while let Some(part) = waiting.pop() {
        if let ExprKind::Call { function, args } = &part.kind
            && matches!(function.native, Native::And | Native::Or)
            && count <= most
        {
            count += 1;
            waiting.extend(args);
        }
    }
    count
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// Returns DataFusion's operator if, in a `where`, it keeps the same rows as KQL's comparison.
///
/// - Types must be equal and not real: DataFusion orders NaN above all numbers, KQL follows IEEE 754.
/// - `null == null` and `null == 1` keep no row in either system; `null != 1` does in KQL, so it becomes `IS DISTINCT FROM`.
/// - A computed string may be null where KQL has `""`: only comparisons with a constant other than `""` are safe, and only those that are
///   not true for either.
fn native(native: Native, left: &KqlExpr, right: &KqlExpr, runtime: &Runtime) -> Option<Operator> {
    let op = match native {
        Native::Equal => Operator::Eq,
        Native::NotEqual => Operator::IsDistinctFrom,
        Native::Less => Operator::Lt,
        Native::LessOrEqual => Operator::LtEq,
        Native::Greater => Operator::Gt,
        Native::GreaterOrEqual => Operator::GtEq,
        _ => return None,
    };
    if left.ty != right.ty {
        return None;
    }
    match left.ty {
        Type::Int | Type::Long | Type::Datetime | Type::Timespan => Some(op),
        Type::Bool | Type::Guid => matches!(op, Operator::Eq | Operator::IsDistinctFrom).then_some(op),
        Type::String => {
            let constant = constant(right, runtime).or_else(|| constant(left, runtime));
            let filled = matches!(&constant, Some(Value::String(text)) if !text.is_empty());
            (filled && matches!(op, Operator::Eq | Operator::IsDistinctFrom)).then_some(op)
        }
        Type::Real | Type::Decimal | Type::Dynamic => None,
    }
}

/// `expr AS name`, unless it is already that column.
pub(crate) fn named(expr: Expr, name: impl ToString) -> Expr {
    let name = name.to_string();
    match &expr {
        Expr::Column(column) if column.name == name => expr,
        _ => expr.alias(name),
    }
}
