//! Lineage for a terminal: from what was asked about down to its causes, or up to what came of it, each line with its
//! grade.
//!
//! As JSON it is the [`Graph`] itself; pictures are made by [`sitewright_model::lineage::picture`].

mod answers;
pub mod api;

use std::collections::{BTreeMap, BTreeSet};

use anstyle::Style;
use sitewright_model::lineage::{
    EntityId, EntityKind, Grade, Graph, Node, Relation,
    picture::{Label, Line, Said, disputes, is_echo, label, lines},
};

pub use self::answers::{difference, explanation, gaps, reproduction, touched, verdicts};
use super::{
    Detail, Look,
    look::{self, Glyphs, paint},
    words::{self, clean, count},
};

/// The room of the word of a grade.
const GRADE: usize = 10;

/// Things that stand below one line at most; further ones are counted, unless everything is asked for.
const MOST: usize = 40;

/// Which way a question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To what it came from.
    Causes,
    /// To what came of it.
    Effects,
}

/// Returns the style of a grade.
pub fn style(grade: Grade) -> Style {
    match grade {
        Grade::Observed => look::GOOD.bold(),
        Grade::Resolved => look::GOOD,
        Grade::Attested => look::CODE,
        Grade::Claimed => look::UPDATE,
        Grade::Inferred | Grade::Unknown => look::DIM,
        Grade::Conflict => look::FAIL,
    }
}

/// Returns the graph as a tree below each thing that was asked about, and what stands against it.
pub fn text(graph: &Graph, way: Way, look: &Look) -> String {
    let mut near: BTreeMap<&EntityId, Vec<Line<'_>>> = BTreeMap::new();
    // what is said of a name and of the content that it led to is told at the content
    for line in lines(graph).into_iter().filter(|line| !is_echo(graph, line.edge)) {
        let of = if way == Way::Causes { &line.edge.from } else { &line.edge.to };
        near.entry(of).or_default().push(line);
    }
    let mut tree = Tree { graph, way, look, near, told: BTreeSet::new(), out: String::new() };
    for (order, id) in graph.focus.iter().enumerate() {
        if order > 0 {
            tree.out.push('\n');
        }
        tree.tell(id);
    }
    let mut out = tree.out;
    notes(graph, look, &mut out);
    out
}

struct Tree<'g> {
    graph: &'g Graph,
    way: Way,
    look: &'g Look,
    near: BTreeMap<&'g EntityId, Vec<Line<'g>>>,
    told: BTreeSet<&'g EntityId>,
    out: String,
}

/// A line that is yet to be written: a stack of them stands for recursion, which a long chain of checkpoints would
/// overflow.
struct Next<'g> {
    branch: Branch<'g>,
    /// What stands before it: of each level above whether more follows there.
    above: Vec<bool>,
}

