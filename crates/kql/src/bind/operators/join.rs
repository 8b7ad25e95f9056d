//! `join`, `lookup`.

use model::Type;

use crate::bind::casts::fits;
use crate::bind::naming::Names;
use crate::bind::scalar::{find, wider};
use crate::bind::scope::{Cx, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{Expr as Bound, ExprKind as BoundKind, Field, JoinKind, Rel, RelOp};
use crate::syntax::ast::{Expr, ExprKind, JoinOn, Place, Property};

use super::property;

pub(crate) const KINDS: &[(&str, JoinKind)] = &[
    ("innerunique", JoinKind::InnerUnique),
    ("inner", JoinKind::Inner),
    ("leftouter", JoinKind::LeftOuter),
    ("rightouter", JoinKind::RightOuter),
    ("fullouter", JoinKind::FullOuter),
    ("leftsemi", JoinKind::LeftSemi),
    ("rightsemi", JoinKind::RightSemi),
    ("leftanti", JoinKind::LeftAnti),
    ("leftantisemi", JoinKind::LeftAnti),
    ("anti", JoinKind::LeftAnti),
    ("rightanti", JoinKind::RightAnti),
    ("rightantisemi", JoinKind::RightAnti),
];

impl Binder<'_> {
    pub(super) fn join(
        &mut self,
        properties: &[Property],
        right: &Expr,
        on: &JoinOn,
        left: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let kind = match self.kind_of(properties, env) {
            None => JoinKind::InnerUnique,
            Some(name) => match KINDS.iter().find(|(known, _)| *known == name) {
                Some((_, kind)) => *kind,
                None => {
                    let help = code::did_you_mean(&name, KINDS.iter().map(|(known, _)| *known));
                    self.report_with(code::BAD_OPTION, place, format!("there is no join kind `{name}`"), help);
                    JoinKind::Inner
                }
            },
        };
        let right = self.table(right, env);
        self.saw_right(place.start, &right);
        let keys = self.join_keys(on, &left, &right, env, place);
        self.joined(kind, left, right, keys, &[])
    }

    /// A join that adds the right side's columns, except its keys.
    pub(super) fn lookup(
        &mut self,
        properties: &[Property],
        right: &Expr,
        on: &JoinOn,
        left: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let kind = match self.kind_of(properties, env).as_deref() {
            None | Some("leftouter") => JoinKind::LeftOuter,
            Some("inner") => JoinKind::Inner,
            Some(name) => {
                self.report(code::BAD_OPTION, place, format!("`kind` of a lookup is `leftouter` or `inner`, not `{name}`"));
                JoinKind::LeftOuter
            }
        };
        if let Some(hint) = property(properties, "hint.shufflekey") {
            self.report(code::BAD_OPTION, &hint.name.place, "`lookup` takes no `hint.shufflekey`; it is for `join` and `summarize`");
        }
        let right = self.table(right, env);
        self.saw_right(place.start, &right);
        let keys = self.join_keys(on, &left, &right, env, place);
        let mut dropped = Vec::new();
        for (_, key) in &keys {
            dropped.extend(key.columns());
        }
        self.joined(kind, left, right, keys, &dropped)
    }

    fn joined(
        &mut self,
        kind: JoinKind,
        left: Relation,
        right: Relation,
        on: Vec<(Bound, Bound)>,
        dropped: &[crate::plan::ColumnId],
    ) -> Relation {
        let open = match kind {
            JoinKind::LeftSemi | JoinKind::LeftAnti => left.open,
            JoinKind::RightSemi | JoinKind::RightAnti => right.open,
            _ => left.open || right.open,
        };
        let mut fields: Vec<Field> = Vec::new();
        let mut names = Names::default();
        if !matches!(kind, JoinKind::RightSemi | JoinKind::RightAnti) {
            for field in left.visible() {
                names.take(&field.name);
                fields.push(field.clone());
            }
        }
        if !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
            for field in right.visible().filter(|field| !dropped.contains(&field.id)) {
                let name = names.unique(&field.name);
                fields.push(Field { name: name.into(), ..field.clone() });
            }
        }
        let op = RelOp::Join { kind, left: Box::new(left.rel), right: Box::new(right.rel), on };
        Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open }
    }

    fn join_keys(&mut self, on: &JoinOn, left: &Relation, right: &Relation, env: &Env, place: &Place) -> Vec<(Bound, Bound)> {
        let conditions = match on {
            JoinOn::Conditions(conditions) => conditions,
            JoinOn::Nothing => {
                self.report(code::ARGUMENT_COUNT, place, "a join wants `on` and its columns");
                return Vec::new();
            }
        };
        let mut keys = Vec::new();
        for condition in conditions {
            self.join_condition(condition, left, right, env, &mut keys);
        }
        keys
    }

    fn join_condition(&mut self, condition: &Expr, left: &Relation, right: &Relation, env: &Env, keys: &mut Vec<(Bound, Bound)>) {
        match &condition.kind {
            ExprKind::Paren(inner) => self.join_condition(inner, left, right, env, keys),
            ExprKind::Name(name) => {
                let mut sides = Vec::new();
                for (relation, side) in [(left, "left"), (right, "right")] {
                    sides.push(match find(&relation.rel.fields, &name.text) {
                        Some(field) => {
                            self.saw_column(&name.place, field);
                            self.column(field)
                        }
                        None => {
                            if !relation.open {
                                let help = Some(code::columns_here(&relation.rel.fields));
                                let message = format!("the {side} side of the join has no column `{}`", name.text);
                                self.report_with(code::UNKNOWN_NAME, &name.place, message, help);
                            }
                            Self::unknown_scalar()
                        }
                    });
                }
                if let (Some(r), Some(l)) = (sides.pop(), sides.pop()) {
                    self.join_pair(l, r, false, &condition.place, keys);
                }
            }
            ExprKind::Binary { op: "and", left: a, right: b, .. } => {
                self.join_condition(a, left, right, env, keys);
                self.join_condition(b, left, right, env, keys);
            }
            ExprKind::Binary { op: "==", left: a, right: b, .. } => {
                if self.strict && !(is_side(a, "$left") && is_side(b, "$right")) {
                    let help = "write `$left.a == $right.b`".to_owned();
                    self.report_with(code::WRONG_TYPE, &condition.place, "a join condition names the left side first", Some(help));
                    return;
                }
                let mut cx = Cx { right: Some((&right.rel.fields, right.open)), ..Cx::row(env, left) };
                let a = self.scalar(a, &mut cx);
                let b = self.scalar(b, &mut cx);
                if !a.known || !b.known {
                    return;
                }
                let of = |value: &Scalar, relation: &Relation| {
                    let columns = value.expr.columns();
                    !columns.is_empty() && columns.iter().all(|id| relation.rel.fields.iter().any(|field| field.id == *id))
                };
                if of(&a, left) && of(&b, right) {
                    self.join_pair(a, b, true, &condition.place, keys);
                } else if of(&b, left) && of(&a, right) {
                    self.join_pair(b, a, true, &condition.place, keys);
                } else {
                    let help = "write `$left.a == $right.b`".to_owned();
                    self.report_with(
                        code::WRONG_TYPE,
                        &condition.place,
                        "a join condition compares the left side with the right side",
                        Some(help),
                    );
                }
            }
            ExprKind::Error => {}
            _ => {
                let help = "write a column both sides have, or `$left.a == $right.b`".to_owned();
                self.report_with(code::WRONG_TYPE, &condition.place, "only equality can stand in `on`", Some(help));
            }
        }
    }

    /// `named_apart`: written as `$left.a == $right.b`, not as a common column.
    fn join_pair(&mut self, left: Scalar, right: Scalar, named_apart: bool, place: &Place, keys: &mut Vec<(Bound, Bound)>) {
        if !left.known || !right.known {
            return;
        }
        self.refuse_dynamic(&left, place, "a join key");
        self.refuse_dynamic(&right, place, "a join key");
        let (l, r) = (left.ty(), right.ty());
        if self.strict && l != r && !(named_apart && matches!((l, r), (Type::Int, Type::Long) | (Type::Long, Type::Int))) {
            self.report(code::WRONG_TYPE, place, format!("a {l} cannot be joined with a {r}"));
            return;
        }
        let ty = match () {
            () if l == r => l,
            () if l.is_numeric() && r.is_numeric() => wider(l, r),
            () => {
                if l != Type::Dynamic && r != Type::Dynamic {
                    let help = "cast one of them first".to_owned();
                    self.report_with(code::WRONG_TYPE, place, format!("a {l} cannot be joined with a {r}"), Some(help));
                }
                return;
            }
        };
        debug_assert!(fits(l, ty) && fits(r, ty));
        let (left, right) = (self.cast(left, ty).expr, self.cast(right, ty).expr);
        if !matches!(left.kind, BoundKind::Const(_)) || !matches!(right.kind, BoundKind::Const(_)) {
            keys.push((left, right));
        }
    }
}

/// `$left.a`, `$right.a`
fn is_side(expr: &Expr, side: &str) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => is_side(inner, side),
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            matches!(&object.kind, ExprKind::Name(name) if name.text == side) || is_side(object, side)
        }
        _ => false,
    }
}
