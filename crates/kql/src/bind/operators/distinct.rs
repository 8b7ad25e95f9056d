//! Equality of dynamics is undocumented.

use crate::bind::{Binder, diagnostics as code};
use model::Type;

use crate::bind::naming::Names;
use crate::bind::scope::{Cx, Env, Relation, Scalar};
use crate::plan::{Rel, RelOp};
use crate::syntax::ast::{Expr, ExprKind, Place};

use super::extend::{Item, item};

impl Binder<'_> {
    pub(super) fn distinct(&mut self, columns: &[Expr], input: Relation, env: &Env) -> Relation {
        let mut names = Names::default();
        let mut keys: Vec<(std::sync::Arc<str>, Scalar, Place)> = Vec::new();
        let mut open = false;
        for expr in columns {
            match &expr.kind {
                ExprKind::Star => {
                    if self.strict {
                        let values: Vec<Scalar> = self.outputs(&input).into_iter().map(|(_, value)| value).collect();
                        values.iter().for_each(|value| self.refuse_dynamic(value, &expr.place, "a column of `distinct *`"));
                    }
                    open |= input.open;
                    for (name, value) in self.outputs(&input) {
                        if names.take(&name) {
                            keys.push((name, value, expr.place.clone()));
                        }
                    }
                }
                _ => {
                    let Item { names: written, value } = item(expr);
                    let bound = self.scalar(value, &mut Cx::row(env, &input));
                    let source = self.name_source(written.first(), value, &bound);
                    let name = self.take_name(&mut names, source, &expr.place);
                    keys.push((name.into(), bound, expr.place.clone()));
                }
            }
        }
        for (_, value, place) in &keys {
            if self.strict {
                self.refuse_dynamic(value, place, "a column of `distinct`");
            } else if value.known && value.ty() == Type::Dynamic {
                // When two dynamics are the same is not written anywhere.
                self.postpone(
                    code::WRONG_TYPE,
                    place,
                    "a column of `distinct` cannot be a dynamic here; make it a scalar first, as with `tostring(…)`",
                );
            }
        }
        let mut fields = Vec::with_capacity(keys.len());
        let mut exprs = Vec::with_capacity(keys.len());
        for (name, value, _) in keys {
            fields.push(self.field(&name, &value));
            exprs.push(value.expr);
        }
        let op = RelOp::Aggregate { input: Box::new(input.rel), keys: exprs, aggregates: Vec::new() };
        Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open }
    }
}
