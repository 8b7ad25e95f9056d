//! Conditions and projections of a pattern, including functions over all elements of a variable-length edge. Source: the public KQL
//! reference, `graph-match-operator` and the pages of the graph functions.
//!
//! Expressions read properties of pattern elements as columns with their own ids ([`Read`]). `all`, `any` and `map` ([`Lambda`]) are
//! evaluated first, over all elements of all paths at once; the enclosing expressions read their results by id, too. A condition on a
//! single element is converted to a mask before the search.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringViewBuilder, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use model::Type;

use super::build::Graph;
use super::shortest::Shortest;
use super::walk::{Event, Found, Masks, Pattern, Walker, narrow};
use super::{Columns, GraphSource, Job};
use crate::Value;
use crate::dynamic;
use crate::ops::layout::{BATCH_ROWS, Layout, build, run, schema};
use crate::ops::{EvalError, Evaluator, Runtime};
use crate::plan::{ColumnId, Expr, ExprKind, Field};

/// Maximum number of steps of a search, one per edge visited or matched; beyond it the query fails.
pub const MOST_STEPS: u64 = 1_000_000_000;

/// Steps between two cancellation checks.
const STEPS_A_TURN: u64 = 1 << 18;

/// Maximum numbers held by matches before they are emitted.
const MOST_HELD: usize = 32 * BATCH_ROWS;

/// A bound `graph-match` or `graph-shortest-paths`.
#[derive(Clone, Debug)]
pub struct Match {
    pub pattern: Pattern,
    /// Set for `graph-shortest-paths`; true for all shortest paths.
    pub shortest: Option<bool>,
    pub reads: Vec<Read>,
    pub lambdas: Vec<Lambda>,
    /// Conjuncts of the condition.
    pub conditions: Vec<Expr>,
    pub outputs: Vec<(ColumnId, Expr)>,
}

/// A property of an element, read as a column.
#[derive(Clone, Debug)]
pub struct Read {
    pub id: ColumnId,
    pub ty: Type,
    pub subject: Subject,
    pub property: Property,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node of the pattern.
    Node(usize),
    /// A single-hop edge of the pattern.
    Edge(usize),
    /// An element passed to a lambda.
    Item(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Of an edge: an edge column.
    Column(ColumnId),
    /// Of a node: the property number.
    Node(usize),
    /// `node_id()`, as text.
    Id,
    DegreeIn,
    DegreeOut,
}

/// A function over all elements of a path.
#[derive(Clone, Debug)]
pub struct Lambda {
    /// The column id of its result.
    pub id: ColumnId,
    /// Identifies the lambda in the reads of its expression.
    pub number: usize,
    pub kind: LambdaKind,
    pub over: Over,
    pub expr: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LambdaKind {
    All,
    Any,
    Map,
}

impl LambdaKind {
    pub fn ty(self) -> Type {
        match self {
            LambdaKind::All | LambdaKind::Any => Type::Bool,
            LambdaKind::Map => Type::Dynamic,
        }
    }
}

/// The elements a lambda iterates over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The edges matched by a variable-length edge.
    Path(usize),
    /// The nodes between them.
    Inner(usize),
    Node(usize),
}

impl Match {
    pub fn name(&self) -> &'static str {
        if self.shortest.is_some() { "graph-shortest-paths" } else { "graph-match" }
    }

    pub fn exprs(&self) -> Vec<&Expr> {
        let lambdas = self.lambdas.iter().map(|lambda| &lambda.expr);
        lambdas.chain(&self.conditions).chain(self.outputs.iter().map(|(_, expr)| expr)).collect()
    }

    pub fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Self {
        Self {
            lambdas: self.lambdas.iter().map(|lambda| Lambda { expr: f(&lambda.expr), ..lambda.clone() }).collect(),
            conditions: self.conditions.iter().map(&mut *f).collect(),
            outputs: self.outputs.iter().map(|(id, expr)| (*id, f(expr))).collect(),
            ..self.clone()
        }
    }

    fn read(&self, id: ColumnId) -> Option<&Read> {
        self.reads.iter().find(|read| read.id == id)
    }

    /// Edge columns that are read.
    pub fn edge_columns(&self) -> Vec<ColumnId> {
        let column = |read: &Read| match read.property {
            Property::Column(id) => Some(id),
            _ => None,
        };
        self.reads.iter().filter_map(column).collect()
    }

