//! Direct execution: `where`, `extend`, `project`, `summarize` and `top` directly over Parquet files, without a DataFusion plan.
//!
//! The operators at the bottom of nearly every detection — read, filter, compute, group — run here on columns as stored: text stays
//! dictionary-encoded ([`column`]), row groups that cannot match are skipped ([`bounds`]), columns not needed by a filter are read only for
//! the remaining rows ([`source`]), most rows never reach an aggregate ([`summarize`]), and `top` reads complete rows only for its result
//! ([`top`]). Kernels and aggregates are the same as elsewhere. Runs of row groups are distributed over several threads, and their results
//! are combined in table order, so the rows and their order do not depend on the number of threads.
//!
//! The rest of the plan is left to DataFusion, which sees a table here.

mod bounds;
mod column;
mod exec;
mod file;
mod keys;
mod source;
mod summarize;
mod top;

use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::catalog::TableProvider;
use kql::Value;
use kql::eval::Runtime;
use kql::plan::{AggregateCall, ColumnId, Expr, ExprKind, Field, OrderKey, Rel, RelOp, TableRef};
use kql::watch;
use model::{MissingRows, QueryError};

pub(crate) use bounds::Exact;
pub(crate) use file::{Damaged, Footers, OpenError, ParquetFile};
pub(crate) use source::{Part, Parts, ScanColumn};

use crate::expr::constant;
use exec::{DirectTable, Shape};

/// A table that supports direct execution.
pub(crate) struct Readable {
    pub parts: Parts,
    /// The fields of the scan, followed by columns used only by `conditions`.
    pub columns: Vec<ScanColumn>,
    /// Fields of those additional columns.
    pub hidden: Vec<Field>,
    /// Restricts the rows visible to the query.
    pub conditions: Vec<Expr>,
    /// Rows that are skipped because they cannot be read.
    pub missing: Vec<MissingRows>,
}

/// The operators between a table and the top operator, as expressions over the table's columns.
struct Chain {
    fields: Vec<Field>,
    conditions: Vec<Expr>,
    /// The expression of each output field.
    outputs: Vec<(ColumnId, Expr)>,
}

impl Chain {
    /// Collects `where`, `extend` and `project` over a table; `None` if any other operator is present.
    fn of(rel: &Rel) -> Option<Self> {
        if watch::stopped() {
            return None;
        }
        match &rel.op {
            RelOp::Scan { .. } => Some(Self {
                fields: rel.fields.clone(),
                conditions: Vec::new(),
                outputs: rel.fields.iter().map(|field| (field.id, Expr::column(field))).collect(),
            }),
            RelOp::Filter { input, predicate } => {
                let mut chain = Self::of(input)?;
                let predicate = chain.over_table(predicate)?;
                split(predicate, &mut chain.conditions);
                Some(chain)
            }
            RelOp::Project { input, exprs } => {
                let mut chain = Self::of(input)?;
                let outputs = rel.fields.iter().zip(exprs).map(|(field, source)| Some((field.id, chain.over_table(source)?)));
                chain.outputs = outputs.collect::<Option<_>>()?;
                Some(chain)
            }
            RelOp::Shared { input, .. } => {
                let mut chain = Self::of(input)?;
                let outputs =
                    rel.fields.iter().zip(&input.fields).map(|(field, from)| Some((field.id, chain.over_table(&Expr::column(from))?)));
                chain.outputs = outputs.collect::<Option<_>>()?;
                Some(chain)
            }
            _ => None,
        }
    }

    /// Rewrites `source` over the columns of the table; `None` if it must not be evaluated twice or becomes too large.
    fn over_table(&self, source: &Expr) -> Option<Expr> {
        let mut left = LARGEST;
        self.replace(source, &mut left)
    }

    fn replace(&self, source: &Expr, left: &mut usize) -> Option<Expr> {
        *left = left.checked_sub(1)?;
        let kind = match &source.kind {
            ExprKind::Const(_) => source.kind.clone(),
            ExprKind::Column(id) => {
                let (_, known) = self.outputs.iter().find(|(output, _)| output == id)?;
                let mut size = 0;
                known.walk(&mut |_| size += 1);
                *left = left.checked_sub(size)?;
                known.kind.clone()
            }
            ExprKind::Call { function, args } if function.deterministic => {
                ExprKind::Call { function, args: args.iter().map(|arg| self.replace(arg, left)).collect::<Option<_>>()? }
            }
            _ => return None,
        };
        Some(Expr { kind, ty: source.ty })
    }
}

/// Returns the table below `where`, `extend` and `project`.
pub(crate) fn bottom(rel: &Rel) -> Option<(&TableRef, &[Field], &[String])> {
    let mut below = rel;
    loop {
        below = match &below.op {
            RelOp::Scan { table, columns } => return Some((table, &below.fields, columns)),
            RelOp::Filter { input, .. } | RelOp::Project { input, .. } => input,
            RelOp::Shared { input, .. } => input,
            _ => return None,
        };
    }
}

/// Larger expressions are left to DataFusion, which eliminates common subexpressions.
const LARGEST: usize = 200;

/// Splits a conjunction into its terms.
fn split(condition: Expr, into: &mut Vec<Expr>) {
    match condition.kind {
        ExprKind::Call { function, args } if function.native == kql::functions::Native::And => {
            args.into_iter().for_each(|part| split(part, into));
        }
        _ => into.push(condition),
    }
}

