//! Tabular operators: one file per family, one line here.

mod apply;
mod columns;
mod count;
mod distinct;
mod evaluate;
mod extend;
mod filter;
mod find;
mod get_schema;
mod graph;
pub(crate) mod join;
mod make_series;
pub(crate) mod mv_expand;
mod parse;
mod print;
mod range;
mod reduce;
mod render;
mod rows;
mod scan;
mod search;
pub(super) mod several;
mod sort;
mod summarize;
mod top_nested;
pub(crate) mod union;

pub(super) use graph::is_graph;

use super::Binder;
use super::scope::{Cx, Env, Relation, Windows};
use crate::Value;
use crate::syntax::ast::{ExprKind, Operator, OperatorKind as Op, Property};

impl Binder<'_> {
    /// Binds one `| operator` over `input`. `env` is extended if the operator defines a name (`as`).
    pub(super) fn operator_over(&mut self, operator: &Operator, input: Relation, env: &mut Env) -> Relation {
        self.saw_input(operator.keyword.start, &input);
        let output = self.operator_applied(operator, input, env);
        self.saw_output(operator.keyword.start, &output);
        output
    }

    fn operator_applied(&mut self, operator: &Operator, input: Relation, env: &mut Env) -> Relation {
        let place = &operator.place;
        if is_graph(&input) && !graph::takes_graph(&operator.kind) {
            self.table_wanted(&operator.keyword, "this operator wants a table, what comes before it is a graph");
            return Relation::unknown();
        }
        self.check_options(&operator.kind);
        match &operator.kind {
            Op::Where(predicate) => self.filter_by(predicate, input, env),
            Op::Extend(items) => self.extend(items, input, env),
            Op::Serialize(items) => self.serialize(items, input, env),
            Op::Project(items) => self.project_items(items, input, env),
            Op::ProjectAway(names) => self.project_away(names, input),
            Op::ProjectKeep(names) => self.project_keep(names, input),
            Op::ProjectRename(items) => self.project_rename(items, input),
            Op::ProjectReorder(keys) => self.project_reorder(keys, input),
            Op::ProjectByNames(names) => self.project_by_names(names, input, env),
            Op::Summarize { aggregates, by, .. } => self.summarize(aggregates, by, input, env, place),
            Op::Distinct { columns, .. } => self.distinct(columns, input, env),
            Op::Count => self.count_rows(input),
            Op::Take { count, .. } => self.take(count, input, env),
            Op::Sort { keys, .. } => self.sort(keys, input, env),
            Op::Top { count, keys } => self.top(count, keys, input, env),
            Op::Join { properties, right, on } => self.join(properties, right, on, input, env, place),
            Op::Lookup { properties, right, on } => self.lookup(properties, right, on, input, env, place),
            Op::Union { properties, tables } => self.union(properties, tables, Some(input), env, place),
            Op::Search { properties, tables, predicate } => self.search(properties, tables, predicate, Some(input), env, place),
            Op::MvExpand { properties, items, limit } => self.mv_expand(properties, items, limit.as_deref(), input, env),
            Op::MvApply { properties, items, limit, body, .. } => {
                self.mv_apply(properties, items, limit.as_deref(), body, input, env, place)
            }
            Op::Partition { properties, by, body } => self.partition(properties, by, body, input, env, place),
            Op::Parse { where_, properties, expr, pattern } => self.parse_by(*where_, properties, expr, pattern, input, env, place),
            Op::ParseKv { expr, columns, options } => self.parse_kv(expr, columns, options, input, env),
            Op::MakeSeries { properties, aggregates, on, from, to, step, in_range, by } => {
                let nonempty = self.kind_of(properties, env).is_some_and(|kind| kind == "nonempty");
                let (from, to, step) = (from.as_deref(), to.as_deref(), step.as_deref());
                let clauses = make_series::Clauses { aggregates, on, from, to, step, in_range: *in_range, nonempty, by };
                self.make_series(&clauses, input, env, place)
            }
            Op::TopNested(levels) => self.top_nested(levels, input, env),
            Op::TopHitters { count, of, by } => self.top_hitters(count, of, by.as_deref(), input, env),
            Op::SampleDistinct { count, of } => self.sample_distinct(count, of, input, env),
            Op::Scan { properties, declare, order, partition, steps } => {
                let clauses = scan::Clauses { properties, declare, order, partition, steps };
                self.scan_steps(&clauses, input, env, place)
            }
            Op::Evaluate { call, schema, schema_star, .. } => self.evaluate(call, schema.as_deref(), *schema_star, input, env, place),
            Op::Render { visualization, properties } => self.render(visualization, properties, input, env),
            Op::As { name, .. } => self.name_as(name, input, env),
            Op::Invoke(call) => self.table_call(call, Some(input), place, &mut Cx::constant(env)),
            Op::GetSchema => self.get_schema(input, place),
            Op::Consume => self.consume(input),
            Op::Sample { count } => self.sample(count, input, env),
            Op::AssertSchema(columns) => self.assert_schema(columns, input, place),
            Op::MakeGraph { source, target, properties, nodes, partitioned_by } => {
                let clauses = graph::Clauses { source, target, properties, nodes, partitioned_by: partitioned_by.as_ref() };
                self.make_graph(&clauses, input, env)
            }
            Op::GraphMatch { properties, patterns, condition, project, shortest } => {
                let clauses = graph::PatternClauses { properties, patterns, condition: condition.as_deref(), project, shortest: *shortest };
                self.graph_match(&clauses, input, env, &operator.keyword)
            }
            Op::GraphMarkComponents(properties) => self.mark_components(properties, input, env, &operator.keyword),
            Op::GraphToTable(tables) => self.graph_to_table(tables, input, env, &operator.keyword),
            Op::Reduce { by, options } => self.reduce(by, options, input, env),
            Op::Fork(branches) => self.fork(branches, input, env, place),
            Op::Facet { by, with } => self.facet(by, with.as_deref(), input, env, place),
            Op::Print(_) | Op::Range { .. } | Op::Find { .. } => {
                self.report(super::diagnostics::TABLE_WANTED, &operator.keyword, "this operator stands at the beginning of a query");
                Relation::unknown()
            }
            other => {
                self.unsupported(&operator.keyword, &format!("`{}`", name_of(other)));
                Relation::unknown()
            }
        }
    }

    /// In a check: each option occurs once and has a valid value.
    fn check_options(&mut self, operator: &Op) {
        if !self.strict {
            return;
        }
        let (properties, strategies): (&[Property], &[&str]) = match operator {
            Op::Join { properties, .. } => (properties, &["auto", "broadcast", "centralized", "shuffle"]),
            Op::Summarize { properties, .. } => (properties, &["shuffle"]),
            Op::Lookup { properties, .. }
            | Op::Union { properties, .. }
            | Op::MvExpand { properties, .. }
            | Op::MvApply { properties, .. }
            | Op::Parse { properties, .. }
            | Op::Distinct { properties, .. }
            | Op::Take { properties, .. }
            | Op::Sort { properties, .. }
            | Op::MakeSeries { properties, .. } => (properties, &[]),
            _ => return,
        };
        for (index, property) in properties.iter().enumerate() {
            let name = property.name.text.as_str();
            if properties[..index].iter().any(|before| before.name.text == name) {
                self.report(super::diagnostics::BAD_OPTION, &property.name.place, format!("`{name}` stands here twice"));
            }
            let value = match &property.value.kind {
                ExprKind::Name(name) => Some(name.text.as_str()),
                _ => None,
            };
            let wrong = match name {
                "hint.strategy" => !strategies.is_empty() && !value.is_some_and(|value| strategies.contains(&value)),
                "isfuzzy" => matches!(operator, Op::Union { .. }) && !matches!(property.value.kind, ExprKind::Literal(Value::Bool(_))),
                "kind" => matches!(operator, Op::Join { .. }) && value.is_none(),
                "hint.shufflekey" => !self.around_open && value.is_some_and(|value| !self.around.iter().any(|field| *field.name == *value)),
                _ => false,
            };
            if wrong {
                self.report(super::diagnostics::BAD_OPTION, &property.value.place, format!("this is no value of `{name}`"));
            }
        }
    }

    /// Binds an operator that starts a query.
    pub(super) fn source_operator(&mut self, operator: &Operator, env: &Env) -> Relation {
        let place = &operator.place;
        self.check_options(&operator.kind);
        match &operator.kind {
            Op::Union { properties, tables } => self.union(properties, tables, None, env, place),
            Op::Print(items) => self.print(items, env),
            Op::Range { name, from, to, step } => self.range(name, [from, to, step], env, place),
            Op::Search { properties, tables, predicate } => self.search(properties, tables, predicate, None, env, place),
            Op::Find { properties, tables, predicate, project, .. } => {
                let (predicate, project) = (predicate.as_deref(), project.as_deref());
                self.find(&find::Clauses { properties, tables, predicate, project }, env, place)
            }
            Op::Evaluate { call, .. } => {
                if !self.refused_plugin(&call.name) {
                    let help = Some("rows come first: `T | evaluate …`".to_owned());
                    let message = format!("`{}` stands behind the rows that it takes", call.name.text);
                    self.report_with(super::diagnostics::TABLE_WANTED, &operator.keyword, message, help);
                }
                Relation::unknown()
            }
            Op::MacroExpand => {
                let help = "name the tables of this workspace: `union withsource=T A, B | …`".to_owned();
                let message = "`macro-expand` runs a query over several clusters or databases, and there is one workspace here";
                self.report_with(super::diagnostics::UNSUPPORTED, &operator.keyword, message, Some(help));
                Relation::unknown()
            }
            other => {
                self.unsupported(&operator.keyword, &format!("`{}`", name_of(other)));
                Relation::unknown()
            }
        }
    }

    /// Window functions are allowed if the rows have an order.
    fn windows_over(input: &Relation) -> Option<Windows> {
        input.rel.serialized.then(Windows::default)
    }
}

/// The value of a property such as `kind=inner`.
fn property<'p>(properties: &'p [Property], name: &str) -> Option<&'p Property> {
    properties.iter().find(|property| property.name.text.eq_ignore_ascii_case(name))
}

/// An operator's name as written.
fn name_of(operator: &Op) -> &str {
    match operator {
        Op::TopHitters { .. } => "top-hitters",
        Op::TopNested(_) => "top-nested",
        Op::MvExpand { .. } => "mv-expand",
        Op::MvApply { .. } => "mv-apply",
        Op::Parse { where_: true, .. } => "parse-where",
        Op::Parse { .. } => "parse",
        Op::ParseKv { .. } => "parse-kv",
        Op::MakeSeries { .. } => "make-series",
        Op::SampleDistinct { .. } => "sample-distinct",
        Op::Evaluate { .. } => "evaluate",
        Op::Partition { .. } => "partition",
        Op::Scan { .. } => "scan",
        Op::GraphWhereNodes(_) => "graph-where-nodes",
        Op::GraphWhereEdges(_) => "graph-where-edges",
        Op::Unknown(name) => &name.text,
        _ => "this operator",
    }
}
