//! The graph data structure: nodes numbered by their ids, edges as pairs of node numbers, adjacency in both directions.
//!
//! Nodes are in order of first appearance: those of the node tables, then the ends of each edge. A node that occurs only in edges has its
//! id and no other property. If several rows describe one node, the first non-null value is used. The hash of a node is `hash()` of its id
//! (confirmed by the published outputs of `graph-to-table`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::compute::interleave;
use hashbrown::HashMap;
use model::Type;

use super::components::components;
use super::{Columns, GraphSource, NodeFrom, NodeProperty};
use crate::Value;
use crate::functions::hash_of;
use crate::ops::EvalError;
use crate::ops::layout::run;
use crate::plan::Field;
use crate::value::cast;
use crate::value::cells::{Cells, nulls};

/// Maximum number of nodes or edges of a graph.
const MOST_ELEMENTS: usize = u32::MAX as usize - 1;

/// No node or edge.
pub const NONE: u32 = u32::MAX;

pub struct Graph {
    pub nodes: usize,
    /// Both ends of each edge.
    pub source: Vec<u32>,
    pub target: Vec<u32>,
    /// Outgoing and incoming edges of each node.
    pub out: Adjacency,
    pub into: Adjacency,
    /// By property number; `None` if not needed.
    properties: Vec<Option<ArrayRef>>,
    /// Where the id of each node was first read.
    origins: Vec<Origin>,
    /// The columns that ids were read from.
    columns: Vec<(ArrayRef, Type)>,
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Origin {
    column: u32,
    row: u32,
}

/// The edges of each node, concatenated.
#[derive(Default)]
pub struct Adjacency {
    starts: Vec<u32>,
    edges: Vec<u32>,
}

impl Adjacency {
    fn new(nodes: usize, ends: &[u32]) -> Self {
        let mut starts = vec![0u32; nodes + 1];
        for node in ends {
            starts[*node as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut edges = vec![0u32; ends.len()];
        for (edge, node) in ends.iter().enumerate() {
            let at = &mut next[*node as usize];
            edges[*at as usize] = edge as u32;
            *at += 1;
        }
        Self { starts, edges }
    }

    pub fn of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        match (self.starts.get(node), self.starts.get(node + 1)) {
            (Some(from), Some(to)) => &self.edges[*from as usize..*to as usize],
            _ => &[],
        }
    }

    /// The number of edges of a node.
    pub fn degree(&self, node: usize) -> i64 {
        self.of(node as u32).len() as i64
    }
}

/// Encodes a node id as comparable bytes: integers of both types are equal, all other values only within their type.
fn push_key(key: &mut Vec<u8>, column: &ArrayRef, row: usize, ty: Type) {
    key.clear();
    if matches!(ty, Type::String)
        && let Some(texts) = column.as_string_view_opt()
        && texts.is_valid(row)
    {
        key.push(b's');
        key.extend_from_slice(texts.value(row).as_bytes());
        return;
    }
    match Value::from_cell(column, row, ty) {
        Value::String(text) => {
            key.push(b's');
            key.extend_from_slice(text.as_bytes());
        }
        Value::Null(_) => key.push(b'0'),
        Value::Int(n) => {
            key.push(b'n');
            key.extend_from_slice(&i64::from(n).to_le_bytes());
        }
        Value::Long(n) => {
            key.push(b'n');
            key.extend_from_slice(&n.to_le_bytes());
        }
        other => {
            key.extend_from_slice(other.ty().name().as_bytes());
            key.push(b'=');
            key.extend_from_slice(other.to_text().as_bytes());
        }
    }
}

#[derive(Default)]
struct Numbering {
    numbers: HashMap<Box<[u8]>, u32>,
    origins: Vec<Origin>,
    columns: Vec<(ArrayRef, Type)>,
    key: Vec<u8>,
    bytes: usize,
}

impl Numbering {
    fn column(&mut self, column: &ArrayRef, ty: Type) -> u32 {
        self.columns.push((column.clone(), ty));
        self.columns.len() as u32 - 1
    }