#[derive(Clone)]
enum Branch<'g> {
    One(Line<'g>),
    /// Parts of a state of a node, together.
    Parts(Grade, Vec<&'g EntityId>),
    More(usize),
}

impl<'g> Tree<'g> {
    fn tell(&mut self, id: &'g EntityId) {
        let head = self.named(id);
        self.line(None, String::new(), &head, look::STRONG);
        self.told.insert(id);
        self.facts(id, &[]);
        let mut stack = self.below(id, &[]);
        while let Some(Next { branch, above }) = stack.pop() {
            let rail = rail(&above, self.look.glyphs);
            match branch {
                Branch::One(line) => {
                    let id = self.other(&line);
                    let is_known = !self.told.insert(id);
                    let name = if is_known { self.again(id) } else { self.named(id) };
                    let text = format!("{} {name}", self.tie(line.edge.relation));
                    self.line(Some(line.grade), rail, &text, look::PLAIN);
                    if !is_known {
                        self.facts(id, &above);
                        if line.edge.relation.is_cause() {
                            stack.extend(self.below(id, &above));
                        }
                    }
                }
                Branch::Parts(grade, parts) => {
                    let names: Vec<String> =
                        parts.iter().map(|id| id.rest().replacen('/', " ", 1)).collect();
                    let text = format!("{} {}", self.tie(Relation::Holds), names.join(", "));
                    self.line(Some(grade), rail, &clean(&text), look::PLAIN);
                }
                Branch::More(more) => {
                    let text = format!("{} and {more} more", self.look.glyphs.ellipsis());
                    self.line(None, rail, &text, look::DIM);
                }
            }
        }
    }

    /// Returns the lines below a thing, the last one first.
    fn below(&self, id: &EntityId, above: &[bool]) -> Vec<Next<'g>> {
        let mut lines = self.near.get(id).cloned().unwrap_or_default();
        lines.sort_by_cached_key(|line| (line.edge.relation, self.named(self.other(line))));
        let detail = self.look.detail;
        let is_part = |line: &Line<'g>| {
            line.edge.relation == Relation::Holds && self.other(line).kind() == EntityKind::Part
        };
        let (parts, rest): (Vec<Line<'g>>, Vec<Line<'g>>) =
            lines.into_iter().partition(|line| detail != Detail::Full && is_part(line));
        let mut branches: Vec<Branch<'g>> = rest.into_iter().map(Branch::One).collect();
        if let Some(first) = parts.first().filter(|_| detail == Detail::Folded) {
            let ids = parts.iter().map(|line| self.other(line)).collect();
            branches.push(Branch::Parts(first.grade, ids));
        }
        if detail != Detail::Full && branches.len() > MOST {
            let more = branches.len() - MOST;
            branches.truncate(MOST);
            branches.push(Branch::More(more));
        }
        let last = branches.len();
        let next = |(order, branch)| {
            let above = above.iter().copied().chain([order + 1 < last]).collect();
            Next { branch, above }
        };
        branches.into_iter().enumerate().map(next).rev().collect()
    }

    fn other(&self, line: &Line<'g>) -> &'g EntityId {
        if self.way == Way::Causes { &line.edge.to } else { &line.edge.from }
    }

    fn tie(&self, relation: Relation) -> String {
        match (self.way, self.look.glyphs) {
            (Way::Causes, _) => relation.to_string(),
            (Way::Effects, Glyphs::Unicode) => format!("← {relation}"),
            (Way::Effects, Glyphs::Ascii) => format!("<- {relation}"),
        }
    }

    fn named(&self, id: &EntityId) -> String {
        named(self.graph, id, self.look.glyphs.dot())
    }

    fn again(&self, id: &EntityId) -> String {
        let label = self.graph.node(id).map(|node| label(self.graph, node));
        let name =
            label.map_or_else(|| id.to_string(), |label| format!("{} {}", label.kind, label.title));
        format!("{} (above)", clean(&name))
    }

    fn facts(&mut self, id: &EntityId, above: &[bool]) {
        if self.look.detail != Detail::Full {
            return;
        }
        let Some(node) = self.graph.node(id) else { return };
        for fact in &node.facts {
            let grade = node.known(&fact.field).map_or(fact.grade, |known| {
                if known.grade == Grade::Conflict { known.grade } else { fact.grade }
            });
            let text = format!("  {} = {} ({})", fact.field, fact.value, fact.source);
            self.line(Some(grade), margin(above, self.look.glyphs), &clean(&text), look::DIM);
        }
    }

    fn line(&mut self, grade: Option<Grade>, rail: String, text: &str, style: Style) {
        let word = match grade {
            Some(grade) => paint(self::style(grade), format!("{grade:<GRADE$}")),
            None => " ".repeat(GRADE),
        };
        let room = self.look.width.saturating_sub(GRADE + rail.chars().count()).max(20);
        let text = paint(style, words::cut(text, room, self.look.glyphs.ellipsis()));
        self.out.push_str(format!("{word}{rail}{text}").trim_end());
        self.out.push('\n');
    }
}

/// Returns what people call a thing, and one more fact.
fn named(graph: &Graph, id: &EntityId, dot: &str) -> String {
    let text = match graph.node(id) {
        None => id.to_string(),
        Some(node) => {
            let Label { kind, title, detail } = label(graph, node);
            let detail = if detail.is_empty() { detail } else { format!(" {dot} {detail}") };
            format!("{kind} {title}{detail}")
        }
    };
    clean(&text)
}

/// Returns the branches that lead to a line.
fn rail(above: &[bool], glyphs: Glyphs) -> String {
    let Some((follows, above)) = above.split_last() else { return String::new() };
    let corner = match (glyphs, follows) {
        (Glyphs::Unicode, true) => "├─ ",
        (Glyphs::Unicode, false) => "└─ ",
        (Glyphs::Ascii, true) => "|- ",
        (Glyphs::Ascii, false) => "`- ",
    };
    margin(above, glyphs) + corner
}

