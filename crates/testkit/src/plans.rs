//! Generates random queries from the tables of the language, so that new entries are covered automatically: calls from the examples of
//! functions, stages from those of operators, aggregates, windows and plug-ins, with generated columns in place of their own.
//!
//! The queries are for differential testing of execution paths, which must all give the same result. Deterministic in the seed.

mod cells;
mod hits;
mod shrink;
mod templates;

use std::collections::BTreeMap;

use kql::syntax::lexer::{TokenKind, lex};
use kql::{Type, functions};

use crate::Random;

pub use hits::{Part, Used, all_parts, is_ordered, used};
pub use shrink::simpler;
pub use templates::{NOW, bound};

use cells::{Pool, rows};
use templates::{Template, calls, columns, examples, is_random, literal_tables, stages};

/// A query and the parts of the language it uses.
pub struct Generated {
    pub text: String,
    pub uses: Vec<Used>,
    /// The language defines the order of its rows.
    pub ordered: bool,
}

pub struct Generator {
    random: Random,
    /// How often each part of the language was used so far.
    hits: BTreeMap<Used, u64>,
    /// Templates that use each part.
    sources: BTreeMap<Used, Vec<Source>>,
    calls: Vec<Ranked>,
    stages: Vec<Ranked>,
    /// Whole queries, whose literal tables are refilled.
    queries: Vec<(String, u64)>,
    /// Cell texts by type, from all templates.
    pool: BTreeMap<&'static str, Vec<String>>,
}

/// A template by its index.
#[derive(Clone, Copy)]
enum Source {
    Call(usize),
    Query(usize),
}

/// A template and its number of uses.
struct Ranked {
    template: Template,
    taken: u64,
}

/// A query under construction.
struct Draft {
    text: String,
    columns: Vec<(String, Type)>,
}

/// Maximum calls in one query.
const CALLS: u64 = 8;
/// Maximum stages after them.
const STAGES: u64 = 3;
/// Maximum templates tried for a stage.
const TRIES: usize = 12;
/// Number of substitute examples for a part without its own.
const ENOUGH: usize = 4;
/// Templates are drawn from this many of the least used.
const LEAST: usize = 24;

impl Generator {
    /// `more` are additional queries to split into templates; they must not use other tables.
    pub fn new(seed: u64, more: &[String]) -> Self {
        let calls: Vec<Template> = calls().into_iter().map(|(_, template)| template).collect();
        let mut pool: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (ty, literal, _) in calls.iter().flat_map(Template::holes).filter(|(_, literal, _)| !literal.is_empty()) {
            pool.entry(ty.name()).or_default().push(literal.to_owned());
        }
        let mut queries: Vec<String> = examples().into_iter().map(str::to_owned).chain(more.iter().cloned()).collect();
        queries.retain(|query| !names_random(query));
        let mut sources: BTreeMap<Used, Vec<Source>> = BTreeMap::new();
        for (at, call) in calls.iter().enumerate() {
            let text = alone(call);
            for part in bound(&text).map(|plan| used(&text, &plan)).unwrap_or_default() {
                sources.entry(part).or_default().push(Source::Call(at));
            }
        }
        for (at, query) in queries.iter().enumerate() {
            for part in uses(query) {
                sources.entry(part).or_default().push(Source::Query(at));
            }
        }
        // Aliases have no examples of their own: use those of other entries.
        for part in all_parts().into_iter().filter(|part| !sources.contains_key(part)).collect::<Vec<_>>() {
            for text in in_place_of_others(part, &queries) {
                sources.entry(part).or_default().push(Source::Query(queries.len()));
                queries.push(text);
            }
        }
        let ranked = |template: Template| Ranked { template, taken: 0 };
        Self {
            random: Random::new(seed),
            hits: sources.keys().map(|part| (*part, 0)).collect(),
            sources,
            stages: queries.iter().flat_map(|query| stages(query)).map(ranked).collect(),
            calls: calls.into_iter().map(ranked).collect(),
            queries: queries.into_iter().map(|query| (query, 0)).collect(),
            pool,
        }
    }

    /// Records that a query of [`Generator::next`] was answered.
    pub fn answered(&mut self, query: &Generated) {
        for part in &query.uses {
            *self.hits.entry(*part).or_default() += 1;
        }
    }

