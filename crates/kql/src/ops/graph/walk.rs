//! `graph-match`: finds all matches of a pattern in a graph. Source: the public KQL reference, `graph-match-operator`.
//!
//! The search binds one pattern node after another along its edges, starting at the node with the fewest candidates, and backtracks:
//! depth-first with an explicit stack, so that it can pause after each step. Conditions on single nodes or edges ([`Masks`]) are applied
//! during the search.

use std::sync::Arc;

use super::build::{Graph, NONE};

/// Which cycles are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycles {
    /// All: an edge may be used again.
    All,
    /// No node occurs twice.
    None,
    /// No edge occurs twice.
    UniqueEdges,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
    Any,
}

impl Direction {
    fn reversed(self) -> Self {
        match self {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
            Direction::Any => Direction::Any,
        }
    }
}

/// Numbered nodes of a pattern, and the edges between them.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub nodes: usize,
    pub edges: Vec<PatternEdge>,
    pub cycles: Cycles,
}

#[derive(Clone, Copy, Debug)]
pub struct PatternEdge {
    pub left: usize,
    pub right: usize,
    pub direction: Direction,
    /// Minimum and maximum number of hops of a variable-length edge.
    pub range: Option<(u32, u32)>,
}

impl PatternEdge {
    pub fn least(&self) -> u32 {
        self.range.map_or(1, |(least, _)| least)
    }

    pub fn most(&self) -> u32 {
        self.range.map_or(1, |(_, most)| most)
    }
}

/// Candidate nodes and edges of the graph, for each node and edge of the pattern; `None` if all qualify.
#[derive(Clone, Default)]
pub struct Masks {
    pub nodes: Vec<Option<Vec<bool>>>,
    pub edges: Vec<Option<Vec<bool>>>,
    /// Inner nodes of a variable-length edge.
    pub inner: Vec<Option<Vec<bool>>>,
    /// A constant condition is false.
    pub never: bool,
}

pub fn allows(mask: &Option<Vec<bool>>, index: u32) -> bool {
    mask.as_ref().is_none_or(|mask| mask.get(index as usize).copied().unwrap_or(false))
}

/// Intersects a mask with another.
pub fn narrow(mask: &mut Option<Vec<bool>>, by: Vec<bool>) {
    match mask {
        Some(mask) => mask.iter_mut().zip(by).for_each(|(known, new)| *known &= new),
        None => *mask = Some(by),
    }
}

/// Matches: for each pattern node its graph node, for each pattern edge the graph edges from left to right.
pub struct Found {
    pub nodes: Vec<Vec<u32>>,
    pub edges: Vec<Paths>,
    pub len: usize,
}

/// One list of edges per match.
#[derive(Default)]
pub struct Paths {
    pub ends: Vec<u32>,
    pub items: Vec<u32>,
}

impl Paths {
    pub fn push(&mut self, path: impl Iterator<Item = u32>) {
        self.items.extend(path);
        self.ends.push(self.items.len() as u32);
    }

    pub fn of(&self, index: usize) -> &[u32] {
        let from = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.items[from..self.ends[index] as usize]
    }
}

impl Found {
    pub fn new(pattern: &Pattern) -> Self {
        let edges = pattern.edges.iter().map(|_| Paths::default()).collect();
        Self { nodes: vec![Vec::new(); pattern.nodes], edges, len: 0 }
    }

    /// Selects the matches `picked`, in this order.
    pub fn pick(&self, picked: &[usize]) -> Self {
        let nodes = self.nodes.iter().map(|nodes| picked.iter().map(|index| nodes[*index]).collect()).collect();
        let pick = |paths: &Paths| {
            let mut kept = Paths::default();
            picked.iter().for_each(|index| kept.push(paths.of(*index).iter().copied()));
            kept
        };
        Self { nodes, edges: self.edges.iter().map(pick).collect(), len: picked.len() }
    }

    /// Total numbers held.
    pub fn weight(&self) -> usize {
        self.nodes.iter().map(Vec::len).sum::<usize>() + self.edges.iter().map(|paths| paths.items.len() + paths.ends.len()).sum::<usize>()
    }

    pub fn size(&self) -> usize {
        4 * self.weight()
    }
}

/// A pattern edge in search order.
struct Step {
    edge: usize,
    from: usize,
    to: usize,
    direction: Direction,
    least: u32,
    most: u32,
    /// Traversed from right to left.
    reversed: bool,
    /// Minimum number of further edges from each node to a candidate for the end.
    distance: Option<Vec<u32>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Check whether this node can be the end of the step.
    Arrive,
    /// It was the end, and its continuations are done.
    Return,
    Out,
    Into,
}

struct Frame {
    step: usize,
    node: u32,
    hops: u32,
    phase: Phase,
    at: u32,
    /// This frame bound the end of its step.
    binds: bool,
}

/// Result of continuing the search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Match,
    /// The budget is exhausted.
    Pause,
    Done,
}