/// Plans `rel` for direct execution, if it has a supported shape: returns a table whose columns are named by the ids of its fields. `find`
/// looks up tables stored in files.
pub(crate) fn plan(
    rel: &Rel,
    runtime: &Runtime,
    find: &dyn Fn(&TableRef, &[Field], &[String]) -> Result<Option<Readable>, QueryError>,
) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
    let (below, shape) = match &rel.op {
        RelOp::Aggregate { input, keys, aggregates } => (input.as_ref(), Some((keys, aggregates))),
        _ => (rel, None),
    };
    let top = match &rel.op {
        RelOp::Take { input, count } => match (&input.op, constant(count, runtime).as_ref().and_then(Value::as_i64)) {
            (RelOp::Sort { input, keys }, Some(count)) if input.order.is_empty() => Some((input.as_ref(), keys, count)),
            _ => return Ok(None),
        },
        _ => None,
    };
    let below = top.map_or(below, |(input, _, _)| input);
    let Some((table, fields, names)) = bottom(below) else { return Ok(None) };
    let Some(readable) = find(table, fields, names)? else { return Ok(None) };
    let Some(chain) = Chain::of(below) else { return Ok(None) };
    let mut building = Building::new(&chain, readable, runtime);
    for condition in std::mem::take(&mut building.readable.conditions) {
        if !building.condition(&condition) {
            return Err(QueryError::Internal("what the query may not see cannot be told from what it may".to_owned()));
        }
    }
    for condition in &chain.conditions {
        if !building.condition(condition) {
            return Ok(None);
        }
    }
    let shape = match (shape, top) {
        (Some((keys, aggregates)), _) => building.summarize(&chain, keys, aggregates),
        (None, Some((_, keys, count))) => building.top(&chain, rel, keys, count),
        (None, None) => building.rows(&chain, rel),
    };
    Ok(shape.map(|shape| Arc::new(building.table(rel, shape)) as Arc<dyn TableProvider>))
}

/// A table under construction. Expressions that do not compile here take the ordinary path, which reports the error.
struct Building {
    program: column::Program,
    fields: Vec<Field>,
    readable: Readable,
    conditions: Vec<column::Root>,
    bounds: Vec<bounds::Bound>,
    runtime: Runtime,
}

impl Building {
    fn new(chain: &Chain, readable: Readable, runtime: &Runtime) -> Self {
        let fields: Vec<Field> = chain.fields.iter().chain(&readable.hidden).cloned().collect();
        let program = column::Program::new(fields.clone(), *runtime);
        Self { program, fields, readable, conditions: Vec::new(), bounds: Vec::new(), runtime: *runtime }
    }

    fn condition(&mut self, condition: &Expr) -> bool {
        self.bounds.extend(bounds::Bound::of(condition, &self.fields, &self.runtime));
        match self.program.compile(condition) {
            Ok(root) => {
                self.conditions.push(root);
                true
            }
            Err(_) => false,
        }
    }

    fn compile(&mut self, chain: &Chain, source: &Expr) -> Option<column::Root> {
        self.program.compile(&chain.over_table(source)?).ok()
    }

    fn outputs(&mut self, chain: &Chain, rel: &Rel) -> Option<Vec<column::Root>> {
        rel.fields.iter().map(|field| self.compile(chain, &Expr::column(field))).collect()
    }

    fn rows(&mut self, chain: &Chain, rel: &Rel) -> Option<Shape> {
        Some(Shape::Rows { outputs: self.outputs(chain, rel)? })
    }

    fn top(&mut self, chain: &Chain, rel: &Rel, keys: &[OrderKey], count: i64) -> Option<Shape> {
        let count = usize::try_from(count).ok().filter(|count| (1..=top::MOST).contains(count))?;
        let outputs = self.outputs(chain, rel)?;
        let keys = keys.iter().map(|key| {
            let options = SortOptions { descending: !key.ascending, nulls_first: key.nulls_first };
            Some((self.compile(chain, &key.expr)?, key.expr.ty, options))
        });
        Some(Shape::Top { outputs, top: top::Top { keys: keys.collect::<Option<_>>()?, count } })
    }

    fn summarize(&mut self, chain: &Chain, keys: &[Expr], aggregates: &[AggregateCall]) -> Option<Shape> {
        if keys.is_empty() && aggregates.is_empty() || keys.iter().any(|key| !keys::is_key(key.ty)) {
            return None;
        }
        let mut summarize = summarize::Summarize {
            keys: keys.iter().map(|key| self.compile(chain, key)).collect::<Option<_>>()?,
            key_types: keys.iter().map(|key| key.ty).collect(),
            calls: Vec::new(),
            orders: Vec::new(),
        };
        let mut orders: Vec<(Expr, std::cmp::Ordering)> = Vec::new();
        for call in aggregates {
            let args = call.args.iter().map(|arg| self.compile(chain, arg)).collect::<Option<Vec<_>>>()?;
            let rows = match (summarize::extreme(call.function), call.args.first(), args.first()) {
                (Some(want), Some(order), Some(root)) => {
                    let at = orders.iter().position(|(known, way)| known == order && *way == want).unwrap_or_else(|| {
                        orders.push((order.clone(), want));
                        summarize.orders.push((root.clone(), want));
                        orders.len() - 1
                    });
                    summarize::Seen::Best(at)
                }
                _ => summarize::Seen::by(call.function),
            };
            summarize.calls.push(summarize::Call {
                function: call.function,
                args,
                types: call.args.iter().map(|arg| arg.ty).collect(),
                constants: call.args.iter().map(|arg| constant(arg, &self.runtime)).collect(),
                returns: call.ty,
                rows,
            });
        }
        Some(Shape::Groups { summarize })
    }

    fn table(self, rel: &Rel, shape: Shape) -> DirectTable {
        let Readable { mut parts, columns, .. } = self.readable;
        parts.parts.retain(|part| part.may_hold(&columns, &self.bounds));
        DirectTable::new(parts, columns, self.program, self.conditions, rel.fields.clone(), shape)
    }
}
