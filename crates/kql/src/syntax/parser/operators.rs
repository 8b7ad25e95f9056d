//! The table of tabular operators, and those with a one-line grammar. To add an operator, add one line to [`OPERATORS`].

use super::Parser;
use super::lists::{Use, nearest};
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Operator, OperatorKind, SortKey, SubPipe};
use crate::syntax::{Want, codes};

/// A tabular operator: its grammar and documentation.
pub struct OperatorDef {
    pub name: &'static str,
    rule: Rule,
    pub summary: &'static str,
    /// The syntax, with `[…]` around optional parts.
    pub syntax: &'static str,
    /// A query and the value of its last row's last cell as formatted by `tostring`; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Parses the text after the keyword.
type Rule = fn(&mut Parser<'_>) -> OperatorKind;

/// Operators after `|`, in alphabetical order.
const OPERATORS: &[OperatorDef] = &[
    OperatorDef { name: "__partitionby", rule: |p| p.partition_by(), summary: "", syntax: "", examples: &[] },
    OperatorDef {
        name: "as",
        rule: as_,
        summary: "Gives the rows so far a name that later operators of the query may use",
        syntax: "as Name",
        examples: &[("range x from 1 to 3 step 1 | as R | where x == toscalar(R | summarize max(x))", "3")],
    },
    OperatorDef {
        name: "assert-schema",
        rule: |p| OperatorKind::AssertSchema(p.columns()),
        summary: "Fails unless the columns are exactly these",
        syntax: "assert-schema (Column: type, …)",
        examples: &[("print a = 1 | assert-schema (a: long)", "1")],
    },
    OperatorDef {
        name: "consume",
        rule: |p| {
            p.properties(&["decodeblocks"]);
            OperatorKind::Consume
        },
        summary: "Reads all rows and answers none of them",
        syntax: "consume",
        examples: &[],
    },
    OperatorDef {
        name: "count",
        rule: count,
        summary: "Counts the rows",
        syntax: "count [as Name]",
        examples: &[("range x from 1 to 4 step 1 | count", "4")],
    },
    OperatorDef {
        name: "distinct",
        rule: distinct,
        summary: "Keeps one row of each combination of values",
        syntax: "distinct Column, … | *",
        examples: &[("datatable(a: long)[1, 1, 2] | distinct a | count", "2")],
    },
    OperatorDef {
        name: "evaluate",
        rule: |p| p.evaluate(),
        summary: "Calls a plug-in over the rows",
        syntax: "evaluate Plugin(Argument, …) [: (Column: type, …)]",
        examples: &[("print b = dynamic({\"a\": 5}) | evaluate bag_unpack(b) : (a: long)", "5")],
    },
    OperatorDef {
        name: "extend",
        rule: |p| OperatorKind::Extend(p.named_list()),
        summary: "Adds columns, or replaces those of the same name",
        syntax: "extend [Name =] Expression, …",
        examples: &[("print a = 2 | extend b = a * 3", "6")],
    },
    OperatorDef {
        name: "facet",
        rule: facet,
        summary: "Answers one table of values and counts for each column",
        syntax: "facet by Column, … [with (Operators)]",
        examples: &[],
    },
    OperatorDef {
        name: "filter",
        rule: where_,
        summary: "Keeps the rows for which a condition holds: `where` by an older name",
        syntax: "filter Condition",
        examples: &[("range x from 1 to 4 step 1 | filter x > 3", "4")],
    },
    OperatorDef {
        name: "find",
        rule: |p| p.find(),
        summary: "Looks for rows in several tables",
        syntax: "find [in (Table, …)] [where] Condition [project Column, …]",
        examples: &[],
    },
    OperatorDef {
        name: "fork",
        rule: fork,
        summary: "Runs several pipes over the same rows",
        syntax: "fork [Name =] (Operators) …",
        examples: &[],
    },
    OperatorDef {
        name: "getschema",
        rule: |p| {
            p.properties(&["kind"]);
            OperatorKind::GetSchema
        },
        summary: "Answers the columns of the table instead of its rows",
        syntax: "getschema",
        examples: &[("print a = 1 | getschema | project ColumnType", "long")],
    },
    OperatorDef {
        name: "graph-mark-components",
        rule: |p| OperatorKind::GraphMarkComponents(p.properties(&["kind", "with_component_id"])),
        summary: "Marks the connected components of a graph",
        syntax: "graph-mark-components [kind = weak|strong] [with_component_id = Name]",
        examples: &[],
    },
    OperatorDef {
        name: "graph-match",
        rule: |p| p.graph_match(),
        summary: "Looks for patterns in a graph",
        syntax: "graph-match Pattern, … [where Condition] project Expression, …",
        examples: &[],
    },
    OperatorDef {
        name: "graph-shortest-paths",
        rule: |p| p.graph_shortest_paths(),
        summary: "Looks for the shortest paths in a graph",
        syntax: "graph-shortest-paths [output = any|all] Pattern [where Condition] project Expression, …",
        examples: &[],
    },
    OperatorDef {
        name: "graph-to-table",
        rule: |p| p.graph_to_table(),
        summary: "Makes tables of the nodes and edges of a graph",
        syntax: "graph-to-table nodes [as Name], edges [as Name]",
        examples: &[],
    },
    OperatorDef {
        name: "graph-where-edges",
        rule: |p| OperatorKind::GraphWhereEdges(p.expr()),
        summary: "Keeps the edges of a graph for which a condition holds",
        syntax: "graph-where-edges Condition",
        examples: &[],
    },
    OperatorDef {
        name: "graph-where-nodes",
        rule: |p| OperatorKind::GraphWhereNodes(p.expr()),
        summary: "Keeps the nodes of a graph for which a condition holds",
        syntax: "graph-where-nodes Condition",
        examples: &[],
    },
    OperatorDef {
        name: "invoke",
        rule: |p| p.invoke(),
        summary: "Calls a function whose first parameter is a table, over the rows",
        syntax: "invoke Function(Argument, …)",
        examples: &[("let f = (T: (x: long)) { T | extend y = x + 1 }; print x = 1 | invoke f()", "2")],
    },
    OperatorDef {
        name: "join",
        rule: |p| p.join(),
        summary: "Joins the rows with those of another table where keys are equal",
        syntax: "join [kind = Kind] (Table) on Column, … | $left.A == $right.B",
        examples: &[("print k = 1, a = 'x' | join kind=inner (print k = 1, b = 'y') on k | project strcat(a, b)", "xy")],
    },
    OperatorDef {
        name: "limit",
        rule: take,
        summary: "Keeps so many rows: `take` by another name",
        syntax: "limit Count",
        examples: &[("range x from 1 to 4 step 1 | limit 2 | count", "2")],
    },
    OperatorDef {
        name: "lookup",
        rule: |p| p.lookup(),
        summary: "Adds the columns of a small table where keys are equal",
        syntax: "lookup [kind = leftouter|inner] (Table) on Column, …",
        examples: &[("print k = 1 | lookup (datatable(k: long, v: string)[1, 'one']) on k | project v", "one")],
    },
    OperatorDef {
        name: "make-graph",
        rule: |p| p.make_graph(),
        summary: "Makes a graph of a table of edges",
        syntax: "make-graph Source --> Target [with Nodes on Key]",
        examples: &[],
    },
    OperatorDef {
        name: "make-series",
        rule: |p| p.make_series(),
        summary: "Makes an array for each group, with one value for each step of an axis",
        syntax: "make-series [Name =] Aggregate [default = Value], … on Axis [from Start] [to End] step Step [by Column, …]",
        examples: &[("range x from 0 to 3 step 1 | make-series n = count() on x from 0 to 4 step 2 | project n", "[2,2]")],
    },
    OperatorDef {
        name: "mv-apply",
        rule: |p| p.mv_apply(),
        summary: "Runs operators over the elements of an array, for each row",
        syntax: "mv-apply [Name =] Array [to typeof(type)] on (Operators)",
        examples: &[("print a = dynamic([3, 1, 2]) | mv-apply x = a to typeof(long) on (summarize m = max(x)) | project m", "3")],
    },
    OperatorDef {
        name: "mv-expand",
        rule: |p| p.mv_expand(),
        summary: "Makes a row of each element of an array",
        syntax: "mv-expand [Name =] Array [to typeof(type)], … [limit Rows]",
        examples: &[("print a = dynamic([1, 2]) | mv-expand a to typeof(long) | summarize sum(a)", "3")],
    },
    OperatorDef {
        name: "mvapply",
        rule: |p| p.mv_apply(),
        summary: "`mv-apply` in an older spelling",
        syntax: "mvapply Array on (Operators)",
        examples: &[],
    },
    OperatorDef {
        name: "mvexpand",
        rule: |p| p.mv_expand(),
        summary: "`mv-expand` in an older spelling",
        syntax: "mvexpand Array, …",
        examples: &[],
    },
    OperatorDef {
        name: "order",
        rule: sort,
        summary: "Sorts the rows: `sort` by another name",
        syntax: "order by Expression [asc|desc] [nulls first|last], …",
        examples: &[("range x from 1 to 3 step 1 | order by x desc", "1")],
    },
    OperatorDef {
        name: "parse",
        rule: |p| p.parse(false),
        summary: "Takes a text apart by a pattern; rows that do not match stay, with nulls",
        syntax: "parse [kind = simple|regex|relaxed] Expression with [*] \"text\" Column[: type] …",
        examples: &[("print s = 'user=ann id=7' | parse s with 'user=' user ' id=' id: long | project id", "7")],
    },
    OperatorDef {
        name: "parse-kv",
        rule: |p| p.parse_kv(),
        summary: "Takes a text of keys and values apart",
        syntax: "parse-kv Expression as (Key: type, …) [with (pair_delimiter = …, kv_delimiter = …)]",
        examples: &[("print s = 'a=1,b=2' | parse-kv s as (b: long) with (pair_delimiter = ',', kv_delimiter = '=') | project b", "2")],
    },
    OperatorDef {
        name: "parse-where",
        rule: |p| p.parse(true),
        summary: "Takes a text apart by a pattern; rows that do not match are dropped",
        syntax: "parse-where [kind = simple|regex] Expression with [*] \"text\" Column[: type] …",
        examples: &[("print s = 'id=7' | parse-where s with 'id=' id: long | project id", "7")],
    },
    OperatorDef {
        name: "partition",
        rule: |p| p.partition(),
        summary: "Runs operators over the rows of each value of a column",
        syntax: "partition by Column (Operators)",
        examples: &[("datatable(k: string, v: long)['a', 1, 'a', 2, 'b', 3] | partition by k (top 1 by v) | summarize sum(v)", "5")],
    },
    OperatorDef {
        name: "print",
        rule: |p| OperatorKind::Print(p.named_list()),
        summary: "Answers one row of values",
        syntax: "print [Name =] Expression, …",
        examples: &[("print a = 1 + 1", "2")],
    },
    OperatorDef {
        name: "project",
        rule: |p| OperatorKind::Project(if p.nothing_follows(Want::Expression) { Vec::new() } else { p.named_list() }),
        summary: "Keeps, renames and computes columns",
        syntax: "project [Name =] Expression, …",
        examples: &[("print a = 2, b = 3 | project c = a * b", "6")],
    },
    OperatorDef {
        name: "project-away",
        rule: |p| OperatorKind::ProjectAway(wildcards(p)),
        summary: "Drops columns",
        syntax: "project-away Column, …  (`*` stands for any characters)",
        examples: &[("print a1 = 1, a2 = 2, b = 3 | project-away a* | project b", "3")],
    },
    OperatorDef {
        name: "project-by-names",
        rule: |p| OperatorKind::ProjectByNames(p.list(Parser::expr)),
        summary: "Keeps columns whose names an expression gives",
        syntax: "project-by-names Names, …",
        examples: &[("print a = 1, b = 2 | project-by-names 'b'", "2")],
    },
    OperatorDef {
        name: "project-keep",
        rule: |p| OperatorKind::ProjectKeep(wildcards(p)),
        summary: "Keeps columns, in the order of the table",
        syntax: "project-keep Column, …  (`*` stands for any characters)",
        examples: &[("print a1 = 1, b = 2 | project-keep b*", "2")],
    },
    OperatorDef {
        name: "project-rename",
        rule: |p| OperatorKind::ProjectRename(if p.nothing_follows(Want::Expression) { Vec::new() } else { p.named_list() }),
        summary: "Renames columns",
        syntax: "project-rename New = Old, …",
        examples: &[("print a = 1 | project-rename b = a | project b", "1")],
    },
    OperatorDef {
        name: "project-reorder",
        rule: project_reorder,
        summary: "Puts columns first, in this order",
        syntax: "project-reorder Column [asc|desc|granny-asc|granny-desc], …",
        examples: &[("print a = 1, b = 2 | project-reorder b", "1")],
    },
    OperatorDef {
        name: "range",
        rule: |p| p.range(),
        summary: "Answers a table of one column of values",
        syntax: "range Name from Start to End step Step",
        examples: &[("range x from 1 to 10 step 3", "10")],
    },
    OperatorDef {
        name: "reduce",
        rule: reduce,
        summary: "Groups texts that are alike",
        syntax: "reduce by Expression [with threshold = Value, characters = Text]",
        examples: &[],
    },
    OperatorDef {
        name: "render",
        rule: |p| p.render(),
        summary: "Says how the answer should be drawn",
        syntax: "render Chart [with (Option = Value, …)]",
        examples: &[("range x from 1 to 3 step 1 | render columnchart", "3")],
    },
    OperatorDef {
        name: "sample",
        rule: |p| OperatorKind::Sample { count: Box::new(p.named()) },
        summary: "Keeps so many rows, chosen at random",
        syntax: "sample Count",
        examples: &[("range x from 1 to 9 step 1 | sample 3 | count", "3")],
    },
    OperatorDef {
        name: "sample-distinct",
        rule: sample_distinct,
        summary: "Keeps so many different values of a column",
        syntax: "sample-distinct Count of Column",
        examples: &[("datatable(a: long)[1, 1, 1] | sample-distinct 5 of a", "1")],
    },
    OperatorDef {
        name: "scan",
        rule: |p| p.scan(),
        summary: "Follows steps through rows in their order",
        syntax: "scan [order by Column, …] [partition by Column, …] [declare (Column: type, …)] with (step Name: Condition => Column = Expression; …)",
        examples: &[(
            "range x from 1 to 4 step 1 | scan declare (total: long = 0) with (step s: true => total = x + s.total;) | project total",
            "10",
        )],
    },
    OperatorDef {
        name: "search",
        rule: |p| p.search(),
        summary: "Looks for a text in all columns of tables",
        syntax: "search [in (Table, …)] Text | Condition",
        examples: &[],
    },
    OperatorDef {
        name: "serialize",
        rule: |p| OperatorKind::Serialize(if p.nothing_follows(Want::Expression) { Vec::new() } else { p.named_list() }),
        summary: "Fixes the order of the rows, for window functions",
        syntax: "serialize [[Name =] Expression, …]",
        examples: &[("range x from 5 to 7 step 1 | serialize n = row_number() | project n", "3")],
    },
    OperatorDef {
        name: "sort",
        rule: sort,
        summary: "Sorts the rows, descending where nothing is said",
        syntax: "sort by Expression [asc|desc] [nulls first|last], …",
        examples: &[("range x from 1 to 3 step 1 | sort by x", "1")],
    },
    OperatorDef {
        name: "summarize",
        rule: summarize,
        summary: "Groups rows and computes aggregates of each group",
        syntax: "summarize [[Name =] Aggregate, …] [by [Name =] Expression, …]",
        examples: &[("range x from 1 to 4 step 1 | summarize total = sum(x)", "10")],
    },
    OperatorDef {
        name: "take",
        rule: take,
        summary: "Keeps so many rows, whichever",
        syntax: "take Count",
        examples: &[("range x from 1 to 4 step 1 | take 2 | count", "2")],
    },
    OperatorDef {
        name: "top",
        rule: top,
        summary: "Keeps the first rows by an order",
        syntax: "top Count by Expression [asc|desc] [nulls first|last]",
        examples: &[("range x from 1 to 9 step 1 | top 1 by x", "9")],
    },
    OperatorDef {
        name: "top-hitters",
        rule: top_hitters,
        summary: "Counts the most frequent values of a column, approximately",
        syntax: "top-hitters Count of Column [by Weight]",
        examples: &[("datatable(a: string)['x', 'y', 'x'] | top-hitters 1 of a | project a", "x")],
    },
    OperatorDef {
        name: "top-nested",
        rule: |p| p.top_nested(),
        summary: "Keeps the first values of several levels, each within the one before",
        syntax: "top-nested [Count] of Column [with others = Name] by Aggregate [asc|desc] [nulls first|last], …",
        examples: &[("datatable(a: string, v: long)['x', 1, 'y', 5] | top-nested 1 of a by s = sum(v) | project a", "y")],
    },
    OperatorDef {
        name: "union",
        rule: |p| p.union(),
        summary: "Puts the rows of tables under each other",
        syntax: "union [kind = outer|inner] [withsource = Name] [isfuzzy = true] Table, …",
        examples: &[("union (print a = 1), (print a = 2) | summarize sum(a)", "3")],
    },
    OperatorDef {
        name: "where",
        rule: where_,
        summary: "Keeps the rows for which a condition holds",
        syntax: "where Condition",
        examples: &[("range x from 1 to 4 step 1 | where x % 4 == 0", "4")],
    },
];

/// All documented operators.
pub fn tabular_operators() -> impl Iterator<Item = &'static OperatorDef> {
    OPERATORS.iter().filter(|operator| !operator.name.starts_with('_'))
}

fn find(name: &str) -> Option<&'static OperatorDef> {
    OPERATORS.binary_search_by(|known| known.name.cmp(name)).ok().map(|index| &OPERATORS[index])
}

