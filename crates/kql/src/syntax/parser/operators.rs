//! The table of tabular operators, and those whose grammar is a line. Adding an operator is one line in [`OPERATORS`].

use super::Parser;
use super::lists::{Use, nearest};
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Operator, OperatorKind, SortKey, SubPipe};
use crate::syntax::codes;

/// Reads what stands behind the keyword.
type Rule = fn(&mut Parser<'_>) -> OperatorKind;

/// Operators behind a `|`, alphabetical.
const OPERATORS: &[(&str, Rule)] = &[
    ("__partitionby", |p| p.partition_by()),
    ("as", as_),
    ("assert-schema", |p| OperatorKind::AssertSchema(p.columns())),
    ("consume", |p| {
        p.properties(&["decodeblocks"]);
        OperatorKind::Consume
    }),
    ("count", count),
    ("distinct", distinct),
    ("evaluate", |p| p.evaluate()),
    ("extend", |p| OperatorKind::Extend(p.named_list())),
    ("facet", facet),
    ("filter", where_),
    ("find", |p| p.find()),
    ("fork", fork),
    ("getschema", |p| {
        p.properties(&["kind"]);
        OperatorKind::GetSchema
    }),
    ("graph-mark-components", |p| OperatorKind::GraphMarkComponents(p.properties(&["kind", "with_component_id"]))),
    ("graph-match", |p| p.graph_match()),
    ("graph-shortest-paths", |p| p.graph_shortest_paths()),
    ("graph-to-table", |p| p.graph_to_table()),
    ("graph-where-edges", |p| OperatorKind::GraphWhereEdges(p.expr())),
    ("graph-where-nodes", |p| OperatorKind::GraphWhereNodes(p.expr())),
    ("invoke", |p| p.invoke()),
    ("join", |p| p.join()),
    ("limit", take),
    ("lookup", |p| p.lookup()),
    ("make-graph", |p| p.make_graph()),
    ("make-series", |p| p.make_series()),
    ("mv-apply", |p| p.mv_apply()),
    ("mv-expand", |p| p.mv_expand()),
    ("mvapply", |p| p.mv_apply()),
    ("mvexpand", |p| p.mv_expand()),
    ("order", sort),
    ("parse", |p| p.parse(false)),
    ("parse-kv", |p| p.parse_kv()),
    ("parse-where", |p| p.parse(true)),
    ("partition", |p| p.partition()),
    ("print", |p| OperatorKind::Print(p.named_list())),
    ("project", |p| OperatorKind::Project(if p.at_operator_end() { Vec::new() } else { p.named_list() })),
    ("project-away", |p| OperatorKind::ProjectAway(wildcards(p))),
    ("project-by-names", |p| OperatorKind::ProjectByNames(p.list(Parser::expr))),
    ("project-keep", |p| OperatorKind::ProjectKeep(wildcards(p))),
    ("project-rename", |p| OperatorKind::ProjectRename(if p.at_operator_end() { Vec::new() } else { p.named_list() })),
    ("project-reorder", project_reorder),
    ("range", |p| p.range()),
    ("reduce", reduce),
    ("render", |p| p.render()),
    ("sample", |p| OperatorKind::Sample { count: Box::new(p.named()) }),
    ("sample-distinct", sample_distinct),
    ("scan", |p| p.scan()),
    ("search", |p| p.search()),
    ("serialize", |p| OperatorKind::Serialize(if p.at_operator_end() { Vec::new() } else { p.named_list() })),
    ("sort", sort),
    ("summarize", summarize),
    ("take", take),
    ("top", top),
    ("top-hitters", top_hitters),
    ("top-nested", |p| p.top_nested()),
    ("union", |p| p.union()),
    ("where", where_),
];

/// Names of all operators, for completion.
pub fn operator_names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('_'))
}

fn rule(name: &str) -> Option<Rule> {
    OPERATORS.binary_search_by(|(known, _)| (*known).cmp(name)).ok().map(|index| OPERATORS[index].1)
}

