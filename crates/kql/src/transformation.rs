//! The subset of KQL that Azure Monitor accepts in the transformation of a data collection rule.
//!
//! Source: learn.microsoft.com/azure/azure-monitor/data-collection/data-collection-transformations-kql ("Only the operators listed in this
//! article are supported in transformations"), read 2026-01-20. Functions that the page does not list but Microsoft's own published rules
//! or samples use are in [`USED`], each with its source.

use std::collections::HashSet;

use crate::functions::transformation;
use crate::syntax::ast::{
    Expr, ExprKind, Function, LetValue, Operator, OperatorKind, ParameterType, ParsePart, Place, Script, StatementKind,
};

/// Maximum number of columns of one `parse`.
pub const MAX_PARSE_COLUMNS: usize = 10;

/// The table that contains the records.
const SOURCE: &str = "source";

/// Functions listed on the page, in its groups.
const LISTED: &[&[&str]] = &[
    &["binary_and", "binary_or", "binary_not", "binary_shift_left", "binary_shift_right", "binary_xor"],
    &["tobool", "todatetime", "todouble", "toreal", "toguid", "toint", "tolong", "tostring", "totimespan"],
    &["ago", "datetime_add", "datetime_diff", "datetime_part", "dayofmonth", "dayofweek", "dayofyear"],
    &["endofday", "endofmonth", "endofweek", "endofyear", "getmonth", "getyear", "hourofday"],
    &["make_datetime", "make_timespan", "now", "startofday", "startofmonth", "startofweek", "startofyear", "weekofyear"],
    &["array_concat", "array_length", "pack_array", "pack", "parse_json", "parse_xml", "zip"],
    &[
        "abs", "bin", "floor", "ceiling", "exp", "exp10", "exp2", "isfinite", "isinf", "isnan", "log", "log10", "log2", "pow", "round",
        "sign",
    ],
    &["case", "iif", "max_of", "min_of"],
    &["base64_encodestring", "base64_decodestring", "countof", "extract", "extract_all", "indexof", "isempty", "isnotempty"],
    &["split", "strcat", "strcat_delim", "strlen", "substring", "tolower", "toupper", "hash_sha256"],
    &["gettype", "isnotnull", "isnull"],
    &["columnifexists", "parse_cef_dictionary", "geo_location"],
    // The argument of `extract` and `extract_all`.
    &["typeof"],
];

/// Functions that the page does not list and Azure accepts.
const USED: &[&str] = &[
    "iff",                         // the page's own sample of `parse_cef_dictionary`; Solutions/Flare in Azure/Azure-Sentinel
    "not",                         // Solutions/Flare in Azure/Azure-Sentinel
    "replace",                     // the page's own sample of `parse_cef_dictionary`
    "replace_string",              // data-collection-transformations-samples ("Remove sensitive data")
    "todynamic",                   // Solutions/SailPointIdentityNow in Azure/Azure-Sentinel
    "unixtime_seconds_todatetime", // connectors that send epochs, as published rules convert them
    "unixtime_milliseconds_todatetime",
    "unixtime_microseconds_todatetime",
    "unixtime_nanoseconds_todatetime",
];

/// String operators listed on the page, and the numeric and logical ones.
const BINARY: &[&str] = &[
    "+",
    "-",
    "*",
    "/",
    "%",
    "<",
    ">",
    "<=",
    ">=",
    "==",
    "!=",
    "<>",
    "and",
    "or",
    "=~",
    "!~",
    "contains",
    "!contains",
    "contains_cs",
    "!contains_cs",
    "has",
    "!has",
    "has_cs",
    "!has_cs",
    "startswith",
    "!startswith",
    "startswith_cs",
    "!startswith_cs",
    "endswith",
    "!endswith",
    "endswith_cs",
    "!endswith_cs",
    "matches regex",
];

/// A construct that Azure rejects in a transformation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub place: Place,
    pub message: String,
}

/// All constructs of a transformation that Azure rejects, in source order. Invalid KQL is reported by the binder.
pub fn check(text: &str, script: &Script) -> Vec<Refusal> {
    let mut checker = Checker { text, functions: HashSet::new(), refusals: Vec::new() };
    checker.script(script);
    checker.refusals.sort_by_key(|refusal| refusal.place.start);
    checker.refusals
}

struct Checker<'t> {
    text: &'t str,
    /// Functions defined in the transformation.
    functions: HashSet<&'t str>,
    refusals: Vec<Refusal>,
}

impl<'t> Checker<'t> {
    fn refuse(&mut self, place: &Place, message: impl Into<String>) {
        self.refusals.push(Refusal { place: place.clone(), message: message.into() });
    }