    /// Numbers of the node properties that are read.
    pub fn node_columns(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = Vec::new();
        for read in &self.reads {
            if let Property::Node(number) = read.property
                && !numbers.contains(&number)
            {
                numbers.push(number);
            }
        }
        numbers
    }

    /// The pattern elements that an expression reads, including inside lambdas; `None` if it reads a whole path.
    fn subjects(&self, expr: &Expr) -> Option<Vec<Subject>> {
        let mut subjects: Vec<Subject> = Vec::new();
        for id in expr.columns() {
            let read = self.read(id)?;
            if !subjects.contains(&read.subject) {
                subjects.push(read.subject);
            }
        }
        Some(subjects)
    }
}

/// A compiled expression, and the columns it reads.
struct Ready {
    evaluator: Evaluator,
    fields: Vec<Field>,
    schema: Arc<Schema>,
}

/// A compiled [`Match`].
pub struct Matcher {
    wanted: Arc<Match>,
    lambdas: Vec<Ready>,
    conditions: Vec<Ready>,
    outputs: Vec<Ready>,
    /// The scope of each condition.
    scopes: Vec<Scope>,
}

/// What a condition depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Nothing: evaluated once.
    Nowhere,
    Node(usize),
    /// Each edge matched by an edge of the pattern.
    Edge(usize),
    /// Each inner node of a path: the lambda.
    Inner(usize),
    /// The ends of the pattern.
    Ends,
    Match,
}

impl Matcher {
    pub fn new(wanted: Arc<Match>, graph: &GraphSource, runtime: &Runtime) -> Result<Self, EvalError> {
        let type_of = |id: ColumnId| {
            let lambda = wanted.lambdas.iter().find(|lambda| lambda.id == id).map(|lambda| lambda.kind.ty());
            wanted.read(id).map(|read| read.ty).or(lambda).ok_or_else(|| EvalError::MissingColumn(id.to_string()))
        };
        let ready = |expr: &Expr| {
            let field = |id: ColumnId| Ok(Field { id, name: "".into(), ty: type_of(id)? });
            let fields = expr.columns().into_iter().map(field).collect::<Result<Vec<_>, EvalError>>()?;
            Ok(Ready { evaluator: Evaluator::new(expr, &fields, runtime)?, schema: schema(&fields), fields })
        };
        let all = |exprs: Vec<&Expr>| exprs.into_iter().map(ready).collect::<Result<Vec<_>, EvalError>>();
        let last = wanted.pattern.edges.last().map(|edge| edge.right);
        let scope = |expr: &Expr| match (&expr.kind, wanted.subjects(expr).as_deref()) {
            (_, Some([])) => Scope::Nowhere,
            (_, Some([Subject::Node(node)])) => Scope::Node(*node),
            (_, Some([Subject::Edge(edge)])) => Scope::Edge(*edge),
            (_, Some(subjects)) if subjects.iter().all(|subject| matches!(subject, Subject::Node(n) if *n == 0 || Some(*n) == last)) => {
                Scope::Ends
            }
            (ExprKind::Column(id), None) => {
                match wanted.lambdas.iter().enumerate().find(|(_, lambda)| lambda.id == *id && lambda.kind == LambdaKind::All) {
                    Some((at, lambda)) if wanted.subjects(&lambda.expr).is_some_and(|of| of == [Subject::Item(lambda.number)]) => {
                        match lambda.over {
                            Over::Path(edge) => Scope::Edge(edge),
                            Over::Inner(_) => Scope::Inner(at),
                            Over::Node(node) => Scope::Node(node),
                        }
                    }
                    _ => Scope::Match,
                }
            }
            _ => Scope::Match,
        };
        let scopes = wanted.conditions.iter().map(scope).collect();
        debug_assert!(wanted.node_columns().iter().all(|number| *number < graph.nodes.len()));
        Ok(Self {
            lambdas: all(wanted.lambdas.iter().map(|lambda| &lambda.expr).collect())?,
            conditions: all(wanted.conditions.iter().collect())?,
            outputs: all(wanted.outputs.iter().map(|(_, expr)| expr).collect())?,
            scopes,
            wanted,
        })
    }

    /// The expression from which a mask is computed: that of the lambda, if it is one.
    fn masked(&self, at: usize) -> &Ready {
        let id = match &self.wanted.conditions[at].kind {
            ExprKind::Column(id) => Some(*id),
            _ => None,
        };
        match self.wanted.lambdas.iter().position(|lambda| Some(lambda.id) == id) {
            Some(lambda) => &self.lambdas[lambda],
            None => &self.conditions[at],
        }
    }
}

