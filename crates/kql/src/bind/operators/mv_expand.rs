//! `mv-expand`, and the expansion under `mv-apply`.

use std::sync::Arc;

use model::Type;

use crate::bind::naming::{Names, name_of};
use crate::bind::scope::{Cx, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::mv_expand::{self, MvKind};
use crate::plan::{ColumnId, Field, Rel, RelOp};
use crate::syntax::ast::{Expr, MvItem, Property};

/// Values of `kind`.
pub(crate) const KINDS: &[(&str, MvKind)] = &[("bag", MvKind::Bag), ("array", MvKind::Array)];

impl Binder<'_> {
    pub(super) fn mv_expand(
        &mut self,
        properties: &[Property],
        items: &[MvItem],
        limit: Option<&Expr>,
        input: Relation,
        env: &Env,
    ) -> Relation {
        let mut kind = MvKind::default();
        let mut index = None;
        for property in properties {
            match property.name.text.to_ascii_lowercase().as_str() {
                "kind" | "bagexpansion" => match KINDS.iter().find(|(name, _)| name_of(&property.value).as_deref() == Some(*name)) {
                    Some((_, known)) => kind = *known,
                    None => self.report(code::BAD_OPTION, &property.value.place, "`kind` of `mv-expand` is `bag` or `array`"),
                },
                "with_itemindex" => index = self.text(&property.value, "the name of the index column", env),
                _ => {}
            }
        }
        let mut names = Names::of(input.visible().map(|field| &*field.name));
        let mut expanded = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len() + 1);
        for item in items {
            let value = self.scalar(&item.expr, &mut Cx::row(env, &input));
            if value.known && value.ty() != Type::Dynamic {
                let help = "`mv-expand` takes arrays and bags; `parse_json(…)` or `split(…)` make one of a string".to_owned();
                self.report_with(code::WRONG_TYPE, &item.expr.place, format!("a {} cannot be expanded", value.ty()), Some(help));
            }
            let name = match (&item.name, name_of(&item.expr)) {
                (Some(name), _) => name.text.clone(),
                (None, Some(name)) => name,
                (None, None) => names.numbered(),
            };
            let ty = item.to.unwrap_or(Type::Dynamic);
            let known = Scalar { expr: Self::null(ty), known: true };
            let field = self.field(&name, &known);
            expanded.push(mv_expand::MvItem { expr: value.expr, id: field.id, ty });
            columns.push(field);
        }
        let index = index.map(|name| {
            let field = self.typed(&names.unique(&name), Type::Long);
            let id = field.id;
            columns.push(field);
            id
        });
        let limit = limit.map(|limit| self.constant(limit, Type::Long, "the limit", env).expr);
        let op = mv_expand::MvExpand { items: expanded, kind, index, limit };
        self.extended_by(Arc::new(op), columns, input)
    }

    /// An operator that passes its input through and adds `columns`, replacing columns of the same name in place.
    pub(super) fn extended_by(&mut self, op: Arc<dyn crate::ops::TableOp>, columns: Vec<Field>, input: Relation) -> Relation {
        let mut needed: Vec<ColumnId> = input.rel.order.iter().flat_map(|key| key.expr.columns()).collect();
        needed.extend(self.carried.iter().copied());
        let mut fields = input.rel.fields.clone();
        let mut hidden = Vec::new();
        for column in columns {
            match fields.iter_mut().find(|field| !field.is_hidden() && field.name == column.name) {
                Some(field) => {
                    let old = std::mem::replace(field, column);
                    if needed.contains(&old.id) {
                        hidden.push(Field { name: "".into(), ..old });
                    }
                }
                None => fields.push(column),
            }
        }
        fields.extend(hidden);
        let (order, serialized, open) = (input.rel.order.clone(), input.rel.serialized, input.open);
        Relation { rel: Rel { op: RelOp::Op { op, inputs: vec![input.rel] }, fields, order, serialized }, open }
    }
}
