//! `find`: rows of several tables that match a predicate, with selected columns and the others in a bag. Source: the public KQL reference,
//! `find-operator`; the output columns match Microsoft's parser.
//!
//! The predicate is bound for each table separately, so that a column may have a different type in each. A table with none of its columns
//! is skipped; one for which it is ill-typed (`name == 1` for a string `name`) contributes no rows.

use model::Type;

use crate::Value;
use crate::bind::naming::{Names, name_of};
use crate::bind::relation::Output;
use crate::bind::scope::{Cx, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::Evaluator;
use crate::plan::{Expr as Bound, ExprKind as BoundKind, Field};
use crate::syntax::ast::{Expr, ExprKind, Place, Property};

use super::union::Leg;

/// Maximum number of columns, over all tables, that a `find` may read.
const WIDEST: usize = 200_000;

/// Temporary name of the bag while the other columns are named.
const BAG: &str = "$pack";

pub(super) struct Clauses<'a> {
    pub properties: &'a [Property],
    pub tables: &'a [Expr],
    pub predicate: Option<&'a Expr>,
    pub project: Option<&'a [Expr]>,
}

/// What a predicate reads.
#[derive(Default)]
struct Read {
    names: Vec<String>,
    /// True if it contains a term searched in all columns.
    anywhere: bool,
}

impl Read {
    fn of(expr: &Expr) -> Self {
        let mut read = Self::default();
        read.condition(expr);
        read
    }

    /// Visits a boolean subexpression: a bare string is a term.
    fn condition(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(Value::String(_) | Value::Long(_)) => self.anywhere = true,
            ExprKind::Paren(inner) => self.condition(inner),
            ExprKind::Binary { op: "and" | "or", left, right, .. } => {
                self.condition(left);
                self.condition(right);
            }
            ExprKind::Call(call) if call.name.text == "not" => call.args.iter().for_each(|arg| self.condition(arg)),
            _ => self.value(expr),
        }
    }

    fn value(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.names.push(name.text.clone()),
            ExprKind::Star => self.anywhere = true,
            ExprKind::Call(call) => call.args.iter().for_each(|arg| self.value(arg)),
            ExprKind::Member { object, .. } => self.value(object),
            ExprKind::MemberCall { object, call } => {
                self.value(object);
                call.args.iter().for_each(|arg| self.value(arg));
            }
            ExprKind::Index { object, index } => {
                self.value(object);
                self.value(index);
            }
            ExprKind::Unary { operand, .. } => self.value(operand),
            ExprKind::Binary { left, right, .. } => {
                self.value(left);
                self.value(right);
            }
            ExprKind::In { left, list, .. } => {
                self.value(left);
                list.iter().for_each(|item| self.value(item));
            }
            ExprKind::Between { operand, low, high, .. } => [operand, low, high].into_iter().for_each(|part| self.value(part)),
            ExprKind::Named { value, .. } | ExprKind::Paren(value) => self.value(value),
            ExprKind::List(items) => items.iter().for_each(|item| self.value(item)),
            _ => {}
        }
    }
}

