//! A graph as one page that needs nothing else: to be mailed, kept beside a paper, shown in a talk.
//!
//! Without JavaScript it is a picture whose things are links to the lists below it; with it, a click shows the list
//! beside the picture. The page forbids itself every request, and every script but its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Answer, Dispute, Edge, EntityId, EntityKind, Grade, Graph, Label, Line, Node, Said, disputed,
    disputes, is_configuration, is_echo, label,
    layout::{self, HEIGHT, Layout, Route, WIDTH, layout},
    lines, summary,
};
use crate::{digest::Digest, terminal::clean};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The letters that a title has room for.
const TITLE: usize = 21;
/// And a detail, whose letters are smaller.
const DETAIL: usize = 25;

/// How far a line within a layer bows out.
const BOW: f64 = 54.0;

/// Returns the graph as a page of HTML.
pub fn html(graph: &Graph) -> String {
    let shown = shown(graph);
    let index: BTreeMap<&EntityId, usize> =
        graph.nodes.iter().enumerate().map(|(at, node)| (&node.id, at)).collect();
    let mut into: BTreeMap<&EntityId, Vec<&Edge>> = BTreeMap::new();
    for edge in &graph.edges {
        into.entry(&edge.to).or_default().push(edge);
    }
    let page = Page { graph, index, into };
    let name = page.name();
    let hash = STANDARD.encode(Digest::of(SCRIPT).bytes());
    let mut out = String::with_capacity(64 << 10);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Lineage of {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        text(&name)
    );
    page.header(&mut out, &name);
    out.push_str("<main>\n");
    legend(&mut out);
    page.picture(&mut out, &shown);
    page.about(&mut out);
    out.push_str("</main>\n");
    let _ = write!(
        out,
        "<footer>From a log of {} leaves. {}A solid line was seen or checked by the recorder, a broken one was said by somebody: a claim is never shown as an observation.</footer>\n\
         <aside id=\"panel\" aria-live=\"polite\"><button id=\"close\" type=\"button\">close</button><div></div></aside>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        graph.log_size,
        left_out(graph, &shown),
    );
    out
}

/// Returns the graph without what would only fill the picture: the lists below it have everything.
fn shown(graph: &Graph) -> Graph {
    let is_loud = |node: &Node| {
        let is_driver = || {
            let name = node.id.rest().split('/').next().unwrap_or_default();
            name.ends_with("driver") || name == "machine-config"
        };
        node.kind != EntityKind::Part || is_driver() || graph.focus.contains(&node.id)
    };
    let mut shown = graph.clone();
    shown.nodes.retain(is_loud);
    let kept: BTreeSet<&EntityId> = shown.nodes.iter().map(|node| &node.id).collect();
    shown.edges.retain(|edge| {
        kept.contains(&edge.from) && kept.contains(&edge.to) && !is_echo(graph, edge)
    });
    shown
}

fn left_out(graph: &Graph, shown: &Graph) -> String {
    let (things, ties) =
        (graph.nodes.len() - shown.nodes.len(), lines(graph).len() - lines(shown).len());
    if things + ties == 0 {
        return String::new();
    }
    let (things, ties) = (counted(things, "thing"), counted(ties, "tie"));
    format!("{things} and {ties} stand in the lists only, to keep the picture clear. ")
}

/// The kinds in the order in which one reads: from what serves to what made it.
const READING: [EntityKind; 14] = [
    EntityKind::Service,
    EntityKind::Tree,
    EntityKind::Ref,
    EntityKind::Run,
    EntityKind::Attempt,
    EntityKind::Commit,
    EntityKind::Data,
    EntityKind::Volume,
    EntityKind::Image,
    EntityKind::State,
    EntityKind::Node,
    EntityKind::Part,
    EntityKind::Epoch,
    EntityKind::Person,
];

struct Page<'g> {
    graph: &'g Graph,
    index: BTreeMap<&'g EntityId, usize>,
    /// The edges that lead to a thing.
    into: BTreeMap<&'g EntityId, Vec<&'g Edge>>,
}

