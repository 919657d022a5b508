//! What a graph says of one run, as every export needs it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Edge, EntityId, EntityKind, Gap, Grade, Graph, Node, Relation};
use crate::lineage::Known;

/// A run or an attempt, and the graph around it.
#[derive(Clone, Copy)]
pub(super) struct Run<'g> {
    pub(super) graph: &'g Graph,
    pub(super) node: &'g Node,
}

/// A thing that a run is tied to; of several sources the best.
#[derive(Clone, Copy)]
pub(super) struct Tie<'g> {
    pub(super) node: &'g Node,
    pub(super) edge: &'g Edge,
    /// How it is known, with what stands against it.
    pub(super) grade: Grade,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has not, as far as is known.
    Running,
    Succeeded,
    Failed,
    /// Its object went before it ended.
    Aborted,
}

impl<'g> Run<'g> {
    pub(super) fn all(graph: &'g Graph) -> impl Iterator<Item = Self> {
        graph.of_kind(EntityKind::Run).map(move |node| Self { graph, node })
    }

    pub(super) fn find(graph: &'g Graph, id: &EntityId) -> Option<Self> {
        let is_run = matches!(id.kind(), EntityKind::Run | EntityKind::Attempt);
        graph.node(id).filter(|_| is_run).map(|node| Self { graph, node })
    }

    /// Its attempts, in the order in which they began.
    pub(super) fn attempts(&self) -> Vec<Self> {
        let ties = self.ties(&self.node.id, &[Relation::Tried]);
        let of = |tie: Tie<'g>| Self { graph: self.graph, node: tie.node };
        let mut attempts: Vec<Self> = ties.into_iter().map(of).collect();
        attempts.sort_by_key(|attempt| (attempt.started(), attempt.node.id.clone()));
        attempts.dedup_by(|one, other| one.node.id == other.node.id);
        attempts
    }

