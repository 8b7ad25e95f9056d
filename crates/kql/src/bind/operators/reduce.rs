//! `reduce by`: groups similar strings.

use std::sync::Arc;

use model::Type;

use crate::bind::naming::{Names, name_of};
use crate::bind::scope::{Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::reduce::Reduce;
use crate::plan::{Rel, RelOp};
use crate::syntax::ast::{Expr, Property};

use super::extend::{Item, item};

/// Default of `with threshold=`.
const THRESHOLD: f64 = 0.1;

impl Binder<'_> {
    pub(super) fn reduce(&mut self, by: &Expr, options: &[Property], input: Relation, env: &Env) -> Relation {
        let Item { value, .. } = item(by);
        let text = self.scalar(value, &mut Cx::row(env, &input));
        if text.known && text.ty() != Type::String {
            let help = Some("`tostring(…)` makes a text of it".to_owned());
            self.report_with(code::WRONG_TYPE, &value.place, format!("`reduce` takes a text, this is a {}", text.ty()), help);
        }
        let (mut threshold, mut characters, mut source) = (THRESHOLD, String::new(), false);
        for option in options {
            let place = &option.value.place;
            match option.name.text.to_ascii_lowercase().as_str() {
                "kind" => match name_of(&option.value).as_deref() {
                    Some("source") => source = true,
                    _ => self.report(code::BAD_OPTION, place, "`kind` of `reduce` is `source`"),
                },
                "threshold" => {
                    let value = self.constant(&option.value, Type::Real, "the threshold", env);
                    match value.expr.as_const().and_then(crate::Value::as_f64) {
                        Some(share) if (0.0..=1.0).contains(&share) => threshold = share,
                        _ if !value.known => {}
                        _ => self.report(code::BAD_OPTION, place, "the threshold of `reduce` is a constant from 0 to 1"),
                    }
                }
                "characters" => characters = self.text(&option.value, "`characters`", env).unwrap_or_default(),
                name if name.starts_with("hint.") => {}
                name => self.report(code::BAD_OPTION, &option.name.place, format!("`reduce` has no option `{name}`")),
            }
        }
        let mut names = if source { Names::of(input.visible().map(|field| &*field.name)) } else { Names::default() };
        let own = [("Pattern", Type::String), ("Count", Type::Long), ("Representative", Type::String)]
            .map(|(name, ty)| self.typed(&names.unique(name), ty));
        let op = Reduce { by: text.expr, threshold, characters, source, own: [own[0].id, own[1].id, own[2].id] };
        if !source {
            return Self::new_rows(Arc::new(op), own.to_vec(), input);
        }
        let open = input.open;
        let fields = input.visible().cloned().chain(own).collect();
        let rel = Rel { op: RelOp::Op { op: Arc::new(op), inputs: vec![input.rel] }, fields, order: Vec::new(), serialized: false };
        Relation { rel, open }
    }
}
