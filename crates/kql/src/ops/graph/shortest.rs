//! `graph-shortest-paths`: for each pair of end nodes the paths with the fewest edges. Source: the public KQL reference,
//! `graph-shortest-paths-operator`; `output=any` returns one path per pair, `output=all` all of them.
//!
//! From each start node a breadth-first search explores states: the position in the pattern and the node reached. It is sufficient if
//! conditions depend only on the ends and on single nodes and edges, and no edge may be used twice. Otherwise an iterative deepening
//! depth-first search is used, which is exact but may be slow.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::build::{Graph, NONE};
use super::walk::{Direction, Event, Found, Masks, Pattern, Walker, allows};

/// A state of the breadth-first search.
struct Place {
    step: u32,
    hops: u32,
    node: u32,
    level: u32,
    /// Predecessor states, and the edge from each; no edge where a pattern step begins.
    before: Vec<(u32, u32)>,
}

pub struct Shortest {
    pattern: Pattern,
    graph: Arc<Graph>,
    masks: Arc<Masks>,
    all: bool,
    next_start: u32,
    /// The breadth-first search is sufficient.
    broad: bool,
    /// Pairs for which the breadth-first search found no valid path, although one may exist.
    left: HashSet<(u32, u32)>,
    /// The path length of each pair found by the depth-first search.
    found: HashMap<(u32, u32), u32>,
    deep: Option<Walker>,
    length: u32,
    longest: u32,
    /// Number of pairs of end nodes.
    pairs: usize,
    size: usize,
}

impl Shortest {
    /// `broad`: the remaining conditions depend only on the ends.
    pub fn new(pattern: &Pattern, graph: Arc<Graph>, masks: Arc<Masks>, all: bool, broad: bool) -> Self {
        let chain = pattern.edges.iter().enumerate().all(|(at, edge)| edge.left == at && edge.right == at + 1);
        let most = pattern.edges.iter().fold(0u32, |sum, edge| sum.saturating_add(edge.most()));
        let count = |node: Option<usize>| match node.and_then(|node| masks.nodes.get(node)) {
            Some(Some(mask)) => mask.iter().filter(|allowed| **allowed).count(),
            _ => graph.nodes,
        };
        Self {
            pairs: count(Some(0)).saturating_mul(count(pattern.edges.last().map(|edge| edge.right))),
            broad: broad && chain,
            all,
            next_start: 0,
            left: HashSet::new(),
            found: HashMap::new(),
            deep: None,
            length: pattern.edges.iter().fold(0u32, |sum, edge| sum.saturating_add(edge.least())),
            longest: most.min(graph.source.len() as u32),
            size: 0,
            pattern: pattern.clone(),
            graph,
            masks,
        }
    }

    pub fn size(&self) -> usize {
        self.size + 24 * (self.left.len() + self.found.len()) + self.deep.as_ref().map_or(0, Walker::size)
    }

    /// True if the last matches come from the depth-first search and need a selection.
    pub fn is_deep(&self) -> bool {
        self.deep.is_some()
    }

    /// Adds the paths from one start node, or searches for the next path; [`Event::Done`] if there are no more.
    pub fn next(&mut self, found: &mut Found, budget: &mut u64) -> Event {
        if self.masks.never {
            return Event::Done;
        }
        if self.broad && (self.next_start as usize) < self.graph.nodes {
            let start = self.next_start;
            self.next_start += 1;
            *budget = budget.saturating_sub(1);
            if !allows(&self.masks.nodes[0], start) {
                return if *budget == 0 { Event::Pause } else { Event::Match };
            }
            self.search(start, found, budget);
            return if *budget == 0 { Event::Pause } else { Event::Match };
        }
        loop {
            let walker = match &mut self.deep {
                Some(walker) => walker,
                None => {
                    if self.found.len() >= self.pairs || (self.broad && self.left.is_empty()) || self.length > self.longest {
                        return Event::Done;
                    }
                    // Matches of the breadth-first search need no selection and are emitted first.
                    if found.len > 0 {
                        return Event::Pause;
                    }
                    self.deep.insert(Walker::new(&self.pattern, self.graph.clone(), self.masks.clone(), Some(self.length)))
                }
            };
            match walker.next(budget) {
                Event::Match => {
                    walker.collect(found);
                    return Event::Match;
                }
                Event::Pause => return Event::Pause,
                // Matches must be filtered before the next length is searched.
                Event::Done if found.len > 0 => return Event::Pause,
                Event::Done => {
                    self.deep = None;
                    self.length += 1;
                    let found = &self.found;
                    self.left.retain(|pair| !found.contains_key(pair));
                }
            }
        }
    }

    /// Selects the result from the paths found by the depth-first search that meet all conditions.
    pub fn choose(&mut self, found: &Found) -> Vec<usize> {
        let (Some(starts), Some(ends)) = (found.nodes.first(), self.pattern.edges.last().and_then(|edge| found.nodes.get(edge.right)))
        else {
            return Vec::new();
        };
        let mut picked = Vec::new();
        for (index, pair) in starts.iter().copied().zip(ends.iter().copied()).enumerate() {
            if self.broad && !self.left.contains(&pair) {
                continue;
            }
            if pair.0 == pair.1 {
                continue;
            }
            let known = self.found.get(&pair).copied();
            if known.is_none() || (self.all && known == Some(self.length)) {
                self.found.insert(pair, self.length);
                picked.push(index);
            }
        }
        picked
    }

