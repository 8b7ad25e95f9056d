//! `make-graph` and the graph operators. How graphs are passed between them: see [`crate::ops::graph`].

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use model::Type;

use super::extend::item;
use super::property;
use crate::bind::elements::{Element, Elements, column_name, node_field};
use crate::bind::naming::Names;
use crate::bind::scope::{Binding, Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::graph::matching::{LambdaKind, Match};
use crate::ops::graph::walk::{Cycles, Direction, Pattern, PatternEdge};
use crate::ops::graph::{GraphOp, GraphSource, NodeFrom, NodeProperty, Work};
use crate::plan::{Field, Rel, RelOp};
use crate::syntax::ast::{
    Expr, ExprKind, GraphDirection, GraphElement, GraphTable, Name, Operator, OperatorKind, Place, Property, SubPipe,
};

/// Maximum number of hops of a variable-length edge.
const MOST_HOPS: i64 = 1_000_000;

/// The clauses of `make-graph`.
pub(super) struct Clauses<'a> {
    pub source: &'a Name,
    pub target: &'a Name,
    pub properties: &'a [Property],
    pub nodes: &'a [(Expr, Name)],
    pub partitioned_by: Option<&'a (Name, SubPipe)>,
}

/// The clauses of `graph-match` and `graph-shortest-paths`.
pub(super) struct PatternClauses<'a> {
    pub properties: &'a [Property],
    pub patterns: &'a [Vec<GraphElement>],
    pub condition: Option<&'a Expr>,
    pub project: &'a [Expr],
    pub shortest: bool,
}

/// The graph input of an operator.
struct Asked {
    graph: GraphSource,
    inputs: Vec<Rel>,
    open: bool,
}

/// The graph a relation represents, if any.
fn graph_of(relation: &Relation) -> Option<&GraphSource> {
    let RelOp::Op { op, .. } = &relation.rel.op else { return None };
    let op: &dyn Any = op.as_ref();
    op.downcast_ref::<GraphOp>().filter(|op| matches!(op.work, Work::Make)).map(|op| &op.graph)
}

pub(in crate::bind) fn is_graph(relation: &Relation) -> bool {
    graph_of(relation).is_some()
}

/// True for operators that take a graph.
pub(super) fn takes_graph(operator: &OperatorKind) -> bool {
    use OperatorKind as Op;
    matches!(
        operator,
        Op::GraphMatch { .. } | Op::GraphToTable(_) | Op::GraphMarkComponents(_) | Op::GraphWhereNodes(_) | Op::GraphWhereEdges(_)
    )
}

