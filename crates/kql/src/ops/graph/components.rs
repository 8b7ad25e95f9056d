//! `graph-mark-components`: connected components. Source: the public KQL reference, `graph-mark-components-operator`.
//!
//! `weak` ignores the direction of edges, `strong` requires paths in both directions. Components are numbered from 0 in the order of their
//! first nodes; Kusto does not specify an order.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use super::build::{Graph, NONE};

/// The number of each node's component, as longs.
pub fn components(graph: &Graph, strong: bool) -> ArrayRef {
    let marks = if strong { strongly(graph) } else { weakly(graph) };
    let mut numbers: Vec<u32> = vec![NONE; graph.nodes];
    let mut next = 0;
    let numbered = marks.into_iter().map(|mark| {
        let number = &mut numbers[mark as usize];
        if *number == NONE {
            *number = next;
            next += 1;
        }
        i64::from(*number)
    });
    Arc::new(numbered.collect::<Int64Array>())
}

/// The representative of each node's component: union–find with path halving.
fn weakly(graph: &Graph) -> Vec<u32> {
    let mut parents: Vec<u32> = (0..graph.nodes as u32).collect();
    for (source, target) in graph.source.iter().zip(&graph.target) {
        let (a, b) = (root(&mut parents, *source), root(&mut parents, *target));
        parents[a.max(b) as usize] = a.min(b);
    }
    (0..graph.nodes as u32).map(|node| root(&mut parents, node)).collect()
}

fn root(parents: &mut [u32], mut node: u32) -> u32 {
    while parents[node as usize] != node {
        let above = parents[parents[node as usize] as usize];
        parents[node as usize] = above;
        node = above;
    }
    node
}

/// Tarjan's algorithm with an explicit stack. A component is represented by its first node.
fn strongly(graph: &Graph) -> Vec<u32> {
    let nodes = graph.nodes;
    let (mut index, mut low, mut mark) = (vec![NONE; nodes], vec![0u32; nodes], vec![NONE; nodes]);
    let mut open: Vec<u32> = Vec::new();
    let mut calls: Vec<(u32, usize)> = Vec::new();
    let mut next = 0;
    for start in 0..nodes as u32 {
        if index[start as usize] != NONE {
            continue;
        }
        calls.push((start, 0));
        while let Some((node, edge)) = calls.last_mut() {
            let at = *node as usize;
            if *edge == 0 {
                (index[at], low[at]) = (next, next);
                next += 1;
                open.push(*node);
            }
            match graph.out.of(*node).get(*edge) {
                Some(out) => {
                    *edge += 1;
                    let to = graph.target[*out as usize];
                    if index[to as usize] == NONE {
                        calls.push((to, 0));
                    } else if mark[to as usize] == NONE {
                        low[at] = low[at].min(index[to as usize]);
                    }
                }
                None => {
                    let (node, low_here) = (*node, low[at]);
                    calls.pop();
                    if let Some((above, _)) = calls.last() {
                        let above = *above as usize;
                        low[above] = low[above].min(low_here);
                    }
                    if low_here == index[at] {
                        while let Some(member) = open.pop() {
                            mark[member as usize] = node;
                            if member == node {
                                break;
                            }
                        }
                    }
                }
            }
        }
    }
    mark
}
