//! Removes unused columns, through `union` and the operators above it: `union *` over two hundred tables has thousands of columns in each
//! of two hundred projections, of which a query uses three. DataFusion's optimizer would find the same, after traversing all of them a
//! dozen times.

use std::collections::HashSet;
use std::sync::Arc;

use kql::eval::Runtime;
use kql::plan::{ColumnId, Expr, Field, OrderKey, Rel, RelOp};
use kql::watch;

use crate::wide::asked_below;

type Wanted = HashSet<ColumnId>;

/// `rel` reduced to the columns in `wanted` or read by its guaranteed order, but at least one.
///
/// If the query is cancelled, returns anything.
pub(crate) fn prune(rel: &Rel, mut wanted: Wanted, runtime: &Runtime) -> Rel {
    if watch::stopped() {
        return Rel { op: RelOp::Values { rows: Arc::default() }, fields: rel.fields.clone(), order: Vec::new(), serialized: false };
    }
    read_keys(&mut wanted, &rel.order);
    let kept = kept(&rel.fields, &wanted);
    let fields = || kept.iter().map(|&at| rel.fields[at].clone()).collect::<Vec<_>>();
    let (op, fields) = match &rel.op {
        RelOp::Union { inputs, columns } => {
            let columns: Vec<Vec<Expr>> = columns.iter().map(|exprs| kept.iter().map(|&at| exprs[at].clone()).collect()).collect();
            let inputs = inputs.iter().zip(&columns).map(|(input, exprs)| prune(input, read_by(exprs), runtime)).collect();
            (RelOp::Union { inputs, columns }, fields())
        }
        RelOp::Project { input, exprs } => {
            let exprs: Vec<Expr> = kept.iter().map(|&at| exprs[at].clone()).collect();
            (RelOp::Project { input: boxed(input, read_by(&exprs), runtime), exprs }, fields())
        }
        RelOp::Filter { input, predicate } => {
            wanted.extend(predicate.columns());
            let input = boxed(input, wanted, runtime);
            if let Some(united) = asked_below(&input, predicate, runtime) {
                return united;
            }
            let fields = input.fields.clone();
            (RelOp::Filter { input, predicate: predicate.clone() }, fields)
        }
        RelOp::Sort { input, keys } => {
            read_keys(&mut wanted, keys);
            let input = boxed(input, wanted, runtime);
            let fields = input.fields.clone();
            (RelOp::Sort { input, keys: keys.clone() }, fields)
        }
        RelOp::Take { input, count } => {
            let input = boxed(input, wanted, runtime);
            let fields = input.fields.clone();
            (RelOp::Take { input, count: count.clone() }, fields)
        }
        RelOp::Aggregate { input, keys, aggregates } => {
            let mut below = read_by(keys);
            below.extend(aggregates.iter().flat_map(|call| &call.args).flat_map(Expr::columns));
            (
                RelOp::Aggregate { input: boxed(input, below, runtime), keys: keys.clone(), aggregates: aggregates.clone() },
                rel.fields.clone(),
            )
        }
        // Any other operator reads all its columns; below it columns may still be removed.
        _ => {
            let mut rel = rel.clone();
            for input in rel.inputs_mut() {
                *input = prune(input, input.fields.iter().map(|field| field.id).collect(), runtime);
            }
            return rel;
        }
    };
    Rel { op, fields, order: rel.order.clone(), serialized: rel.serialized }
}

fn boxed(rel: &Rel, wanted: Wanted, runtime: &Runtime) -> Box<Rel> {
    Box::new(prune(rel, wanted, runtime))
}

fn read_by(exprs: &[Expr]) -> Wanted {
    exprs.iter().flat_map(Expr::columns).collect()
}

fn read_keys(wanted: &mut Wanted, keys: &[OrderKey]) {
    wanted.extend(keys.iter().flat_map(|key| key.expr.columns()));
}

/// Indices of the wanted fields; if none, of the first, because rows need a column to be counted.
fn kept(fields: &[Field], wanted: &Wanted) -> Vec<usize> {
    let kept: Vec<usize> = (0..fields.len()).filter(|&at| wanted.contains(&fields[at].id)).collect();
    if kept.is_empty() && !fields.is_empty() { vec![0] } else { kept }
}