impl Page<'_> {
    fn label(&self, node: &Node) -> Label {
        label(self.graph, node)
    }

    fn name(&self) -> String {
        let focus = self.graph.focus.iter();
        let names: Vec<String> = focus
            .map(|id| match self.graph.node(id) {
                Some(node) => {
                    let Label { kind, title, .. } = self.label(node);
                    format!("{kind} {title}")
                }
                None => id.to_string(),
            })
            .collect();
        if names.is_empty() { "everything".to_owned() } else { names.join(", ") }
    }

    fn header(&self, out: &mut String, name: &str) {
        let graph = self.graph;
        let count = |kind| graph.of_kind(kind).count();
        let _ = write!(
            out,
            "<header>\n<h1><small>Lineage of</small>{}</h1>\n<p class=\"sub\">{}, {}: {}, {}, {}, {}</p>\n",
            text(name),
            counted(graph.nodes.len(), "thing"),
            counted(lines(graph).len(), "tie"),
            counted(count(EntityKind::Run), "run"),
            counted(count(EntityKind::Attempt), "attempt"),
            counted(count(EntityKind::Epoch), "epoch"),
            counted(count(EntityKind::State), "node state"),
        );
        let rows = summary(graph);
        if !rows.is_empty() {
            out.push_str("<ul class=\"answers\">\n");
            for (word, things) in rows {
                let is_bad = things.iter().any(|answer| answer.grade == Grade::Conflict);
                let class = if is_bad { " class=\"bad\"" } else { "" };
                let _ = write!(out, "<li{class}><b>{word}</b>");
                for Answer { node, relation, grade } in things.iter().take(4) {
                    let how = if word == "Data" { relation.word() } else { "" };
                    let _ = write!(
                        out,
                        "<span class=\"a\">{} <i>{how}</i> {}</span>",
                        self.titled(node),
                        chip(*grade)
                    );
                }
                if let Some(more) = things.len().checked_sub(4).filter(|more| *more > 0) {
                    let _ = write!(out, "<span class=\"a\">and {more} more</span>");
                }
                out.push_str("</li>\n");
            }
            out.push_str("</ul>\n");
        }
        self.notes(out);
        out.push_str("</header>\n");
    }

    /// Says what stands against each other, and what may be missing.
    fn notes(&self, out: &mut String) {
        let graph = self.graph;
        out.push_str("<div class=\"notes\">\n");
        let conflicts = self.conflicts();
        if !conflicts.is_empty() {
            out.push_str("<div class=\"note bad\"><b>Sources differ.</b><ul>");
            for conflict in conflicts {
                let _ = write!(out, "<li>{conflict}</li>");
            }
            out.push_str("</ul></div>\n");
        }
        if !graph.gaps.is_empty() {
            out.push_str("<div class=\"note\"><b>For some time nothing could be seen.</b> What happened then may be missing here.<ul>");
            for gap in &graph.gaps {
                let _ = write!(
                    out,
                    "<li>{} to {}: {}</li>",
                    gap.from.strftime("%Y-%m-%d %H:%M:%S"),
                    gap.to.strftime("%H:%M:%S UTC"),
                    text(&gap.why)
                );
            }
            out.push_str("</ul></div>\n");
        }
        if graph.hidden > 0 {
            let _ = writeln!(
                out,
                "<div class=\"note\"><b>{} things are left out</b>, for who asked may not see them.</div>",
                graph.hidden
            );
        }
        if graph.is_cut {
            out.push_str("<div class=\"note\"><b>The graph was cut.</b> It is larger than one answer may be.</div>\n");
        }
        out.push_str("</div>\n");
    }

    fn conflicts(&self) -> Vec<String> {
        let said = |said: &Said<'_>| match said {
            Said::Thing(id) => self.link(id),
            Said::Value(value) => text(value),
        };
        let dispute = |dispute: &Dispute<'_>| {
            let values: Vec<String> = dispute.values.iter().map(said).collect();
            let (of, what) = (self.link(&dispute.of.id), text(dispute.what));
            format!("{of} {what} {}", values.join(" or "))
        };
        disputes(self.graph).iter().map(dispute).collect()
    }

    fn titled(&self, node: &Node) -> String {
        let at = self.index.get(&node.id).copied().unwrap_or_default();
        let tip = text(node.id.as_str());
        format!("<a href=\"#n{at}\" title=\"{tip}\">{}</a>", text(&self.label(node).title))
    }

    fn link(&self, id: &EntityId) -> String {
        match (self.graph.node(id), self.index.get(id)) {
            (Some(node), Some(at)) => {
                let Label { kind, title, .. } = self.label(node);
                format!(
                    "<a href=\"#n{at}\" title=\"{}\">{} {}</a>",
                    text(id.as_str()),
                    text(&kind),
                    text(&title)
                )
            }
            _ => text(id.as_str()),
        }
    }

    fn picture(&self, out: &mut String, shown: &Graph) {
        let Layout { width, height, places, routes } = layout(shown);
        let _ = writeln!(
            out,
            "<div class=\"picture\"><svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"Things and what they came from, from left to right\">"
        );
        // what is well known is drawn last, so above
        let mut order: Vec<&Route<'_>> = routes.iter().collect();
        order.sort_by_key(|route| std::cmp::Reverse(order_of(route.line.grade)));
        let of = |at: usize| shown.nodes.get(at).and_then(|node| self.index.get(&node.id));
        for route in &order {
            let (Some(from), Some(to)) = (of(route.from), of(route.to)) else { continue };
            tie(out, route, *from, *to);
        }
        for (node, place) in shown.nodes.iter().zip(&places) {
            let Some(at) = self.index.get(&node.id) else { continue };
            self.thing(out, node, *at, *place);
        }
        out.push_str("</svg></div>\n");
    }

    fn thing(&self, out: &mut String, node: &Node, at: usize, (x, y): (f64, f64)) {
        let Label { kind, title, detail } = self.label(node);
        let mut class = node.kind.word().to_owned();
        if is_configuration(self.graph, &node.id) {
            class.push_str(" config");
        }
        if self.graph.focus.contains(&node.id) {
            class.push_str(" is-focus");
        }
        let tip = [kind.as_str(), title.as_str(), detail.as_str(), node.id.as_str()];
        let tip: Vec<&str> = tip.into_iter().filter(|part| !part.is_empty()).collect();
        let lines_at: [f64; 3] =
            if detail.is_empty() { [23.0, 42.0, 0.0] } else { [17.0, 33.5, 48.5] };
        let _ = write!(
            out,
            "<a href=\"#n{at}\" id=\"t{at}\" class=\"thing {class}\" transform=\"translate({x:.1} {y:.1})\"><title>{}</title>\
             <rect class=\"card\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/><rect class=\"bar\" x=\"0.6\" y=\"8\" width=\"4.4\" height=\"{}\" rx=\"2\"/>\
             <text class=\"k\" x=\"15\" y=\"{}\">{}</text><text class=\"t\" x=\"15\" y=\"{}\">{}</text>",
            text(&tip.join("\n")).replace('\n', "&#10;"),
            HEIGHT - 16.0,
            lines_at[0],
            text(&cut(&kind, TITLE)),
            lines_at[1],
            text(&cut_within(&title, TITLE)),
        );
        if !detail.is_empty() {
            let _ = write!(
                out,
                "<text class=\"d\" x=\"15\" y=\"{}\">{}</text>",
                lines_at[2],
                text(&cut(&detail, DETAIL))
            );
        }
        if self.is_disputed(node) {
            let _ = write!(
                out,
                "<circle class=\"badge\" cx=\"{}\" cy=\"13\" r=\"7.5\"/><text x=\"{}\" y=\"17\">!</text>",
                WIDTH - 13.0,
                WIDTH - 13.0
            );
        }
        out.push_str("</a>\n");
    }

    fn is_disputed(&self, node: &Node) -> bool {
        let mut edges = self.graph.edges_from(&node.id);
        edges.any(|edge| self.graph.grade(edge) == Grade::Conflict)
            || disputed(node).next().is_some()
    }

    /// Everything that is known, as lists.
    fn about(&self, out: &mut String) {
        out.push_str("<h2 class=\"more\">Everything that is known</h2>\n<div class=\"abouts\">\n");
        for node in self.in_order() {
            let Some(at) = self.index.get(&node.id) else { continue };
            let Label { kind, title, .. } = self.label(node);
            let config = if is_configuration(self.graph, &node.id) { " config" } else { "" };
            let _ = writeln!(
                out,
                "<section class=\"about {}{config}\" id=\"n{at}\"><h3><small>{}</small>{}</h3><code>{}</code>",
                node.kind.word(),
                text(&kind),
                text(&title),
                text(node.id.as_str()),
            );
            self.facts(out, node);
            self.ties(out, node);
            out.push_str("</section>\n");
        }
        out.push_str("</div>\n");
    }

    /// The things in the order in which one reads: what was asked about, then by kind.
    fn in_order(&self) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.graph.nodes.iter().collect();
        nodes.sort_by_cached_key(|node| {
            let is_focus = self.graph.focus.contains(&node.id);
            let place = READING.iter().position(|kind| *kind == node.kind);
            (!is_focus, place, self.label(node).title)
        });
        nodes
    }

    fn facts(&self, out: &mut String, node: &Node) {
        if node.facts.is_empty() {
            return;
        }
        out.push_str("<table><thead><tr><th>Property</th><th>Value</th><th>Known</th><th>From</th></tr></thead><tbody>\n");
        let mut seen = BTreeSet::new();
        for fact in &node.facts {
            if !seen.insert((&fact.field, &fact.value, fact.grade, fact.source.to_string())) {
                continue;
            }
            let is_conflict =
                fact.grade != Grade::Unknown && disputed(node).any(|field| field == fact.field);
            let grade = if is_conflict { Grade::Conflict } else { fact.grade };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td class=\"v\">{}</td><td>{}</td><td class=\"s\">{}, {}</td></tr>",
                text(&fact.field),
                text(&fact.value),
                chip(grade),
                text(&fact.source.to_string()),
                fact.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            );
        }
        out.push_str("</tbody></table>\n");
    }

    fn ties(&self, out: &mut String, node: &Node) {
        let from = self.graph.edges_from(&node.id).map(|edge| (edge, true));
        let into = self.into.get(&node.id).into_iter().flatten();
        let to = into.map(|edge| (*edge, false));
        let mut seen = BTreeSet::new();
        let mut rows = String::new();
        for (edge, is_from) in from.chain(to) {
            let other = if is_from { &edge.to } else { &edge.from };
            let source = edge.source.to_string();
            if !seen.insert((is_from, edge.relation, other, edge.grade, source.clone())) {
                continue;
            }
            let arrow = if is_from { "→" } else { "←" };
            let _ = writeln!(
                rows,
                "<tr><td>{arrow} {}</td><td class=\"v\">{}</td><td>{}</td><td class=\"s\">{}</td></tr>",
                edge.relation,
                self.link(other),
                chip(self.graph.grade(edge)),
                text(&source),
            );
        }
        if !rows.is_empty() {
            let _ = write!(
                out,
                "<table><thead><tr><th>Tie</th><th>To</th><th>Known</th><th>From</th></tr></thead><tbody>\n{rows}</tbody></table>\n"
            );
        }
    }
}