/// Lambda elements of many matches.
struct Items {
    /// The match, and the edge or node.
    owners: UInt32Array,
    items: UInt32Array,
    number: usize,
}

/// Compiled reads of one graph.
struct Laid {
    matcher: Arc<Matcher>,
    graph: Arc<Graph>,
    edges: HashMap<ColumnId, ArrayRef>,
    /// Values computed for all nodes on demand: ids as text, degrees.
    computed: HashMap<Computed, ArrayRef>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Computed {
    Id,
    DegreeIn,
    DegreeOut,
}

impl Computed {
    fn of(property: Property) -> Option<Self> {
        match property {
            Property::Id => Some(Computed::Id),
            Property::DegreeIn => Some(Computed::DegreeIn),
            Property::DegreeOut => Some(Computed::DegreeOut),
            Property::Column(_) | Property::Node(_) => None,
        }
    }

    fn column(self, graph: &Graph) -> ArrayRef {
        let degrees = |of: &dyn Fn(usize) -> i64| Arc::new((0..graph.nodes).map(|node| Some(of(node))).collect::<Int64Array>());
        match self {
            Computed::Id => graph.id_texts(),
            Computed::DegreeIn => degrees(&|node| graph.into.degree(node)),
            Computed::DegreeOut => degrees(&|node| graph.out.degree(node)),
        }
    }
}

/// Matches a pattern in one graph.
pub struct MatchJob {
    laid: Laid,
    layout: Arc<Layout>,
    search: Search,
    found: Found,
    steps: u64,
}

enum Search {
    Walk(Box<Walker>),
    Shortest(Box<Shortest>),
}

impl MatchJob {
    pub fn new(matcher: Arc<Matcher>, graph: Arc<Graph>, inputs: &[Columns], layout: Arc<Layout>) -> Result<Self, EvalError> {
        let wanted = matcher.wanted.clone();
        let mut edges = HashMap::new();
        if let Some(input) = inputs.first() {
            for id in wanted.edge_columns() {
                edges.insert(id, input.column(id)?.clone());
            }
        }
        let mut computed = HashMap::new();
        for what in wanted.reads.iter().filter_map(|read| Computed::of(read.property)) {
            computed.entry(what).or_insert_with(|| what.column(&graph));
        }
        let laid = Laid { matcher, graph: graph.clone(), edges, computed };
        let masks = Arc::new(laid.masks()?);
        let search = match wanted.shortest {
            None => Search::Walk(Box::new(Walker::new(&wanted.pattern, graph, masks, None))),
            Some(all) => {
                let broad = !laid.matcher.scopes.contains(&Scope::Match);
                Search::Shortest(Box::new(Shortest::new(&wanted.pattern, graph, masks, all, broad)))
            }
        };
        Ok(Self { laid, layout, search, found: Found::new(&wanted.pattern), steps: 0 })
    }
}

impl Laid {
    /// Converts conditions on single nodes and edges to masks.
    fn masks(&self) -> Result<Masks, EvalError> {
        let pattern = &self.matcher.wanted.pattern;
        let mut masks = Masks {
            nodes: vec![None; pattern.nodes],
            edges: vec![None; pattern.edges.len()],
            inner: vec![None; pattern.edges.len()],
            never: false,
        };
        for (at, scope) in self.matcher.scopes.iter().enumerate() {
            let (mask, elements) = match scope {
                Scope::Nowhere => {
                    masks.never |= !self.over_all(self.matcher.masked(at), 1)?.first().copied().unwrap_or(false);
                    continue;
                }
                Scope::Node(node) => (&mut masks.nodes[*node], self.graph.nodes),
                Scope::Edge(edge) => (&mut masks.edges[*edge], self.graph.source.len()),
                Scope::Inner(lambda) => match self.matcher.wanted.lambdas[*lambda].over {
                    Over::Inner(edge) => (&mut masks.inner[edge], self.graph.nodes),
                    _ => continue,
                },
                Scope::Ends | Scope::Match => continue,
            };
            narrow(mask, self.over_all(self.matcher.masked(at), elements)?);
        }
        Ok(masks)
    }