impl Binder<'_> {
    pub(super) fn find(&mut self, clauses: &Clauses, env: &Env, place: &Place) -> Relation {
        let Some(predicate) = clauses.predicate else { return Relation::unknown() };
        let mut source = "source_".to_owned();
        for property in clauses.properties {
            match property.name.text.to_ascii_lowercase().as_str() {
                "withsource" | "with_source" => {
                    source = self.text(&property.value, "the name of the source column", env).unwrap_or(source);
                }
                name if name.starts_with("hint.") || name == "datascope" => {}
                name => self.report(code::BAD_OPTION, &property.name.place, format!("`find` has no option `{name}`")),
            }
        }
        let mut legs: Vec<Leg> = Vec::new();
        if clauses.tables.is_empty() {
            let star = Expr { kind: ExprKind::Star, place: place.clone() };
            self.union_leg(&star, true, "find_arg", env, &mut legs);
        }
        for table in clauses.tables {
            self.union_leg(table, false, "find_arg", env, &mut legs);
        }
        let read = Read::of(predicate);
        if legs.iter().map(|leg| leg.relation.rel.fields.len()).sum::<usize>() > WIDEST {
            let help = "name the tables: `find in (T1, T2) where …`".to_owned();
            self.report_with(code::TOO_LARGE, place, format!("a `find` over {} tables is too wide", legs.len()), Some(help));
            return Relation::unknown();
        }
        let known = |name: &String| legs.iter().any(|leg| leg.relation.find(name).is_some());
        let used: Vec<String> = read.names.iter().filter(|name| known(name)).cloned().collect();
        let open = legs.iter().any(|leg| leg.relation.open);
        if !read.anywhere && !used.is_empty() {
            legs.retain(|leg| leg.relation.open || used.iter().any(|name| leg.relation.find(name).is_some()));
        }
        if legs.is_empty() {
            // An empty result would be misleading: no table was searched.
            self.report(code::UNKNOWN_TABLE, place, "there are no tables here to look into".to_owned());
            return Relation::unknown();
        }
        let items = match clauses.project {
            Some(items) => Some(self.find_items(items, &legs)),
            None => None,
        };
        let own: Vec<Vec<Field>> = legs.iter().map(|leg| leg.relation.visible().cloned().collect()).collect();
        let legs = self.matching_legs(legs, predicate, &used, env);
        let shaped = match items {
            Some(items) => self.projected_legs(legs, &own, &items, env),
            None => self.smart_legs(legs, &own, &used),
        };
        let united = self.unite(shaped, false, Some(&source));
        let mut outputs = self.outputs(&united);
        if let Some(at) = outputs.iter().position(|(name, _)| **name == *BAG) {
            let (_, bag) = outputs.remove(at);
            let name = Names::of(outputs.iter().map(|(name, _)| &**name)).unique("pack_");
            outputs.push((name.into(), bag));
        }
        let found = self.project(united, outputs);
        Relation { open: open || found.open, ..found }
    }

    /// The matching rows of each table. Columns of the predicate that a table lacks are null.
    fn matching_legs(&mut self, legs: Vec<Leg>, predicate: &Expr, used: &[String], env: &Env) -> Vec<Leg> {
        let mut types: Vec<Output> = Vec::new();
        for name in used {
            if let Some(field) = legs.iter().find_map(|leg| leg.relation.find(name))
                && !types.iter().any(|(known, _)| **known == **name)
            {
                types.push((name.as_str().into(), Scalar { expr: Self::null(field.ty), known: !self.unknown.contains(&field.id) }));
            }
        }
        let mut wrong = Vec::new();
        let mut right = 0;
        let mut matching = Vec::with_capacity(legs.len());
        for leg in legs {
            let mut outputs = self.outputs(&leg.relation);
            outputs.extend(types.iter().filter(|(name, _)| leg.relation.find(name).is_none()).cloned());
            let input = self.project(leg.relation, outputs);
            let before = self.diagnostics.len();
            let mut condition = self.search_predicate(predicate, false, &input, env);
            // A condition that only a run would reject is also ill-typed for this table.
            let mut asks = false;
            condition.expr.walk(&mut |part| asks |= matches!(part.kind, BoundKind::Subquery(_)));
            if condition.known
                && !asks
                && self.open.is_none()
                && let Err(why) = Evaluator::new(&condition.expr, &input.rel.fields, &self.runtime)
            {
                self.report(code::WRONG_TYPE, &predicate.place, why.to_string());
            }
            if self.diagnostics.len() > before {
                wrong.push(self.diagnostics.split_off(before));
                condition = Scalar::known(Bound::constant(Value::Bool(false)));
            } else {
                right += 1;
            }
            matching.push(Leg { relation: self.filter(input, condition), source: leg.source });
        }
        if right == 0 {
            // The predicate is ill-typed for every table: report the errors for the first.
            self.diagnostics.extend(wrong.into_iter().next().unwrap_or_default());
        }
        matching
    }

    /// `project-smart`: the columns of the predicate and those common to all tables; the others in a bag, if any.
    fn smart_legs(&mut self, legs: Vec<Leg>, own: &[Vec<Field>], used: &[String]) -> Vec<Leg> {
        let everywhere = |name: &str| own.iter().all(|fields| fields.iter().any(|field| &*field.name == name));
        let kept = |field: &Field| used.iter().any(|name| **name == *field.name) || everywhere(&field.name);
        let packs = own.iter().flatten().any(|field| !kept(field));
        let mut shaped = Vec::with_capacity(legs.len());
        for (leg, own) in legs.into_iter().zip(own) {
            let (plain, rest): (Vec<&Field>, Vec<&Field>) = own.iter().partition(|field| kept(field));
            let mut outputs: Vec<Output> = plain.into_iter().map(|field| (field.name.clone(), self.column(field))).collect();
            if packs {
                outputs.push((BAG.into(), self.bag_of(&rest)));
            }
            shaped.push(Leg { relation: self.project(leg.relation, outputs), source: leg.source });
        }
        shaped
    }

    /// `project a, b:long, pack(*)`.
    fn projected_legs(&mut self, legs: Vec<Leg>, own: &[Vec<Field>], items: &[Projected], env: &Env) -> Vec<Leg> {
        let mut shaped = Vec::with_capacity(legs.len());
        for (leg, own) in legs.into_iter().zip(own) {
            let mut outputs: Vec<Output> = Vec::with_capacity(items.len());
            for item in items {
                match item {
                    Projected::Column { name, ty, cast } => {
                        let value = match (own.iter().find(|field| *field.name == **name), cast) {
                            (None, _) => Scalar::known(Self::null(*ty)),
                            (Some(field), Some(_)) if field.ty == *ty => self.column(field),
                            (Some(_), Some(cast)) => self.scalar(cast, &mut Cx::row(env, &leg.relation)),
                            (Some(field), None) => self.column(field),
                        };
                        outputs.push((name.as_str().into(), value));
                    }
                    Projected::Bag => {
                        let named = |field: &&Field| {
                            items.iter().any(|item| matches!(item, Projected::Column { name, .. } if **name == *field.name))
                        };
                        let rest: Vec<&Field> = own.iter().filter(|field| !named(field)).collect();
                        outputs.push((BAG.into(), self.bag_of(&rest)));
                    }
                }
            }
            shaped.push(Leg { relation: self.project(leg.relation, outputs), source: leg.source });
        }
        shaped
    }

    fn find_items<'e>(&mut self, items: &'e [Expr], legs: &[Leg]) -> Vec<Projected<'e>> {
        let mut projected: Vec<Projected<'e>> = Vec::with_capacity(items.len());
        for item in items {
            let (name, cast) = match &item.kind {
                ExprKind::Call(call) if matches!(call.name.text.as_str(), "pack" | "pack_all" | "bag_pack") => {
                    projected.push(Projected::Bag);
                    continue;
                }
                ExprKind::Named { value, .. } => (name_of(item), Some(&**value)),
                ExprKind::Name(name) => (Some(name.text.clone()), None),
                _ => (None, None),
            };
            let Some(name) = name else {
                self.report(
                    code::UNKNOWN_NAME,
                    &item.place,
                    "`project` of a `find` takes names of columns, with a type or not, and `pack_all()`",
                );
                continue;
            };
            let mut types: Vec<Type> = Vec::new();
            for field in legs.iter().filter_map(|leg| leg.relation.find(&name)) {
                if !types.contains(&field.ty) {
                    types.push(field.ty);
                }
            }
            let declared = cast.and_then(|cast| match &cast.kind {
                ExprKind::Call(call) => call.name.text.strip_prefix("to").and_then(Type::parse),
                _ => None,
            });
            match (types.as_slice(), declared) {
                ([], _) if legs.iter().all(|leg| !leg.relation.open) => {
                    self.report(code::UNKNOWN_NAME, &item.place, format!("none of the tables has a column `{name}`"));
                }
                (_, Some(ty)) => projected.push(Projected::Column { name, ty, cast }),
                ([], None) => projected.push(Projected::Column { name, ty: Type::Dynamic, cast: None }),
                ([ty], None) => projected.push(Projected::Column { name, ty: *ty, cast: None }),
                (_, None) => {
                    let names = types.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" and ");
                    let help = format!("write the type that is wanted: `{name}:{}`", types[0]);
                    self.report_with(code::WRONG_TYPE, &item.place, format!("the tables have `{name}` as {names}"), Some(help));
                }
            }
        }
        projected
    }

    /// Columns as a bag, by their names.
    fn bag_of(&mut self, fields: &[&Field]) -> Scalar {
        if fields.is_empty() {
            return Scalar::known(Bound::constant(Value::Dynamic("{}".to_owned())));
        }
        let mut args = Vec::with_capacity(2 * fields.len());
        for field in fields {
            args.push(Scalar::known(Bound::constant(Value::String(field.name.to_string()))));
            args.push(self.column(field));
        }
        let places = vec![0..0; args.len()];
        self.operator("bag_pack", args, &places, &(0..0))
    }
}

/// An item of `project`.
enum Projected<'e> {
    /// A column; `cast` converts it to the type given in the query.
    Column { name: String, ty: Type, cast: Option<&'e Expr> },
    /// A bag of the columns that are not named.
    Bag,
}