impl Parser<'_> {
    /// One operator, its keyword first.
    pub(super) fn operator(&mut self) -> Operator {
        let start = self.peek().start;
        let (name, length) = self.operator_name();
        let Some(rule) = rule(&name).filter(|_| !(name == "count" && self.ahead_is(length, "("))) else {
            return self.unknown_operator(name, length);
        };
        self.at += length;
        let keyword = self.place_from(start);
        let kind = rule(self);
        Operator { kind, place: self.place_from(start), keyword }
    }

    /// The operator's name here and the number of its tokens: `mv-expand` is three. Of words joined by `-` the longest that is known.
    pub(super) fn operator_name(&self) -> (String, usize) {
        let (mut length, mut best) = (0, None);
        let start = self.peek().start;
        while self.ahead_word(length).is_some() {
            length += 1;
            let name = &self.text[start..self.ahead(length - 1).end];
            if rule(name).is_some() || best.is_none() {
                best = Some((name.to_owned(), length));
            }
            if !(self.ahead_is(length, "-") && self.touches(length) && self.touches(length + 1)) {
                break;
            }
            length += 1;
        }
        // A misspelt name keeps all of its parts, for the message.
        match best {
            Some((name, _)) if rule(&name).is_none() => {
                let end = self.ahead(length - usize::from(self.ahead_word(length - 1).is_none()) - 1).end;
                (self.text[start..end].to_owned(), length)
            }
            Some(found) => found,
            None => (String::new(), 0),
        }
    }

    fn unknown_operator(&mut self, name: String, length: usize) -> Operator {
        let start = self.peek().start;
        let end = self.ahead(length.saturating_sub(1)).end;
        if name.is_empty() {
            let message = format!("expected an operator behind `|`, found {}", self.found());
            self.report(codes::OPERATOR, message, None);
        } else if self.last != Some(self.at) {
            let lower = name.to_ascii_lowercase();
            let (code, help) = match rule(&lower) {
                Some(_) if lower != name => (codes::CASE, Some(format!("write `{lower}`"))),
                Some(_) => (codes::OPERATOR, Some(format!("write `{name}` without parentheses"))),
                None => {
                    let synonym = synonym(&lower).or_else(|| nearest(&lower, operator_names()));
                    (codes::OPERATOR, synonym.map(|known| format!("did you mean `{known}`?")))
                }
            };
            self.last = Some(self.at);
            self.report_at(code, start..end, format!("`{name}` is no operator"), help);
        }
        self.at += length;
        let keyword = self.place_from(start);
        self.skip_operator();
        let name = Name { text: name, place: keyword.clone(), quoted: false };
        Operator { kind: OperatorKind::Unknown(name), place: self.place_from(start), keyword }
    }

    /// `expr [asc|desc] [nulls first|last]`
    pub(super) fn sort_key(&mut self) -> SortKey {
        let expr = self.named();
        let ascending = self.direction();
        let mut nulls_first = None;
        if self.eat_word("nulls") {
            nulls_first = match self.word() {
                Some("first") => Some(true),
                Some("last") => Some(false),
                _ => {
                    self.expected("`first` or `last`");
                    None
                }
            };
            if nulls_first.is_some() {
                self.advance();
            }
        }
        SortKey { expr, ascending, nulls_first, natural: false }
    }

    /// `asc` or `desc`, where one stands here.
    pub(super) fn direction(&mut self) -> Option<bool> {
        let ascending = match self.word()? {
            "asc" => true,
            "desc" => false,
            word if ["asc", "desc"].iter().any(|known| known.eq_ignore_ascii_case(word)) => {
                let lower = word.to_ascii_lowercase();
                self.report(codes::CASE, format!("`{word}` is written `{lower}`"), None);
                lower == "asc"
            }
            _ => return None,
        };
        self.advance();
        Some(ascending)
    }
}

/// What people write who come from another language.
fn synonym(lower: &str) -> Option<&'static str> {
    Some(match lower {
        "select" => "project",
        "group" | "groupby" | "aggregate" | "stats" => "summarize",
        "head" | "first" => "take",
        "rename" => "project-rename",
        "drop" => "project-away",
        "eval" => "extend",
        "orderby" | "sortby" => "sort",
        _ => return None,
    })
}

fn wildcards(p: &mut Parser<'_>) -> Vec<Expr> {
    if p.at_operator_end() { Vec::new() } else { p.list(Parser::name_or_wildcard) }
}

fn as_(p: &mut Parser<'_>) -> OperatorKind {
    let properties = p.properties(&[]);
    OperatorKind::As { properties, name: p.name(Use::Bare) }
}

/// `count as n` is `summarize n = count()`.
fn count(p: &mut Parser<'_>) -> OperatorKind {
    let keyword = p.end() - "count".len()..p.end();
    if !p.eat_word("as") {
        return OperatorKind::Count;
    }
    let name = if p.is_quoted_name(0) { p.any_word("a plain name") } else { p.name(Use::Bare) };
    let place = name.place.clone();
    let called = Name { text: "count".to_owned(), place: keyword.clone(), quoted: false };
    let value = Box::new(Expr { kind: ExprKind::Call(Call { name: called, args: Vec::new() }), place: keyword });
    let aggregates = vec![Expr { kind: ExprKind::Named { names: vec![name], value }, place }];
    OperatorKind::Summarize { properties: Vec::new(), aggregates, by: Vec::new(), has_by: false }
}