    /// Evaluates a condition for all nodes or all edges.
    fn over_all(&self, condition: &Ready, elements: usize) -> Result<Vec<bool>, EvalError> {
        let columns = condition.fields.iter().map(|field| match self.matcher.wanted.read(field.id) {
            Some(read) => self.all_of(read),
            None => Err(EvalError::MissingColumn(field.id.to_string())),
        });
        let batch = build(condition.schema.clone(), columns.collect::<Result<_, _>>()?, elements)?;
        Ok(truths(&condition.evaluator.eval(&batch)?))
    }

    /// A property of all nodes or all edges.
    fn all_of(&self, read: &Read) -> Result<ArrayRef, EvalError> {
        let column = match (read.property, Computed::of(read.property)) {
            (Property::Column(id), _) => self.edges.get(&id),
            (Property::Node(number), _) => return Ok(self.graph.property(number)?.clone()),
            (_, computed) => computed.and_then(|computed| self.computed.get(&computed)),
        };
        column.cloned().ok_or_else(|| EvalError::MissingColumn(read.id.to_string()))
    }
}

impl MatchJob {
    /// Emits the matches found so far.
    fn flush(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let empty = Found::new(&self.laid.matcher.wanted.pattern);
        let mut found = std::mem::replace(&mut self.found, empty);
        if found.len == 0 {
            return Ok(());
        }
        let left: Vec<usize> =
            (0..self.laid.matcher.scopes.len()).filter(|at| matches!(self.laid.matcher.scopes[*at], Scope::Ends | Scope::Match)).collect();
        if !left.is_empty() {
            let mut values = Values::new(&self.laid, &found);
            let mut keep = vec![true; found.len];
            for at in left {
                let truths = truths(&values.eval(&self.laid.matcher.conditions[at])?);
                keep.iter_mut().zip(truths).for_each(|(keep, holds)| *keep &= holds);
            }
            let picked: Vec<usize> = (0..found.len).filter(|index| keep[*index]).collect();
            if picked.len() < found.len {
                found = found.pick(&picked);
            }
        }
        if let Search::Shortest(shortest) = &mut self.search
            && shortest.is_deep()
        {
            let picked = shortest.choose(&found);
            found = found.pick(&picked);
        }
        if found.len == 0 {
            return Ok(());
        }
        let mut values = Values::new(&self.laid, &found);
        let own = self.laid.matcher.outputs.iter().map(|output| values.eval(output)).collect::<Result<Vec<_>, _>>()?;
        out.push(self.layout.batch(&RecordBatch::new_empty(Arc::new(Schema::empty())), None, &own, found.len)?);
        Ok(())
    }
}

impl Job for MatchJob {
    fn step(&mut self, out: &mut Vec<RecordBatch>) -> Result<bool, EvalError> {
        let mut budget = STEPS_A_TURN;
        let done = loop {
            let event = match &mut self.search {
                Search::Walk(walker) => {
                    let event = walker.next(&mut budget);
                    if event == Event::Match {
                        walker.collect(&mut self.found);
                    }
                    event
                }
                Search::Shortest(shortest) => shortest.next(&mut self.found, &mut budget),
            };
            match event {
                Event::Done => break true,
                Event::Pause => break false,
                Event::Match if self.found.len >= BATCH_ROWS || self.found.weight() >= MOST_HELD => break false,
                Event::Match => {}
            }
        };
        // Matches also have a cost: they are copied and filtered.
        self.steps += STEPS_A_TURN - budget + self.found.weight() as u64;
        if self.steps > MOST_STEPS {
            let name = self.laid.matcher.wanted.name();
            return Err(EvalError::Limit(format!(
                "`{name}` looked at more than {MOST_STEPS} edges: ask for shorter paths, or for fewer nodes and edges with `where`"
            )));
        }
        self.flush(out)?;
        Ok(done)
    }

    fn size(&self) -> usize {
        let search = match &self.search {
            Search::Walk(walker) => walker.size(),
            Search::Shortest(shortest) => shortest.size(),
        };
        self.laid.graph.size() + self.found.size() + search
    }
}

/// The columns read by expressions over matches.
struct Values<'a> {
    laid: &'a Laid,
    found: &'a Found,
    lambdas: HashMap<ColumnId, ArrayRef>,
}

impl<'a> Values<'a> {
    fn new(laid: &'a Laid, found: &'a Found) -> Self {
        Self { laid, found, lambdas: HashMap::new() }
    }

    /// One value per match.
    fn eval(&mut self, expr: &Ready) -> Result<ArrayRef, EvalError> {
        self.eval_over(expr, None)
    }

