//! Graphs: `make-graph`, `graph-match`, `graph-shortest-paths`, `graph-mark-components`, `graph-to-table`. Source: the public KQL
//! reference, the pages of these operators; names and types of columns as in Microsoft's parser.
//!
//! A graph is not a relation at run time: the definition by `make-graph` ([`GraphSource`]) is part of the operator that queries the graph
//! ([`Work`]). That operator reads the edges (input 0) and the node tables (the other inputs), builds the graph ([`build::Graph`]) and
//! computes the result. With `partitioned-by` it does so for each partition in turn.
//!
//! | file | what |
//! |---|---|
//! | [`build`] | rows → numbered nodes, edges between them, neighbours |
//! | [`components`] | `graph-mark-components` |
//! | [`matching`] | patterns, conditions and projections over matches |
//! | [`walk`] | `graph-match`: all matches of a pattern in a graph |
//! | [`shortest`] | `graph-shortest-paths` |

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, UInt32Array, new_empty_array};
use arrow::compute::{concat, take};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use model::Type;

use super::keys::Keys;
use super::layout::{Layout, run};
use super::{EvalError, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, ExprKind, Field};

pub mod build;
pub mod components;
pub mod matching;
pub mod shortest;
pub mod walk;

use build::Graph;
use matching::{Match, MatchJob};

/// The definition of a graph by `make-graph`, and marks added since.
#[derive(Clone, Debug)]
pub struct GraphSource {
    /// Columns of input 0 with the node ids at both ends of an edge.
    pub source: Field,
    pub target: Field,
    /// Properties of edges: columns of input 0.
    pub edges: Vec<Field>,
    /// The id column of each node table; table `i` is input `i + 1`.
    pub keys: Vec<Field>,
    /// Properties of nodes.
    pub nodes: Vec<NodeProperty>,
    /// The partition column of each input.
    pub partition: Vec<Field>,
}

/// A property of nodes.
#[derive(Clone, Debug)]
pub struct NodeProperty {
    pub name: Arc<str>,
    pub ty: Type,
    pub from: NodeFrom,
}

#[derive(Clone, Debug)]
pub enum NodeFrom {
    /// Columns of node tables, with the table's number: the first non-null value is used.
    Tables(Vec<(usize, Field)>),
    /// The node's id, from `with_node_id`.
    Id,
    /// The number of the node's component.
    Component { strong: bool },
}

impl GraphSource {
    /// True if a property is the id column of some node table; nodes in no table have it too.
    fn is_key(&self, property: &NodeProperty) -> bool {
        match &property.from {
            NodeFrom::Tables(columns) => columns.iter().any(|(table, field)| self.keys.get(*table).is_some_and(|key| key.id == field.id)),
            NodeFrom::Id => true,
            NodeFrom::Component { .. } => false,
        }
    }
}

/// The operation on the graph.
#[derive(Clone, Debug)]
pub enum Work {
    /// None yet: a graph under construction, which must not be the end of a plan.
    Make,
    /// `graph-to-table nodes`: the hash of the id, if requested, then the properties.
    Nodes { hash: Option<ColumnId>, columns: Vec<ColumnId> },
    /// `graph-to-table edges`: the hashes of both ids, if requested, then the properties.
    Edges { source: Option<ColumnId>, target: Option<ColumnId>, columns: Vec<ColumnId> },
    /// `graph-match` and `graph-shortest-paths`.
    Match(Arc<Match>),
}

/// A graph and an operation on it.
#[derive(Clone, Debug)]
pub struct GraphOp {
    pub graph: GraphSource,
    pub work: Work,
    /// Columns of the inputs that are read.
    reads: Vec<Expr>,
}

impl GraphOp {
    pub fn new(graph: GraphSource, work: Work) -> Self {
        let mut fields: Vec<&Field> = vec![&graph.source, &graph.target];
        fields.extend(graph.keys.iter().chain(&graph.partition));
        let (edges, nodes) = match &work {
            Work::Make => (Vec::new(), Vec::new()),
            Work::Nodes { .. } => (Vec::new(), (0..graph.nodes.len()).collect()),
            Work::Edges { .. } => (graph.edges.iter().map(|field| field.id).collect(), Vec::new()),
            Work::Match(wanted) => (wanted.edge_columns(), wanted.node_columns()),
        };
        fields.extend(graph.edges.iter().filter(|field| edges.contains(&field.id)));
        for property in nodes.iter().filter_map(|index| graph.nodes.get(*index)) {
            if let NodeFrom::Tables(columns) = &property.from {
                fields.extend(columns.iter().map(|(_, field)| field));
            }
        }
        let mut reads: Vec<Expr> = Vec::with_capacity(fields.len());
        for field in fields {
            let column = Expr::column(field);
            if !reads.contains(&column) {
                reads.push(column);
            }
        }
        Self { graph, work, reads }
    }