/// Conflicts are drawn above everything, then the best known.
fn order_of(grade: Grade) -> u8 {
    match grade {
        Grade::Conflict => 0,
        Grade::Observed => 1,
        Grade::Resolved => 2,
        Grade::Attested => 3,
        Grade::Claimed => 4,
        Grade::Inferred => 5,
        Grade::Unknown => 6,
    }
}

fn tie(out: &mut String, route: &Route<'_>, from: usize, to: usize) {
    let Line { edge, grade } = route.line;
    let (path, end) = way(&route.points);
    let _ = write!(
        out,
        "<g class=\"tie {grade}\" data-from=\"{from}\" data-to=\"{to}\"><title>{} ({grade}): {}</title>",
        edge.relation,
        text(&edge.source.to_string()),
    );
    if grade == Grade::Attested {
        let _ =
            write!(out, "<path class=\"outer\" d=\"{path}\"/><path class=\"inner\" d=\"{path}\"/>");
    } else {
        let _ = write!(out, "<path d=\"{path}\"/>");
    }
    let (x, y) = end;
    let back = route.points.iter().rev().nth(1).is_some_and(|before| before.0 >= x);
    let tail = if back { 8.0 } else { -8.0 };
    let _ = write!(
        out,
        "<polygon class=\"arrow\" points=\"{x:.1},{y:.1} {:.1},{:.1} {:.1},{:.1}\"/>",
        x + tail,
        y - 4.2,
        x + tail,
        y + 4.2
    );
    if route.is_named {
        let (place, anchor) = match route.points.as_slice() {
            [one, other] if back && one.0 >= other.0 && (one.0 - other.0).abs() < 0.05 => {
                ((x + BOW * 0.75 + 6.0, (one.1 + other.1) / 2.0 + 3.0), "start")
            }
            _ if back => ((x + 12.0, y - 4.5), "start"),
            _ => ((x - 12.0, y - 4.5), "end"),
        };
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            place.0, place.1, edge.relation
        );
    }
    out.push_str("</g>\n");
}

