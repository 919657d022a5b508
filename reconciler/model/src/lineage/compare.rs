//! What a model needs to be made again, and in what two models differ.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Edge, EntityId, EntityKind, Gap, Grade, Graph, Node, Relation,
    touch::{Touch, touches},
};

/// The name and version of the JSON form of [`Reproduction`].
const REPRODUCTION: &str = "sitewright.dev/lineage-reproduction/v1";

/// The name and version of the JSON form of [`Difference`].
const DIFFERENCE: &str = "sitewright.dev/lineage-difference/v1";

/// What is needed to make something again, everything pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reproduction {
    /// Always `sitewright.dev/lineage-reproduction/v1`.
    pub format: String,
    /// What is to be made.
    pub of: Vec<EntityId>,
    /// The runs that made it, the last first.
    pub runs: Vec<RunAgain>,
    /// What stands in the way, or has to be taken on trust, in sentences.
    pub doubts: Vec<String>,
    /// Intervals in which something may have been missed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// A run as it would be done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunAgain {
    /// The run.
    pub run: EntityId,
    /// What people call it.
    pub name: String,
    /// By what it is, everything that went into it.
    pub needs: BTreeMap<Aspect, Vec<Need>>,
    /// Facts of the run and of its attempts, for example arguments and parameters.
    pub settings: BTreeMap<String, Need>,
    /// What of the cluster's configuration may have touched it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touched: Vec<Touch>,
}

/// Something that went into a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    /// Its identity, or its value.
    pub what: String,
    /// Where it is, by the word of who named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// How it is known that it went into it.
    pub grade: Grade,
}

/// What something that went into a run was.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Aspect {
    /// The code.
    Code,
    /// Data and models that were used, or may have been read.
    Data,
    /// What its code says that it needs.
    Expected,
    /// The image.
    Image,
    /// The state of the nodes.
    Nodes,
    /// The configuration of the cluster.
    Configuration,
}

/// In what two things differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Always `sitewright.dev/lineage-difference/v1`.
    pub format: String,
    /// The one.
    pub one: Vec<EntityId>,
    /// The other.
    pub other: Vec<EntityId>,
    /// By aspect, what only the one has, what only the other has, and what both have.
    pub aspects: BTreeMap<Aspect, Sides>,
    /// Settings that differ: the value of the one, and of the other.
    pub settings: BTreeMap<String, (Option<String>, Option<String>)>,
    /// What both have, and is known differently well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grades: BTreeMap<String, (Grade, Grade)>,
}

/// What one side has, and the other not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sides {
    /// What only the one has.
    pub only_one: Vec<Need>,
    /// What only the other has.
    pub only_other: Vec<Need>,
    /// What both have.
    pub both: Vec<Need>,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Code, Self::Data, Self::Expected, Self::Image, Self::Nodes, Self::Configuration];

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Data => "data",
            Self::Expected => "expected data",
            Self::Image => "image",
            Self::Nodes => "nodes",
            Self::Configuration => "configuration",
        }
    }
}

/// Returns what is needed to make the focus of `graph` again. `graph` is all that it came from.
pub fn reproduction(graph: &Graph) -> Reproduction {
    let mut runs: Vec<&Node> = graph.of_kind(EntityKind::Run).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(began(run)));
    let runs: Vec<RunAgain> = runs.into_iter().map(|run| again(graph, run)).collect();
    let mut doubts = BTreeSet::new();
    if runs.is_empty() {
        doubts.insert("no run is known that made it".to_owned());
    }
    for run in &runs {
        doubts.extend(doubts_of(graph, run));
    }
    if graph.hidden > 0 {
        doubts.insert(format!("{} things are in namespaces that you may not see", graph.hidden));
    }
    Reproduction {
        format: REPRODUCTION.into(),
        of: graph.focus.clone(),
        runs,
        doubts: doubts.into_iter().collect(),
        gaps: graph.gaps.clone(),
    }
}

fn began(run: &Node) -> Option<&str> {
    run.value("startedAt").or_else(|| run.value("createdAt"))
}

fn again(graph: &Graph, run: &Node) -> RunAgain {
    let mut needs: BTreeMap<Aspect, Vec<Need>> = BTreeMap::new();
    let mut settings = BTreeMap::new();
    settings_of(run, &mut settings);
    let of_run: Vec<&Edge> = graph.edges_from(&run.id).collect();
    let attempts: Vec<&Edge> = of_run
        .iter()
        .filter(|edge| edge.relation == Relation::Tried)
        .flat_map(|edge| graph.edges_from(&edge.to))
        .collect();
    for edge in of_run.iter().chain(&attempts) {
        let Some(aspect) = aspect(edge) else { continue };
        let mut add = |aspect, edge: &Edge| {
            let of = needs.entry(aspect).or_default();
            let need = need(graph, edge);
            if of.iter().all(|known| known.what != need.what) {
                of.push(need);
            }
        };
        add(aspect, edge);
        for further in graph.edges_from(&edge.to) {
            match (aspect, further.relation) {
                (Aspect::Code, Relation::Expected) => add(Aspect::Expected, further),
                (Aspect::Configuration, Relation::PutInForce) => {
                    add(Aspect::Configuration, further)
                }
                (Aspect::Nodes, Relation::Holds) => add(Aspect::Nodes, further),
                _ => {}
            }
        }
    }
    for edge in of_run.iter().filter(|edge| edge.relation == Relation::Tried) {
        if let Some(attempt) = graph.node(&edge.to) {
            settings_of(attempt, &mut settings);
        }
    }
    for of in needs.values_mut() {
        of.sort();
    }
    let touched = touches(graph, run);
    RunAgain { run: run.id.clone(), name: run.title(), needs, settings, touched }
}