    fn number(&mut self, column: u32, row: usize) -> u32 {
        let (array, ty) = &self.columns[column as usize];
        push_key(&mut self.key, array, row, *ty);
        if let Some(number) = self.numbers.get(&self.key[..]) {
            return *number;
        }
        let number = self.origins.len() as u32;
        self.bytes += self.key.len() + 48;
        self.numbers.insert(self.key.clone().into_boxed_slice(), number);
        self.origins.push(Origin { column, row: row as u32 });
        number
    }
}

impl Graph {
    /// `inputs` are the edges and the node tables; `wanted` are the node properties that will be read.
    pub fn build(source: &GraphSource, inputs: &[Columns], wanted: &[usize]) -> Result<Self, EvalError> {
        let (Some(edges), tables) = (inputs.first(), inputs.get(1..).unwrap_or_default()) else {
            return Err(EvalError::Run("a graph has no edges".to_owned()));
        };
        let elements: usize = inputs.iter().map(|input| input.rows).sum();
        if elements > MOST_ELEMENTS / 2 {
            return Err(EvalError::Limit(format!("a graph of {elements} rows is larger than {} nodes and edges", MOST_ELEMENTS / 2)));
        }
        let mut numbering = Numbering::default();
        // The node of each row of each table.
        let mut rows: Vec<Vec<u32>> = Vec::with_capacity(tables.len());
        for (table, key) in tables.iter().zip(&source.keys) {
            let column = numbering.column(table.column(key.id)?, key.ty);
            rows.push((0..table.rows).map(|row| numbering.number(column, row)).collect());
        }
        let described = numbering.origins.len();
        let from = numbering.column(edges.column(source.source.id)?, source.source.ty);
        let to = numbering.column(edges.column(source.target.id)?, source.target.ty);
        let (mut sources, mut targets) = (Vec::with_capacity(edges.rows), Vec::with_capacity(edges.rows));
        for row in 0..edges.rows {
            sources.push(numbering.number(from, row));
            targets.push(numbering.number(to, row));
        }
        let nodes = numbering.origins.len();
        let mut graph = Self {
            nodes,
            out: Adjacency::new(nodes, &sources),
            into: Adjacency::new(nodes, &targets),
            source: sources,
            target: targets,
            properties: vec![None; source.nodes.len()],
            origins: numbering.origins,
            columns: numbering.columns,
            bytes: numbering.bytes,
        };
        for index in wanted {
            let Some(property) = source.nodes.get(*index) else { continue };
            let column = match &property.from {
                NodeFrom::Id => graph.ids(property.ty),
                NodeFrom::Component { strong } => components(&graph, *strong),
                NodeFrom::Tables(columns) => {
                    let merged = graph.merged(property, columns, tables, &rows)?;
                    if source.is_key(property) { graph.with_ids(&merged, property.ty, described) } else { merged }
                }
            };
            graph.bytes += column.get_array_memory_size();
            graph.properties[*index] = Some(column);
        }
        Ok(graph)
    }

    /// The first non-null value of each node.
    fn merged(
        &self,
        property: &NodeProperty,
        columns: &[(usize, Field)],
        tables: &[Columns],
        rows: &[Vec<u32>],
    ) -> Result<ArrayRef, EvalError> {
        let mut arrays = vec![nulls(property.ty, 1)];
        let mut picked = vec![(0usize, 0usize); self.nodes];
        for (table, field) in columns {
            let (Some(input), Some(nodes)) = (tables.get(*table), rows.get(*table)) else { continue };
            let column = cast::array(input.column(field.id)?, field.ty, property.ty);
            let empty = |row: usize| column.is_null(row) || column.as_string_view_opt().is_some_and(|texts| texts.value(row).is_empty());
            for (row, node) in nodes.iter().enumerate() {
                if picked[*node as usize].0 == 0 && !empty(row) {
                    picked[*node as usize] = (arrays.len(), row);
                }
            }
            arrays.push(column);
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
        interleave(&arrays, &picked).map_err(run)
    }

    fn id(&self, node: usize) -> Value {
        match self.origins.get(node).and_then(|origin| Some((self.columns.get(origin.column as usize)?, origin.row))) {
            Some(((column, ty), row)) => Value::from_cell(column, row as usize, *ty),
            None => Value::Null(Type::Dynamic),
        }
    }

    fn ids(&self, ty: Type) -> ArrayRef {
        let mut cells = Cells::new(ty, self.nodes);
        for node in 0..self.nodes {
            cells.push(&self.id(node));
        }
        cells.finish()
    }

    /// A column of ids, extended by the nodes that are in no table: all from `described` on.
    fn with_ids(&self, column: &ArrayRef, ty: Type, described: usize) -> ArrayRef {
        let mut cells = Cells::new(ty, self.nodes);
        for node in 0..self.nodes {
            cells.push(&if node < described { Value::from_cell(column, node, ty) } else { self.id(node) });
        }
        cells.finish()
    }

    /// The values of `node_id()`.
    pub fn id_texts(&self) -> ArrayRef {
        let mut texts = StringViewBuilder::with_capacity(self.nodes);
        for node in 0..self.nodes {
            texts.append_value(self.id(node).to_text());
        }
        Arc::new(texts.finish())
    }

    pub fn hashes(&self) -> Vec<i64> {
        (0..self.nodes).map(|node| hash_of(&self.id(node))).collect()
    }

    /// A property of all nodes.
    pub fn property(&self, index: usize) -> Result<&ArrayRef, EvalError> {
        self.properties.get(index).and_then(Option::as_ref).ok_or_else(|| EvalError::Run("a property of nodes was not read".to_owned()))
    }

    /// The other end of an edge.
    pub fn other(&self, edge: u32, node: u32) -> u32 {
        let (source, target) = (self.source[edge as usize], self.target[edge as usize]);
        if source == node { target } else { source }
    }

    pub fn size(&self) -> usize {
        self.bytes + 24 * self.nodes + 16 * self.source.len()
    }
}
