//! A graph as a picture: Mermaid for a ticket, and one page of HTML that needs nothing else.
//!
//! Comes in: a [`Graph`]. Goes out: text. Never: a reference to anything outside, or text of others that is not escaped;
//! a line whose style says more than the grade of the edge.

mod html;
mod layout;
mod mermaid;

use std::collections::BTreeMap;

pub use self::{html::html, mermaid::mermaid};
use super::{Edge, EntityId, EntityKind, Grade, Graph, Node, Relation};

/// What people read of a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// What it is: `code commit`.
    pub kind: String,
    /// What it is called.
    pub title: String,
    /// One more fact; empty where there is none.
    pub detail: String,
}

/// A tie between two things, all statements of it together.
#[derive(Clone, Copy, Debug)]
pub struct Line<'g> {
    /// The best known statement.
    pub edge: &'g Edge,
    /// How it is known, with what stands against it.
    pub grade: Grade,
}

/// Returns whether an edge says what another one says better: of a name what is said of the content that it led to, of
/// an attempt on which node it ran where the state of that node is known.
pub fn is_echo(graph: &Graph, edge: &Edge) -> bool {
    let (between, again) = match (edge.relation, edge.from.kind(), edge.to.kind()) {
        (Relation::RanOn, _, EntityKind::Node) => (Relation::RanOn, Relation::StateOf),
        (_, EntityKind::Ref, _) => (Relation::LedTo, edge.relation),
        _ => return false,
    };
    let mut better = graph.edges_from(&edge.from).filter(|one| one.relation == between);
    better.any(|one| {
        let mut said = graph.edges_from(&one.to);
        said.any(|one| one.relation == again && one.to == edge.to)
    })
}

/// A thing that answers what a person asks first.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'g> {
    /// The thing.
    pub node: &'g Node,
    /// How it is tied: what a run may have read is not what it used.
    pub relation: Relation,
    /// How that is known.
    pub grade: Grade,
}

/// Returns what people read of `node`.
pub fn label(graph: &Graph, node: &Node) -> Label {
    let value = |field: &str| node.value(field);
    let kind = value("kind").map(|kind| kind.split('.').next().unwrap_or(kind));
    let (kind, title, detail) = match node.kind {
        EntityKind::Commit if is_configuration(graph, &node.id) => {
            ("configuration".to_owned(), node.id.short(), place(node))
        }
        EntityKind::Commit => ("code".to_owned(), node.id.short(), place(node)),
        EntityKind::Image => ("image".to_owned(), node.title(), named(node, place(node))),
        EntityKind::Data => {
            let (scheme, id) = node.id.rest().split_once(':').unwrap_or_default();
            let title = value("name").map(str::to_owned);
            let title = title.or_else(|| last_of(value("uri")?)).unwrap_or_else(|| id.to_owned());
            (format!("{scheme} data"), title, id.to_owned())
        }
        EntityKind::Tree => {
            let is_made =
                graph.edges_from(&node.id).any(|edge| edge.relation == Relation::GeneratedBy);
            let kind = if is_made { "model" } else { "directory" };
            (kind.to_owned(), node.title(), node.id.short())
        }
        EntityKind::Ref => {
            let title = last_of(node.id.rest()).unwrap_or_else(|| node.id.short());
            ("name".to_owned(), title, node.id.rest().to_owned())
        }
        EntityKind::Volume => {
            ("volume".to_owned(), node.title(), value("mode").unwrap_or_default().to_owned())
        }
        EntityKind::Run => {
            let outcome = value("outcome").unwrap_or("running").to_owned();
            (kind.unwrap_or("run").to_owned(), node.title(), outcome)
        }
        EntityKind::Attempt => (
            "attempt".to_owned(),
            value("name").map_or_else(|| node.id.short(), str::to_owned),
            ending(node),
        ),
        EntityKind::Epoch => ("epoch".to_owned(), node.id.short(), since(node)),
        EntityKind::Node => ("node".to_owned(), node.title(), String::new()),
        EntityKind::State => {
            let driver = value("driver").or_else(|| value("amdDriver"));
            let title = driver.map(|driver| format!("driver {driver}"));
            let title = title.or_else(|| value("kernel").map(|kernel| format!("kernel {kernel}")));
            let detail = value("gpuProduct").or_else(|| value("os")).unwrap_or_default();
            ("node state".to_owned(), title.unwrap_or_else(|| node.id.short()), detail.to_owned())
        }
        EntityKind::Part => {
            let (name, version) = node.id.rest().split_once('/').unwrap_or(("part", ""));
            (name.to_owned(), version.to_owned(), String::new())
        }
        EntityKind::Service => {
            let detail = value("url").unwrap_or_default().to_owned();
            (kind.unwrap_or("service").to_owned(), node.title(), detail)
        }
        EntityKind::Person => ("person".to_owned(), node.id.short(), "pseudonym".to_owned()),
    };
    Label { kind, title, detail }
}