fn aspect(edge: &Edge) -> Option<Aspect> {
    match edge.relation {
        Relation::RanCode => Some(Aspect::Code),
        Relation::Used | Relation::MayHaveRead => Some(Aspect::Data),
        Relation::Expected => Some(Aspect::Expected),
        Relation::ExecutedIn => Some(Aspect::Image),
        Relation::RanOn if edge.to.kind() == EntityKind::State => Some(Aspect::Nodes),
        Relation::ConfiguredBy => Some(Aspect::Configuration),
        _ => None,
    }
}

fn need(graph: &Graph, edge: &Edge) -> Need {
    let place = graph.node(&edge.to).and_then(|node| node.value("uri")).map(str::to_owned);
    Need { what: edge.to.to_string(), place, grade: graph.grade(edge) }
}

/// What one sets for a run: arguments, images as named, devices, parameters. Not what came of it.
fn settings_of(node: &Node, settings: &mut BTreeMap<String, Need>) {
    for field in node.fields() {
        let last = field.rsplit('.').next().unwrap_or(field);
        let is_setting = matches!(
            last,
            "image"
                | "command"
                | "args"
                | "devices"
                | "environment"
                | "queue"
                | "experiment"
                | "spec"
        ) || field.starts_with("parameter.");
        if let Some(known) = node.known(field).filter(|_| is_setting) {
            let need = Need { what: known.value.to_owned(), place: None, grade: known.grade };
            settings.entry(field.to_owned()).or_insert(need);
        }
    }
}

fn doubts_of(graph: &Graph, run: &RunAgain) -> Vec<String> {
    let name = &run.name;
    let mut doubts = Vec::new();
    for aspect in [Aspect::Code, Aspect::Data, Aspect::Image] {
        match run.needs.get(&aspect) {
            None => doubts.push(format!("{name}: nobody said which {} it used", aspect.word())),
            Some(needs) => {
                for need in needs {
                    if need.grade == Grade::Conflict {
                        doubts.push(format!(
                            "{name}: sources differ on its {}: {}",
                            aspect.word(),
                            need.what
                        ));
                    } else if !need.grade.reaches(Grade::Attested) {
                        doubts.push(format!(
                            "{name}: its {} {} is only {}",
                            aspect.word(),
                            need.what,
                            need.grade
                        ));
                    }
                    if need.what.starts_with("ref:") {
                        doubts.push(format!(
                            "{name}: {} may lead to something else by now",
                            need.what
                        ));
                    }
                    doubts.extend(not_there(graph, name, need));
                }
            }
        }
    }
    if let Some(node) = graph.node(&run.run)
        && let Some(why) = node.value("incomplete")
    {
        doubts.push(format!("{name}: {why}"));
    }
    doubts
}

/// What a resolver did not find.
fn not_there(graph: &Graph, name: &str, need: &Need) -> Option<String> {
    let id: EntityId = need.what.parse().ok()?;
    match graph.node(&id)?.value("resolution")? {
        "found" => None,
        "gone" => Some(format!("{name}: {} is no longer there", need.what)),
        other => Some(format!("{name}: {} could not be looked up ({other})", need.what)),
    }
}

/// Returns in what two things differ, from all that each came from.
pub fn difference(one: &Graph, other: &Graph) -> Difference {
    let (of_one, of_other) = (reproduction(one), reproduction(other));
    let mut aspects = BTreeMap::new();
    let mut grades = BTreeMap::new();
    for aspect in Aspect::ALL {
        let (left, right) = (all(&of_one, aspect), all(&of_other, aspect));
        let only = |of: &BTreeMap<String, Need>, not: &BTreeMap<String, Need>| {
            of.iter()
                .filter(|(what, _)| !not.contains_key(*what))
                .map(|(_, need)| need.clone())
                .collect()
        };
        let sides = Sides {
            only_one: only(&left, &right),
            only_other: only(&right, &left),
            both: left.values().filter(|need| right.contains_key(&need.what)).cloned().collect(),
        };
        for need in &sides.both {
            let theirs = right.get(&need.what).map_or(need.grade, |theirs| theirs.grade);
            if theirs != need.grade {
                grades.insert(need.what.clone(), (need.grade, theirs));
            }
        }
        if !left.is_empty() || !right.is_empty() {
            aspects.insert(aspect, sides);
        }
    }
    let (left, right) = (settings(&of_one), settings(&of_other));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let settings = names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name))
        .map(|name| (name.clone(), (left.get(name).cloned(), right.get(name).cloned())))
        .collect();
    Difference {
        format: DIFFERENCE.into(),
        one: one.focus.clone(),
        other: other.focus.clone(),
        aspects,
        settings,
        grades,
    }
}

fn all(of: &Reproduction, aspect: Aspect) -> BTreeMap<String, Need> {
    let needs = of.runs.iter().filter_map(|run| run.needs.get(&aspect)).flatten();
    needs.map(|need| (need.what.clone(), need.clone())).collect()
}

fn settings(of: &Reproduction) -> BTreeMap<String, String> {
    let all = of.runs.iter().rev().flat_map(|run| &run.settings);
    all.map(|(name, need)| (name.clone(), need.what.clone())).collect()
}
