//! How large a computed column is once everything it is computed from is written out.
//!
//! DataFusion moves a filter below a projection by writing the projected expressions into it. A column that is computed from itself twice
//! in each of twenty steps becomes a million terms that way, and planning does not end. Where a column grows past [`MOST_TERMS`], a node
//! above it keeps filters that read it where they are.

use std::collections::{BTreeSet, HashMap};

use kql::plan::{ColumnId, Expr, ExprKind, Field};

/// Terms that a column may have before filters over it stay above it. Published rules that fall apart into simple conditions stay far below.
const MOST_TERMS: u64 = 2_000;

/// The terms of each computed column that has more than one.
#[derive(Default)]
pub(super) struct Terms(HashMap<ColumnId, u64>);

impl Terms {
    /// Notes the columns of a projection. Gives those that are too large to be written out once more.
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
