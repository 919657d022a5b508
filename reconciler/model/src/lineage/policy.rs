//! What a site demands of models before they serve: that their code is known well enough.
//!
//! Comes in: everything that a model came from, and a [`Demand`]. Goes out: a [`Verdict`] with its reasons. Never: a
//! grade that is better than what was recorded; a model that passes because nothing is known of it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Edge, EntityId, EntityKind, Grade, Graph, Node, Relation};

/// How well the code of a model has to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How it has to be known that the commit exists.
    pub commit: Grade,
    /// How it has to be known that the run ran it.
    pub tie: Grade,
}

/// The name and version of the JSON form of [`Checked`].
const FORMAT: &str = "sitewright.dev/lineage-check/v1";

/// What came of a look at several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Always `sitewright.dev/lineage-check/v1`.
    pub format: String,
    /// Whether all of them meet what is demanded.
    pub is_met: bool,
    /// Each of them, by name.
    pub verdicts: Vec<Verdict>,
}

/// What came of a look at one service or model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The service or model.
    pub of: Vec<EntityId>,
    /// What people call it.
    pub name: String,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Why it does not meet the demand, in sentences; empty where it does.
    pub reasons: Vec<String>,
}

impl Checked {
    /// Takes what came of each.
    pub fn new(mut verdicts: Vec<Verdict>) -> Self {
        verdicts.sort_by(|one, other| one.name.cmp(&other.name));
        let is_met = verdicts.iter().all(Verdict::is_met);
        Self { format: FORMAT.to_owned(), is_met, verdicts }
    }
}

impl Default for Demand {
    fn default() -> Self {
        Self { commit: Grade::Resolved, tie: Grade::Claimed }
    }
}