pub struct Walker {
    graph: Arc<Graph>,
    masks: Arc<Masks>,
    cycles: Cycles,
    steps: Vec<Step>,
    first: usize,
    next_start: u32,
    bound: Vec<u32>,
    paths: Vec<Vec<u32>>,
    used: Vec<bool>,
    visited: Vec<bool>,
    frames: Vec<Frame>,
    hops: u32,
    /// If set, only matches with exactly this many edges.
    length: Option<u32>,
}

impl Walker {
    pub fn new(pattern: &Pattern, graph: Arc<Graph>, masks: Arc<Masks>, length: Option<u32>) -> Self {
        let (first, steps) = plan(pattern, &graph, &masks);
        let used = if pattern.cycles == Cycles::UniqueEdges { vec![false; graph.source.len()] } else { Vec::new() };
        let visited = if pattern.cycles == Cycles::None { vec![false; graph.nodes] } else { Vec::new() };
        let next_start = if masks.never { graph.nodes as u32 } else { 0 };
        Self {
            cycles: pattern.cycles,
            steps,
            first,
            next_start,
            bound: vec![NONE; pattern.nodes],
            paths: vec![Vec::new(); pattern.edges.len()],
            used,
            visited,
            frames: Vec::new(),
            hops: 0,
            length,
            graph,
            masks,
        }
    }

    pub fn size(&self) -> usize {
        let distances: usize = self.steps.iter().filter_map(|step| step.distance.as_ref()).map(|distance| 4 * distance.len()).sum();
        self.used.len() + self.visited.len() + 32 * self.frames.len() + distances
    }

    /// Adds the current match.
    pub fn collect(&self, found: &mut Found) {
        for (nodes, node) in found.nodes.iter_mut().zip(&self.bound) {
            nodes.push(*node);
        }
        for step in &self.steps {
            let path = &self.paths[step.edge];
            let paths = &mut found.edges[step.edge];
            if step.reversed { paths.push(path.iter().rev().copied()) } else { paths.push(path.iter().copied()) }
        }
        found.len += 1;
    }

    /// Continues to the next match, or until `budget` steps are done.
    pub fn next(&mut self, budget: &mut u64) -> Event {
        loop {
            if *budget == 0 {
                return Event::Pause;
            }
            *budget -= 1;
            let Some(frame) = self.frames.last_mut() else {
                match self.start() {
                    Some(event) => return event,
                    None => continue,
                }
            };
            let step = &self.steps[frame.step];
            match frame.phase {
                Phase::Arrive => {
                    frame.phase = Phase::Out;
                    let end = self.bound[step.to];
                    let fits = if end == NONE { allows(&self.masks.nodes[step.to], frame.node) } else { end == frame.node };
                    if frame.hops < step.least || !fits {
                        continue;
                    }
                    frame.phase = Phase::Return;
                    frame.binds = end == NONE;
                    self.bound[step.to] = frame.node;
                    match self.steps.get(frame.step + 1) {
                        Some(next) => {
                            let node = self.bound[next.from];
                            let step = frame.step + 1;
                            self.frames.push(Frame { step, node, hops: 0, phase: Phase::Arrive, at: 0, binds: false });
                        }
                        None if self.length.is_none_or(|length| length == self.hops) => return Event::Match,
                        None => {}
                    }
                }
                Phase::Return => {
                    if frame.binds {
                        self.bound[step.to] = NONE;
                    }
                    frame.binds = false;
                    frame.phase = Phase::Out;
                }
                Phase::Out | Phase::Into => self.extend(),
            }
        }
    }

    /// Moves to the next start node; `None` if there is one to search from.
    fn start(&mut self) -> Option<Event> {
        let before = std::mem::replace(&mut self.bound[self.first], NONE);
        if self.cycles == Cycles::None && before != NONE {
            self.visited[before as usize] = false;
        }
        if self.next_start as usize >= self.graph.nodes {
            return Some(Event::Done);
        }
        let node = self.next_start;
        self.next_start += 1;
        if !allows(&self.masks.nodes[self.first], node) {
            return None;
        }
        self.bound[self.first] = node;
        if self.cycles == Cycles::None {
            self.visited[node as usize] = true;
        }
        if self.steps.is_empty() {
            return self.length.is_none_or(|length| length == 0).then_some(Event::Match);
        }
        self.frames.push(Frame { step: 0, node, hops: 0, phase: Phase::Arrive, at: 0, binds: false });
        None
    }

