//! Operators that change the shape of rows: `mv-expand`, `mv-apply`, `parse`, `parse-kv`, `make-series`, `top-nested`, `evaluate`,
//! `invoke`, `partition`, `render`.

use model::Type;

use super::Parser;
use super::lists::{Use, nearest};
use crate::syntax::ast::{
    Call, Expr, ExprKind, MakeSeriesAggregate, MvItem, Name, OperatorKind, ParsePart, PartitionBody, Property, TopNestedLevel,
};
use crate::syntax::lexer::TokenKind;
use crate::syntax::{Want, codes, literals};

/// Properties of a chart.
const CHART: &[&str] = &[
    "accumulate",
    "anomalycolumns",
    "kind",
    "legend",
    "series",
    "title",
    "xaxis",
    "xcolumn",
    "xmax",
    "xmin",
    "xtitle",
    "yaxis",
    "ycolumns",
    "ymax",
    "ymin",
    "ysplit",
    "ytitle",
];

impl Parser<'_> {
    pub(super) fn mv_expand(&mut self) -> OperatorKind {
        let properties = self.properties(&["bagexpansion", "kind", "with_itemindex"]);
        let items = self.list(Self::mv_item);
        let limit = self.eat_word("limit").then(|| Box::new(self.expr()));
        OperatorKind::MvExpand { properties, items, limit }
    }

    pub(super) fn mv_apply(&mut self) -> OperatorKind {
        let properties = self.properties(&["bagexpansion", "kind", "with_itemindex"]);
        let items = self.list(Self::mv_item);
        let limit = self.eat_word("limit").then(|| Box::new(self.expr()));
        let id = self.eat_word("id").then(|| match self.peek() {
            token if matches!(token.kind, TokenKind::Typed | TokenKind::String) => {
                self.advance();
                Name { text: self.slice(token).to_owned(), place: token.start..token.end, quoted: true }
            }
            _ => self.name(Use::Refer),
        });
        self.expect_word("on");
        OperatorKind::MvApply { properties, items, limit, id, body: Box::new(self.sub_pipe()) }
    }

    /// `[name =] expr [to typeof(type)]`
    fn mv_item(&mut self) -> MvItem {
        let length = self.name_length(0);
        let name = (length > 0 && self.ahead_is(length, "=")).then(|| {
            let name = self.name(Use::Declare);
            self.advance();
            name
        });
        let expr = self.expr();
        let to: Option<Type> = if self.eat_word("to") { self.type_of() } else { None };
        MvItem { name, expr, to }
    }

    pub(super) fn parse(&mut self, where_: bool) -> OperatorKind {
        let properties = self.properties(&["kind", "flags"]);
        let expr = Box::new(self.expr());
        self.expect_word("with");
        let mut pattern = Vec::new();
        while let Some(part) = self.parse_part() {
            pattern.push(part);
        }
        OperatorKind::Parse { where_, properties, expr, pattern }
    }

    /// `*`, a string, or `name[:type]`.
    fn parse_part(&mut self) -> Option<ParsePart> {
        let start = self.peek().start;
        if self.eat("*") {
            return Some(ParsePart::Star { place: self.place_from(start) });
        }
        if self.peek().kind == TokenKind::String {
            let token = self.advance();
            return Some(ParsePart::Text { text: literals::string(self.slice(token)), place: token.start..token.end });
        }
        if !self.is_name() {
            return None;
        }
        let name = self.name(Use::Declare);
        let ty = self.eat(":").then(|| self.type_name());
        Some(ParsePart::Column { name, ty, place: self.place_from(start) })
    }

    pub(super) fn parse_kv(&mut self) -> OperatorKind {
        let expr = Box::new(self.expr());
        let columns = if self.expect_word("as") { self.columns() } else { Vec::new() };
        let options = if self.eat_word("with") {
            self.options(Some(&["pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex"]))
        } else {
            Vec::new()
        };
        OperatorKind::ParseKv { expr, columns, options }
    }

    /// `(name = value, …)`; any name if `known` is absent.
    pub(super) fn options(&mut self, known: Option<&[&'static str]>) -> Vec<Property> {
        self.bracketed("(", ")", |p| {
            known.unwrap_or_default().iter().for_each(|name| p.want(Want::Option(*name)));
            if known.is_some_and(|known| !p.word().is_some_and(|word| known.contains(&word))) {
                let names = known.unwrap_or_default().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
                p.expected(&format!("one of {}", names.join(", ")));
            }
            let name = if p.is_quoted_name(0) { p.name(Use::Declare) } else { p.any_word("a name") };
            p.expect("=");
            Property { name, value: p.property_value() }
        })
    }

    pub(super) fn make_series(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind"]);
        let aggregates = self.list(|p| {
            let expr = p.aggregate();
            let default = (p.is_word("default") && p.ahead_is(1, "=")).then(|| {
                p.at += 2;
                p.expr()
            });
            MakeSeriesAggregate { expr, default }
        });
        self.expect_word("on");
        let on = Box::new(self.named());
        let in_range = self.eat_word("in");
        let (mut from, mut to, mut step) = (None, None, None);
        if in_range {
            self.expect_word("range");
            let open = self.at;
            self.expect("(");
            from = Some(Box::new(self.expr()));
            self.expect(",");
            to = Some(Box::new(self.expr()));
            self.expect(",");
            step = Some(Box::new(self.expr()));
            self.expect_closing(")", open);
        } else {
            if self.eat_word("from") {
                from = Some(Box::new(self.expr()));
            }
            if self.eat_word("to") {
                to = Some(Box::new(self.expr()));
            }
            if self.expect_word("step") {
                step = Some(Box::new(self.expr()));
            }
        }
        let by = if self.eat_word("by") { self.named_list() } else { Vec::new() };
        OperatorKind::MakeSeries { properties, aggregates, on, from, to, step, in_range, by }
    }

    /// Levels, each preceded by the keyword; the first keyword has already been read.
    pub(super) fn top_nested(&mut self) -> OperatorKind {
        let mut levels = vec![self.top_nested_level()];
        while self.eat(",") {
            match self.operator_name() {
                (name, length) if name == "top-nested" => self.at += length,
                _ => self.expected("`top-nested`"),
            }
            levels.push(self.top_nested_level());
        }
        OperatorKind::TopNested(levels)
    }

    fn top_nested_level(&mut self) -> TopNestedLevel {
        let count = (!self.is_word("of")).then(|| self.expr());
        self.expect_word("of");
        let of = self.named();
        let others = (self.is_word("with") && self.ahead_word(1) == Some("others") && self.ahead_is(2, "=")).then(|| {
            self.at += 3;
            self.expr()
        });
        self.expect_word("by");
        let by = self.aggregate();
        let ascending = self.direction().unwrap_or(false);
        let nulls_first = self.nulls().unwrap_or(false);
        TopNestedLevel { count, of, others, by, ascending, nulls_first }
    }

    pub(super) fn evaluate(&mut self) -> OperatorKind {
        let properties = self.properties(&[]);
        self.want(Want::Plugin);
        let name = self.any_word("the name of a plug-in");
        let call = self.call(name);
        let (mut schema, mut schema_star) = (None, false);
        if self.eat(":") {
            let open = self.at;
            self.expect("(");
            // A comma may follow the star and the last column (Microsoft's parser).
            schema_star = self.eat("*");
            if schema_star {
                self.eat(",");
            }
            schema = Some(self.items_before(")", Self::column));
            self.expect_closing(")", open);
        }
        OperatorKind::Evaluate { properties, call, schema, schema_star }
    }

    /// `invoke f(…)`; of a path such as `f(…).g(…)` the last call is used.
    pub(super) fn invoke(&mut self) -> OperatorKind {
        if !self.ahead_is(self.name_length(0).max(1), "(") {
            let name = self.name(Use::Refer);
            return OperatorKind::Invoke(self.call(name));
        }
        match self.postfix().kind {
            ExprKind::Call(call) | ExprKind::MemberCall { call, .. } => OperatorKind::Invoke(call),
            _ => {
                self.expected("`(`");
                OperatorKind::Invoke(Call { name: self.no_name(), args: Vec::new() })
            }
        }
    }

    pub(super) fn partition(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind"]);
        self.expect_word("by");
        self.partition_body(properties)
    }

    /// `__partitionby`: a deprecated spelling.
    pub(super) fn partition_by(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind"]);
        self.partition_body(properties)
    }

    fn partition_body(&mut self, properties: Vec<Property>) -> OperatorKind {
        // A path without a call: the parenthesis after it opens the subquery.
        self.want(Want::Column);
        let start = self.peek().start;
        let mut by = Expr { place: start..start, kind: ExprKind::Name(self.name(Use::Refer)) };
        by.place = self.place_from(start);
        while self.is(".") && self.taller() {
            self.advance();
            let name = self.name(Use::Refer);
            by = Expr { kind: ExprKind::Member { object: Box::new(by), name }, place: self.place_from(start) };
        }
        let open = self.at;
        let body = if self.is("{") {
            self.advance();
            let query = if self.enter() { self.query() } else { self.error() };
            self.leave();
            self.expect_closing("}", open);
            PartitionBody::Query(query)
        } else {
            PartitionBody::Pipe(self.sub_pipe())
        };
        OperatorKind::Partition { properties, by: Box::new(by), body: Box::new(body) }
    }

    pub(super) fn render(&mut self) -> OperatorKind {
        self.want(Want::Chart);
        let visualization = self.any_word("the kind of chart");
        let mut properties = Vec::new();
        let open = self.at + 1;
        if self.eat_word("with") {
            if self.expect("(") {
                if !self.is(")") {
                    properties = self.list(Self::render_property);
                }
                self.expect_closing(")", open);
            }
        } else {
            while self.word().is_some_and(|word| word == "by" || CHART.contains(&word)) {
                properties.push(self.render_property());
            }
        }
        OperatorKind::Render { visualization, properties }
    }

    /// `name = value`, `by columns`; a value may be a comma-separated list of names, which ends before the next `name =`.
    fn render_property(&mut self) -> Property {
        if let Some(word) = self.word().filter(|word| !CHART.contains(word) && *word != "by") {
            let help = nearest(word, CHART.iter().copied()).map(|known| format!("did you mean `{known}`?"));
            self.report(codes::EXPECTED, format!("`{word}` is no property of a chart"), help);
        }
        CHART.iter().for_each(|name| self.want(Want::Option(*name)));
        let name = self.any_word("a property");
        if name.text != "by" {
            self.expect("=");
        }
        if name.text == "kind" {
            self.want(Want::Value { operator: self.operator, option: "kind" });
        } else {
            self.want(Want::Column);
        }
        let start = self.peek().start;
        let mut values = vec![self.render_value()];
        while self.is(",") && self.name_length(1) > 0 && !self.ahead_is(1 + self.name_length(1), "=") {
            self.advance();
            values.push(self.render_value());
        }
        let value = match values.len() {
            1 => values.swap_remove(0),
            _ => Expr { kind: ExprKind::List(values), place: self.place_from(start) },
        };
        Property { name, value }
    }

    fn render_value(&mut self) -> Expr {
        if self.name_length(0) > 0 && self.ahead_is(self.name_length(0), "(") { self.expr() } else { self.property_value() }
    }
}
