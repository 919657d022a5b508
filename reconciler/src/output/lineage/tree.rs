//! A graph as a tree, from what was asked about down to what it came from, or what came of it.

use std::collections::BTreeSet;

use sitewright_model::lineage::{EntityId, Graph};

use crate::output::{
    Look,
    look::{self, paint},
    words::clean,
};

/// Returns a graph as a tree.
pub fn text(graph: &Graph, _: &Look) -> String {
    let (mut lines, mut seen) = (Vec::new(), BTreeSet::new());
    for focus in &graph.focus {
        lines.push(format!("{} {}", paint(look::STRONG, focus.kind()), title(graph, focus)));
        grow(graph, focus, 1, &mut seen, &mut lines);
    }
    if graph.hidden > 0 {
        lines.push(format!("{} things are in namespaces that you may not see", graph.hidden));
    }
    if graph.is_cut {
        lines.push("there is more: the answer was cut".to_owned());
    }
    lines.join("\n") + "\n" + &super::gaps(&graph.gaps)
}

fn title(graph: &Graph, id: &EntityId) -> String {
    let title = graph.node(id).map_or_else(|| id.short(), |node| node.title());
    clean(&title)
}

fn grow<'g>(
    graph: &'g Graph,
    id: &'g EntityId,
    depth: usize,
    seen: &mut BTreeSet<&'g EntityId>,
    lines: &mut Vec<String>,
) {
    if !seen.insert(id) {
        return;
    }
    let up = graph.edges_from(id).map(|edge| (edge, &edge.to, ""));
    let down = graph.edges_to(id).map(|edge| (edge, &edge.from, "^"));
    for (edge, other, way) in up.chain(down) {
        if seen.contains(other) && way == "^" {
            continue;
        }
        let (kind, grade) = (other.kind(), graph.grade(edge));
        let indent = "  ".repeat(depth);
        lines.push(format!(
            "{indent}{way}{} {kind} {} ({grade})",
            edge.relation,
            title(graph, other)
        ));
        grow(graph, other, depth + 1, seen, lines);
    }
}