    /// What the run and its attempts are tied to by one of `relations`, each thing once for each relation.
    pub(super) fn causes(&self, relations: &[Relation]) -> Vec<Tie<'g>> {
        let mut ties = self.ties(&self.node.id, relations);
        for attempt in self.attempts() {
            ties.extend(self.ties(&attempt.node.id, relations));
        }
        let mut best: BTreeMap<(Relation, &EntityId), Tie<'g>> = BTreeMap::new();
        for tie in ties {
            let kept = best.entry((tie.edge.relation, &tie.node.id)).or_insert(tie);
            if kept.edge.grade > tie.edge.grade {
                *kept = Tie { grade: tie.grade.max(conflict(kept.grade)), ..tie };
            } else if tie.grade == Grade::Conflict {
                kept.grade = Grade::Conflict;
            }
        }
        best.into_values().collect()
    }

    /// What it made. A name gives way to the content that it led to.
    pub(super) fn outputs(&self) -> Vec<Tie<'g>> {
        let mut outputs: BTreeMap<&EntityId, Tie<'g>> = BTreeMap::new();
        let made = || {
            let edges = self.graph.edges_to(&self.node.id);
            edges.filter(|edge| edge.relation == Relation::GeneratedBy)
        };
        for edge in made() {
            let Some(node) = self.graph.node(&edge.from) else { continue };
            let tie = Tie { node, edge, grade: self.graph.grade(edge) };
            let kept = outputs.entry(&node.id).or_insert(tie);
            if kept.edge.grade > edge.grade {
                *kept = tie;
            }
        }
        // where the content is said to have been made itself, that is the better word
        for edge in made() {
            if let Some((node, led)) = self.content(edge) {
                let grade = self.graph.grade(edge).max(led);
                outputs.entry(&node.id).or_insert(Tie { node, edge, grade });
            }
        }
        let made: BTreeSet<&EntityId> = outputs.keys().copied().collect();
        let leads_to_one = |id: &EntityId| {
            let mut led = self.graph.edges_from(id).filter(|edge| edge.relation == Relation::LedTo);
            led.any(|edge| made.contains(&edge.to))
        };
        outputs.into_values().filter(|tie| !leads_to_one(&tie.node.id)).collect()
    }

    /// The content that the name of something made led to when it was first looked at after the end, and how that is
    /// known. Once another run is to write under the name, what is there may be that one's.
    fn content(&self, made: &Edge) -> Option<(&'g Node, Grade)> {
        let graph = self.graph;
        let ended = self.node.facts.iter().filter(|fact| fact.field == "outcome");
        let ended = ended.map(|fact| fact.position).min()?.max(made.position);
        let of_name = || graph.edges_from(&made.from);
        let others = of_name().filter(|edge| {
            edge.relation == Relation::GeneratedBy
                && edge.to != made.to
                && edge.position > made.position
        });
        let next = others.map(|edge| edge.position).min().unwrap_or(u64::MAX);
        let led = of_name().filter(|edge| {
            edge.relation == Relation::LedTo
                && edge.grade != Grade::Claimed
                && (ended..next).contains(&edge.position)
        });
        let led = led.filter_map(|edge| Some((edge, graph.node(&edge.to)?)));
        let led = led.filter(|(_, node)| node.kind != EntityKind::Ref);
        led.min_by_key(|(edge, _)| edge.position).map(|(edge, node)| (node, graph.grade(edge)))
    }

    /// The code that it ran, the best known first.
    pub(super) fn code(&self) -> Vec<Tie<'g>> {
        let mut code = self.causes(&[Relation::RanCode]);
        code.sort_by_key(|tie| (tie.edge.grade, tie.edge.position));
        code
    }

    /// The states of nodes that it ran on.
    pub(super) fn states(&self) -> Vec<Tie<'g>> {
        let mut ties = self.causes(&[Relation::RanOn]);
        ties.retain(|tie| tie.node.kind == EntityKind::State);
        ties
    }

    fn ties(&self, id: &'g EntityId, relations: &[Relation]) -> Vec<Tie<'g>> {
        let graph = self.graph;
        let edges = graph.edges_from(id).filter(|edge| relations.contains(&edge.relation));
        let tie = |edge: &'g Edge| {
            Some(Tie { node: graph.node(&edge.to)?, edge, grade: graph.grade(edge) })
        };
        edges.filter_map(tie).collect()
    }

    pub(super) fn is_attempt(&self) -> bool {
        self.node.kind == EntityKind::Attempt
    }

    pub(super) fn time(&self, field: &str) -> Option<Timestamp> {
        self.node.value(field)?.parse().ok()
    }

    pub(super) fn started(&self) -> Option<Timestamp> {
        self.time("startedAt").or_else(|| self.time("createdAt"))
    }

    /// When it ended; none while it runs.
    pub(super) fn ended(&self) -> Option<Timestamp> {
        if self.outcome() == Outcome::Running {
            return None;
        }
        let of_containers = || {
            let fields =
                self.node.fields().into_iter().filter(|name| name.ends_with(".finishedAt"));
            fields.filter_map(|name| self.time(name)).max()
        };
        let of_attempts = || {
            let attempts = if self.is_attempt() { Vec::new() } else { self.attempts() };
            attempts.iter().filter_map(Self::ended).max()
        };
        let own = self.time("finishedAt").or_else(of_containers).or_else(of_attempts);
        own.or_else(|| self.time("deletedAt"))
    }

    pub(super) fn outcome(&self) -> Outcome {
        let said = if self.is_attempt() { self.of_exit_codes() } else { self.of_conditions() };
        match said {
            Outcome::Running if self.node.value("deletedAt").is_some() => Outcome::Aborted,
            said => said,
        }
    }

    fn of_conditions(&self) -> Outcome {
        match self.node.value("outcome") {
            Some("succeeded") => Outcome::Succeeded,
            Some("failed") => Outcome::Failed,
            Some(_) => Outcome::Aborted,
            None => Outcome::Running,
        }
    }

    fn of_exit_codes(&self) -> Outcome {
        let phase = self.node.value("phase");
        let codes = self.exit_codes();
        match (phase, codes.is_empty()) {
            (Some("Succeeded"), _) => Outcome::Succeeded,
            (Some("Failed"), _) => Outcome::Failed,
            // one container ended; the others did not
            (Some(_), _) | (None, true) => Outcome::Running,
            (None, false) if codes.values().all(|code| *code == "0") => Outcome::Succeeded,
            (None, false) => Outcome::Failed,
        }
    }

    /// The exit codes by container.
    pub(super) fn exit_codes(&self) -> BTreeMap<&'g str, &'g str> {
        let node = self.node;
        let code = |field: &'g str| Some((field.strip_suffix(".exitCode")?, node.value(field)?));
        node.fields().into_iter().filter_map(code).collect()
    }

    /// The properties whose names begin with `prefix` and a dot, by the rest of their names.
    pub(super) fn prefixed(&self, prefix: &str) -> Vec<(&'g str, Known<'g>)> {
        let node = self.node;
        let known = |field: &'g str| {
            let name = field.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name, node.known(field)?))
        };
        node.fields().into_iter().filter_map(known).collect()
    }

    /// The intervals in which something of it may have been missed.
    pub(super) fn gaps(&self) -> Vec<&'g Gap> {
        let (started, ended) = (self.started(), self.ended());
        let touches = |gap: &&Gap| {
            started.is_none_or(|started| gap.to >= started)
                && ended.is_none_or(|ended| gap.from <= ended)
        };
        self.graph.gaps.iter().filter(touches).collect()
    }

    /// The last time that anything was recorded of it.
    pub(super) fn recorded(&self) -> Option<Timestamp> {
        let facts = self.node.facts.iter().map(|fact| fact.at);
        let edges = self.graph.edges_from(&self.node.id).map(|edge| edge.at);
        facts.chain(edges).max()
    }
}

