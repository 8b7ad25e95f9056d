//! Names of unnamed columns, and how duplicate names are made unique. Source of truth: results recorded from Microsoft's engine, and column
//! names of its parser for published queries.

use hashbrown::{HashMap, HashSet};

use super::shapes::{self, Naming};
use crate::Value;
use crate::aggregates;
use crate::syntax::ast::{Call, Expr, ExprKind};

/// The name of an unnamed expression; `None` if it is named by position.
pub(super) fn name_of(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name.text.clone()),
        ExprKind::Named { names, .. } => names.first().map(|name| name.text.clone()),
        ExprKind::Paren(inner) => name_of(inner),
        ExprKind::Member { object, name } => match &object.kind {
            ExprKind::Name(side) if side.text.starts_with('$') => Some(name.text.clone()),
            _ => Some(part_of(object, &name.text)),
        },
        ExprKind::Index { object, index } => match &index.kind {
            ExprKind::Literal(Value::String(text)) => Some(part_of(object, text)),
            ExprKind::Literal(Value::Long(n)) => Some(part_of(object, &n.to_string())),
            ExprKind::Literal(Value::Int(n)) => Some(part_of(object, &n.to_string())),
            _ => Some(format!("{}_{}", name_of(object)?, name_of(index).unwrap_or_default())),
        },
        // Only one branch recurses, because calls are nested deeply.
        ExprKind::Call(call) if is_aggregate(call) => aggregate_name(call),
        ExprKind::Call(call) => scalar_name(call),
        _ => None,
    }
}

/// `hll_merge(a)` is an aggregate, `hll_merge(a, b)` is not.
fn is_aggregate(call: &Call) -> bool {
    match shapes::aggregate(&call.name.text) {
        Some(known) => shapes::scalar(&call.name.text).is_none() || known.shapes.iter().any(|shape| shape.takes(call.args.len())),
        None => aggregates::find(&call.name.text).is_some(),
    }
}

/// The name of a part of a dynamic value.
fn part_of(object: &Expr, part: &str) -> String {
    name_of(object).map_or_else(|| part.to_owned(), |whole| format!("{whole}_{part}"))
}

/// The name of a scalar function call.
fn scalar_name(call: &Call) -> Option<String> {
    let first = || call.args.first().and_then(name_of);
    // Recorded, although Microsoft's parser differs.
    if call.name.text == "pow" {
        return None;
    }
    match shapes::scalar(&call.name.text)?.naming {
        Naming::Place if matches!(call.name.text.as_str(), "column_ifexists" | "columnifexists") => match &call.args.first()?.kind {
            ExprKind::Literal(Value::String(name)) => Some(name.clone()),
            _ => first(),
        },
        Naming::Place => None,
        Naming::First => first(),
        Naming::Only if call.args.len() == 1 => first(),
        Naming::Only => None,
        Naming::Prefix(prefix) => Some(format!("{prefix}_{}", first().unwrap_or_default())),
        Naming::Fixed(name) => Some(name.to_owned()),
    }
}

/// The name of an unnamed aggregate.
fn aggregate_name(call: &Call) -> Option<String> {
    let first = call.args.first().and_then(name_of);
    let known = shapes::aggregate(&call.name.text).map(|known| known.naming);
    // Recorded: a covariance is named after both columns.
    if let ("covariance" | "covarianceif" | "covariancep" | "covariancepif", [_, second, ..]) = (call.name.text.as_str(), &call.args[..]) {
        return Some(format!("{}_{}_{}", call.name.text, first.unwrap_or_default(), name_of(second).unwrap_or_default()));
    }
    if let Some(Naming::Prefix(prefix)) = known {
        return Some(format!("{prefix}_{}", first.unwrap_or_default()));
    }
    let Some(aggregate) = aggregates::find(&call.name.text) else { return known.and(first) };
    Some(match aggregate.naming {
        aggregates::Naming::Prefix(prefix) => format!("{prefix}_{}", first.unwrap_or_default()),
        aggregates::Naming::Argument => first.unwrap_or_else(|| format!("{}_", call.name.text)),
        aggregates::Naming::Percentile => {
            let percent = match call.args.last().map(|arg| &arg.kind) {
                Some(ExprKind::Literal(Value::Long(n))) => n.to_string(),
                Some(ExprKind::Literal(Value::Real(n))) => n.to_string().replace('.', "_"),
                _ => String::new(),
            };
            format!("percentile_{}_{percent}", first.unwrap_or_default())
        }
    })
}

/// Names used so far in one list of columns.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// Names given by the query or taken from columns.
    declared: HashSet<String>,
    /// The last number used for each name. Names are never released, so lower numbers need not be tried.
    numbers: HashMap<String, u32>,
}

/// Where the name of a column comes from.
pub(super) enum Source<'n> {
    /// Given in the query, or the name of a plain column: must be unique.
    Declared(&'n str),
    /// Derived from the expression: made unique by a number.
    Derived(String),
    Unnamed,
}

impl Names {
    pub fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self { taken: names.map(str::to_owned).collect(), ..Self::default() }
    }

    /// Returns false if the name is taken.
    pub fn take(&mut self, name: &str) -> bool {
        !self.taken.contains(name) && self.taken.insert(name.to_owned())
    }

    /// The first free name of `Column1`, `Column2` …, for columns without a name.
    pub fn numbered(&mut self) -> String {
        self.with_number("Column")
    }

    fn with_number(&mut self, name: &str) -> String {
        let mut number = self.numbers.get(name).copied().unwrap_or(0);
        loop {
            number += 1;
            let candidate = format!("{name}{number}");
            if self.take(&candidate) {
                self.numbers.insert(name.to_owned(), number);
                return candidate;
            }
        }
    }

    /// The name of a column, and whether it was already declared.
    pub fn named(&mut self, source: Source) -> (String, bool) {
        match source {
            Source::Declared(name) => {
                let twice = !self.declared.insert(name.to_owned());
                (self.unique(name), twice)
            }
            Source::Derived(name) => (self.unique(&name), false),
            Source::Unnamed => (self.numbered(), false),
        }
    }

    /// `name`, or `name1`, `name2` … if it is taken.
    pub fn unique(&mut self, name: &str) -> String {
        if self.take(name) {
            return name.to_owned();
        }
        self.with_number(name)
    }
}

/// Matches a name against a pattern with `*`. Case-sensitive.
pub(super) fn wildcard(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_names() {
        for (pattern, name, matches) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*a", "a", false),
            ("b*", "abc", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(wildcard(pattern, name), matches, "{pattern} against {name}");
        }
    }

    /// Source: columns and errors of Microsoft's parser for `project bin(t, 1h), t`, `project t, t` and
    /// `summarize count_ = max(x), count()`.
    #[test]
    fn a_name_is_declared_once() {
        let mut names = Names::default();
        let mut named = |source| names.named(source);
        assert_eq!(named(Source::Derived("t".to_owned())), ("t".to_owned(), false));
        assert_eq!(named(Source::Declared("t")), ("t1".to_owned(), false));
        assert!(named(Source::Declared("t")).1);
        assert_eq!(named(Source::Unnamed), ("Column1".to_owned(), false));
    }

    #[test]
    fn taken_names_get_numbers() {
        let mut names = Names::of(["k", "k1"].into_iter());
        assert_eq!(names.unique("k"), "k2");
        assert_eq!(names.unique("v"), "v");
    }
}
