//! Circles: the soft edges in them are left out; a hard one is an error that shows it.

use std::fmt;

use super::{Graph, Node, Requirement, Strength, build::Draft};
use crate::{code::plan as code, diagnostic::Diagnostic};

/// Objects that wait for each other: none of them can ever be first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// What waits for the next one, and for what of it; the last one waits for the first.
    pub links: Vec<(Node, Requirement)>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects wait for each other in a circle:")?;
        let next = self.links.iter().cycle().skip(1);
        for ((node, requirement), (on, _)) in self.links.iter().zip(next) {
            write!(f, "\n  {node} waits for {on} to be {requirement}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Cycle {}

impl From<&Cycle> for Diagnostic {
    fn from(cycle: &Cycle) -> Self {
        let help = "take one of these edges out: a `dependsOn`, or the object that is in the wrong component";
        Self::error(code::CIRCLE, cycle.to_string()).help(help)
    }
}

/// Leaves out the soft edges that lie in circles, and returns the graph if that leaves none.
pub(super) fn cut(mut draft: Draft) -> Result<Graph, Box<Cycle>> {
    let circle = components(&draft);
    let same = |one: usize, other: usize| circle.get(one) == circle.get(other);
    for (from, edges) in draft.edges.iter_mut().enumerate() {
        edges.retain(|edge| edge.strength == Strength::Hard || !same(from, edge.on));
    }
    match find(&draft) {
        Some(cycle) => Err(Box::new(cycle)),
        None => Ok(Graph {
            nodes: draft.nodes,
            roles: draft.roles,
            there: draft.there,
            edges: draft.edges,
            index: draft.index,
        }),
    }
}

/// Returns, by node, the number of its strongly connected component (Tarjan, without recursion).
fn components(draft: &Draft) -> Vec<usize> {
    let mut search = Search::new(draft.nodes.len());
    for node in 0..draft.nodes.len() {
        search.visit(node, draft);
    }
    search.component
}

const UNSEEN: usize = usize::MAX;

struct Search {
    /// By node, when it was first seen.
    seen: Vec<usize>,
    /// By node, the earliest node on the stack that it leads to.
    low: Vec<usize>,
    component: Vec<usize>,
    stack: Vec<usize>,
    clock: usize,
    components: usize,
}

impl Search {
    fn new(nodes: usize) -> Self {
        Self {
            seen: vec![UNSEEN; nodes],
            low: vec![UNSEEN; nodes],
            component: vec![UNSEEN; nodes],
            stack: Vec::new(),
            clock: 0,
            components: 0,
        }
    }

    fn visit(&mut self, root: usize, draft: &Draft) {
        if get(&self.seen, root) != UNSEEN {
            return;
        }
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.pop() {
            match draft.edges.get(node).and_then(|edges| edges.get(next)) {
                Some(edge) => {
                    path.push((node, next + 1));
                    if get(&self.seen, edge.on) == UNSEEN {
                        self.enter(edge.on);
                        path.push((edge.on, 0));
                    } else if get(&self.component, edge.on) == UNSEEN {
                        let low = get(&self.low, node).min(get(&self.seen, edge.on));
                        set(&mut self.low, node, low);
                    }
                }
                None => {
                    self.leave(node);
                    if let Some((parent, _)) = path.last() {
                        let low = get(&self.low, *parent).min(get(&self.low, node));
                        set(&mut self.low, *parent, low);
                    }
                }
            }
        }
    }

    fn enter(&mut self, node: usize) {
        set(&mut self.seen, node, self.clock);
        set(&mut self.low, node, self.clock);
        self.clock += 1;
        self.stack.push(node);
    }

    fn leave(&mut self, node: usize) {
        if get(&self.low, node) != get(&self.seen, node) {
            return;
        }
        while let Some(member) = self.stack.pop() {
            set(&mut self.component, member, self.components);
            if member == node {
                break;
            }
        }
        self.components += 1;
    }
}

fn get(list: &[usize], index: usize) -> usize {
    list.get(index).copied().unwrap_or(UNSEEN)
}

fn set(list: &mut [usize], index: usize, value: usize) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}

/// Returns a circle, if one is left.
fn find(draft: &Draft) -> Option<Cycle> {
    let circle = components(draft);
    let inside = |from: usize| {
        let edges = draft.edges.get(from).into_iter().flatten();
        edges.filter(|edge| circle.get(edge.on) == circle.get(from)).min_by_key(|edge| edge.on)
    };
    let start = (0..draft.nodes.len()).find(|node| inside(*node).is_some())?;
    // Every node of the component has an edge within it: following them comes round.
    let mut path: Vec<(usize, Requirement)> = Vec::new();
    let mut at = start;
    while !path.iter().any(|(node, _)| *node == at) {
        let edge = inside(at)?;
        path.push((at, edge.requirement));
        at = edge.on;
    }
    let links = path
        .into_iter()
        .skip_while(|(node, _)| *node != at)
        .filter_map(|(node, requirement)| Some((draft.nodes.get(node)?.clone(), requirement)))
        .collect();
    Some(Cycle { links })
}
