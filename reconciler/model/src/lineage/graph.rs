//! What a question is answered with: things, how they are tied, how each of it is known, and what could not be seen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EntityId, EntityKind, Grade, Relation, Source};

/// The name and version of the JSON form of a graph.
pub const FORMAT: &str = "sitewright.dev/lineage-graph/v1";

/// Properties that may have many values at once: none of them is against another.
const MANY: [&str; 13] = [
    "object",
    "held",
    "released",
    "drift",
    "mended",
    "mounts",
    "flavor",
    "evicted",
    "uri",
    "path",
    "attestation",
    "builder",
    "changedDuringRun",
];

/// Things, and how they are tied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// Always [`FORMAT`].
    pub format: String,
    /// What was asked about.
    pub focus: Vec<EntityId>,
    /// The things, in order of identity.
    pub nodes: Vec<Node>,
    /// The ties, in order.
    pub edges: Vec<Edge>,
    /// Intervals in which something may have been missed, where they touch what is in the graph.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// How many things are left out because the reader may not see them.
    #[serde(default)]
    pub hidden: u64,
    /// Whether the graph was cut because it is too large.
    #[serde(default)]
    pub is_cut: bool,
    /// How many leaves the log had.
    pub log_size: u64,
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its identity.
    pub id: EntityId,
    /// Its kind.
    pub kind: EntityKind,
    /// The namespace whose readers may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What is known of it, in order of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
}

/// A property of a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// The property.
    pub field: String,
    /// Its value.
    pub value: String,
    /// How it is known.
    pub grade: Grade,
    /// From where.
    pub source: Source,
    /// The position in the log.
    pub position: u64,
    /// When it was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// How two things are tied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// What came later.
    pub from: EntityId,
    /// How.
    pub relation: Relation,
    /// What it came from.
    pub to: EntityId,
    /// How it is known.
    pub grade: Grade,
    /// From where.
    pub source: Source,
    /// The position in the log.
    pub position: u64,
    /// When it was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// An interval in which something may have been missed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: Timestamp,
    /// Until when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub to: Timestamp,
    /// Why.
    pub why: String,
    /// The position in the log.
    pub position: u64,
}

/// A property as it stands, all sources together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<'g> {
    /// The value; of several, the best known and newest.
    pub value: &'g str,
    /// How it is known: [`Grade::Conflict`] where sources differ.
    pub grade: Grade,
    /// Every value that stands against it.
    pub others: BTreeSet<&'g str>,
}

// === impl Graph ===

impl Graph {
    /// Makes an empty graph about `focus`.
    pub fn new(focus: Vec<EntityId>, log_size: u64) -> Self {
        let format = FORMAT.to_owned();
        let (nodes, edges, gaps) = (Vec::new(), Vec::new(), Vec::new());
        Self { format, focus, nodes, edges, gaps, hidden: 0, is_cut: false, log_size }
    }