impl Binder<'_> {
    /// Reports a graph used in place of a table.
    pub(in crate::bind) fn table_wanted(&mut self, place: &Place, what: &str) {
        let help = "`graph-match … project …` and `graph-to-table nodes` make a table of a graph".to_owned();
        self.report_with(code::TABLE_WANTED, place, what, Some(help));
    }

    pub(super) fn make_graph(&mut self, clauses: &Clauses, input: Relation, env: &Env) -> Relation {
        let mut open = input.open;
        let source = self.id_column(clauses.source, &input);
        let target = self.id_column(clauses.target, &input);
        let mut nodes: Vec<NodeProperty> = Vec::new();
        let (mut keys, mut tables) = (Vec::new(), Vec::new());
        for (number, (table, key)) in clauses.nodes.iter().enumerate() {
            let relation = self.table(table, env);
            open |= relation.open;
            keys.push(self.id_column(key, &relation));
            for field in relation.visible() {
                match nodes.iter_mut().find(|property| property.name == field.name) {
                    Some(property) => {
                        // If types differ, the property is dynamic.
                        property.ty = if property.ty == field.ty { field.ty } else { Type::Dynamic };
                        if let NodeFrom::Tables(columns) = &mut property.from {
                            columns.push((number, field.clone()));
                        }
                    }
                    None => {
                        let from = NodeFrom::Tables(vec![(number, field.clone())]);
                        nodes.push(NodeProperty { name: field.name.clone(), ty: field.ty, from });
                    }
                }
            }
            tables.push(relation);
        }
        if let Some(id) = property(clauses.properties, "with_node_id") {
            match self.text(&id.value, "the name of the nodes' id", env) {
                Some(name) if name.is_empty() => self.report(code::BAD_OPTION, &id.value.place, "the nodes' id needs a name"),
                Some(name) => {
                    let ty = source.as_ref().map_or(Type::String, |field| field.ty);
                    nodes.push(NodeProperty { name: name.as_str().into(), ty, from: NodeFrom::Id });
                }
                None => {}
            }
        }
        let mut partition = Vec::new();
        if let Some((column, _)) = clauses.partitioned_by {
            for relation in std::iter::once(&input).chain(&tables) {
                partition.extend(self.partition_column(column, relation));
            }
            if let Some(other) = partition.iter().find(|field: &&Field| field.ty != partition[0].ty) {
                let message = format!("`{}` is a {} in one table and a {} in another", column.text, partition[0].ty, other.ty);
                self.report(code::WRONG_TYPE, &column.place, message);
            }
        }
        let (Some(source), Some(target), Some(keys)) = (source, target, keys.into_iter().collect::<Option<Vec<_>>>()) else {
            return Relation::unknown();
        };
        for ((_, key), column) in clauses.nodes.iter().zip(&keys) {
            let meets = source.ty == column.ty || source.ty.is_numeric() && column.ty.is_numeric();
            if !meets && ![&source, column].iter().any(|field| self.unknown.contains(&field.id)) {
                let message =
                    format!("`{}` is a {}, and `{}` a {}: ids of nodes are of one type", key.text, column.ty, source.name, source.ty);
                self.report(code::WRONG_TYPE, &key.place, message);
            }
        }
        if let (Some((column, _)), true) = (clauses.partitioned_by, clauses.nodes.is_empty()) {
            let help = "`make-graph source --> target with Nodes on id partitioned-by …`".to_owned();
            self.report_with(code::BAD_OPTION, &column.place, "`partitioned-by` needs a table of nodes", Some(help));
        }
        let edges = input.visible().cloned().collect();
        let graph = GraphSource { source, target, edges, keys, nodes, partition };
        let inputs = std::iter::once(input.rel).chain(tables.into_iter().map(|table| table.rel)).collect();
        let made = self.graph(Asked { graph, inputs, open });
        match clauses.partitioned_by {
            Some((_, body)) => self.each_part(&body.operators, made, env),
            None => made,
        }
    }

    /// Runs the operators on each part of a partitioned graph.
    fn each_part(&mut self, operators: &[Operator], graph: Relation, env: &Env) -> Relation {
        let mut env = env.clone();
        let mut relation = graph;
        for operator in operators {
            if !is_graph(&relation) {
                let message = "an operator on the table of each part";
                self.unsupported(&operator.keyword, message);
                return Relation::unknown();
            }
            relation = self.operator_over(operator, relation, &mut env);
        }
        relation
    }

    fn graph(&mut self, asked: Asked) -> Relation {
        self.answer(asked, Work::Make, Vec::new())
    }

    fn answer(&mut self, asked: Asked, work: Work, fields: Vec<Field>) -> Relation {
        let op = RelOp::Op { op: Arc::new(GraphOp::new(asked.graph, work)), inputs: asked.inputs };
        Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open: asked.open }
    }

    /// A column with node ids.
    fn id_column(&mut self, name: &Name, relation: &Relation) -> Option<Field> {
        let field = self.partition_column(name, relation)?;
        if field.ty == Type::Dynamic && !self.unknown.contains(&field.id) {
            let help = "cast it first, as with `extend … = tostring(…)`".to_owned();
            self.report_with(code::WRONG_TYPE, &name.place, format!("ids of nodes cannot be dynamic, and `{}` is", name.text), Some(help));
            return None;
        }
        Some(field)
    }

    fn partition_column(&mut self, name: &Name, relation: &Relation) -> Option<Field> {
        match relation.find(&name.text) {
            Some(field) => Some(field.clone()),
            None if relation.open => {
                let field = self.typed(&name.text, Type::Dynamic);
                self.unknown.insert(field.id);
                Some(field)
            }
            None => {
                let near = code::did_you_mean(&name.text, relation.visible().map(|field| &*field.name));
                let help = near.unwrap_or_else(|| code::columns_here(&relation.rel.fields));
                self.report_with(code::UNKNOWN_NAME, &name.place, format!("there is no column `{}`", name.text), Some(help));
                None
            }
        }
    }

    /// The input graph of an operator; reports an error if it is not a graph.
    fn asked(&mut self, input: Relation, operator: &str, keyword: &Place) -> Option<Asked> {
        let graph = graph_of(&input).cloned();
        match (graph, input.rel.op) {
            (Some(graph), RelOp::Op { inputs, .. }) => Some(Asked { graph, inputs, open: input.open }),
            _ if input.open => None,
            _ => {
                let help = "`make-graph source --> target` before it makes a graph of a table".to_owned();
                self.report_with(code::GRAPH_WANTED, keyword, format!("`{operator}` wants a graph, this is a table"), Some(help));
                None
            }
        }
    }

    pub(super) fn mark_components(&mut self, properties: &[Property], input: Relation, env: &Env, keyword: &Place) -> Relation {
        let Some(mut asked) = self.asked(input, "graph-mark-components", keyword) else { return Relation::unknown() };
        let strong = match property(properties, "kind").map(|kind| (self.text(&kind.value, "`kind`", env), &kind.value.place)) {
            Some((Some(kind), place)) => match kind.as_str() {
                "weak" => false,
                "strong" => true,
                other => {
                    self.report(code::BAD_OPTION, place, format!("`kind` is `weak` or `strong`, not `{other}`"));
                    false
                }
            },
            _ => false,
        };
        let (name, place) = match property(properties, "with_component_id") {
            Some(name) => (self.text(&name.value, "the name of the component", env), &name.value.place),
            None => (Some("ComponentId".to_owned()), keyword),
        };
        let Some(name) = name else { return Relation::unknown() };
        if asked.graph.nodes.iter().any(|property| *property.name == *name) {
            self.report(code::DUPLICATE_NAME, place, format!("nodes have a property `{name}` already"));
        }
        asked.graph.nodes.push(NodeProperty { name: name.as_str().into(), ty: Type::Long, from: NodeFrom::Component { strong } });
        self.graph(asked)
    }

    /// `graph-to-table`: one table as the result, or two named tables.
    pub(super) fn graph_to_table(&mut self, tables: &[GraphTable], input: Relation, env: &mut Env, keyword: &Place) -> Relation {
        let Some(asked) = self.asked(input, "graph-to-table", keyword) else { return Relation::unknown() };
        let [first, rest @ ..] = tables else { return Relation::unknown() };
        if rest.len() > 1 || rest.iter().any(|table| table.what.text == first.what.text) {
            self.report(code::BAD_OPTION, keyword, "`graph-to-table` gives `nodes`, `edges`, or one of each");
            return Relation::unknown();
        }
        if !rest.is_empty() {
            for table in tables.iter().filter(|table| table.alias.is_none()) {
                let help = format!("`{} as Name`", table.what.text);
                self.report_with(code::BAD_OPTION, &table.what.place, "of two tables each needs a name", Some(help));
            }
        }
        let mut answer = Relation::unknown();
        // Share edge and node tables, so that they are read once for both.
        let shared = if rest.is_empty() { None } else { Some(self.shared(&asked)) };
        for table in tables {
            let part = match &shared {
                Some(shared) => self.reused(&asked, shared),
                None => Asked { graph: asked.graph.clone(), inputs: asked.inputs.clone(), open: asked.open },
            };
            answer = self.one_table(table, part, env);
            if let Some(alias) = &table.alias {
                let shared = Rc::new(self.share(answer));
                *env = env.with(&alias.text, Binding::Shared(shared.clone()));
                answer = self.reuse(&shared);
            }
        }
        answer
    }

    fn shared(&mut self, asked: &Asked) -> Vec<crate::bind::scope::SharedTable> {
        asked.inputs.iter().map(|input| self.share(Relation { rel: input.clone(), open: asked.open })).collect()
    }

    /// Another use of the graph's shared inputs.
    fn reused(&mut self, asked: &Asked, shared: &[crate::bind::scope::SharedTable]) -> Asked {
        let mut graph = asked.graph.clone();
        let mut inputs = Vec::with_capacity(shared.len());
        let mut renamed: Vec<(crate::plan::ColumnId, crate::plan::ColumnId)> = Vec::new();
        for table in shared {
            let relation = self.reuse(table);
            renamed.extend(table.rel.fields.iter().zip(&relation.rel.fields).map(|(old, new)| (old.id, new.id)));
            inputs.push(relation.rel);
        }
        let mut fields: Vec<&mut Field> = vec![&mut graph.source, &mut graph.target];
        fields.extend(graph.edges.iter_mut().chain(&mut graph.keys).chain(&mut graph.partition));
        for node in &mut graph.nodes {
            if let NodeFrom::Tables(columns) = &mut node.from {
                fields.extend(columns.iter_mut().map(|(_, field)| field));
            }
        }
        for field in fields {
            if let Some((_, new)) = renamed.iter().find(|(old, _)| *old == field.id) {
                field.id = *new;
            }
        }
        Asked { graph, inputs, open: asked.open }
    }

    fn one_table(&mut self, table: &GraphTable, asked: Asked, env: &Env) -> Relation {
        let nodes = table.what.text == "nodes";
        let options: &[&str] = if nodes { &["with_node_id"] } else { &["with_source_id", "with_target_id"] };
        let mut fields: Vec<Field> = Vec::new();
        let mut hashes = Vec::new();
        for option in options {
            let name = property(&table.properties, option).and_then(|name| self.text(&name.value, &format!("`{option}`"), env));
            let field = name.map(|name| self.typed(&name, Type::Long));
            hashes.push(field.as_ref().map(|field| field.id));
            fields.extend(field);
        }
        for property in table.properties.iter().filter(|property| !options.contains(&property.name.text.as_str())) {
            let message = format!("`{}` is no option of `graph-to-table {}`", property.name.text, table.what.text);
            self.report(code::BAD_OPTION, &property.name.place, message);
        }
        let own = fields.len();
        if nodes {
            for property in &asked.graph.nodes {
                fields.push(self.typed(&property.name, property.ty));
            }
        } else {
            for edge in asked.graph.edges.clone() {
                let column = self.column(&edge);
                fields.push(self.field(&edge.name, &column));
            }
        }
        let mut names = Names::default();
        if let Some(twice) = fields.iter().find(|field| !names.take(&field.name)) {
            self.report(code::DUPLICATE_NAME, &table.what.place, format!("there would be two columns `{}`", twice.name));
        }
        let columns = fields[own..].iter().map(|field| field.id).collect();
        let work = match (nodes, &hashes[..]) {
            (false, [source, target]) => Work::Edges { source: *source, target: *target, columns },
            _ => Work::Nodes { hash: hashes.first().copied().flatten(), columns },
        };
        self.answer(asked, work, fields)
    }

    // ---- patterns

    pub(super) fn graph_match(&mut self, clauses: &PatternClauses, input: Relation, env: &Env, keyword: &Place) -> Relation {
        let operator = if clauses.shortest { "graph-shortest-paths" } else { "graph-match" };
        let Some(asked) = self.asked(input, operator, keyword) else { return Relation::unknown() };
        let errors = self.diagnostics.len();
        if clauses.project.is_empty() {
            let help = "`project x.property` behind the pattern says what the answer is".to_owned();
            self.report_with(code::UNSUPPORTED, keyword, format!("`{operator}` without `project` is not supported here yet"), Some(help));
        }
        let Some((pattern, names)) = self.pattern(clauses, operator, env, keyword) else { return Relation::unknown() };
        let shortest = clauses.shortest.then(|| self.option(clauses.properties, "output", &["any", "all"], env) == Some(1));
        let mut nodes = Vec::with_capacity(asked.graph.nodes.len());
        for property in &asked.graph.nodes {
            let known = match &property.from {
                NodeFrom::Tables(columns) => columns.iter().all(|(_, field)| !self.unknown.contains(&field.id)),
                NodeFrom::Id => !self.unknown.contains(&asked.graph.source.id),
                NodeFrom::Component { .. } => true,
            };
            nodes.push(node_field(self, &property.name, property.ty, known));
        }
        let mut elements = Elements {
            names,
            edges: asked.graph.edges.clone(),
            nodes,
            open: asked.open,
            reads: Vec::new(),
            lambdas: Vec::new(),
            numbers: 0,
            inside: None,
            spread: None,
        };
        let mut conditions = Vec::new();
        for part in clauses.condition.map(conjuncts).unwrap_or_default() {
            let value = self.condition(part, &mut Cx { graph: Some(&mut elements), ..Cx::constant(env) });
            conditions.push(self.spread_over(value, LambdaKind::All, &mut elements).expr);
        }
        let mut names = Names::default();
        for name in clauses.project.iter().flat_map(|expr| item(expr).names) {
            if !names.take(&name.text) {
                self.report(code::DUPLICATE_NAME, &name.place, format!("there are two columns `{}`", name.text));
            }
        }
        let (mut fields, mut outputs) = (Vec::new(), Vec::new());
        for expr in clauses.project {
            let super::extend::Item { names: written, value } = item(expr);
            let bound = self.scalar(value, &mut Cx { graph: Some(&mut elements), ..Cx::constant(env) });
            let bound = self.spread_over(bound, LambdaKind::Map, &mut elements);
            let name = match written.first() {
                Some(name) => name.text.clone(),
                None => match column_name(value) {
                    Some(name) => names.unique(&name),
                    None => names.numbered(),
                },
            };
            let field = self.field(&name, &bound);
            outputs.push((field.id, bound.expr));
            fields.push(field);
        }
        if self.diagnostics.len() > errors {
            let mut unknown = Relation::unknown();
            unknown.rel.fields = fields;
            return unknown;
        }
        let Elements { mut reads, lambdas, .. } = elements;
        let mut wanted = Match { pattern, shortest, reads: Vec::new(), lambdas, conditions, outputs };
        let used: Vec<_> = wanted.exprs().into_iter().flat_map(|expr| expr.columns()).collect();
        reads.retain(|read| used.contains(&read.id));
        wanted.reads = reads;
        let open = asked.open;
        let mut answer = self.answer(asked, Work::Match(Arc::new(wanted)), fields);
        // Projected columns are known even if the graph has unknown ones.
        answer.open = false;
        if open {
            self.postpone(code::RUN, keyword, "the properties of the graph are known only when it runs");
        }
        answer
    }

    /// The index of a property's value in `values`; 0 if the property is absent.
    fn option(&mut self, properties: &[Property], name: &str, values: &[&str], env: &Env) -> Option<usize> {
        let Some(given) = property(properties, name) else { return Some(0) };
        let text = self.text(&given.value, &format!("`{name}`"), env)?;
        let at = values.iter().position(|value| *value == text);
        if at.is_none() {
            let list: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            self.report(code::BAD_OPTION, &given.value.place, format!("`{name}` is one of {}, not `{text}`", list.join(", ")));
        }
        at
    }

    /// The pattern with numbered elements, and their names.
    fn pattern(
        &mut self,
        clauses: &PatternClauses,
        operator: &str,
        env: &Env,
        keyword: &Place,
    ) -> Option<(Pattern, Vec<(String, Element)>)> {
        for property in clauses.properties {
            if property.name.text == "output" && !clauses.shortest {
                self.report(code::BAD_OPTION, &property.name.place, format!("`output` is no option of `{operator}`"));
            }
        }
        let cycles = match self.option(clauses.properties, "cycles", &["unique_edges", "all", "none"], env) {
            Some(1) => Cycles::All,
            Some(2) => Cycles::None,
            _ => Cycles::UniqueEdges,
        };
        let mut pattern = Pattern { nodes: 0, edges: Vec::new(), cycles };
        let mut names: Vec<(String, Element)> = Vec::new();
        for sequence in clauses.patterns {
            let mut left = None;
            let mut waiting: Option<PatternEdge> = None;
            for element in sequence {
                match element {
                    GraphElement::Node(name) => {
                        let node = Self::pattern_node(name.as_ref(), &mut pattern, &mut names);
                        if let (Some(edge), Some(left)) = (waiting.take(), left) {
                            pattern.edges.push(PatternEdge { left, right: node, ..edge });
                        }
                        left = Some(node);
                    }
                    GraphElement::Edge { name, direction, range } => {
                        let number = pattern.edges.len();
                        let range = match range {
                            Some((least, most)) => Some(self.hops(least, most, env)?),
                            None => None,
                        };
                        if let Some(name) = name {
                            if names.iter().any(|(known, element)| *known == name.text && !matches!(element, Element::Node(_))) {
                                self.report(code::DUPLICATE_NAME, &name.place, format!("the pattern has a `{}` already", name.text));
                            }
                            let element = if range.is_some() { Element::Path(number) } else { Element::Edge(number) };
                            names.push((name.text.clone(), element));
                        }
                        let direction = match direction {
                            GraphDirection::Forward => Direction::Forward,
                            GraphDirection::Backward => Direction::Backward,
                            GraphDirection::Any => Direction::Any,
                        };
                        waiting = Some(PatternEdge { left: 0, right: 0, direction, range });
                    }
                }
            }
        }
        if clauses.shortest && (clauses.patterns.len() != 1 || !pattern.edges.iter().any(|edge| edge.range.is_some())) {
            let help = "as in `(a)-[e*1..5]->(b)`".to_owned();
            let message = format!("`{operator}` wants one sequence with an edge of variable length");
            self.report_with(code::BAD_OPTION, keyword, message, Some(help));
            return None;
        }
        if !hangs_together(&pattern) {
            let help = "let the sequences share a node".to_owned();
            self.report_with(code::BAD_OPTION, keyword, "the sequences of a pattern must hang together", Some(help));
            return None;
        }
        Some((pattern, names))
    }

    fn pattern_node(name: Option<&Name>, pattern: &mut Pattern, names: &mut Vec<(String, Element)>) -> usize {
        if let Some(name) = name {
            let known = names.iter().find_map(|(known, element)| match element {
                Element::Node(node) if *known == name.text => Some(*node),
                _ => None,
            });
            if let Some(node) = known {
                return node;
            }
            names.push((name.text.clone(), Element::Node(pattern.nodes)));
        }
        pattern.nodes += 1;
        pattern.nodes - 1
    }

    /// `least..most`
    fn hops(&mut self, least: &Expr, most: &Expr, env: &Env) -> Option<(u32, u32)> {
        let mut ends = Vec::with_capacity(2);
        for end in [least, most] {
            let value = self.constant(end, Type::Long, "how often an edge is walked", env);
            match value.expr.as_const().and_then(crate::Value::as_i64) {
                Some(n @ 0..=MOST_HOPS) => ends.push(n as u32),
                Some(n) => {
                    let message = format!("an edge is walked 0 to {MOST_HOPS} times, not {n}");
                    self.report(code::BAD_OPTION, &end.place, message);
                    return None;
                }
                None => {
                    if value.known {
                        self.report(code::NOT_CONSTANT, &end.place, "how often an edge is walked must be a constant");
                    }
                    return None;
                }
            }
        }
        if ends[0] > ends[1] {
            self.report(code::BAD_OPTION, &least.place, format!("{} is more than {}", ends[0], ends[1]));
            return None;
        }
        Some((ends[0], ends[1]))
    }
}

/// Splits a condition into its conjuncts.
fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    let mut parts = Vec::new();
    let mut waiting = vec![condition];
    while let Some(expr) = waiting.pop() {
        match &expr.kind {
            ExprKind::Binary { op: "and", left, right, .. } => waiting.extend([&**right, &**left]),
            ExprKind::Paren(inner) => waiting.push(inner),
            _ => parts.push(expr),
        }
    }
    parts
}

/// True if the pattern is connected.
fn hangs_together(pattern: &Pattern) -> bool {
    let mut reached = vec![false; pattern.nodes];
    let mut waiting = vec![0];
    while let Some(node) = waiting.pop() {
        if reached.get(node).copied().unwrap_or(true) {
            continue;
        }
        reached[node] = true;
        for edge in &pattern.edges {
            match node {
                _ if edge.left == node => waiting.push(edge.right),
                _ if edge.right == node => waiting.push(edge.left),
                _ => {}
            }
        }
    }
    reached.into_iter().all(|reached| reached)
}
