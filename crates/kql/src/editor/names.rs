//! Names defined and used in a text: `let`s, functions, parameters, `as`, and columns created by operators.
//!
//! Variables are resolved lexically: a name refers to the nearest preceding definition. A column of the same name takes precedence, which
//! only binding knows.

use std::collections::HashSet;

use model::Timestamp;

use crate::bind::trace::Trace;
use crate::bind::{Schema, bind_traced};
use crate::syntax::ast::{
    Call, Expr, ExprKind, Function, GraphElement, JoinOn, LetValue, Name, Operator, OperatorKind as Op, ParsePart, PartitionBody, Place,
    Property, Script, SortKey, StatementKind, SubPipe,
};
use crate::syntax::parse;

/// The kind of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    Value,
    Table,
    Function,
    Parameter,
    QueryParameter,
    /// `as name`
    As,
}

/// A named definition, for outlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub kind: SymbolKind,
    /// Span of the name.
    pub place: Place,
    /// Span of the whole definition.
    pub whole: Place,
}

/// A use of a name.
#[derive(Clone, Debug)]
pub struct Use {
    pub name: Name,
    /// The preceding definition; `None` if there is none in the text.
    pub definition: Option<usize>,
    /// True if it may refer to a column, which takes precedence.
    pub scalar: bool,
}

/// A column created by an operator.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: Name,
    /// Start of the keyword of the operator that creates it, and of the next operator.
    pub by: Option<usize>,
    pub next: Option<usize>,
}

#[derive(Default)]
pub struct Names {
    pub definitions: Vec<Symbol>,
    pub uses: Vec<Use>,
    pub made: Vec<Made>,
    /// Definitions visible at the end of the text.
    pub in_sight: Vec<usize>,
    operator: Option<usize>,
    next: Option<usize>,
}

impl Names {
    /// All names of a script. `end` is the end of the text without trailing white space: the definitions visible there are recorded.
    pub fn of(script: &Script, end: usize) -> Self {
        let mut names = Self::default();
        names.script(script, &mut Vec::new(), end);
        names
    }

    fn script(&mut self, script: &Script, env: &mut Vec<usize>, end: usize) {
        for statement in &script.statements {
            // If the text ends in this statement, only definitions before it are visible.
            self.in_sight.clone_from(env);
            match &statement.kind {
                StatementKind::Let { name, value } => {
                    let kind = match value {
                        LetValue::Function(_) => SymbolKind::Function,
                        LetValue::Expr(expr) if is_table(expr) => SymbolKind::Table,
                        LetValue::Expr(_) => SymbolKind::Value,
                    };
                    match value {
                        LetValue::Expr(expr) => self.query(expr, env, end),
                        LetValue::Function(function) => self.function(function, env, end),
                    }
                    let defined = self.define(name, kind, statement.place.clone());
                    env.push(defined);
                }
                StatementKind::QueryParameters(parameters) => {
                    for parameter in parameters {
                        let defined = self.define(&parameter.name, SymbolKind::QueryParameter, parameter.name.place.clone());
                        env.push(defined);
                    }
                }
                StatementKind::Pattern(pattern) => {
                    for case in &pattern.cases {
                        let mut inner = env.clone();
                        for parameter in pattern.parameters.iter().chain(&pattern.path) {
                            let defined = self.define(&parameter.name, SymbolKind::Parameter, parameter.name.place.clone());
                            inner.push(defined);
                        }
                        self.script(&case.body, &mut inner, end);
                    }
                    let defined = self.define(&pattern.name, SymbolKind::Function, statement.place.clone());
                    env.push(defined);
                }
                StatementKind::Query(query) => self.query(query, env, end),
                StatementKind::Set { .. } | StatementKind::Other { .. } => {}
            }
            if statement.place.end < end {
                self.in_sight.clone_from(env);
            }
        }
    }

    fn define(&mut self, name: &Name, kind: SymbolKind, whole: Place) -> usize {
        self.definitions.push(Symbol { name: name.text.clone(), kind, place: name.place.clone(), whole });
        self.definitions.len() - 1
    }

    fn function(&mut self, function: &Function, env: &[usize], end: usize) {
        let mut inner = env.to_vec();
        for parameter in &function.parameters {
            let defined = self.define(&parameter.name, SymbolKind::Parameter, parameter.name.place.clone());
            inner.push(defined);
        }
        let outside = self.in_sight.clone();
        self.script(&function.body, &mut inner, end);
        if function.place.end >= end {
            if function.body.statements.is_empty() {
                self.in_sight = inner;
            }
        } else {
            self.in_sight = outside;
        }
    }