    fn eval_over(&mut self, expr: &Ready, items: Option<&Items>) -> Result<ArrayRef, EvalError> {
        let columns = expr.fields.iter().map(|field| self.column(field.id, items)).collect::<Result<Vec<_>, _>>()?;
        let rows = items.map_or(self.found.len, |items| items.items.len());
        expr.evaluator.eval(&build(expr.schema.clone(), columns, rows)?)
    }

    fn column(&mut self, id: ColumnId, items: Option<&Items>) -> Result<ArrayRef, EvalError> {
        let by_owner = |column: ArrayRef| match items {
            Some(items) => take(&column, &items.owners, None).map_err(run),
            None => Ok(column),
        };
        let Some(read) = self.laid.matcher.wanted.read(id) else { return by_owner(self.lambda(id)?) };
        let all = self.laid.all_of(read)?;
        let missing = || EvalError::MissingColumn(id.to_string());
        let places = match read.subject {
            Subject::Node(node) => UInt32Array::from(self.found.nodes.get(node).ok_or_else(missing)?.clone()),
            Subject::Edge(edge) => UInt32Array::from(self.found.edges.get(edge).ok_or_else(missing)?.items.clone()),
            Subject::Item(number) => match items {
                Some(items) if items.number == number => return take(&all, &items.items, None).map_err(run),
                _ => return Err(missing()),
            },
        };
        by_owner(take(&all, &places, None).map_err(run)?)
    }

    /// The results of a lambda, one per match.
    fn lambda(&mut self, id: ColumnId) -> Result<ArrayRef, EvalError> {
        if let Some(known) = self.lambdas.get(&id) {
            return Ok(known.clone());
        }
        let matcher = self.laid.matcher.clone();
        let at = matcher.wanted.lambdas.iter().position(|lambda| lambda.id == id);
        let Some((lambda, ready)) = at.map(|at| (&matcher.wanted.lambdas[at], &matcher.lambdas[at])) else {
            return Err(EvalError::MissingColumn(id.to_string()));
        };
        let items = self.items(lambda);
        let values = self.eval_over(ready, Some(&items))?;
        let answer = match lambda.kind {
            LambdaKind::Map => self.arrays(&items, &values, ready.evaluator.ty()),
            kind => {
                let all = kind == LambdaKind::All;
                let mut answers = vec![all; self.found.len];
                for (owner, holds) in items.owners.values().iter().zip(truths(&values)) {
                    if holds != all {
                        answers[*owner as usize] = !all;
                    }
                }
                Arc::new(BooleanArray::from(answers)) as ArrayRef
            }
        };
        self.lambdas.insert(id, answer.clone());
        Ok(answer)
    }

    fn items(&self, lambda: &Lambda) -> Items {
        let (mut owners, mut items) = (Vec::new(), Vec::new());
        for index in 0..self.found.len {
            match lambda.over {
                Over::Node(node) => items.push(self.found.nodes[node][index]),
                Over::Path(edge) => items.extend_from_slice(self.found.edges[edge].of(index)),
                Over::Inner(edge) => {
                    let left = self.laid.matcher.wanted.pattern.edges[edge].left;
                    let mut node = self.found.nodes[left][index];
                    if let Some((_, before)) = self.found.edges[edge].of(index).split_last() {
                        for walked in before {
                            node = self.laid.graph.other(*walked, node);
                            items.push(node);
                        }
                    }
                }
            }
            owners.resize(items.len(), index as u32);
        }
        Items { owners: owners.into(), items: items.into(), number: lambda.number }
    }

    /// The values of each match as a dynamic array.
    fn arrays(&self, items: &Items, values: &ArrayRef, ty: Type) -> ArrayRef {
        let mut texts = StringViewBuilder::with_capacity(self.found.len);
        let mut at = 0;
        let mut json = String::new();
        for index in 0..self.found.len as u32 {
            json.clear();
            json.push('[');
            while at < items.owners.len() && items.owners.value(at) == index {
                if json.len() > 1 {
                    json.push(',');
                }
                dynamic::push_value(&mut json, &Value::from_cell(values, at, ty));
                at += 1;
            }
            json.push(']');
            texts.append_value(&json);
        }
        Arc::new(texts.finish())
    }
}

/// Null is false.
fn truths(values: &ArrayRef) -> Vec<bool> {
    match values.as_boolean_opt() {
        Some(values) => (0..values.len()).map(|row| values.is_valid(row) && values.value(row)).collect(),
        None => vec![false; values.len()],
    }
}