/// Returns a way through `points` that leaves and reaches things level, and its end.
fn way(points: &[(f64, f64)]) -> (String, (f64, f64)) {
    let mut path = String::new();
    let mut at: Option<(f64, f64)> = None;
    for (x, y) in points {
        match at {
            None => {
                let _ = write!(path, "M{x:.1} {y:.1}");
            }
            Some((_, from_y)) if (from_y - y).abs() < 0.05 => {
                let _ = write!(path, "H{x:.1}");
            }
            Some((from_x, from_y)) => {
                let middle = (from_x + x) / 2.0;
                // within one layer it bows out to the right
                let middle = if (from_x - x).abs() < 0.05 { x + BOW } else { middle };
                let _ = write!(path, "C{middle:.1} {from_y:.1} {middle:.1} {y:.1} {x:.1} {y:.1}");
            }
        }
        at = Some((*x, *y));
    }
    (path, at.unwrap_or((layout::MARGIN, layout::MARGIN)))
}

fn legend(out: &mut String) {
    out.push_str("<ul class=\"legend\">\n");
    for (grade, words) in [
        (Grade::Observed, "observed: seen by the recorder itself"),
        (Grade::Resolved, "resolved: fetched by an immutable id and checked"),
        (Grade::Attested, "attested: signed by somebody named"),
        (Grade::Claimed, "claimed: said by the user or the workload"),
        (Grade::Inferred, "inferred: by a rule"),
        (Grade::Conflict, "conflict: sources differ"),
    ] {
        let inner =
            if grade == Grade::Attested { "<path class=\"inner\" d=\"M0 6H46\"/>" } else { "" };
        let _ = writeln!(
            out,
            "<li><svg viewBox=\"0 0 46 12\" aria-hidden=\"true\"><g class=\"tie {grade}\"><path class=\"outer\" d=\"M0 6H46\"/>{inner}</g></svg>{words}</li>"
        );
    }
    out.push_str("</ul>\n");
}

fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

fn chip(grade: Grade) -> String {
    format!("<span class=\"grade {grade}\">{grade}</span>")
}

/// Returns `text` cut to `room` characters.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room - 1).chain(['…']).collect()
}

/// Returns `text` cut to `room` characters in its midst: the names of pods differ at their ends.
fn cut_within(text: &str, room: usize) -> String {
    let count = text.chars().count();
    if count <= room {
        return text.to_owned();
    }
    let end = room / 2;
    let start = text.chars().take(room - 1 - end);
    start.chain(['…']).chain(text.chars().skip(count - end)).collect()
}

/// Returns what others wrote as text of HTML, in an element or in a quoted attribute.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // line feeds of our own tips stay
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for character in clean(line).chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                other => out.push(other),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = html(&sample::graph());
        for outside in ["src=", "url(", "@import", "<link", "<img", "<iframe", "fetch(", "XMLHttp"]
        {
            assert!(!page.contains(outside), "{outside}");
        }
        // addresses of others are shown, never asked for
        for (at, _) in page.match_indices("href=\"") {
            assert!(page[at..].starts_with("href=\"#n"), "{}", &page[at..at + 40]);
        }
    }

    #[test]
    fn nothing_that_people_wrote_is_acted_upon() {
        let page = html(&sample::hostile());
        assert_eq!(page.matches("<script>").count(), 1);
        assert_eq!(page.matches("</script>").count(), 1);
        for harm in ["<img", "<b>\"", "\u{202e}", "\u{1b}", "<!--"] {
            assert!(!page.contains(harm), "{harm}");
        }
        assert!(page.contains("&lt;script&gt;"));
        let tags: BTreeSet<&str> = page
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split([' ', '>', '/']).find(|word| !word.is_empty()))
            .collect();
        assert!(!tags.contains("img"), "{tags:?}");
    }

    #[test]
    fn the_style_of_each_line_is_its_grade_and_every_thing_has_its_list() {
        let graph = sample::graph();
        let page = html(&graph);
        for grade in ["observed", "resolved", "claimed", "conflict"] {
            assert!(page.contains(&format!("class=\"tie {grade}\" data-from")), "{grade}");
        }
        for at in 0..graph.nodes.len() {
            assert!(page.contains(&format!("id=\"n{at}\"")));
        }
        assert!(page.contains("For some time nothing could be seen"));
        assert!(page.contains("Sources differ"));
    }

    #[test]
    fn an_empty_graph_is_a_page_too() {
        let mut graph = Graph::new(vec![sample::run()], 0);
        graph.hidden = 3;
        graph.is_cut = true;
        let page = html(&graph);
        assert!(page.contains("3 things are left out") && page.contains("The graph was cut"));
    }
}