    /// The breadth-first search from `start`.
    fn search(&mut self, start: u32, found: &mut Found, budget: &mut u64) {
        let last = self.pattern.edges.len() - 1;
        let mut search =
            Search { shortest: self, places: Vec::new(), known: HashMap::new(), ends: Vec::new(), end_at: HashMap::new(), last };
        search.add(0, 0, start, 0, (NONE, NONE));
        let mut at = 0;
        while at < search.places.len() {
            *budget = budget.saturating_sub(1 + search.extend(at as u32));
            at += 1;
        }
        let Search { places, ends, .. } = search;
        let mut size = 0;
        places.iter().for_each(|place| size += 48 + 8 * place.before.len());
        self.size = self.size.max(size);
        for (end, accepted) in ends {
            // Recorded: a path from a node to itself is not returned, for any value of `cycles`.
            if end == start {
                continue;
            }
            let before = found.len;
            for place in accepted {
                self.ways(&places, place, found, budget);
                if !self.all && found.len > before {
                    break;
                }
            }
            if found.len == before {
                self.left.insert((start, end));
            }
        }
    }

    /// Reconstructs all paths to an end, or one; skips paths that use an edge twice.
    fn ways(&self, places: &[Place], end: u32, found: &mut Found, budget: &mut u64) {
        // The states from the end backwards, each with the index of its next predecessor.
        let mut back: Vec<(u32, usize)> = vec![(end, 0)];
        let mut edges: Vec<u32> = Vec::new();
        while let Some((place, next)) = back.last_mut() {
            *budget = budget.saturating_sub(1);
            match places[*place as usize].before.get(*next).copied() {
                Some((NONE, _)) => {
                    *next += 1;
                    self.emit(places, &back, &edges, found);
                    if !self.all {
                        return;
                    }
                }
                Some((before, edge)) => {
                    *next += 1;
                    if edge == NONE || !edges.contains(&edge) {
                        edges.push(edge);
                        back.push((before, 0));
                    }
                }
                None => {
                    back.pop();
                    edges.pop();
                }
            }
        }
    }

    fn emit(&self, places: &[Place], back: &[(u32, usize)], edges: &[u32], found: &mut Found) {
        let mut nodes = vec![NONE; self.pattern.nodes];
        let mut paths: Vec<Vec<u32>> = vec![Vec::new(); self.pattern.edges.len()];
        let place = |at: usize| &places[back[at].0 as usize];
        nodes[0] = place(back.len() - 1).node;
        for at in (0..edges.len()).rev() {
            // `edges[at]` leads from the next state on the stack to this one.
            let here = place(at);
            match edges[at] {
                NONE => nodes[here.step as usize] = here.node,
                edge => paths[here.step as usize].push(edge),
            }
        }
        nodes[self.pattern.nodes - 1] = place(0).node;
        found.nodes.iter_mut().zip(nodes).for_each(|(all, node)| all.push(node));
        found.edges.iter_mut().zip(paths).for_each(|(all, path)| all.push(path.into_iter()));
        found.len += 1;
    }
}

/// A breadth-first search from one node.
struct Search<'a> {
    shortest: &'a Shortest,
    places: Vec<Place>,
    known: HashMap<(u32, u32, u32), u32>,
    /// The end nodes reached, with the states at minimal distance.
    ends: Vec<(u32, Vec<u32>)>,
    end_at: HashMap<u32, usize>,
    last: usize,
}

impl Search<'_> {
    fn add(&mut self, mut step: u32, mut hops: u32, node: u32, level: u32, mut before: (u32, u32)) {
        loop {
            let edge = &self.shortest.pattern.edges[step as usize];
            // For a pattern of one edge the level is the number of hops.
            let key = if self.last == 0 && edge.least() <= 1 { hops.min(1) } else { hops };
            if let Some(known) = self.known.get(&(step, key, node)) {
                let place = &mut self.places[*known as usize];
                if place.level == level && self.shortest.all {
                    place.before.push(before);
                }
                return;
            }
            let number = self.places.len() as u32;
            self.known.insert((step, key, node), number);
            self.places.push(Place { step, hops, node, level, before: vec![before] });
            if hops < edge.least() || !allows(&self.shortest.masks.nodes[edge.right], node) {
                return;
            }
            if step as usize == self.last {
                self.accept(node, level, number);
                return;
            }
            (step, hops, before) = (step + 1, 0, (number, NONE));
        }
    }

    fn accept(&mut self, node: u32, level: u32, place: u32) {
        match self.end_at.get(&node).copied() {
            None => {
                self.end_at.insert(node, self.ends.len());
                self.ends.push((node, vec![place]));
            }
            Some(at) => {
                let accepted = &mut self.ends[at].1;
                if accepted.first().is_some_and(|first| self.places[*first as usize].level == level) {
                    accepted.push(place);
                }
            }
        }
    }

    /// Expands a state along all edges; returns their number.
    fn extend(&mut self, at: u32) -> u64 {
        let place = &self.places[at as usize];
        let (step, hops, node, level) = (place.step, place.hops, place.node, place.level);
        let edge = self.shortest.pattern.edges[step as usize];
        let walked = if self.last == 0 { level } else { hops };
        if walked >= edge.most() || (hops > 0 && !allows(&self.shortest.masks.inner[step as usize], node)) {
            return 0;
        }
        let graph = self.shortest.graph.clone();
        let out = if edge.direction == Direction::Backward { &[][..] } else { graph.out.of(node) };
        let into = if edge.direction == Direction::Forward { &[][..] } else { graph.into.of(node) };
        for (at_edge, backwards) in out.iter().map(|edge| (*edge, false)).chain(into.iter().map(|edge| (*edge, true))) {
            let again = backwards && !out.is_empty() && graph.source[at_edge as usize] == graph.target[at_edge as usize];
            if !again && allows(&self.shortest.masks.edges[step as usize], at_edge) {
                self.add(step, hops + 1, graph.other(at_edge, node), level + 1, (at, at_edge));
            }
        }
        (out.len() + into.len()) as u64
    }
}
