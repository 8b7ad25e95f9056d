//! What a column is called that the query gives no name, and how equal names are told apart.
//! Source of truth: answers recorded from Microsoft's engine, and column names of its parser over published queries.

use hashbrown::HashSet;

use crate::Value;
use crate::aggregates::{self, Naming};
use crate::syntax::ast::{Expr, ExprKind};

/// Functions whose result is called as their first argument, when that has a name.
const NAMED_AS_ARGUMENT: &[&str] = &[
    "bin",
    "bin_at",
    "floor",
    "tobool",
    "toboolean",
    "todatetime",
    "todecimal",
    "todouble",
    "todynamic",
    "toguid",
    "toint",
    "tolong",
    "toreal",
    "tostring",
    "totimespan",
    "array_slice",
    "parse_json",
    "parsejson",
    "column_ifexists",
    "columnifexists",
];

/// The name of an unnamed expression; nothing where only its position names it.
pub(super) fn name_of(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name.text.clone()),
        ExprKind::Named { names, .. } => names.first().map(|name| name.text.clone()),
        ExprKind::Paren(inner) => name_of(inner),
        ExprKind::Member { object, name } => match &object.kind {
            ExprKind::Name(side) if side.text.starts_with('$') => Some(name.text.clone()),
            _ => Some(format!("{}_{}", name_of(object)?, name.text)),
        },
        ExprKind::Index { object, index } => {
            let selector = match &index.kind {
                ExprKind::Literal(Value::String(text)) => text.clone(),
                ExprKind::Literal(Value::Long(n)) => n.to_string(),
                _ => return None,
            };
            Some(format!("{}_{selector}", name_of(object)?))
        }
        ExprKind::Call(call) if NAMED_AS_ARGUMENT.contains(&call.name.text.as_str()) => {
            let first = call.args.first()?;
            match (&first.kind, call.name.text.as_str()) {
                (ExprKind::Literal(Value::String(name)), "column_ifexists" | "columnifexists") => Some(name.clone()),
                _ => name_of(first),
            }
        }
        ExprKind::Call(call) if matches!(call.name.text.as_str(), "strlen" | "dcount_hll") => {
            Some(format!("{}_{}", call.name.text, name_of(call.args.first()?)?))
        }
        ExprKind::Call(call) => aggregate_name(call),
        _ => None,
    }
}

/// The name of an unnamed aggregate.
fn aggregate_name(call: &crate::syntax::ast::Call) -> Option<String> {
    let aggregate = aggregates::find(&call.name.text)?;
    let first = call.args.first().and_then(name_of);
    Some(match aggregate.naming {
        Naming::Prefix(prefix) => format!("{prefix}_{}", first.unwrap_or_default()),
        Naming::Argument => first.unwrap_or_else(|| format!("{}_", call.name.text)),
        Naming::Percentile => {
            let percent = match call.args.last().map(|arg| &arg.kind) {
                Some(ExprKind::Literal(Value::Long(n))) => n.to_string(),
                Some(ExprKind::Literal(Value::Real(n))) => n.to_string().replace('.', "_"),
                _ => String::new(),
            };
            format!("percentile_{}_{percent}", first.unwrap_or_default())
        }
    })
}

/// Names given so far in one list of columns.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    pub fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self { taken: names.map(str::to_owned).collect() }
    }

    /// False where the name is taken.
    pub fn take(&mut self, name: &str) -> bool {
        !self.taken.contains(name) && self.taken.insert(name.to_owned())
    }

    /// `name`, or `name1`, `name2` … where it is taken.
    pub fn unique(&mut self, name: &str) -> String {
        if self.take(name) {
            return name.to_owned();
        }
        let mut number = 1u32;
        loop {
            let candidate = format!("{name}{number}");
            if self.take(&candidate) {
                return candidate;
            }
            number += 1;
        }
    }
}

/// A name with `*` in it against a whole name. Case counts.
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

    #[test]
    fn taken_names_get_numbers() {
        let mut names = Names::of(["k", "k1"].into_iter());
        assert_eq!(names.unique("k"), "k2");
        assert_eq!(names.unique("v"), "v");
    }
}