fn distinct(p: &mut Parser<'_>) -> OperatorKind {
    let properties = p.properties(&[]);
    let columns = p.list(|p| match p.peek() {
        token if p.is("*") => {
            p.advance();
            Expr { kind: ExprKind::Star, place: token.start..token.end }
        }
        _ => p.named(),
    });
    OperatorKind::Distinct { properties, columns }
}

fn facet(p: &mut Parser<'_>) -> OperatorKind {
    p.expect_word("by");
    let by = p.list(Parser::expr);
    let with = p.eat_word("with").then(|| Box::new(p.sub_pipe()));
    OperatorKind::Facet { by, with }
}

fn fork(p: &mut Parser<'_>) -> OperatorKind {
    let mut branches: Vec<(Option<Name>, SubPipe)> = Vec::new();
    loop {
        let length = p.name_length(0);
        let name = (length > 0 && p.ahead_is(length, "=")).then(|| {
            let name = p.name(Use::Declare);
            p.advance();
            name
        });
        if name.is_none() && !p.is("(") && !branches.is_empty() {
            return OperatorKind::Fork(branches);
        }
        let before = p.at;
        branches.push((name, p.sub_pipe()));
        if p.at == before {
            return OperatorKind::Fork(branches);
        }
    }
}

fn project_reorder(p: &mut Parser<'_>) -> OperatorKind {
    if p.at_operator_end() {
        return OperatorKind::ProjectReorder(Vec::new());
    }
    OperatorKind::ProjectReorder(p.list(|p| {
        let expr = p.name_or_wildcard();
        let natural = p.is_word("granny") && p.ahead_is(1, "-");
        if natural {
            p.at += 2;
        }
        SortKey { expr, ascending: p.direction(), nulls_first: None, natural }
    }))
}

fn reduce(p: &mut Parser<'_>) -> OperatorKind {
    let mut options = p.properties(&["kind"]);
    p.expect_word("by");
    let by = Box::new(p.named());
    if p.eat_word("with") {
        options.extend(p.list(|p| p.property(&["threshold", "characters"])).into_iter().flatten());
    }
    OperatorKind::Reduce { by, options }
}

fn sample_distinct(p: &mut Parser<'_>) -> OperatorKind {
    let count = Box::new(p.named());
    p.expect_word("of");
    OperatorKind::SampleDistinct { count, of: Box::new(p.named()) }
}

fn sort(p: &mut Parser<'_>) -> OperatorKind {
    let properties = p.properties(&[]);
    p.expect_word("by");
    OperatorKind::Sort { properties, keys: p.list(Parser::sort_key) }
}

fn summarize(p: &mut Parser<'_>) -> OperatorKind {
    let properties = p.properties(&[]);
    let at_by = |p: &Parser<'_>| p.is_word("by");
    let before = p.diagnostics.len();
    let aggregates = if p.at_operator_end() || at_by(p) { Vec::new() } else { p.named_list() };
    // `last = max(x)` among aggregates cannot be anything else; elsewhere the engine refuses such names (recorded).
    for diagnostic in &mut p.diagnostics[before..] {
        if diagnostic.code == codes::KEYWORD.code {
            diagnostic.code = codes::AGGREGATE_KEYWORD.code;
        }
    }
    let has_by = at_by(p);
    let by = if has_by {
        p.advance();
        p.list(Parser::named)
    } else {
        Vec::new()
    };
    OperatorKind::Summarize { properties, aggregates, by, has_by }
}

fn take(p: &mut Parser<'_>) -> OperatorKind {
    OperatorKind::Take { properties: p.properties(&[]), count: Box::new(p.named()) }
}

fn where_(p: &mut Parser<'_>) -> OperatorKind {
    p.properties(&[]);
    OperatorKind::Where(p.named())
}

fn top(p: &mut Parser<'_>) -> OperatorKind {
    p.properties(&[]);
    let count = Box::new(p.named());
    p.expect_word("by");
    OperatorKind::Top { count, keys: vec![p.sort_key()] }
}

fn top_hitters(p: &mut Parser<'_>) -> OperatorKind {
    let count = Box::new(p.named());
    p.expect_word("of");
    let of = Box::new(p.named());
    let by = p.eat_word("by").then(|| Box::new(p.named()));
    OperatorKind::TopHitters { count, of, by }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::lexer::TokenKind;

    #[test]
    fn table_is_sorted() {
        assert!(OPERATORS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn kind_of_token_decides_where_a_name_ends() {
        // `take-1` has no name `take-1`.
        let parsed = crate::syntax::parse("T | take-1");
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        assert_eq!(crate::syntax::lexer::lex("take-1").0[1].kind, TokenKind::Sign("-"));
    }
}