/// Returns every tie once, in order, with the best of its statements.
pub fn lines(graph: &Graph) -> Vec<Line<'_>> {
    let mut lines: BTreeMap<(&EntityId, Relation, &EntityId), Line<'_>> = BTreeMap::new();
    for edge in &graph.edges {
        let line = Line { edge, grade: graph.grade(edge) };
        let kept = lines.entry((&edge.from, edge.relation, &edge.to)).or_insert(line);
        let is_conflict = kept.grade == Grade::Conflict || line.grade == Grade::Conflict;
        if line.edge.grade < kept.edge.grade {
            *kept = line;
        }
        if is_conflict {
            kept.grade = Grade::Conflict;
        }
    }
    lines.into_values().collect()
}

/// Returns what a person asks first, `Code` or `Data` for example, with what answers it.
pub fn summary(graph: &Graph) -> Vec<(&'static str, Vec<Answer<'_>>)> {
    let mut rows: Vec<(&'static str, Vec<Answer<'_>>)> =
        ["Code", "Data", "Image", "Base model", "Driver", "Configuration"]
            .map(|word| (word, Vec::new()))
            .into();
    for Line { edge, grade } in lines(graph) {
        let is_base =
            |id: &EntityId| graph.edges_to(id).any(|edge| edge.relation == Relation::DerivedFrom);
        let word = match edge.relation {
            Relation::RanCode => "Code",
            Relation::Used if is_base(&edge.to) => continue,
            Relation::Used | Relation::Expected | Relation::MayHaveRead => "Data",
            Relation::ExecutedIn => "Image",
            Relation::DerivedFrom => "Base model",
            Relation::Holds if edge.to.rest().contains("driver/") => "Driver",
            Relation::PutInForce => "Configuration",
            _ => continue,
        };
        let Some(node) = graph.node(&edge.to) else { continue };
        let row = rows.iter_mut().find(|(name, _)| *name == word);
        let Some((_, row)) = row else { continue };
        let relation = edge.relation;
        let of_same =
            |answer: &&mut Answer<'_>| answer.node.id == node.id && answer.relation == relation;
        match row.iter_mut().find(of_same) {
            Some(kept) => kept.grade = kept.grade.min(grade),
            None => row.push(Answer { node, relation, grade }),
        }
    }
    rows.retain(|(_, row)| !row.is_empty());
    rows
}

/// Something that sources do not agree on.
#[derive(Clone, Debug)]
pub struct Dispute<'g> {
    /// The thing.
    pub of: &'g Node,
    /// The relation or the property.
    pub what: &'g str,
    /// What it is said to be.
    pub values: Vec<Said<'g>>,
}

/// One of the things that a source says.
#[derive(Clone, Copy, Debug)]
pub enum Said<'g> {
    /// Another thing.
    Thing(&'g EntityId),
    /// A value.
    Value(&'g str),
}

/// Returns what sources do not agree on.
pub fn disputes(graph: &Graph) -> Vec<Dispute<'_>> {
    let mut found: BTreeMap<(&EntityId, &str), Dispute<'_>> = BTreeMap::new();
    for Line { edge, grade } in lines(graph) {
        let Some(of) = graph.node(&edge.from).filter(|_| grade == Grade::Conflict) else {
            continue;
        };
        let what = edge.relation.word();
        let dispute =
            found.entry((&of.id, what)).or_insert_with(|| Dispute { of, what, values: Vec::new() });
        dispute.values.push(Said::Thing(&edge.to));
    }
    for of in &graph.nodes {
        for what in disputed(of) {
            let Some(known) = of.known(what) else { continue };
            let values = [known.value].into_iter().chain(known.others).map(Said::Value).collect();
            found.insert((&of.id, what), Dispute { of, what, values });
        }
    }
    found.into_values().collect()
}

/// Returns the properties of a thing that sources do not agree on.
fn disputed(node: &Node) -> impl Iterator<Item = &str> {
    node.fields()
        .into_iter()
        .filter(|field| node.known(field).is_some_and(|known| known.grade == Grade::Conflict))
}

/// Returns whether a commit is one of a cluster's configuration.
fn is_configuration(graph: &Graph, id: &EntityId) -> bool {
    id.kind() == EntityKind::Commit
        && graph.edges_to(id).any(|edge| edge.relation == Relation::PutInForce)
}

/// Returns where a thing is, without the scheme.
fn place(node: &Node) -> String {
    let uri = node.value("uri").unwrap_or_default();
    let uri = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    uri.split('#').next().unwrap_or(uri).to_owned()
}

/// Returns `detail`, or the short id where the title is a name and says nothing of the content.
fn named(node: &Node, detail: String) -> String {
    if node.value("name").is_some() { node.id.short() } else { detail }
}

fn last_of(uri: &str) -> Option<String> {
    let path = uri.split_once("://").map_or(uri, |(_, rest)| rest).trim_end_matches('/');
    let mut parts = path.rsplit('/');
    let (last, before) = (parts.next()?, parts.next());
    // `7` alone says nothing
    match before {
        Some(before) if last.chars().count() < 4 => Some(format!("{before}/{last}")),
        _ => Some(last.to_owned()),
    }
}

fn ending(node: &Node) -> String {
    let fields = node.fields().into_iter();
    let mut codes = fields.filter(|field| field.ends_with(".exitCode"));
    let code = codes.next().and_then(|field| node.value(field));
    let on = node.value("node").map(|name| format!("on {name}"));
    let code = code.map(|code| format!("exit {code}"));
    [code, on].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn since(node: &Node) -> String {
    let first = node.facts.iter().map(|fact| fact.at).min();
    first.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}