    /// How often each part of the language was used in answered queries.
    pub fn hits(&self) -> &BTreeMap<Used, u64> {
        &self.hits
    }

    /// Parts without examples: unavailable ones, and those written by the binder only.
    pub fn without_example(&self) -> Vec<Used> {
        all_parts().into_iter().filter(|part| !self.hits.contains_key(part)).collect()
    }

    /// A template of one of the least used parts.
    fn rarest(&mut self) -> Option<Source> {
        let parts: Vec<(Used, u64)> = self.hits.iter().map(|(part, hits)| (*part, *hits)).collect();
        let at = least(&parts, |(_, hits)| *hits, &mut self.random)?;
        let sources = self.sources.get(&parts[at].0)?;
        sources.get(self.random.below(sources.len() as u64) as usize).copied()
    }

    /// The next query.
    pub fn next(&mut self) -> Generated {
        loop {
            let source = if self.random.below(2) == 0 { self.rarest() } else { None };
            let text = match (source, self.random.below(10)) {
                (Some(Source::Query(at)), _) => Some(self.example(at)),
                (Some(Source::Call(at)), _) => self.pipe(Some(at)),
                (None, 0..=2) => least(&self.queries, |(_, taken)| *taken, &mut self.random).map(|at| self.example(at)),
                _ => self.pipe(None),
            };
            let Some(text) = text else { continue };
            let Some(plan) = bound(&text) else {
                // Can be bound at run time only, such as `pivot`.
                return Generated { uses: hits::used_by_text(&text), text, ordered: false };
            };
            return Generated { uses: used(&text, &plan), ordered: is_ordered(&plan), text };
        }
    }

    /// An example with different rows.
    fn example(&mut self, at: usize) -> String {
        self.queries[at].1 += 1;
        let query = self.queries[at].0.clone();
        let mut text = String::new();
        let mut from = 0;
        for table in literal_tables(&query) {
            text.push_str(&query[from..table.values.start]);
            let count = if self.random.below(4) == 0 { table.cells.len() / table.columns.len().max(1) } else { rows(&mut self.random) };
            let mut cells = Vec::new();
            for _ in 0..count {
                for (column, (_, ty)) in table.columns.iter().enumerate() {
                    let own = table.cells.iter().skip(column).step_by(table.columns.len()).cloned().collect();
                    cells.push(Pool { likely: own }.draw(*ty, &mut self.random));
                }
            }
            text.push_str(&cells.join(", "));
            from = table.values.end;
        }
        text.push_str(&query[from..]);
        if text.starts_with("print ") && self.random.below(2) == 0 {
            let count = rows(&mut self.random);
            text = format!("range row_ from 1 to {count} step 1 | extend {}", &text["print ".len()..]);
        }
        text
    }

    /// Calls over columns of a table, and stages over them.
    fn pipe(&mut self, wanted: Option<usize>) -> Option<String> {
        let mut draft = self.table(wanted)?;
        let stages = self.random.below(STAGES + 1);
        for _ in 0..stages {
            self.stage(&mut draft);
        }
        Some(draft.text)
    }

