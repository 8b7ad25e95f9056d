//! `union`: concatenates tables; columns are matched by name and type.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Type;

use crate::Value;
use crate::bind::naming::{Names, name_of, wildcard};
use crate::bind::scope::{Binding, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{Expr as Bound, Rel, RelOp};
use crate::syntax::ast::{Expr, ExprKind, Name, Place, Property};

use super::property;

/// True for a `let` function declared as `view`, which wildcards and `union *` include.
fn is_view(binding: &Binding) -> bool {
    matches!(binding, Binding::Function(function) if function.function.view)
}

/// An input of a union, and its `withsource` name.
pub(super) struct Leg {
    pub relation: Relation,
    pub source: String,
}

/// A column of the result.
struct Output {
    name: Arc<str>,
    ty: Type,
    known: bool,
    /// The inputs that have it, in order, with the index of their field.
    from: Vec<(usize, usize)>,
}

impl Binder<'_> {
    pub(super) fn union(
        &mut self,
        properties: &[Property],
        tables: &[Expr],
        input: Option<Relation>,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let mut fuzzy = false;
        let mut inner = false;
        let mut source_column = None;
        for property in properties {
            let value = &property.value;
            match property.name.text.to_ascii_lowercase().as_str() {
                "isfuzzy" => {
                    fuzzy = matches!(&value.kind, ExprKind::Literal(Value::Bool(true))) || name_of(value).is_some_and(|name| name == "true")
                }
                "kind" => match name_of(value).as_deref() {
                    Some("inner") => inner = true,
                    Some("outer") => {}
                    _ => self.report(code::BAD_OPTION, &value.place, "`kind` of a union is `inner` or `outer`"),
                },
                "withsource" | "with_source" => source_column = self.text(value, "the name of the source column", env),
                _ => {}
            }
        }
        let mut legs: Vec<Leg> = input.map(|relation| Leg { relation, source: "union_arg0".to_owned() }).into_iter().collect();
        for table in tables {
            self.union_leg(table, fuzzy, "union_arg", env, &mut legs);
        }
        if legs.is_empty() {
            self.report(code::UNKNOWN_TABLE, place, "none of the tables of this union is here");
            return Relation::unknown();
        }
        self.unite(legs, inner, source_column.as_deref())
    }

    /// Binds a table expression of a union: several tables for a wildcard, none for a missing table if allowed.
    pub(super) fn union_leg(&mut self, table: &Expr, fuzzy: bool, unnamed: &str, env: &Env, legs: &mut Vec<Leg>) {
        let pattern = match &table.kind {
            ExprKind::Wildcard(name) => Some(name.text.as_str()),
            ExprKind::Star => Some("*"),
            _ => None,
        };
        if let Some(pattern) = pattern {
            return self.wildcard_legs(pattern, &table.place, fuzzy, env, legs);
        }
        let source = match &table.kind {
            ExprKind::Name(name) if env.get(&name.text).is_none_or(is_view) => name.text.clone(),
            _ => format!("{unnamed}{}", legs.len()),
        };
        let before = self.diagnostics.len();
        let open = self.open.clone();
        let relation = self.table(table, env);
        let missing = fuzzy && self.diagnostics[before..].iter().any(|found| found.code == code::UNKNOWN_TABLE);
        if missing {
            self.diagnostics.truncate(before);
            self.open = open;
            if self.strict {
                // A missing table may have any columns.
                legs.push(Leg { relation: Relation::unknown(), source });
            }
            return;
        }
        legs.push(Leg { relation, source });
    }

    fn wildcard_legs(&mut self, pattern: &str, place: &Place, fuzzy: bool, env: &Env, legs: &mut Vec<Leg>) {
        let mut names: Vec<String> = self.schema.tables().into_iter().filter(|name| wildcard(pattern, name)).collect();
        let views = env.names().filter(|(name, binding)| wildcard(pattern, name) && is_view(binding));
        names.extend(views.map(|(name, _)| name.to_owned()));
        names.sort();
        names.dedup();
        if names.is_empty() && !fuzzy {
            self.report(code::UNKNOWN_TABLE, place, format!("no table matches `{pattern}`"));
        }
        for text in names {
            if !self.count(place) {
                return;
            }
            let name = Expr { kind: ExprKind::Name(Name { text: text.clone(), place: place.clone(), quoted: true }), place: place.clone() };
            let relation = self.table(&name, env);
            legs.push(Leg { relation, source: text });
        }
    }

    /// Columns with equal name and type are merged; if a name has several types, each column gets its type as a suffix.
    pub(super) fn unite(&mut self, legs: Vec<Leg>, inner: bool, source: Option<&str>) -> Relation {
        let open = legs.iter().any(|leg| leg.relation.open);
        // Columns with one name are adjacent, in the order of first appearance of the names.
        let mut groups: Vec<Vec<Output>> = Vec::new();
        let mut by_name: HashMap<Arc<str>, usize> = HashMap::new();
        for (index, leg) in legs.iter().enumerate() {
            for (position, field) in leg.relation.rel.fields.iter().enumerate() {
                if field.name.is_empty() {
                    continue;
                }
                let known = !self.unknown.contains(&field.id);
                let group = *by_name.entry_ref(&*field.name).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                let group = &mut groups[group];
                match group.iter_mut().find(|output| output.ty == field.ty || !known || !output.known) {
                    Some(output) => {
                        if !output.known && known {
                            output.ty = field.ty;
                        }
                        output.known |= known;
                        match output.from.last_mut() {
                            Some((leg, last)) if *leg == index => *last = position,
                            _ => output.from.push((index, position)),
                        }
                    }
                    None => group.push(Output { name: field.name.clone(), ty: field.ty, known, from: vec![(index, position)] }),
                }
            }
        }
        if inner && !self.strict {
            groups.iter_mut().for_each(|group| group.retain(|output| output.from.len() == legs.len()));
        }
        // A name keeps its plain form if all its columns have one type.
        let plain: Vec<bool> = groups.iter().flat_map(|group| group.iter().map(|_| group.len() == 1)).collect();
        let outputs: Vec<Output> = groups.into_iter().flatten().collect();
        let mut names =
            Names::of(source.into_iter().chain(outputs.iter().zip(&plain).filter(|(_, plain)| **plain).map(|(output, _)| &*output.name)));
        let mut fields = Vec::with_capacity(outputs.len() + 1);
        if let Some(source) = source {
            fields.push(self.typed(source, Type::String));
        }
        for (output, plain) in outputs.iter().zip(&plain) {
            let name = if *plain && Some(&*output.name) != source {
                output.name.to_string()
            } else if *plain {
                names.unique(&output.name)
            } else {
                names.unique(&format!("{}_{}", output.name, output.ty))
            };
            let value = Scalar { expr: Self::null(output.ty), known: output.known };
            fields.push(self.field(&name, &value));
        }
        let mut columns = Vec::with_capacity(legs.len());
        for (index, leg) in legs.iter().enumerate() {
            let mut exprs: Vec<Bound> = Vec::with_capacity(fields.len());
            if source.is_some() {
                exprs.push(Bound::constant(Value::String(leg.source.clone())));
            }
            for output in &outputs {
                exprs.push(match output.from.binary_search_by_key(&index, |(leg, _)| *leg) {
                    Ok(at) => Bound::column(&leg.relation.rel.fields[output.from[at].1]),
                    Err(_) => Self::null(output.ty),
                });
            }
            columns.push(exprs);
        }
        let inputs = legs.into_iter().map(|leg| leg.relation.rel).collect();
        let rel = Rel { op: RelOp::Union { inputs, columns }, fields, order: Vec::new(), serialized: false };
        Relation { rel, open }
    }

    /// Reads the `kind` property of a join.
    pub(super) fn kind_of(&mut self, properties: &[Property], env: &Env) -> Option<String> {
        let kind = property(properties, "kind")?;
        self.text(&kind.value, "`kind`", env).map(|text| text.to_ascii_lowercase())
    }
}