    fn wanted_nodes(&self) -> Vec<usize> {
        match &self.work {
            Work::Make | Work::Edges { .. } => Vec::new(),
            Work::Nodes { .. } => (0..self.graph.nodes.len()).collect(),
            Work::Match(wanted) => wanted.node_columns(),
        }
    }
}

impl TableOp for GraphOp {
    fn name(&self) -> &'static str {
        match &self.work {
            Work::Make => "make-graph",
            Work::Nodes { .. } | Work::Edges { .. } => "graph-to-table",
            Work::Match(wanted) => wanted.name(),
        }
    }

    fn exprs(&self) -> Vec<&Expr> {
        let mut exprs: Vec<&Expr> = self.reads.iter().collect();
        if let Work::Match(wanted) = &self.work {
            exprs.extend(wanted.exprs());
        }
        exprs
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let work = match &self.work {
            Work::Match(wanted) => Work::Match(Arc::new(wanted.map_exprs(f))),
            other => other.clone(),
        };
        Box::new(Self { work, ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let own: Vec<ColumnId> = match &self.work {
            Work::Make => return Err(EvalError::Run("a graph is no table".to_owned())),
            Work::Nodes { hash, columns } => hash.iter().chain(columns).copied().collect(),
            Work::Edges { source, target, columns } => source.iter().chain(target).chain(columns).copied().collect(),
            Work::Match(wanted) => wanted.outputs.iter().map(|(id, _)| *id).collect(),
        };
        let reads = |id: ColumnId| self.reads.iter().any(|read| matches!(read.kind, ExprKind::Column(read) if read == id));
        let input = |fields: &Vec<Field>| Gathered::new(fields.iter().filter(|field| reads(field.id)).cloned().collect());
        let matcher = match &self.work {
            Work::Match(wanted) => Some(Arc::new(matching::Matcher::new(wanted.clone(), &self.graph, runtime)?)),
            _ => None,
        };
        Ok(Box::new(Running {
            op: self.clone(),
            matcher,
            layout: Arc::new(Layout::new(&[], outputs, &own)?),
            inputs: inputs.iter().map(input).collect(),
            parts: None,
            job: None,
        }))
    }
}

/// The rows of an input, restricted to the columns that are read.
struct Gathered {
    fields: Vec<Field>,
    batches: Vec<Vec<ArrayRef>>,
    rows: usize,
    bytes: usize,
}

/// All rows of an input, or those of one partition.
#[derive(Clone)]
pub struct Columns {
    fields: Arc<Vec<Field>>,
    arrays: Vec<ArrayRef>,
    pub rows: usize,
}

impl Gathered {
    fn new(fields: Vec<Field>) -> Self {
        Self { batches: vec![Vec::new(); fields.len()], fields, rows: 0, bytes: 0 }
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<(), EvalError> {
        for (field, batches) in self.fields.iter().zip(&mut self.batches) {
            let name = field.id.to_string();
            let column = batch.column_by_name(&name).ok_or(EvalError::MissingColumn(name))?;
            self.bytes += column.get_array_memory_size();
            batches.push(column.clone());
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn finish(&mut self) -> Result<Columns, EvalError> {
        let arrays = self.fields.iter().zip(&mut self.batches).map(|(field, batches)| {
            let batches = std::mem::take(batches);
            let parts: Vec<&dyn Array> = batches.iter().map(|part| part.as_ref()).collect();
            if parts.is_empty() { Ok(new_empty_array(&field.ty.arrow())) } else { concat(&parts).map_err(run) }
        });
        let arrays = arrays.collect::<Result<_, _>>()?;
        Ok(Columns { fields: Arc::new(std::mem::take(&mut self.fields)), arrays, rows: self.rows })
    }
}

impl Columns {
    pub fn column(&self, id: ColumnId) -> Result<&ArrayRef, EvalError> {
        let at = self.fields.iter().position(|field| field.id == id);
        at.and_then(|at| self.arrays.get(at)).ok_or_else(|| EvalError::MissingColumn(id.to_string()))
    }

    fn pick(&self, rows: &[u32]) -> Result<Self, EvalError> {
        let indices = UInt32Array::from(rows.to_vec());
        let arrays = self.arrays.iter().map(|array| take(array, &indices, None).map_err(run)).collect::<Result<_, _>>()?;
        Ok(Self { fields: self.fields.clone(), arrays, rows: rows.len() })
    }
}

/// Processes one graph incrementally.
trait Job: Send {
    /// Does some work; returns true when finished.
    fn step(&mut self, out: &mut Vec<RecordBatch>) -> Result<bool, EvalError>;

    fn size(&self) -> usize;
}

struct Running {
    op: GraphOp,
    matcher: Option<Arc<matching::Matcher>>,
    layout: Arc<Layout>,
    inputs: Vec<Gathered>,
    /// Inputs of the remaining graphs; `None` while rows are read.
    parts: Option<VecDeque<Vec<Columns>>>,
    job: Option<Box<dyn Job>>,
}

impl Running {
    /// One set of inputs per graph.
    fn split(&mut self) -> Result<VecDeque<Vec<Columns>>, EvalError> {
        let inputs = self.inputs.iter_mut().map(Gathered::finish).collect::<Result<Vec<_>, _>>()?;
        let partition = &self.op.graph.partition;
        let Some(first) = partition.first() else { return Ok(VecDeque::from([inputs])) };
        let mut keys = Keys::new([first.ty])?;
        let mut rows: Vec<Vec<Vec<u32>>> = Vec::new();
        for (number, (input, field)) in inputs.iter().zip(partition).enumerate() {
            let groups = keys.groups(std::slice::from_ref(input.column(field.id)?), input.rows)?;
            rows.resize_with(keys.len(), || vec![Vec::new(); inputs.len()]);
            for (row, group) in groups.into_iter().enumerate() {
                rows[group][number].push(row as u32);
            }
        }
        let part = |rows: &Vec<Vec<u32>>| inputs.iter().zip(rows).map(|(input, rows)| input.pick(rows)).collect();
        rows.iter().map(part).collect()
    }

    fn job(&self, inputs: &[Columns]) -> Result<Box<dyn Job>, EvalError> {
        let graph = Graph::build(&self.op.graph, inputs, &self.op.wanted_nodes())?;
        match (&self.op.work, &self.matcher) {
            (Work::Match(_), Some(matcher)) => {
                Ok(Box::new(MatchJob::new(matcher.clone(), Arc::new(graph), inputs, self.layout.clone())?) as Box<dyn Job>)
            }
            _ => {
                let (own, rows) = self.table(&graph, inputs)?;
                Ok(Box::new(Table { own, rows, layout: self.layout.clone() }) as Box<dyn Job>)
            }
        }
    }

    /// `graph-to-table`: the columns, hashes first.
    fn table(&self, graph: &Graph, inputs: &[Columns]) -> Result<(Vec<ArrayRef>, usize), EvalError> {
        let mut own: Vec<ArrayRef> = Vec::new();
        match &self.op.work {
            Work::Nodes { hash, columns } => {
                if hash.is_some() {
                    own.push(Arc::new(Int64Array::from(graph.hashes())));
                }
                for index in 0..columns.len() {
                    own.push(graph.property(index)?.clone());
                }
                Ok((own, graph.nodes))
            }
            Work::Edges { source, target, .. } => {
                let hashes = if source.is_some() || target.is_some() { graph.hashes() } else { Vec::new() };
                for (_, ends) in [(source, &graph.source), (target, &graph.target)].iter().filter(|(id, _)| id.is_some()) {
                    own.push(Arc::new(ends.iter().map(|node| hashes.get(*node as usize).copied()).collect::<Int64Array>()));
                }
                for field in &self.op.graph.edges {
                    own.push(inputs[0].column(field.id)?.clone());
                }
                Ok((own, inputs[0].rows))
            }
            Work::Make | Work::Match(_) => Ok((own, 0)),
        }
    }
}

/// A completed table.
struct Table {
    own: Vec<ArrayRef>,
    rows: usize,
    layout: Arc<Layout>,
}

impl Job for Table {
    fn step(&mut self, out: &mut Vec<RecordBatch>) -> Result<bool, EvalError> {
        if self.rows > 0 {
            out.push(self.layout.batch(&RecordBatch::new_empty(Arc::new(Schema::empty())), None, &self.own, self.rows)?);
        }
        Ok(true)
    }

    fn size(&self) -> usize {
        self.own.iter().map(|column| column.get_array_memory_size()).sum()
    }
}

impl OpState for Running {
    fn push(&mut self, input: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        match self.inputs.get_mut(input) {
            Some(gathered) => gathered.push(batch),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        while !self.finish_some(out)? {}
        Ok(())
    }

    fn finish_some(&mut self, out: &mut Vec<RecordBatch>) -> Result<bool, EvalError> {
        if self.parts.is_none() {
            self.parts = Some(self.split()?);
        }
        if self.job.is_none() {
            let Some(inputs) = self.parts.as_mut().and_then(VecDeque::pop_front) else { return Ok(true) };
            self.job = Some(self.job(&inputs)?);
        }
        if let Some(job) = &mut self.job
            && job.step(out)?
        {
            self.job = None;
        }
        Ok(self.job.is_none() && self.parts.as_ref().is_some_and(VecDeque::is_empty))
    }

    fn size(&self) -> usize {
        self.inputs.iter().map(|input| input.bytes).sum::<usize>() + self.job.as_ref().map_or(0, |job| job.size())
    }
}