    /// Extends the top frame by one edge, or pops it.
    fn extend(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        let step = &self.steps[frame.step];
        let ended = frame.hops >= step.most
            || (frame.hops > 0 && !allows(&self.masks.inner[step.edge], frame.node))
            || self.length.is_some_and(|length| self.hops >= length);
        let list = match (frame.phase, step.direction) {
            _ if ended => None,
            (Phase::Out, Direction::Forward | Direction::Any) => Some(self.graph.out.of(frame.node)),
            (Phase::Into, Direction::Backward | Direction::Any) => Some(self.graph.into.of(frame.node)),
            (Phase::Out, Direction::Backward) => Some(&[][..]),
            _ => None,
        };
        let Some(list) = list else {
            self.leave();
            return;
        };
        let Some(edge) = list.get(frame.at as usize).copied() else {
            if frame.phase == Phase::Out && step.direction != Direction::Forward {
                frame.phase = Phase::Into;
                frame.at = 0;
            } else {
                self.leave();
            }
            return;
        };
        frame.at += 1;
        let (source, target) = (self.graph.source[edge as usize], self.graph.target[edge as usize]);
        let to = if frame.phase == Phase::Out { target } else { source };
        let hops = frame.hops + 1;
        let far = step.distance.as_ref().is_some_and(|distance| distance[to as usize].saturating_add(hops) > step.most);
        let taken = match self.cycles {
            Cycles::UniqueEdges => self.used[edge as usize],
            Cycles::None => self.visited[to as usize],
            Cycles::All => false,
        };
        if far || taken || !allows(&self.masks.edges[step.edge], edge) {
            return;
        }
        match self.cycles {
            Cycles::UniqueEdges => self.used[edge as usize] = true,
            Cycles::None => self.visited[to as usize] = true,
            Cycles::All => {}
        }
        self.paths[step.edge].push(edge);
        self.hops += 1;
        let step = frame.step;
        self.frames.push(Frame { step, node: to, hops, phase: Phase::Arrive, at: 0, binds: false });
    }

    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if frame.hops == 0 {
            return;
        }
        let edge = self.paths[self.steps[frame.step].edge].pop();
        self.hops -= 1;
        match (self.cycles, edge) {
            (Cycles::UniqueEdges, Some(edge)) => self.used[edge as usize] = false,
            (Cycles::None, _) => self.visited[frame.node as usize] = false,
            _ => {}
        }
    }
}

/// The start node, and the search order of the pattern's edges: each is connected to a bound node; edges with both ends bound come first,
/// because they only filter; then those leading to few nodes.
fn plan(pattern: &Pattern, graph: &Graph, masks: &Masks) -> (usize, Vec<Step>) {
    let candidates: Vec<usize> =
        masks.nodes.iter().map(|mask| mask.as_ref().map_or(graph.nodes, |mask| mask.iter().filter(|allowed| **allowed).count())).collect();
    let first = (0..pattern.nodes).min_by_key(|node| candidates[*node]).unwrap_or(0);
    let mut bound = vec![false; pattern.nodes];
    if let Some(start) = bound.get_mut(first) {
        *start = true;
    }
    let mut left: Vec<usize> = (0..pattern.edges.len()).collect();
    let mut steps = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let cost = |edge: &usize| {
            let PatternEdge { left, right, range, .. } = pattern.edges[*edge];
            match (bound[left], bound[right]) {
                (true, true) => (0, range.is_some(), 0),
                (false, false) => (2, false, 0),
                (known, _) => (1, range.is_some(), candidates[if known { right } else { left }]),
            }
        };
        let Some(at) = (0..left.len()).min_by_key(|at| cost(&left[*at])) else { break };
        let edge = left.remove(at);
        let PatternEdge { left: l, right: r, direction, .. } = pattern.edges[edge];
        let reversed = !bound[l];
        let (from, to, direction) = if reversed { (r, l, direction.reversed()) } else { (l, r, direction) };
        let most = pattern.edges[edge].most();
        let distance = match &masks.nodes[to] {
            Some(mask) if !bound[to] && most > 1 => Some(distances(graph, mask, &masks.edges[edge], direction.reversed(), most)),
            _ => None,
        };
        bound[from] = true;
        bound[to] = true;
        steps.push(Step { edge, from, to, direction, least: pattern.edges[edge].least(), most, reversed, distance });
    }
    (first, steps)
}

/// The number of edges of `allowed` from each node to `ends`, by a reverse search; at most `most`.
fn distances(graph: &Graph, ends: &[bool], allowed: &Option<Vec<bool>>, direction: Direction, most: u32) -> Vec<u32> {
    let mut distance = vec![NONE; graph.nodes];
    let mut layer: Vec<u32> = (0..graph.nodes as u32).filter(|node| ends.get(*node as usize).copied().unwrap_or(false)).collect();
    layer.iter().for_each(|node| distance[*node as usize] = 0);
    let mut hops = 0;
    while !layer.is_empty() && hops < most {
        hops += 1;
        let mut next = Vec::new();
        for node in layer {
            let out = if direction == Direction::Backward { &[][..] } else { graph.out.of(node) };
            let into = if direction == Direction::Forward { &[][..] } else { graph.into.of(node) };
            for edge in out.iter().chain(into) {
                let to = graph.other(*edge, node) as usize;
                if distance[to] == NONE && allows(allowed, *edge) {
                    distance[to] = hops;
                    next.push(to as u32);
                }
            }
        }
        layer = next;
    }
    distance
}
