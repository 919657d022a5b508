//! A graph as Mermaid, for tickets and pages that draw it.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{EntityId, EntityKind, Grade, Graph, Line, is_echo, label, lines};
use crate::terminal::clean;

/// Returns the graph as a flow chart of Mermaid. The style of a line is the grade of the edge.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    let index: BTreeMap<&EntityId, usize> =
        graph.nodes.iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
    for (at, node) in graph.nodes.iter().enumerate() {
        let said = label(graph, node);
        let parts = [said.kind, said.title, said.detail].map(|text| escaped(&text));
        let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let (open, close) = shape(node.kind);
        let focus = if graph.focus.contains(&node.id) { ":::focus" } else { "" };
        let _ = writeln!(out, "  n{at}{open}\"{}\"{close}{focus}", text.join("<br/>"));
    }
    let mut styles = String::new();
    let told = lines(graph).into_iter().filter(|line| !is_echo(graph, line.edge));
    let known = told
        .filter_map(|line| Some((line, *index.get(&line.edge.from)?, *index.get(&line.edge.to)?)));
    for (order, (Line { edge, grade }, from, to)) in known.enumerate() {
        let (arrow, style) = arrow(grade);
        let _ = writeln!(out, "  n{from} {arrow}|{}| n{to}", edge.relation);
        let _ = writeln!(styles, "  linkStyle {order} {style}");
    }
    out.push_str(&styles);
    out.push_str("  classDef focus stroke-width:3px\n");
    for gap in &graph.gaps {
        let why = escaped(&gap.why);
        let _ = writeln!(out, "  %% nothing was seen from {} to {}: {why}", gap.from, gap.to);
    }
    if graph.hidden > 0 {
        let _ = writeln!(out, "  %% {} things are not shown to this reader", graph.hidden);
    }
    if graph.is_cut {
        out.push_str("  %% the graph was cut: it is too large\n");
    }
    out
}

fn shape(kind: EntityKind) -> (&'static str, &'static str) {
    match kind {
        EntityKind::Run | EntityKind::Attempt | EntityKind::Service => ("([", "])"),
        EntityKind::Data | EntityKind::Volume => ("[(", ")]"),
        EntityKind::Epoch | EntityKind::State => ("{{", "}}"),
        EntityKind::Person => ("((", "))"),
        _ => ("[", "]"),
    }
}

fn arrow(grade: Grade) -> (&'static str, &'static str) {
    match grade {
        Grade::Observed => ("==>", "stroke-width:3px"),
        Grade::Resolved => ("-->", "stroke-width:1.5px"),
        Grade::Attested => ("-->", "stroke-width:2px,stroke-dasharray:10 3 2 3"),
        Grade::Claimed => ("-.->", "stroke-width:1.5px,stroke-dasharray:7 4"),
        Grade::Inferred => ("-.->", "stroke-width:1.5px,stroke-dasharray:2 3"),
        Grade::Unknown => ("-.->", "stroke-width:1px,stroke-dasharray:1 6"),
        Grade::Conflict => ("-->", "stroke:#c62828,stroke-width:2px"),
    }
}

/// Returns text for a label: what Mermaid or HTML would act on becomes a number.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in clean(text).chars().take(120) {
        if character.is_alphanumeric() || " ./:@-_·,+".contains(character) {
            out.push(character);
        } else {
            let _ = write!(out, "#{};", u32::from(character));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    #[test]
    fn the_sample_as_mermaid() {
        insta::assert_snapshot!(mermaid(&sample::graph()));
    }

    #[test]
    fn nothing_that_people_wrote_is_acted_upon() {
        assert_eq!(
            escaped("a\"]--><b>#1;\n`%%{"),
            "a#34;#93;--#62;#60;b#62;#35;1#59;#92;u#123;a#125;#96;#37;#37;#123;"
        );
        let graph = sample::hostile();
        for line in mermaid(&graph).lines().filter(|line| !line.starts_with("  %%")) {
            assert!(!line.contains("<script") && !line.contains("onload="), "{line}");
        }
    }
}
