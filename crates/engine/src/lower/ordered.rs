//! `sort`, `top` and `take`: which rows come first, and how ties are broken.

use std::sync::Arc;

use datafusion::logical_expr::{Limit, LogicalPlan, Sort, SortExpr, lit};
use kql::Value;
use kql::ops::TableOp;
use kql::plan::{ColumnId, Expr as KqlExpr, ExprKind, Field, OrderKey, Rel, RelOp};
use model::{QueryError, Type};

use super::{Lowered, Lowering, PLACES, broken, no_rows, promises};
use crate::expr::constant;
use crate::internal::real_rank;
use crate::node::OpNode;
use crate::number::NumberOp;
use crate::order::KeepOrder;
use crate::sorting::SortOp;

impl Lowering<'_> {
    /// Adds a column with the row number to `lowered`, which has the fields of `input`.
    pub(super) fn numbered(&mut self, lowered: LogicalPlan, input: &Rel) -> Result<(LogicalPlan, ColumnId), QueryError> {
        let place = ColumnId(PLACES - self.temporaries);
        self.temporaries += 1;
        let outputs = input.fields.iter().cloned().chain([place_field(place)]).collect();
        let op: Arc<dyn TableOp> = Arc::new(NumberOp { place });
        let numbered = OpNode::plan(op, self.runtime, vec![lowered], vec![input.fields.clone()], outputs).map_err(broken)?;
        Ok((numbered, place))
    }

    /// A full sort, by our own operator: DataFusion compares strings, ours compares the ranks of their few distinct values.
    pub(super) fn sort_all(&mut self, input: &Rel, keys: &[OrderKey]) -> Lowered {
        let lowered = self.lower(input, promises(input))?;
        let keys = total_order(input, keys);
        let op: Arc<dyn TableOp> = Arc::new(SortOp { keys });
        OpNode::plan(op, self.runtime, vec![lowered], vec![input.fields.clone()], input.fields.clone()).map_err(broken)
    }

    pub(super) fn sort(&mut self, input: &Rel, keys: &[OrderKey], fetch: Option<usize>) -> Lowered {
        let mut lowered = self.lower(input, promises(input))?;
        let mut keys = total_order(input, keys);
        if fetch.is_some() && group_keys(input).is_empty() {
            // DataFusion's top-N breaks ties arbitrarily, so the row number is the last sort key. A sort of all rows, which comes here only
            // where memory is short, goes without: the number costs memory, and KQL promises no order of equal rows.
            let place;
            (lowered, place) = self.numbered(lowered, input)?;
            keys.push(OrderKey { expr: KqlExpr::column(&place_field(place)), ascending: true, nulls_first: true });
        }
        let mut sources = Vec::new();
        let mut directions = Vec::new();
        for key in keys {
            let source = self.key(&key.expr, input)?;
            if key.expr.ty == Type::Real {
                sources.push(real_rank(source.clone(), key.nulls_first));
                directions.push((true, true));
            }
            sources.push(source);
            directions.push((key.ascending, key.nulls_first));
        }
        let (lowered, columns) = self.with_computed(lowered, sources)?;
        let mut order: Vec<SortExpr> = Vec::new();
        for (key, (ascending, nulls_first)) in columns.into_iter().zip(directions) {
            if !order.iter().any(|known| known.expr == key) {
                order.push(SortExpr { expr: key, asc: ascending, nulls_first });
            }
        }
        let sorted = LogicalPlan::Sort(Sort { expr: order.clone(), input: Arc::new(lowered), fetch });
        Ok(KeepOrder::plan(sorted, order))
    }

    pub(super) fn take(&mut self, input: &Rel, count: &KqlExpr) -> Lowered {
        let count = match constant(count, &self.runtime).as_ref().and_then(Value::as_i64) {
            Some(count) => usize::try_from(count).unwrap_or(0),
            None => return Err(QueryError::Run("the number of rows to take is no constant".to_owned())),
        };
        if count == 0 {
            // DataFusion has no top-0 sort, and no input needs to be read for it.
            return no_rows(&input.fields);
        }
        if let RelOp::Sort { input: unsorted, keys } = &input.op {
            if self.is_union_of_files(unsorted)?
                && let Some(narrowed) = top_of_each(unsorted, keys, count)
            {
                return self.sort(&narrowed, keys, Some(count));
            }
            return self.sort(unsorted, keys, Some(count));
        }
        let lowered = self.lower(input, promises(input))?;
        let fetch = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(LogicalPlan::Limit(Limit { skip: None, fetch: Some(Box::new(lit(fetch))), input: Arc::new(lowered) }))
    }
}