impl Verdict {
    /// Returns whether the demand is met.
    pub fn is_met(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Judges the focus of `graph`, which is everything that it came from.
pub fn judge(graph: &Graph, demand: &Demand) -> Verdict {
    let first = graph.focus.first().and_then(|id| graph.node(id));
    let runs = makers(graph);
    let mut reasons = Vec::new();
    if runs.is_empty() {
        reasons.push("no run is known that made its model".to_owned());
    }
    for run in runs {
        reasons.extend(wrong_with(graph, run, demand));
    }
    Verdict {
        of: graph.focus.clone(),
        name: first.map(Node::title).unwrap_or_default(),
        namespace: first.and_then(|node| node.namespace.clone()),
        reasons,
    }
}

/// Returns the runs that made what is served: of bytes that were read, those after which they were there; else all that
/// say they wrote to the place.
fn makers(graph: &Graph) -> Vec<&Node> {
    let mut models: BTreeSet<&EntityId> = BTreeSet::new();
    for id in &graph.focus {
        let served: Vec<&EntityId> = graph
            .edges_from(id)
            .filter(|edge| edge.relation == Relation::Serves)
            .map(|edge| &edge.to)
            .collect();
        let read = served
            .iter()
            .copied()
            .filter(|id| id.kind() == EntityKind::Tree && made_by(graph, id).next().is_some());
        let read: Vec<&EntityId> = read.collect();
        match (read.is_empty(), served.is_empty()) {
            (false, _) => models.extend(read),
            (true, false) => models.extend(served),
            (true, true) => {
                models.insert(id);
            }
        }
    }
    // a name led to content, and content may be called by several
    let mut runs: BTreeSet<&EntityId> = BTreeSet::new();
    let mut next: Vec<&EntityId> = models.iter().copied().collect();
    while let Some(id) = next.pop() {
        if id.kind() == EntityKind::Run {
            runs.insert(id);
            continue;
        }
        runs.extend(made_by(graph, id));
        let led = graph.edges_from(id).filter(|edge| edge.relation == Relation::LedTo);
        for edge in led {
            if models.insert(&edge.to) {
                next.push(&edge.to);
            }
        }
    }
    runs.into_iter().filter_map(|id| graph.node(id)).collect()
}

fn made_by<'g>(graph: &'g Graph, id: &'g EntityId) -> impl Iterator<Item = &'g EntityId> {
    let edges = graph.edges_from(id).filter(|edge| edge.relation == Relation::GeneratedBy);
    edges.map(|edge| &edge.to)
}

/// Returns why the code of a run is not known well enough.
fn wrong_with(graph: &Graph, run: &Node, demand: &Demand) -> Option<String> {
    let name = run.title();
    let ties = code(graph, run);
    if ties.is_empty() {
        return Some(format!("{name}: nobody said which code it ran"));
    }
    let mut reasons = Vec::new();
    for tie in ties {
        let commit = tie.to.short();
        let grade = graph.grade(tie);
        if grade == Grade::Conflict {
            // a better known one does not settle it
            return Some(format!("{name}: sources differ on which code it ran"));
        }
        let known = graph.node(&tie.to).and_then(|node| node.known("resolution"));
        let exists = match known {
            Some(known) if known.value == "found" && known.others.is_empty() => known.grade,
            Some(known) if known.others.contains("found") || known.value == "found" => {
                // it is on one server, and not on another
                Grade::Resolved
            }
            Some(known) if known.value == "gone" => {
                reasons.push(format!("{name}: commit {commit} is not on its server"));
                continue;
            }
            _ => Grade::Unknown,
        };
        if !exists.reaches(demand.commit) {
            reasons.push(format!(
                "{name}: that commit {commit} exists is {exists}, not {}",
                demand.commit
            ));
        } else if !grade.reaches(demand.tie) {
            reasons.push(format!(
                "{name}: that it ran commit {commit} is {grade}, not {}",
                demand.tie
            ));
        } else {
            return None;
        }
    }
    Some(reasons.join("; "))
}

/// Returns what is said of the code of a run: by itself, or by the images that it executed in.
fn code<'g>(graph: &'g Graph, run: &'g Node) -> Vec<&'g Edge> {
    let of =
        |id: &'g EntityId| graph.edges_from(id).filter(|edge| edge.relation == Relation::RanCode);
    let attempts = graph.edges_from(&run.id).filter(|edge| edge.relation == Relation::Tried);
    let images = attempts
        .flat_map(|edge| graph.edges_from(&edge.to))
        .filter(|edge| edge.relation == Relation::ExecutedIn);
    of(&run.id).chain(images.flat_map(|edge| of(&edge.to))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{Fact, Source};

    struct Made(Graph);

    fn run(uid: &str) -> EntityId {
        EntityId::run(&crate::lineage::ClusterId::new("c"), uid)
    }

    fn commit(digit: &str) -> EntityId {
        EntityId::commit(&digit.repeat(40)).unwrap()
    }

    impl Made {
        fn new() -> Self {
            let service = EntityId::service(&crate::lineage::ClusterId::new("c"), "s");
            let mut made = Self(Graph::new(vec![service.clone()], 1));
            let place = EntityId::reference("s3://models/r").unwrap();
            made.edge(&service, Relation::Serves, &place, Grade::Claimed);
            made
        }

        fn node(&mut self, id: &EntityId) {
            if self.0.node(id).is_none() {
                let (kind, facts) = (id.kind(), Vec::new());
                self.0.nodes.push(Node { id: id.clone(), kind, namespace: None, facts });
                self.0.sort();
            }
        }

        fn edge(&mut self, from: &EntityId, relation: Relation, to: &EntityId, grade: Grade) {
            self.node(from);
            self.node(to);
            self.0.edges.push(Edge {
                from: from.clone(),
                relation,
                to: to.clone(),
                grade,
                source: Source::rule("test"),
                position: 0,
                at: jiff::Timestamp::UNIX_EPOCH,
            });
            self.0.sort();
        }

        fn resolution(&mut self, of: &EntityId, value: &str) {
            let node = self.0.nodes.iter_mut().find(|node| node.id == *of).unwrap();
            node.facts.push(Fact {
                field: "resolution".into(),
                value: value.into(),
                grade: Grade::Resolved,
                source: Source::rule("test"),
                position: 0,
                at: jiff::Timestamp::UNIX_EPOCH,
            });
        }

        /// A run that says it wrote to the place that is served, and which code it ran.
        fn run(&mut self, uid: &str, code: Option<&EntityId>) {
            let place = EntityId::reference("s3://models/r").unwrap();
            self.edge(&place, Relation::GeneratedBy, &run(uid), Grade::Claimed);
            if let Some(code) = code {
                self.edge(&run(uid), Relation::RanCode, code, Grade::Claimed);
            }
        }

        fn reasons(&self) -> String {
            judge(&self.0, &Demand::default()).reasons.join("\n")
        }
    }

    #[test]
    fn what_nothing_is_known_of_does_not_pass() {
        let mut made = Made::new();
        assert!(made.reasons().contains("no run is known"));
        made.run("1", None);
        assert!(made.reasons().contains("nobody said which code"));
    }

    #[test]
    fn a_commit_has_to_have_been_seen_and_the_word_of_a_researcher_is_a_claim() {
        let mut made = Made::new();
        made.run("1", Some(&commit("1")));
        assert!(made.reasons().contains("exists is unknown, not resolved"), "{}", made.reasons());
        made.resolution(&commit("1"), "found");
        assert_eq!(made.reasons(), "");
        let strict = Demand { tie: Grade::Attested, ..Demand::default() };
        let verdict = judge(&made.0, &strict);
        assert!(verdict.reasons[0].contains("is claimed, not attested"), "{verdict:?}");
    }

    #[test]
    fn a_commit_that_is_gone_and_sources_that_differ_do_not_pass() {
        let mut made = Made::new();
        made.run("1", Some(&commit("1")));
        made.resolution(&commit("1"), "gone");
        assert!(made.reasons().contains("is not on its server"));
        let mut made = Made::new();
        made.run("1", Some(&commit("1")));
        made.edge(&run("1"), Relation::RanCode, &commit("2"), Grade::Claimed);
        made.resolution(&commit("1"), "found");
        made.resolution(&commit("2"), "found");
        assert!(made.reasons().contains("sources differ"), "{}", made.reasons());
    }

    #[test]
    fn of_several_runs_all_have_to_pass_unless_the_bytes_tell_which_it_was() {
        let mut made = Made::new();
        made.run("1", Some(&commit("1")));
        made.run("2", None);
        made.resolution(&commit("1"), "found");
        assert!(made.reasons().contains("nobody said"));
        let tree = EntityId::tree(crate::digest::Digest::of("bytes"));
        let service = made.0.focus[0].clone();
        made.edge(&tree, Relation::GeneratedBy, &run("1"), Grade::Inferred);
        made.edge(&service, Relation::Serves, &tree, Grade::Inferred);
        assert_eq!(made.reasons(), "");
    }

    #[test]
    fn an_image_may_say_for_the_run_which_code_it_holds() {
        let mut made = Made::new();
        made.run("1", None);
        let attempt = EntityId::attempt(&crate::lineage::ClusterId::new("c"), "a");
        let image = EntityId::image(crate::digest::Digest::of("image"));
        made.edge(&run("1"), Relation::Tried, &attempt, Grade::Observed);
        made.edge(&attempt, Relation::ExecutedIn, &image, Grade::Observed);
        made.edge(&image, Relation::RanCode, &commit("1"), Grade::Attested);
        made.resolution(&commit("1"), "found");
        let strict = Demand { tie: Grade::Attested, ..Demand::default() };
        assert!(judge(&made.0, &strict).is_met());
    }
}