    fn script(&mut self, script: &'t Script) {
        for statement in &script.statements {
            match &statement.kind {
                StatementKind::Let { name, value: LetValue::Function(function) } => {
                    self.function(function);
                    self.functions.insert(&name.text);
                }
                StatementKind::Let { value: LetValue::Expr(expr), .. } | StatementKind::Query(expr) => self.table(expr),
                _ => self.refuse(&statement.place, "only 'let' statements may stand in front of the query of a transformation"),
            }
        }
    }

    fn function(&mut self, function: &'t Function) {
        if function.parameters.iter().any(|parameter| matches!(parameter.ty, ParameterType::Table(_))) {
            self.refuse(&function.place, "functions with tabular parameters are not supported in a transformation");
        }
        self.script(&function.body);
    }

    /// A query or a scalar expression, not distinguished before names are resolved.
    fn table(&mut self, expr: &'t Expr) {
        match &expr.kind {
            ExprKind::Paren(inner) => self.table(inner),
            ExprKind::Pipe { source, operators } => {
                self.table(source);
                operators.iter().for_each(|operator| self.operator(operator));
            }
            ExprKind::Source(operator) => self.operator(operator),
            ExprKind::DataTable { values, .. } => self.exprs(values),
            _ => self.expr(expr),
        }
    }

    fn operator(&mut self, operator: &'t Operator) {
        match &operator.kind {
            OperatorKind::Where(predicate) => self.expr(predicate),
            OperatorKind::Extend(exprs) | OperatorKind::Project(exprs) | OperatorKind::Print(exprs) => self.exprs(exprs),
            OperatorKind::ProjectAway(_) | OperatorKind::ProjectRename(_) => {}
            OperatorKind::Parse { where_: false, expr, pattern, .. } => {
                self.expr(expr);
                let columns = pattern.iter().filter(|part| matches!(part, ParsePart::Column { .. })).count();
                if columns > MAX_PARSE_COLUMNS {
                    let message = format!(
                        "'parse' has {columns} columns; a transformation takes at most {MAX_PARSE_COLUMNS} in one statement. Split it into several"
                    );
                    self.refuse(&operator.keyword, message);
                }
            }
            _ => {
                let name = self.text.get(operator.keyword.clone()).unwrap_or_default();
                let message = format!(
                    "operator '{name}' is not supported in a transformation; supported are where, extend, project, project-away, project-rename, parse, print and datatable"
                );
                self.refuse(&operator.keyword, message);
            }
        }
    }

