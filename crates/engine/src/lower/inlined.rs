//! Estimates the size of computed columns after inlining.
//!
//! DataFusion pushes a filter below a projection by inlining the projected expressions. A column that is computed from itself twice in each
//! of twenty steps grows to a million terms that way, and planning does not terminate. If a column exceeds [`MOST_TERMS`], a node above it
//! prevents filters on it from being pushed down.

use std::collections::{BTreeSet, HashMap};

use kql::plan::{ColumnId, Expr, ExprKind, Field};

/// Maximum terms of a column whose filters are pushed down. Published rules with many simple conditions stay far below.
const MOST_TERMS: u64 = 2_000;

/// Number of terms of each computed column with more than one.
#[derive(Default)]
pub(super) struct Terms(HashMap<ColumnId, u64>);

impl Terms {
    /// Registers the columns of a projection. Returns those that are too large to be inlined again.
    pub(super) fn project(&mut self, exprs: &[Expr], fields: &[Field]) -> BTreeSet<String> {
        let counted: Vec<u64> = exprs.iter().map(|expr| self.of(expr)).collect();
        let mut large = BTreeSet::new();
        for (field, terms) in fields.iter().zip(counted) {
            if terms > MOST_TERMS {
                self.0.insert(field.id, 1);
                large.insert(field.id.to_string());
            } else {
                self.0.insert(field.id, terms);
            }
        }
        large
    }

    fn of(&self, expr: &Expr) -> u64 {
        let mut terms = 0_u64;
        expr.walk(&mut |part| {
            let more = match &part.kind {
                ExprKind::Column(id) => self.0.get(id).copied().unwrap_or(1),
                _ => 1,
            };
            terms = terms.saturating_add(more);
        });
        terms
    }
}