/// A conflict stays one, whatever else is said; any other grade gives way.
fn conflict(grade: Grade) -> Grade {
    if grade == Grade::Conflict { grade } else { Grade::Observed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{ClusterId, Fact, Source};

    fn at(position: u64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + position.cast_signed()).unwrap()
    }

    /// A run that ended at 10, and what is said of the name that it wrote under.
    fn outputs(said: &[(Relation, &str, Grade, u64)]) -> Vec<(String, Grade)> {
        let run = EntityId::run(&ClusterId::new("c"), "one");
        let name: EntityId = "ref:s3://models/x".parse().unwrap();
        let outcome = Fact {
            field: "outcome".into(),
            value: "succeeded".into(),
            grade: Grade::Observed,
            source: Source::rule("test"),
            position: 10,
            at: at(10),
        };
        let mut graph = Graph::new(vec![run.clone()], 100);
        let mut add = |id: &EntityId, facts: Vec<Fact>| {
            graph.nodes.push(Node { id: id.clone(), kind: id.kind(), namespace: None, facts });
        };
        add(&run, vec![outcome]);
        add(&name, Vec::new());
        let mut edges = Vec::new();
        let first = (Relation::GeneratedBy, run.as_str(), Grade::Claimed, 1);
        for (relation, to, grade, position) in [first].iter().chain(said) {
            let to: EntityId = to.parse().unwrap();
            if to != run {
                add(&to, Vec::new());
            }
            edges.push(Edge {
                from: name.clone(),
                relation: *relation,
                to,
                grade: *grade,
                source: Source::rule("test"),
                position: *position,
                at: at(*position),
            });
        }
        graph.edges = edges;
        graph.sort();
        let run = Run::find(&graph, &run).unwrap();
        run.outputs().iter().map(|tie| (tie.node.id.to_string(), tie.grade)).collect()
    }

    #[test]
    fn a_name_gives_way_to_what_was_found_there_after_the_end_and_before_others_wrote() {
        let (old, new) =
            (format!("tree:sha256:{}", "a".repeat(64)), format!("tree:sha256:{}", "b".repeat(64)));
        let name = ("ref:s3://models/x".to_owned(), Grade::Claimed);
        let found = outputs(&[
            (Relation::LedTo, &old, Grade::Resolved, 5),
            (Relation::LedTo, &new, Grade::Resolved, 12),
        ]);
        assert_eq!(found, [(new.clone(), Grade::Claimed)], "no more than what the run claimed");
        // what was there before the end was made by somebody else, and what somebody claims was not found
        assert_eq!(
            outputs(&[(Relation::LedTo, &old, Grade::Resolved, 5)]),
            std::slice::from_ref(&name)
        );
        assert_eq!(
            outputs(&[(Relation::LedTo, &new, Grade::Claimed, 12)]),
            std::slice::from_ref(&name)
        );
        // another run is to write there
        let found = outputs(&[
            (Relation::GeneratedBy, "run:c/two", Grade::Claimed, 11),
            (Relation::LedTo, &new, Grade::Resolved, 12),
        ]);
        assert_eq!(found, [name]);
    }
}