    fn exprs(&mut self, exprs: &'t [Expr]) {
        exprs.iter().for_each(|expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &'t Expr) {
        match &expr.kind {
            ExprKind::Literal(_) | ExprKind::Name(_) | ExprKind::Star | ExprKind::Wildcard(_) | ExprKind::Error => {}
            ExprKind::Dynamic(_) => {
                self.refuse(&expr.place, "dynamic literals are not supported in a transformation; write parse_json('…')");
            }
            ExprKind::Call(call) => {
                let name = call.name.text.as_str();
                if !is_function(name) && !self.functions.contains(name) {
                    self.refuse(&call.name.place, format!("function '{name}' is not supported in a transformation"));
                }
                self.exprs(&call.args);
            }
            ExprKind::Member { object, .. } => self.expr(object),
            ExprKind::MemberCall { call, .. } => {
                self.refuse(&call.name.place, format!("a transformation reads '{SOURCE}' and no other table"));
            }
            ExprKind::Index { object, index } => {
                self.expr(object);
                self.expr(index);
            }
            ExprKind::Unary { operand, .. } => self.expr(operand),
            ExprKind::Binary { op, left, right, op_place } => {
                if !BINARY.contains(op) {
                    self.refuse(op_place, format!("operator '{op}' is not supported in a transformation"));
                }
                self.expr(left);
                self.expr(right);
            }
            ExprKind::In { op, left, list } => {
                if !matches!(*op, "in" | "!in") {
                    self.refuse(&expr.place, format!("operator '{op}' is not supported in a transformation"));
                }
                self.expr(left);
                self.exprs(list);
            }
            ExprKind::Between { operand, low, high, .. } => {
                self.refuse(&expr.place, "operator 'between' is not supported in a transformation; write two comparisons");
                [operand, low, high].into_iter().for_each(|each| self.expr(each));
            }
            ExprKind::Named { value, .. } | ExprKind::Paren(value) => self.expr(value),
            ExprKind::List(exprs) => self.exprs(exprs),
            ExprKind::ToScalar(_) | ExprKind::Materialize(_) => {
                let name = self.text.get(expr.place.clone()).and_then(|text| text.split('(').next()).unwrap_or_default();
                self.refuse(&expr.place, format!("function '{}' is not supported in a transformation", name.trim()));
            }
            ExprKind::Pipe { .. } | ExprKind::Source(_) | ExprKind::DataTable { .. } => {
                self.refuse(&expr.place, "queries within expressions are not supported in a transformation");
            }
            ExprKind::ExternalData { .. } => {
                self.refuse(&expr.place, format!("a transformation reads '{SOURCE}' and no other table"));
            }
        }
    }
}

/// True if a transformation may call the function.
pub fn is_function(name: &str) -> bool {
    debug_assert!(transformation::ALL.iter().all(|function| LISTED.iter().any(|group| group.contains(&function.name))));
    LISTED.iter().any(|group| group.contains(&name)) || USED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<String> {
        check(text, &crate::syntax::parse(text).script)
            .into_iter()
            .map(|refusal| format!("{}: {}", &text[refusal.place], refusal.message))
            .collect()
    }

    /// Rules of Microsoft's own connectors and the samples of the page are all accepted.
    #[test]
    fn azure_transformations_are_accepted() {
        for text in [
            "source",
            "source | where severity == \"Critical\" | extend Properties = parse_json(properties) | project TimeGenerated = todatetime([\"time\"]), EventId = tostring(Properties.EventId)",
            "let m = parse_json('{\"a\": \"b\"}');\nsource | extend x = iff(tostring(actor.id) == 'unknown', '', tostring(m[tostring(actor.type)])), TimeGenerated = now()",
            "source | extend TimeGenerated = iff(not(isempty(timestamp)), todatetime(timestamp), now()), s = case(toint(risk.score) == 1, 'Low', 'High')",
            "source | where event == 'A' and ['user'] !in ('x', 'y') | project-away Time, Raw* | project-rename a = b",
            "source | parse RawData with a:string ' ' b ' ' c:int * | extend n = -c + 2 * 3 % 4, t = datetime(2020-01-01) + 1h, z = long(null)",
            "let f = (x: string) { strcat(x, '!') }; source | extend y = f(name), g = geo_location(ip), c = parse_cef_dictionary(replace(';', ' ', msg))['Extension']",
            "print x = 2 + 2, y = 5 | extend z = exp2(x) + exp2(y)",
            "datatable(a: string)['x'] | extend b = extract(@'(\\d+)', 1, a, typeof(long))",
        ] {
            assert_eq!(refused(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn our_own_rules_are_accepted() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../content/data_collection_rules");
        let mut transforms = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let rule: serde_json::Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
            for flow in rule["properties"]["dataFlows"].as_array().unwrap() {
                let kql = flow["transformKql"].as_str().unwrap_or("source");
                assert_eq!(refused(kql), Vec::<String>::new());
                transforms += 1;
            }
        }
        assert!(transforms > 0);
    }

    #[test]
    fn rejects_what_azure_rejects() {
        for (text, word) in [
            ("source | summarize n = count() by a", "summarize"),
            ("source | join kind=inner (source) on a", "join"),
            ("source | top 5 by a", "top"),
            ("source | union source", "union"),
            ("union source, source", "union"),
            ("source | take 5", "take"),
            ("source | sort by a", "sort"),
            ("source | distinct a", "distinct"),
            ("source | count", "count"),
            ("source | mv-expand a", "mv-expand"),
            ("source | parse-kv a as (b: string)", "parse-kv"),
            ("source | parse-where a with b ' ' c", "parse-where"),
            ("source | project-keep a", "project-keep"),
            ("source | lookup (source) on a", "lookup"),
            ("source | evaluate bag_unpack(a)", "evaluate"),
            ("source | where a between (1 .. 2)", "between"),
            ("source | where a has_any ('b')", "has_any"),
            ("source | where a in~ ('b')", "in~"),
            ("source | where a hasprefix 'b'", "hasprefix"),
            ("source | extend b = coalesce(a, 'x')", "coalesce"),
            ("source | extend b = column_ifexists('a', 'x')", "column_ifexists"),
            ("source | extend b = base64_encode_tostring(a)", "base64_encode_tostring"),
            ("source | extend b = dynamic({'a': 1})", "parse_json"),
            ("source | extend b = toscalar(source | count)", "toscalar"),
            ("let T = source | count; T", "count"),
            ("let f = (T: (*)) { T | where a > 1 }; f(source)", "tabular"),
            ("source | where a in ((source | project a))", "queries"),
            ("workspace('x').Syslog", "workspace"),
            ("set querytrace; source", "let"),
        ] {
            let found = refused(text);
            assert!(found.iter().any(|each| each.contains(word)), "{text}: {found:?}");
        }
        let columns = |n: usize| (0..n).map(|n| format!("c{n}")).collect::<Vec<_>>().join(" ',' ");
        assert_eq!(refused(&format!("source | parse a with {}", columns(10))).len(), 0);
        assert!(refused(&format!("source | parse a with {}", columns(11)))[0].starts_with("parse: 'parse' has 11 columns"));
    }
}