fn margin(above: &[bool], glyphs: Glyphs) -> String {
    let bar = if glyphs == Glyphs::Unicode { "│  " } else { "|  " };
    above.iter().map(|follows| if *follows { bar } else { "   " }).collect()
}

/// Says what sources differ in, and what may be missing.
fn notes(graph: &Graph, look: &Look, out: &mut String) {
    let mut note = |head: String, style: Style, lines: Vec<String>| {
        out.push_str(&format!("\n{}\n", paint(style, format!("{} {head}", look.glyphs.warn()))));
        for line in lines {
            out.push_str(&format!("  {line}\n"));
        }
    };
    let dot = look.glyphs.dot();
    let thing = |node: &Node| named(graph, &node.id, dot);
    let disputes: Vec<String> = disputes(graph)
        .iter()
        .map(|dispute| {
            let said = |said: &Said<'_>| match said {
                Said::Thing(id) => named(graph, id, dot),
                Said::Value(value) => clean(value),
            };
            let values: Vec<String> = dispute.values.iter().map(said).collect();
            format!("{} {}: {}", thing(dispute.of), clean(dispute.what), values.join(" or "))
        })
        .collect();
    if !disputes.is_empty() {
        note("Sources differ".into(), look::FAIL, disputes);
    }
    if !graph.gaps.is_empty() {
        let gap = |gap: &sitewright_model::lineage::Gap| {
            let (from, to) =
                (gap.from.strftime("%Y-%m-%d %H:%M:%S"), gap.to.strftime("%H:%M:%S UTC"));
            format!("{from} to {to}: {}", clean(&gap.why))
        };
        let head = "For some time nothing could be seen; what happened then may be missing";
        note(head.into(), look::WARN, graph.gaps.iter().map(gap).collect());
    }
    if graph.hidden > 0 {
        let things = count(usize::try_from(graph.hidden).unwrap_or(usize::MAX), "thing");
        note(format!("{things} left out, for you may not see them"), look::WARN, Vec::new());
    }
    if graph.is_cut {
        let head = "The answer was cut: it is larger than one answer may be";
        note(head.into(), look::WARN, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Graph {
        serde_json::from_str(include_str!("../../model/tests/lineage.json")).unwrap()
    }

    fn shown(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn from_a_service_back_to_every_cause() {
        insta::assert_snapshot!(shown(&text(&sample(), Way::Causes, &Look::plain())));
    }

    #[test]
    fn on_a_narrow_ascii_terminal_in_brief() {
        let look = Look { width: 78, glyphs: Glyphs::Ascii, detail: Detail::Brief };
        let text = shown(&text(&sample(), Way::Causes, &look));
        assert!(text.is_ascii(), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn from_a_dataset_to_the_live_service() {
        let mut graph = sample();
        let data = graph.of_kind(EntityKind::Data).next().unwrap().id.clone();
        graph.focus = vec![data];
        graph.gaps.clear();
        (graph.hidden, graph.is_cut) = (2, true);
        insta::assert_snapshot!(shown(&text(&graph, Way::Effects, &Look::plain())));
    }

    #[test]
    fn in_full_every_fact_is_told_with_its_source() {
        let text = shown(&text(&sample(), Way::Causes, &Look::plain().with_detail(Detail::Full)));
        assert!(text.contains("driver = 580.95.05 (nodeState)"), "{text}");
        assert!(text.contains("trainer.exitCode = 137"), "{text}");
    }

    #[test]
    fn each_grade_has_its_colour() {
        let text = text(&sample(), Way::Causes, &Look::plain());
        let conflict = paint(look::FAIL, format!("{:<GRADE$}", "conflict"));
        assert!(text.contains(&conflict), "{text}");
    }

    #[test]
    fn a_name_cannot_move_the_cursor_and_a_long_chain_is_no_trouble() {
        let mut graph = sample();
        for fact in graph.nodes.iter_mut().flat_map(|node| &mut node.facts) {
            fact.value = "\u{1b}[2Jx\n".into();
        }
        for gap in &mut graph.gaps {
            gap.why = "\u{1b}[2J\n".into();
        }
        let full = Look::plain().with_detail(Detail::Full);
        let text = text(&graph, Way::Causes, &full);
        assert!(!shown(&text).contains('\u{1b}') && !text.contains("[2J\u{1b}"));
        assert!(text.contains("\\u{1b}[2Jx"));
    }
}
