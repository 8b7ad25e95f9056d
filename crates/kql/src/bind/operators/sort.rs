//! `sort`, `top`.

use model::Type;

use crate::bind::Binder;
use crate::bind::scope::{Cx, Env, Relation};
use crate::plan::{OrderKey, Rel, RelOp};
use crate::syntax::ast::{Expr, SortKey};

impl Binder<'_> {
    /// Descending by default; nulls come first if ascending, last if descending.
    pub(super) fn sort(&mut self, keys: &[SortKey], input: Relation, env: &Env) -> Relation {
        let mut order = Vec::with_capacity(keys.len());
        for key in keys {
            let value = self.scalar(&key.expr, &mut Cx::row(env, &input));
            self.refuse_dynamic(&value, &key.expr.place, "a sort key");
            let ascending = key.ascending.unwrap_or(false);
            order.push(OrderKey { expr: value.expr, ascending, nulls_first: key.nulls_first.unwrap_or(ascending) });
        }
        let Relation { rel: input, open } = input;
        let fields = input.fields.clone();
        let rel = Rel { op: RelOp::Sort { input: Box::new(input), keys: order.clone() }, fields, order, serialized: true };
        Relation { rel, open }
    }

    pub(super) fn top(&mut self, count: &Expr, keys: &[SortKey], input: Relation, env: &Env) -> Relation {
        let count = self.constant(count, Type::Long, "the number of rows", env).expr;
        self.sort(keys, input, env).wrap(|input| RelOp::Take { input, count })
    }
}
