//! `take`, `sample`: some of the rows.

use model::Type;

use crate::bind::Binder;
use crate::bind::scope::{Env, Relation};
use crate::plan::RelOp;
use crate::syntax::ast::Expr;

impl Binder<'_> {
    pub(super) fn take(&mut self, count: &Expr, input: Relation, env: &Env) -> Relation {
        let count = self.constant(count, Type::Long, "the number of rows", env).expr;
        input.wrap(|input| RelOp::Take { input, count })
    }

    /// Returns the first rows: Kusto does not specify a distribution either.
    pub(super) fn sample(&mut self, count: &Expr, input: Relation, env: &Env) -> Relation {
        self.take(count, input.unordered(), env)
    }
}
