//! `top-nested`, `top-hitters`, `sample-distinct`: top values by an expression.

use std::sync::Arc;

use model::Type;

use crate::bind::naming::{Names, name_of};
use crate::bind::scope::{Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::TableOp;
use crate::ops::sample::SampleDistinct;
use crate::ops::top_hitters::TopHitters;
use crate::ops::top_nested::{NestedLevel, TopNested};
use crate::plan::{Expr as Bound, Field, OrderKey, Rel, RelOp};
use crate::syntax::ast::{Expr, TopNestedLevel};

use super::extend::{Item, item};

impl Binder<'_> {
    pub(super) fn top_nested(&mut self, levels: &[TopNestedLevel], input: Relation, env: &Env) -> Relation {
        let mut names = Names::default();
        let mut fields = Vec::new();
        let mut bound_levels = Vec::with_capacity(levels.len());
        for level in levels {
            let count = level.count.as_ref().map(|count| self.constant(count, Type::Long, "the number of values", env).expr);
            let Item { names: written, value } = item(&level.of);
            let of = self.scalar(value, &mut Cx::row(env, &input));
            if !self.strict {
                self.refuse_dynamic(&of, &value.place, "a level of `top-nested`");
            }
            let of_name = written.first().map(|name| name.text.clone()).or_else(|| name_of(value)).unwrap_or_else(|| "Column1".to_owned());
            let of_name = names.unique(&of_name);
            let of_field = self.field(&of_name, &of);
            let Item { names: written, value: by } = item(&level.by);
            let call = self.lone_aggregate(by, &input, env);
            let by_name = written.first().map_or_else(|| format!("aggregated_{of_name}"), |name| name.text.clone());
            let by_field = self.typed(&names.unique(&by_name), call.as_ref().map_or(Type::Dynamic, |call| call.ty));
            let others = level.others.as_ref().map(|others| self.constant(others, of.ty(), "what stands for the others", env).expr);
            if let Some(by) = call {
                bound_levels.push(NestedLevel {
                    count,
                    of: of.expr,
                    of_id: of_field.id,
                    by,
                    by_id: by_field.id,
                    ascending: level.ascending,
                    nulls_first: level.nulls_first,
                    others,
                });
            }
            fields.extend([of_field, by_field]);
        }
        Self::new_rows(Arc::new(TopNested { levels: bound_levels }), fields, input)
    }

    pub(super) fn top_hitters(&mut self, count: &Expr, of: &Expr, by: Option<&Expr>, input: Relation, env: &Env) -> Relation {
        let count = self.constant(count, Type::Long, "the number of values", env).expr;
        let Item { names: written, value } = item(of);
        let of = self.scalar(value, &mut Cx::row(env, &input));
        if !self.strict {
            self.refuse_dynamic(&of, &value.place, "the value of `top-hitters`");
        }
        let of_name = written.first().map(|name| name.text.clone()).or_else(|| name_of(value)).unwrap_or_else(|| "Column1".to_owned());
        let of_field = self.field(&of_name, &of);
        let (by, value_field) = match by {
            None => (None, self.typed(&format!("approximate_count_{of_name}"), Type::Long)),
            Some(expr) => {
                let by = self.scalar(expr, &mut Cx::row(env, &input));
                if by.known && !by.ty().is_numeric() {
                    self.report(code::WRONG_TYPE, &expr.place, format!("`top-hitters` sums numbers, this is a {}", by.ty()));
                }
                let ty = if by.ty() == Type::Int { Type::Long } else { by.ty() };
                let name = format!("approximate_sum_{}", name_of(expr).unwrap_or_default());
                (Some(by.expr), self.typed(&name, ty))
            }
        };
        let order = OrderKey { expr: Bound::column(&value_field), ascending: false, nulls_first: false };
        let op = TopHitters { count, of: of.expr, of_id: of_field.id, by, value_id: value_field.id };
        let mut hitters = Self::new_rows(Arc::new(op), vec![of_field, value_field], input);
        hitters.rel.order = vec![order];
        hitters.rel.serialized = true;
        hitters
    }

    pub(super) fn sample_distinct(&mut self, count: &Expr, of: &Expr, input: Relation, env: &Env) -> Relation {
        let count = self.constant(count, Type::Long, "the number of values", env).expr;
        let Item { names: written, value } = item(of);
        let of = self.scalar(value, &mut Cx::row(env, &input));
        let name = written.first().map(|name| name.text.clone()).or_else(|| name_of(value)).unwrap_or_else(|| "Column1".to_owned());
        let field = self.field(&name, &of);
        Self::new_rows(Arc::new(SampleDistinct { count, of: of.expr, id: field.id }), vec![field], input)
    }

    /// An operator whose output rows are not input rows.
    pub(super) fn new_rows(op: Arc<dyn TableOp>, fields: Vec<Field>, input: Relation) -> Relation {
        let rel = Rel { op: RelOp::Op { op, inputs: vec![input.rel] }, fields, order: Vec::new(), serialized: false };
        Relation { rel, open: false }
    }
}
