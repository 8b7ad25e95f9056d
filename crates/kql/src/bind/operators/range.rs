//! `range x from a to b step c`.

use model::Type;

use crate::bind::scalar::wider;
use crate::bind::scope::{Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{Rel, RelOp};
use crate::syntax::ast::{Expr, Name, Place};

impl Binder<'_> {
    pub(super) fn range(&mut self, name: &Name, [from, to, step]: [&Expr; 3], env: &Env, place: &Place) -> Relation {
        let mut bound = [from, to, step].map(|expr| self.scalar(expr, &mut Cx::constant(env)));
        let types = [bound[0].ty(), bound[1].ty(), bound[2].ty()];
        let known = bound.iter().all(|value| value.known);
        let (ty, step_ty) = match types {
            [from, to, step] if from.is_numeric() && to.is_numeric() && step.is_numeric() => {
                let ty = wider(wider(from, to), step);
                (ty, ty)
            }
            [Type::Datetime, Type::Datetime, Type::Timespan] => (Type::Datetime, Type::Timespan),
            [Type::Timespan, Type::Timespan, Type::Timespan] => (Type::Timespan, Type::Timespan),
            [from, to, step] => {
                if known {
                    let help = "numbers, or instants with a step of time, or three times".to_owned();
                    self.report_with(code::WRONG_TYPE, place, format!("`range` cannot go from a {from} to a {to} by a {step}"), Some(help));
                }
                let mut unknown = Relation::unknown();
                let value = Self::unknown_scalar();
                unknown.rel.fields = vec![self.field(&name.text, &value)];
                unknown.open = false;
                return unknown;
            }
        };
        for (value, ty) in bound.iter_mut().zip([ty, ty, step_ty]) {
            *value = self.cast(value.clone(), ty);
        }
        let [from, to, step] = bound.map(|value| value.expr);
        let fields = vec![self.typed(&name.text, ty)];
        let rel = Rel { op: RelOp::Range { from, to, step }, fields, order: Vec::new(), serialized: true };
        Relation { rel, open: false }
    }
}