fn place_field(place: ColumnId) -> Field {
    Field { id: place, name: "".into(), ty: Type::Long }
}

/// The complete sort order of `input` sorted by `keys`. Ties are broken by the previous order; groups come from several threads, so ties
/// between them are broken by their keys, which is deterministic.
pub(crate) fn total_order(input: &Rel, keys: &[OrderKey]) -> Vec<OrderKey> {
    let mut all = keys.to_vec();
    let known = |key: &&OrderKey| key.expr.columns().iter().all(|id| input.fields.iter().any(|field| field.id == *id));
    all.extend(input.order.iter().filter(known).cloned());
    let ties = group_keys(input).into_iter();
    all.extend(ties.map(|field| OrderKey { expr: KqlExpr::column(field), ascending: true, nulls_first: true }));
    all
}

/// The fields of `rel` that are keys of the `summarize` that produced it.
fn group_keys(rel: &Rel) -> Vec<&Field> {
    let mut below = rel;
    loop {
        below = match &below.op {
            RelOp::Filter { input, .. } | RelOp::Project { input, .. } => input,
            RelOp::Aggregate { keys, .. } => {
                let keys = below.fields.iter().take(keys.len());
                return keys.filter_map(|key| rel.fields.iter().find(|field| field.id == key.id)).collect();
            }
            _ => return Vec::new(),
        };
    }
}

/// Pushes a top-N into each input of a union, so that complete rows are read only for those.
fn top_of_each(rel: &Rel, keys: &[OrderKey], count: usize) -> Option<Rel> {
    if let RelOp::Project { input, exprs } = &rel.op {
        // Columns passed through unchanged, such as the source name column of a union.
        let keys = keys.iter().map(|key| {
            let ExprKind::Column(id) = key.expr.kind else { return None };
            let at = rel.fields.iter().position(|field| field.id == id)?;
            Some(OrderKey { expr: exprs.get(at)?.clone(), ..key.clone() })
        });
        let input = top_of_each(input, &keys.collect::<Option<Vec<_>>>()?, count)?;
        return Some(Rel { op: RelOp::Project { input: Box::new(input), exprs: exprs.clone() }, ..rel.clone() });
    }
    let RelOp::Union { inputs, columns } = &rel.op else { return None };
    if !rel.order.is_empty() || inputs.iter().any(|input| !input.order.is_empty()) {
        return None;
    }
    let narrowed = inputs.iter().zip(columns).map(|(input, exprs)| {
        let keys = keys.iter().map(|key| {
            let ExprKind::Column(id) = key.expr.kind else { return None };
            let at = rel.fields.iter().position(|field| field.id == id)?;
            let expr = exprs.get(at).filter(|expr| matches!(expr.kind, ExprKind::Column(_)) && expr.ty == key.expr.ty)?;
            Some(OrderKey { expr: expr.clone(), ..key.clone() })
        });
        let keys = keys.collect::<Option<Vec<_>>>()?;
        let sorted = Rel {
            op: RelOp::Sort { input: Box::new(input.clone()), keys: keys.clone() },
            fields: input.fields.clone(),
            order: keys.clone(),
            serialized: true,
        };
        let count = KqlExpr::constant(Value::Long(i64::try_from(count).ok()?));
        Some(Rel { op: RelOp::Take { input: Box::new(sorted), count }, fields: input.fields.clone(), order: Vec::new(), serialized: false })
    });
    let inputs = narrowed.collect::<Option<Vec<_>>>()?;
    Some(Rel { op: RelOp::Union { inputs, columns: columns.clone() }, ..rel.clone() })
}