    fn find(&self, name: &str, env: &[usize]) -> Option<usize> {
        env.iter().rev().copied().find(|index| self.definitions[*index].name == name)
    }

    fn used(&mut self, name: &Name, env: &[usize], scalar: bool) {
        if !name.text.is_empty() {
            let definition = self.find(&name.text, env);
            self.uses.push(Use { name: name.clone(), definition, scalar });
        }
    }

    fn made(&mut self, name: &Name) {
        if !name.text.is_empty() {
            self.made.push(Made { name: name.clone(), by: self.operator, next: self.next });
        }
    }

    /// An expression that may contain tables and values. `as` names are visible to the end of its pipe.
    fn query(&mut self, expr: &Expr, env: &mut Vec<usize>, end: usize) {
        let depth = env.len();
        self.expr(expr, env, false, end);
        if expr.place.end < end {
            env.truncate(depth);
        } else {
            self.in_sight.clone_from(env);
            env.truncate(depth);
        }
    }

    fn exprs(&mut self, exprs: &[Expr], env: &mut Vec<usize>, end: usize) {
        for expr in exprs {
            self.expr(expr, env, true, end);
        }
    }

    fn call(&mut self, call: &Call, env: &mut Vec<usize>, end: usize) {
        self.used(&call.name, env, false);
        for arg in &call.args {
            match &arg.kind {
                // A parameter name, which belongs to the called function.
                ExprKind::Named { value, .. } => self.expr(value, env, true, end),
                _ => self.expr(arg, env, true, end),
            }
        }
    }