    /// A literal table, optionally a filter, and computed columns.
    fn table(&mut self, mut wanted: Option<usize>) -> Option<Draft> {
        let mut columns: Vec<(String, Type, Pool)> = Vec::new();
        let fixed =
            [("id", Type::Long), ("g", Type::String), ("n", Type::Long), ("t", Type::Datetime), ("d", Type::Dynamic), ("r", Type::Real)];
        for (name, ty) in fixed {
            columns.push((name.to_owned(), ty, Pool::default()));
        }
        let mut computed = Vec::new();
        for _ in 0..1 + self.random.below(CALLS) {
            let at = match wanted.take() {
                Some(at) => at,
                None => least(&self.calls, |call| call.taken, &mut self.random)?,
            };
            self.calls[at].taken += 1;
            let template = self.calls[at].template.clone();
            let mut names: BTreeMap<usize, String> = BTreeMap::new();
            for (ty, literal, same) in template.holes() {
                let known = columns.iter().skip(1).position(|(_, known, _)| *known == ty).map(|at| at + 1);
                let place = match known {
                    Some(place) if self.random.below(3) == 0 => place,
                    _ => {
                        columns.push((format!("c{}", columns.len()), ty, Pool::default()));
                        columns.len() - 1
                    }
                };
                columns[place].2.likely.push(literal.to_owned());
                if self.random.below(3) == 0
                    && let Some(others) = self.pool.get(ty.name())
                {
                    let other = others[self.random.below(others.len() as u64) as usize].clone();
                    columns[place].2.likely.push(other);
                }
                names.insert(same, columns[place].0.clone());
            }
            computed.push(template.fill(&|same| names.get(&same).cloned().unwrap_or_default()));
        }
        let mut cells = Vec::new();
        for row in 0..rows(&mut self.random) {
            for (name, ty, pool) in &columns {
                cells.push(match name.as_str() {
                    "id" => row.to_string(),
                    "g" => ["'a'", "'b'", "''", "'c c'"][self.random.below(4) as usize].to_owned(),
                    "n" => self.random.below(8).to_string(),
                    _ => pool.draw(*ty, &mut self.random),
                });
            }
        }
        let declared: Vec<String> = columns.iter().map(|(name, ty, _)| format!("{name}: {}", ty.name())).collect();
        let mut text = format!("datatable({})[{}]", declared.join(", "), cells.join(", "));
        let conditions = [
            "n > 3",
            "g == 'a'",
            "g == 'none'",
            "id < 3",
            "id == 1 or n == 2",
            "isnotnull(t) and g has 'c'",
            "r > 0.5",
            "isempty(g)",
            "n in (1, 2, 3)",
        ];
        if self.random.below(2) == 0 {
            text.push_str(" | where ");
            text.push_str(conditions[self.random.below(conditions.len() as u64) as usize]);
        }
        let mut named = Vec::new();
        for (at, call) in computed.iter().enumerate() {
            let name = call.split('(').next().unwrap_or_default();
            // Without a name it returns all its columns.
            let several = functions::find(&format!("${name}")).is_some() && self.random.below(2) == 0;
            named.push(if several { call.clone() } else { format!("x{at} = {call}") });
        }
        text.push_str(&format!(" | extend {}", named.join(", ")));
        let columns = templates::columns(&text)?;
        Some(Draft { text, columns })
    }

    /// Appends a stage, if one fits.
    fn stage(&mut self, draft: &mut Draft) {
        for _ in 0..TRIES {
            // Half of them are common operators.
            let stage = if self.random.below(2) == 0 { self.common(&draft.columns) } else { self.taken_apart(&draft.columns) };
            let Some(stage) = stage else { continue };
            let text = format!("{} | {}", draft.text, stage.trim());
            if let Some(columns) = columns(&text) {
                *draft = Draft { text, columns };
                return;
            }
        }
    }

    /// A stage from the examples, over columns of the same types.
    fn taken_apart(&mut self, known: &[(String, Type)]) -> Option<String> {
        let at = least(&self.stages, |stage| stage.taken, &mut self.random)?;
        self.stages[at].taken += 1;
        let template = self.stages[at].template.clone();
        let mut names: BTreeMap<usize, String> = BTreeMap::new();
        for (ty, _, same) in template.holes() {
            let fitting: Vec<&String> = known.iter().filter(|(_, known)| *known == ty).map(|(name, _)| name).collect();
            let name = fitting.get(self.random.below(fitting.len() as u64) as usize)?;
            names.entry(same).or_insert_with(|| (*name).clone());
        }
        Some(template.fill(&|same| names.get(&same).cloned().unwrap_or_default()))
    }