    /// Returns a thing.
    pub fn node(&self, id: &EntityId) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.id.cmp(id)).ok().and_then(|at| self.nodes.get(at))
    }

    /// Returns the things of a kind.
    pub fn of_kind(&self, kind: EntityKind) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.kind == kind)
    }

    /// Returns the ties that lead from `id` to what it came from.
    pub fn edges_from<'g>(&'g self, id: &'g EntityId) -> impl Iterator<Item = &'g Edge> {
        // the edges are in order of what they lead from
        let first = self.edges.partition_point(|edge| edge.from < *id);
        self.edges.iter().skip(first).take_while(move |edge| edge.from == *id)
    }

    /// Returns the ties that lead to `id` from what came of it.
    pub fn edges_to<'g>(&'g self, id: &'g EntityId) -> impl Iterator<Item = &'g Edge> {
        self.edges.iter().filter(move |edge| edge.to == *id)
    }

    /// Keeps, of the gaps, those in which a run or attempt of the graph was under way.
    pub fn keep_gaps_of_runs(&mut self) {
        let time = |node: &Node, fields: [&str; 2]| {
            let mut values = fields.into_iter().filter_map(|field| node.value(field));
            values.find_map(|value| value.parse::<Timestamp>().ok())
        };
        let of = |kind: EntityKind| matches!(kind, EntityKind::Run | EntityKind::Attempt);
        let runs: Vec<(Timestamp, Timestamp)> = self
            .nodes
            .iter()
            .filter(|node| of(node.kind))
            .filter_map(|node| {
                let from = time(node, ["createdAt", "startedAt"])?;
                Some((from, time(node, ["finishedAt", "deletedAt"]).unwrap_or(Timestamp::MAX)))
            })
            .collect();
        self.gaps.retain(|gap| runs.iter().any(|(from, to)| gap.from <= *to && gap.to >= *from));
    }

    /// Brings things and ties in order; the same answer is the same bytes.
    pub fn sort(&mut self) {
        self.nodes.sort_by(|one, other| one.id.cmp(&other.id));
        self.nodes.dedup_by(|one, other| one.id == other.id);
        let key = |edge: &Edge| {
            (edge.from.clone(), edge.relation, edge.to.clone(), edge.grade, edge.position)
        };
        self.edges.sort_by_key(key);
        self.edges.dedup();
        self.gaps.sort();
        self.gaps.dedup();
    }

    /// Returns how a tie is known, with what stands against it: a field that was changed after it was first seen, or two
    /// sources that name different code.
    pub fn grade(&self, edge: &Edge) -> Grade {
        let is_against = |other: &&Edge| {
            other.relation == edge.relation
                && other.to != edge.to
                && other.to.kind() == edge.to.kind()
                && (edge.relation == Relation::RanCode
                    || (edge.source.uid.is_some()
                        && edge.source.field.is_some()
                        && other.source.uid == edge.source.uid
                        && other.source.field == edge.source.field
                        && other.position != edge.position))
        };
        if self.edges_from(&edge.from).any(|other| is_against(&other)) {
            Grade::Conflict
        } else {
            edge.grade
        }
    }
}

// === impl Node ===

impl Node {
    /// Returns a property as it stands; none where nobody said.
    ///
    /// Of one source the last word counts, unless it is a claim: who changes a claim leaves both.
    pub fn known(&self, field: &str) -> Option<Known<'_>> {
        type Voice<'n> = (Grade, &'n Option<String>, &'n Option<String>, &'n str);
        let mut last: BTreeMap<Voice<'_>, &Fact> = BTreeMap::new();
        for fact in self.facts.iter().filter(|fact| fact.field == field) {
            let word = if fact.grade == Grade::Claimed { fact.value.as_str() } else { "" };
            // one rule of ours may be asked about a thing many times; of an object its field is the source
            let source = fact.source.uid.as_ref().map_or(&fact.source.rule, |_| &fact.source.field);
            last.insert((fact.grade, &fact.source.uid, source, word), fact);
        }
        let best =
            last.values().min_by_key(|fact| (fact.grade, std::cmp::Reverse(fact.position)))?;
        let others: BTreeSet<&str> = last
            .values()
            .filter(|fact| fact.value != best.value)
            .map(|fact| fact.value.as_str())
            .collect();
        let is_one = others.is_empty() || MANY.contains(&field);
        let grade = if is_one { best.grade } else { Grade::Conflict };
        Some(Known { value: &best.value, grade, others })
    }

    /// Returns the value of a property as it stands.
    pub fn value(&self, field: &str) -> Option<&str> {
        self.known(field).map(|known| known.value)
    }

    /// Returns the properties that anything is known of, in order.
    pub fn fields(&self) -> BTreeSet<&str> {
        self.facts.iter().map(|fact| fact.field.as_str()).collect()
    }

    /// Returns what people call it.
    pub fn title(&self) -> String {
        let named = self.value("name").map(|name| match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        });
        named.unwrap_or_else(|| self.id.short())
    }
}