    fn expr(&mut self, expr: &Expr, env: &mut Vec<usize>, scalar: bool, end: usize) {
        match &expr.kind {
            ExprKind::Name(name) => self.used(name, env, scalar),
            ExprKind::Call(call) => self.call(call, env, end),
            ExprKind::Member { object, name } => {
                // A side of a join: the member is a column.
                if let ExprKind::Name(side) = &object.kind
                    && side.text.starts_with('$')
                {
                    self.uses.push(Use { name: name.clone(), definition: None, scalar: true });
                    return;
                }
                self.expr(object, env, scalar, end);
            }
            ExprKind::MemberCall { object, call } => {
                self.expr(object, env, scalar, end);
                self.exprs(&call.args, env, end);
            }
            ExprKind::Index { object, index } => {
                self.expr(object, env, scalar, end);
                self.expr(index, env, scalar, end);
            }
            ExprKind::Unary { operand, .. } => self.expr(operand, env, scalar, end),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left, env, scalar, end);
                self.expr(right, env, scalar, end);
            }
            ExprKind::In { left, list, .. } => {
                self.expr(left, env, scalar, end);
                self.exprs(list, env, end);
            }
            ExprKind::Between { operand, low, high, .. } => {
                for part in [operand, low, high] {
                    self.expr(part, env, scalar, end);
                }
            }
            ExprKind::Named { names, value } => {
                names.iter().for_each(|name| self.made(name));
                self.expr(value, env, scalar, end);
            }
            ExprKind::Paren(inner) => {
                let depth = env.len();
                self.expr(inner, env, scalar, end);
                if inner.place.end < end {
                    env.truncate(depth);
                }
            }
            ExprKind::ToScalar(inner) | ExprKind::Materialize(inner) => self.query(inner, env, end),
            ExprKind::Pipe { source, operators } => {
                self.next = operators.first().map(|operator| operator.keyword.start);
                self.operator = None;
                self.expr(source, env, false, end);
                self.operators(operators, env, end);
            }
            ExprKind::Source(operator) => self.operator(operator, env, end),
            ExprKind::DataTable { columns, .. } | ExprKind::ExternalData { columns, .. } => {
                columns.iter().for_each(|(name, _)| self.made(name));
            }
            ExprKind::List(items) => self.exprs(items, env, end),
            ExprKind::Literal(_) | ExprKind::Dynamic(_) | ExprKind::Star | ExprKind::Wildcard(_) | ExprKind::Error => {}
        }
    }

    fn operators(&mut self, operators: &[Operator], env: &mut Vec<usize>, end: usize) {
        for (index, operator) in operators.iter().enumerate() {
            self.operator = Some(operator.keyword.start);
            self.next = operators.get(index + 1).map(|next| next.keyword.start);
            self.operator(operator, env, end);
        }
    }

    fn pipe(&mut self, pipe: &SubPipe, env: &mut Vec<usize>, end: usize) {
        let (operator, next, depth) = (self.operator, self.next, env.len());
        self.operators(&pipe.operators, env, end);
        (self.operator, self.next) = (operator, next);
        if pipe.place.end < end {
            env.truncate(depth);
        }
    }

    /// An additional input table of an operator.
    fn side(&mut self, table: &Expr, env: &mut Vec<usize>, end: usize) {
        let (operator, next) = (self.operator, self.next);
        self.expr(table, env, false, end);
        (self.operator, self.next) = (operator, next);
    }

    fn keys(&mut self, keys: &[SortKey], env: &mut Vec<usize>, end: usize) {
        for key in keys {
            self.expr(&key.expr, env, true, end);
        }
    }

    fn properties(&mut self, properties: &[Property]) {
        for property in properties {
            // Options that name a column.
            if matches!(property.name.text.as_str(), "withsource" | "with_source" | "with_itemindex" | "with_match_id" | "with_step_name")
                && let ExprKind::Name(name) = &property.value.kind
            {
                self.made(name);
            }
        }
    }

    fn operator(&mut self, operator: &Operator, env: &mut Vec<usize>, end: usize) {
        match &operator.kind {
            Op::Where(expr) | Op::GraphWhereNodes(expr) | Op::GraphWhereEdges(expr) => self.expr(expr, env, true, end),
            Op::Extend(items)
            | Op::Project(items)
            | Op::ProjectAway(items)
            | Op::ProjectKeep(items)
            | Op::ProjectRename(items)
            | Op::ProjectByNames(items)
            | Op::Serialize(items)
            | Op::Print(items) => self.exprs(items, env, end),
            Op::ProjectReorder(keys) => self.keys(keys, env, end),
            Op::Summarize { aggregates, by, .. } => {
                self.exprs(aggregates, env, end);
                self.exprs(by, env, end);
            }
            Op::Distinct { columns, .. } => self.exprs(columns, env, end),
            Op::Count
            | Op::GetSchema
            | Op::Consume
            | Op::GraphMarkComponents(_)
            | Op::AssertSchema(_)
            | Op::MacroExpand
            | Op::Unknown(_) => {}
            Op::Take { count, .. } | Op::Sample { count } => self.expr(count, env, true, end),
            Op::Sort { keys, .. } => self.keys(keys, env, end),
            Op::Top { count, keys } => {
                self.expr(count, env, true, end);
                self.keys(keys, env, end);
            }
            Op::TopHitters { count, of, by } => {
                self.expr(count, env, true, end);
                self.expr(of, env, true, end);
                if let Some(by) = by {
                    self.expr(by, env, true, end);
                }
            }
            Op::TopNested(levels) => {
                for level in levels {
                    for expr in level.count.iter().chain([&level.of]).chain(&level.others).chain([&level.by]) {
                        self.expr(expr, env, true, end);
                    }
                }
            }
            Op::Join { right, on, .. } | Op::Lookup { right, on, .. } => {
                self.side(right, env, end);
                if let JoinOn::Conditions(conditions) = on {
                    self.exprs(conditions, env, end);
                }
            }
            Op::Union { properties, tables } => {
                self.properties(properties);
                tables.iter().for_each(|table| self.side(table, env, end));
            }
            Op::MvExpand { properties, items, limit } => {
                self.properties(properties);
                for item in items {
                    item.name.iter().for_each(|name| self.made(name));
                    self.expr(&item.expr, env, true, end);
                }
                if let Some(limit) = limit {
                    self.expr(limit, env, true, end);
                }
            }
            Op::MvApply { properties, items, limit, body, .. } => {
                self.properties(properties);
                for item in items {
                    // Set by the first operator of the body.
                    let (by, next) = (self.operator.take(), self.next);
                    self.next = body.operators.first().map(|operator| operator.keyword.start);
                    item.name.iter().for_each(|name| self.made(name));
                    (self.operator, self.next) = (by, next);
                    self.expr(&item.expr, env, true, end);
                }
                if let Some(limit) = limit {
                    self.expr(limit, env, true, end);
                }
                self.pipe(body, env, end);
            }
            Op::Parse { expr, pattern, .. } => {
                self.expr(expr, env, true, end);
                for part in pattern {
                    if let ParsePart::Column { name, .. } = part {
                        self.made(name);
                    }
                }
            }
            Op::ParseKv { expr, columns, .. } => {
                self.expr(expr, env, true, end);
                columns.iter().for_each(|(name, _)| self.made(name));
            }
            Op::MakeSeries { aggregates, on, from, to, step, by, .. } => {
                for aggregate in aggregates {
                    self.expr(&aggregate.expr, env, true, end);
                    if let Some(default) = &aggregate.default {
                        self.expr(default, env, true, end);
                    }
                }
                for expr in [Some(on), from.as_ref(), to.as_ref(), step.as_ref()].into_iter().flatten() {
                    self.expr(expr, env, true, end);
                }
                self.exprs(by, env, end);
            }
            Op::SampleDistinct { count, of } => {
                self.expr(count, env, true, end);
                self.expr(of, env, true, end);
            }
            Op::Reduce { by, .. } => self.expr(by, env, true, end),
            Op::Render { properties, .. } => {
                for property in properties {
                    if matches!(property.value.kind, ExprKind::Name(_) | ExprKind::List(_)) && property.name.text != "kind" {
                        self.expr(&property.value, env, true, end);
                    }
                }
            }
            Op::Evaluate { call, schema, .. } => {
                for arg in &call.args {
                    match &arg.kind {
                        ExprKind::Named { value, .. } => self.side(value, env, end),
                        ExprKind::Name(name) => self.used(name, env, true),
                        _ => self.side(arg, env, end),
                    }
                }
                schema.iter().flatten().for_each(|(name, _)| self.made(name));
            }
            Op::Invoke(call) => self.call(call, env, end),
            Op::As { name, .. } => {
                let defined = self.define(name, SymbolKind::As, operator.place.clone());
                env.push(defined);
            }
            Op::Partition { by, body, .. } => {
                self.expr(by, env, true, end);
                match &**body {
                    PartitionBody::Pipe(pipe) => self.pipe(pipe, env, end),
                    PartitionBody::Query(query) => self.side(query, env, end),
                }
            }
            Op::Scan { properties, declare, order, partition, steps } => {
                self.properties(properties);
                declare.iter().for_each(|parameter| self.made(&parameter.name));
                self.keys(order, env, end);
                self.exprs(partition, env, end);
                for step in steps {
                    self.expr(&step.condition, env, true, end);
                    for (name, value) in &step.assignments {
                        self.uses.push(Use { name: name.clone(), definition: None, scalar: true });
                        self.expr(value, env, true, end);
                    }
                }
            }
            Op::Fork(branches) => branches.iter().for_each(|(_, pipe)| self.pipe(pipe, env, end)),
            Op::Facet { by, with } => {
                self.exprs(by, env, end);
                if let Some(pipe) = with {
                    self.pipe(pipe, env, end);
                }
            }
            Op::Search { tables, predicate, .. } => {
                tables.iter().for_each(|table| self.side(table, env, end));
                self.expr(predicate, env, true, end);
            }
            Op::Find { tables, predicate, project, project_away, .. } => {
                tables.iter().for_each(|table| self.side(table, env, end));
                if let Some(predicate) = predicate {
                    self.expr(predicate, env, true, end);
                }
                self.exprs(project.as_deref().unwrap_or_default(), env, end);
                self.exprs(project_away, env, end);
            }
            Op::Range { name, from, to, step } => {
                self.made(name);
                for expr in [from, to, step] {
                    self.expr(expr, env, true, end);
                }
            }
            Op::MakeGraph { source, target, nodes, .. } => {
                for name in [source, target] {
                    self.used(name, env, true);
                }
                for (table, key) in nodes {
                    self.side(table, env, end);
                    self.used(key, env, true);
                }
            }
            Op::GraphMatch { patterns, condition, project, .. } => {
                for element in patterns.iter().flatten() {
                    if let GraphElement::Edge { range: Some((least, most)), .. } = element {
                        self.expr(least, env, true, end);
                        self.expr(most, env, true, end);
                    }
                }
                if let Some(condition) = condition {
                    self.expr(condition, env, true, end);
                }
                self.exprs(project, env, end);
            }
            Op::GraphToTable(_) => {}
        }
    }
}