    /// Filters, groups, sorts and projections.
    fn common(&mut self, known: &[(String, Type)]) -> Option<String> {
        let column = |random: &mut Random| known.get(random.below(known.len() as u64) as usize).cloned();
        let (a, ty) = column(&mut self.random)?;
        let (b, _) = column(&mut self.random)?;
        let tie = if known.iter().any(|(name, _)| name == "id") { ", id asc" } else { "" };
        let (ascending, nulls) = (["asc", "desc"][self.random.below(2) as usize], ["first", "last"][self.random.below(2) as usize]);
        let count = self.random.below(6);
        Some(match self.random.below(16) {
            0 => format!("where {}", self.condition(&a, ty)),
            1 => format!("where {} or isnotempty({b})", self.condition(&a, ty)),
            2 => format!("where not({})", self.condition(&a, ty)),
            3 => format!("sort by {a} {ascending} nulls {nulls}{tie}"),
            4 => format!("top {count} by {a} {ascending} nulls {nulls}{tie}"),
            5 => format!("sort by {a} {ascending}{tie} | take {count}"),
            6 => format!("summarize count(), dcount({a}), max({b}) by {a}"),
            7 => format!("summarize c = count(), take_any({b}, id) by {a}, g"),
            8 => format!("summarize arg_max({a}, {b}), min({a}), countif({})", self.condition(&a, ty)),
            9 => format!("distinct {a}, {b}"),
            10 => "count".to_owned(),
            11 => format!("project {a}, z = {b}"),
            12 => format!("project-away {a}"),
            13 => format!("extend q = strcat({a}, '|', {b}) | where q has 'a' or q == '|'"),
            14 => format!("summarize arg_min({a}, *) by {b}"),
            _ => format!("summarize s = make_set({a}), l = count() by k = isempty({b})"),
        })
    }

    fn condition(&mut self, column: &str, ty: Type) -> String {
        let cell = Pool { likely: self.pool.get(ty.name()).cloned().unwrap_or_default() }.draw(ty, &mut self.random);
        match (ty, self.random.below(4)) {
            (Type::Bool, _) => column.to_owned(),
            (Type::Dynamic, 0) => format!("tostring({column}) has 'a'"),
            (Type::Dynamic, _) => format!("isnotnull({column})"),
            (Type::String, 0) => format!("{column} has 'a'"),
            (Type::String, 1) => format!("{column} contains 'b' or {column} startswith 'x'"),
            (_, 0) => format!("isnull({column})"),
            (_, 1) => format!("{column} != {cell}"),
            (Type::Guid | Type::String, _) => format!("{column} == {cell}"),
            (_, 2) => format!("{column} >= {cell}"),
            _ => format!("{column} == {cell}"),
        }
    }
}

/// Parts used by a query, including ones that can be bound at run time only.
fn uses(query: &str) -> Vec<Used> {
    bound(query).map_or_else(|| hits::used_by_text(query), |plan| used(query, &plan))
}

/// A query that computes a single call.
fn alone(call: &Template) -> String {
    let columns: Vec<String> = call.holes().map(|(ty, _, same)| format!("c{same}: {}", ty.name())).collect();
    let source = if columns.is_empty() { "print y = 1".to_owned() } else { format!("datatable({})[]", columns.join(", ")) };
    format!("{source} | extend x = {}", call.fill(&|same| format!("c{same}")))
}

/// Whether `query` is non-deterministic.
fn names_random(query: &str) -> bool {
    lex(query).0.iter().any(|token| token.kind == TokenKind::Word && is_random(&query[token.start..token.end]))
}

/// Examples in which `part` replaces another entry of its table.
fn in_place_of_others((kind, name): Used, queries: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for query in queries {
        for (other, instead) in hits::used_by_text(query) {
            if other != kind || instead == name {
                continue;
            }
            let place = lex(query).0.iter().map(|token| token.start).find(|start| query[*start..].starts_with(instead));
            let Some(start) = place else { continue };
            let text = format!("{}{name}{}", &query[..start], &query[start + instead.len()..]);
            if bound(&text).is_some_and(|plan| used(&text, &plan).contains(&(kind, name))) {
                found.push(text);
            }
        }
        if found.len() >= ENOUGH {
            break;
        }
    }
    found
}

/// Picks one of the least used.
fn least<T>(all: &[T], taken: impl Fn(&T) -> u64, random: &mut Random) -> Option<usize> {
    let mut places: Vec<usize> = (0..all.len()).collect();
    // Random order among equals, so that neighbours in the table are not always combined.
    let salt = random.word();
    let mix = |at: usize| (at as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let few = LEAST.min(places.len());
    if few == 0 {
        return None;
    }
    places.select_nth_unstable_by_key(few - 1, |at| (taken(&all[*at]), mix(*at)));
    Some(places[random.below(few as u64) as usize])
}