fn rule(name: &str) -> Option<Rule> {
    find(name).map(|operator| operator.rule)
}

impl Parser<'_> {
    /// One operator, including its keyword.
    pub(super) fn operator(&mut self) -> Operator {
        self.want(Want::Operator);
        let start = self.peek().start;
        let (name, length) = self.operator_name();
        let Some(found) = find(&name).filter(|_| !(name == "count" && self.ahead_is(length, "("))) else {
            return self.unknown_operator(name, length);
        };
        self.at += length;
        let keyword = self.place_from(start);
        let outer = std::mem::replace(&mut self.operator, found.name);
        let aggregating = std::mem::replace(&mut self.aggregating, false);
        let kind = (found.rule)(self);
        self.operator = outer;
        self.aggregating = aggregating;
        Operator { kind, place: self.place_from(start), keyword }
    }

    /// The operator name and its number of tokens: `mv-expand` is three. Of words joined by `-`, the longest known prefix.
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
        // A misspelt name is reported in full.
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
                    let synonym = synonym(&lower).or_else(|| nearest(&lower, tabular_operators().map(|operator| operator.name)));
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
        let nulls_first = self.nulls();
        SortKey { expr, ascending, nulls_first, natural: false }
    }

    /// `nulls first`, `nulls last`
    pub(super) fn nulls(&mut self) -> Option<bool> {
        if !self.eat_word("nulls") {
            return None;
        }
        self.want(Want::Word("first"));
        self.want(Want::Word("last"));
        let first = match self.word() {
            Some("first") => true,
            Some("last") => false,
            _ => {
                self.expected("`first` or `last`");
                return None;
            }
        };
        self.advance();
        Some(first)
    }

    /// True if the operator ends here although `wanted` could follow.
    fn nothing_follows(&self, wanted: Want) -> bool {
        self.want(wanted);
        self.at_operator_end()
    }

    /// An optional `asc` or `desc`.
    pub(super) fn direction(&mut self) -> Option<bool> {
        self.want(Want::Word("asc"));
        self.want(Want::Word("desc"));
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

/// Operators of other query languages.
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
    if p.nothing_follows(Want::Column) { Vec::new() } else { p.list(Parser::name_or_wildcard) }
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
    if p.nothing_follows(Want::Column) {
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
    let nothing = p.nothing_follows(Want::Aggregate) | p.nothing_follows(Want::Expression);
    let aggregates = if nothing || at_by(p) { Vec::new() } else { p.list(Parser::aggregate) };
    // `last = max(x)` is unambiguous among aggregates; elsewhere the engine rejects such names (recorded).
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
        assert!(OPERATORS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn kind_of_token_decides_where_a_name_ends() {
        // `take-1` does not contain a name `take-1`.
        let parsed = crate::syntax::parse("T | take-1");
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        assert_eq!(crate::syntax::lexer::lex("take-1").0[1].kind, TokenKind::Sign("-"));
    }
}