/// True if an expression can only be a table, syntactically.
fn is_table(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => is_table(inner),
        ExprKind::Pipe { .. }
        | ExprKind::Source(_)
        | ExprKind::Materialize(_)
        | ExprKind::DataTable { .. }
        | ExprKind::ExternalData { .. } => true,
        _ => false,
    }
}

/// The outline of a text: `let`s, functions with their parameters, query parameters, `as`.
pub fn symbols(text: &str) -> Vec<Symbol> {
    let parsed = parse(text);
    Names::of(&parsed.script, text.len() + 1).definitions
}

/// What a name in the text refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A definition, by its index.
    Variable(usize),
    /// A column created in the text, by the position of its name.
    Column(Place),
}

/// Names with their binding trace.
pub struct Resolved {
    pub names: Names,
    pub trace: Trace,
}

impl Resolved {
    pub fn of(text: &str, schema: &dyn Schema, now: Timestamp) -> Self {
        let parsed = parse(text);
        let (_, trace) = bind_traced(&parsed, schema, now);
        Self { names: Names::of(&parsed.script, text.len() + 1), trace }
    }

    /// The name at `offset`, and what it refers to.
    pub fn at(&self, offset: usize) -> Option<(Name, Option<Target>)> {
        let inside = |place: &Place| place.start <= offset && offset <= place.end;
        if let Some(index) = self.names.definitions.iter().position(|definition| inside(&definition.place)) {
            let definition = &self.names.definitions[index];
            let name = Name { text: definition.name.clone(), place: definition.place.clone(), quoted: false };
            return Some((name, Some(Target::Variable(index))));
        }
        if let Some(made) = self.names.made.iter().find(|made| inside(&made.name.place)) {
            return Some((made.name.clone(), Some(Target::Column(made.name.place.clone()))));
        }
        let found = self.names.uses.iter().find(|used| inside(&used.name.place))?;
        let column = self.trace.columns.contains_key(&found.name.place.start);
        if !column && let Some(index) = found.definition {
            return Some((found.name.clone(), Some(Target::Variable(index))));
        }
        if !column {
            return Some((found.name.clone(), None));
        }
        let group = self.group(&found.name);
        let made =
            self.names.made.iter().filter(|made| made.name.text == found.name.text && made.name.place.start < found.name.place.start);
        let made = made.filter(|made| self.ids_made(made).iter().any(|id| group.contains(id))).last();
        Some((found.name.clone(), made.map(|made| Target::Column(made.name.place.clone()))))
    }

    /// The ids of a column created by an operator: in its output, or in the input of the next operator.
    pub fn ids_made(&self, made: &Made) -> Vec<crate::plan::ColumnId> {
        let steps = &self.trace.steps;
        let out = made.by.and_then(|by| steps.get(&by)).map(|step| &step.output);
        let into = made.next.and_then(|next| steps.get(&next)).map(|step| &step.input);
        let columns = out.into_iter().chain(into).flat_map(|columns| &columns.columns);
        columns.filter(|column| column.name == made.name.text).map(|column| column.id).collect()
    }

    /// All ids of the column that `name` refers to, along the pipe.
    pub fn group(&self, name: &Name) -> Vec<crate::plan::ColumnId> {
        let mut group: Vec<crate::plan::ColumnId> =
            self.trace.columns.get(&name.place.start).into_iter().flatten().map(|column| column.id).collect();
        for made in self.names.made.iter().filter(|made| made.name.place == name.place) {
            group.extend(self.ids_made(made));
        }
        self.grow(&mut group, &name.text);
        group
    }

    /// Follows a column through operators that pass it on with a new id.
    fn grow(&self, group: &mut Vec<crate::plan::ColumnId>, name: &str) {
        let remade: HashSet<usize> = self.names.made.iter().filter(|made| made.name.text == name).filter_map(|made| made.by).collect();
        loop {
            let before = group.len();
            for (at, step) in &self.trace.steps {
                if remade.contains(at) {
                    continue;
                }
                let find = |columns: &crate::bind::trace::Columns| {
                    columns.columns.iter().find(|column| column.name == name).map(|column| column.id)
                };
                let (Some(into), Some(out)) = (find(&step.input), find(&step.output)) else { continue };
                match (group.contains(&into), group.contains(&out)) {
                    (true, false) => group.push(out),
                    (false, true) => group.push(into),
                    _ => {}
                }
            }
            if group.len() == before {
                return;
            }
        }
    }
}

/// Where the name at `offset` is defined: a `let`, a parameter, `as`, or the operator that creates the column.
pub fn definition(text: &str, offset: usize, schema: &dyn Schema, now: Timestamp) -> Option<Place> {
    let resolved = Resolved::of(text, schema, now);
    match resolved.at(super::boundary(text, offset))?.1? {
        Target::Variable(index) => resolved.names.definitions.get(index).map(|definition| definition.place.clone()),
        Target::Column(place) => Some(place),
    }
}
