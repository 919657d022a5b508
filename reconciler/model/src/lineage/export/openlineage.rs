//! OpenLineage events: of each run its start, how far it is, and its end; of a dataset what became known later.
//!
//! After the end of a run nothing more may be sent of it, and a large model is hashed long after its pod is gone. So the
//! caller says whether the model is known, and the end is held until it is, or until a deadline.

mod facet;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::facet::{
    Blind, Configuration, Content, Epoch, NodeInState, Nodes, Recorded, SCHEMAS, schemas,
};
pub(super) use self::facet::{epochs, in_states};
use super::{EntityId, EntityKind, Graph, Node, Outcome, Relation, Run, Tie, names};

/// The core schema that events follow.
pub const CORE: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json";

/// How events are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Who writes them: a URI with the version of the program.
    pub producer: String,
    /// How datasets are named.
    pub names: Names,
    /// Whether each attempt is a run of its own below its run.
    pub attempts: bool,
}

/// How datasets are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// By their store; the content is in the facet `version`, as the standard has it.
    #[default]
    ByStore,
    /// With the content in the name: for Marquez, which takes any version for the newest (MarquezProject/marquez#2733).
    ByContent,
}

/// Whether a run may be said to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its models are known, or none is awaited.
    Known,
    /// The deadline passed first: what becomes known later is told by [`later`].
    GivenUp,
    /// A model is still awaited: the end is held.
    Held,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Of a run.
    Run(Box<RunEvent>),
    /// Of a dataset.
    Dataset(DatasetEvent),
}

/// What happened to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// What.
    pub event_type: EventType,
    /// When.
    pub event_time: Timestamp,
    /// Who says so.
    pub producer: String,
    /// The schema of it.
    #[serde(rename = "schemaURL")]
    pub schema_url: String,
    /// The run.
    pub run: RunOf,
    /// What it is one of.
    pub job: Job,
    /// What it read, or may have read.
    pub inputs: Vec<DatasetOf>,
    /// What it made.
    pub outputs: Vec<DatasetOf>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventType {
    /// It began.
    Start,
    /// It goes on.
    Running,
    /// It ended well.
    Complete,
    /// It failed.
    Fail,
    /// It was taken away before it ended.
    Abort,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunOf {
    /// See [`names::run_id`].
    pub run_id: String,
    /// What is known of it.
    pub facets: Map<String, Value>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Job {
    /// The cluster.
    pub namespace: String,
    /// The object.
    pub name: String,
    /// What is known of it.
    pub facets: Map<String, Value>,
}

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatasetOf {
    /// The store.
    pub namespace: String,
    /// What the store calls it.
    pub name: String,
    /// What is known of it.
    pub facets: Map<String, Value>,
}

/// What became known of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetEvent {
    /// When.
    pub event_time: Timestamp,
    /// Who says so.
    pub producer: String,
    /// The schema of it.
    #[serde(rename = "schemaURL")]
    pub schema_url: String,
    /// The dataset.
    pub dataset: DatasetOf,
}

/// Relations of a run to what it read, or may have read.
const INPUTS: [Relation; 3] = [Relation::Used, Relation::MayHaveRead, Relation::Expected];

/// Returns the events of every run in `graph`, in the order in which they are to be sent.
///
/// `end` says of a run whether its end may be told. A run whose start is not known has no events.
pub fn events(graph: &Graph, options: &Options, end: impl Fn(&EntityId) -> End) -> Vec<Event> {
    Run::all(graph).flat_map(|run| of_run(run, options, end(&run.node.id))).collect()
}

/// Returns the events of one run, or attempt; none where it is not in the graph.
pub fn run_events(graph: &Graph, run: &EntityId, options: &Options, end: End) -> Vec<Event> {
    Run::find(graph, run).map(|run| of_run(run, options, end)).unwrap_or_default()
}

/// Returns what became known of what `run` made from `position` of the log on.
pub fn later(graph: &Graph, run: &EntityId, position: u64, options: &Options) -> Vec<Event> {
    let outputs = Run::find(graph, run).map(|run| run.outputs()).unwrap_or_default();
    let event = |tie: &Tie<'_>| {
        let newer = tie.node.facts.iter().filter(|fact| fact.position >= position);
        let event_time = newer.map(|fact| fact.at).max()?;
        let dataset = dataset(tie.node, &[*tie], options);
        Some(Event::Dataset(DatasetEvent {
            event_time,
            producer: names::uri(&options.producer),
            schema_url: format!("{CORE}#/$defs/DatasetEvent"),
            dataset,
        }))
    };
    outputs.iter().filter_map(event).collect()
}

/// Returns whether the content of all that `run` made is known; so it is where nobody says that it made anything.
pub fn knows_outputs(graph: &Graph, run: &EntityId) -> bool {
    let outputs = Run::find(graph, run).map(|run| run.outputs()).unwrap_or_default();
    outputs.iter().all(|tie| tie.node.kind != EntityKind::Ref)
}

fn of_run(run: Run<'_>, options: &Options, end: End) -> Vec<Event> {
    let mut events = one_run(run, None, options, end);
    if options.attempts && !events.is_empty() {
        // an attempt lies within its run, and so do its events
        let last = events.split_off(1);
        for attempt in run.attempts() {
            events.extend(one_run(attempt, Some(run), options, End::Known));
        }
        events.extend(last);
    }
    events
}

fn one_run(run: Run<'_>, parent: Option<Run<'_>>, options: &Options, end: End) -> Vec<Event> {
    let Some(started) = run.started() else { return Vec::new() };
    let mut events = vec![run_event(run, parent, EventType::Start, started, options)];
    let ended = match (run.outcome(), end) {
        (Outcome::Running, _) | (Outcome::Succeeded, End::Held) => None,
        (Outcome::Succeeded, End::Known | End::GivenUp) => Some(EventType::Complete),
        (Outcome::Failed, _) => Some(EventType::Fail),
        (Outcome::Aborted, _) => Some(EventType::Abort),
    };
    let last = run.recorded().unwrap_or(started).max(started);
    let (event, at) = match ended {
        Some(event) => (event, run.ended().unwrap_or(last).max(started)),
        None => (EventType::Running, last),
    };
    events.push(run_event(run, parent, event, at, options));
    events
}

fn run_event(
    run: Run<'_>,
    parent: Option<Run<'_>>,
    event_type: EventType,
    event_time: Timestamp,
    options: &Options,
) -> Event {
    let is_start = event_type == EventType::Start;
    let name = |run: Run<'_>| {
        let (namespace, name) = names::job(run.node);
        (names::run_id(&run.node.id).to_string(), namespace, name)
    };
    let (mut run_id, mut namespace, mut job) = name(run);
    let mut run_facets = Map::new();
    if let Some(parent) = parent {
        let (parent_id, parent_namespace, parent_name) = name(parent);
        run_id = names::run_id(&run.node.id).to_string();
        namespace.clone_from(&parent_namespace);
        job = format!("{parent_name}/attempt");
        let of = json!({
            "run": { "runId": parent_id },
            "job": { "namespace": parent_namespace, "name": parent_name },
        });
        let mut body = of.clone();
        // a run is the outermost object that there is, so it is the root too
        insert(&mut body, "root", of);
        run_facets
            .insert("parent".into(), facet::upstream(options, "1-2-0", "ParentRunFacet", body));
    }
    if !is_start {
        run_facets.extend(facet::of_run(run, options));
    }
    let outputs = if is_start { Vec::new() } else { datasets(&run.outputs(), options) };
    Event::Run(Box::new(RunEvent {
        event_type,
        event_time,
        producer: names::uri(&options.producer),
        schema_url: format!("{CORE}#/$defs/RunEvent"),
        run: RunOf { run_id, facets: run_facets },
        job: Job { namespace, name: job, facets: facet::of_job(run, options) },
        inputs: datasets(&run.causes(&INPUTS), options),
        outputs,
    }))
}

/// Returns each dataset once, with every tie to it.
fn datasets(ties: &[Tie<'_>], options: &Options) -> Vec<DatasetOf> {
    let mut by_node: BTreeMap<&EntityId, Vec<Tie<'_>>> = BTreeMap::new();
    for tie in ties {
        by_node.entry(&tie.node.id).or_default().push(*tie);
    }
    let each = by_node.values().filter_map(|ties| Some((ties.first()?.node, ties)));
    each.map(|(node, ties)| dataset(node, ties, options)).collect()
}

fn dataset(node: &Node, ties: &[Tie<'_>], options: &Options) -> DatasetOf {
    let names::Dataset { namespace, name, version } = names::dataset(node);
    let name = match (&version, options.names) {
        (Some(version), Names::ByContent) => format!("{name}@{version}"),
        _ => name,
    };
    let facets = facet::of_dataset(node, ties, version.as_deref(), options);
    DatasetOf { namespace, name, facets }
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    fn options() -> Options {
        let producer = "https://sitewright.dev/agent/0.1.0".to_owned();
        Options { producer, names: Names::ByStore, attempts: true }
    }

    fn types(events: &[Event]) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Run(event) => format!("{:?} {}", event.event_type, event.event_time),
            Event::Dataset(event) => format!("Dataset {}", event.event_time),
        };
        events.iter().map(text).collect()
    }

    #[test]
    fn a_run_is_told_from_start_to_end_with_its_attempts_inside() {
        let graph = sample::graph();
        let events = events(&graph, &options(), |_| End::Known);
        insta::assert_snapshot!(types(&events).join("\n"));
        insta::assert_snapshot!(serde_json::to_string_pretty(events.last().unwrap()).unwrap());
    }

    #[test]
    fn the_end_is_held_until_the_model_is_known() {
        let graph = sample::graph();
        let options = Options { attempts: false, ..options() };
        let held = events(&graph, &options, |_| End::Held);
        assert_eq!(types(&held), ["Start 2026-11-18T08:12:30Z", "Running 2026-11-18T11:48:52Z"]);
        let ended = events(&graph, &options, |_| End::GivenUp);
        assert_eq!(types(&ended)[1], "Complete 2026-11-18T11:48:35Z");
        let position = graph.node(&sample::model()).unwrap().facts[0].position;
        let later = later(&graph, &sample::run(), position, &options);
        assert_eq!(types(&later), ["Dataset 2026-11-18T11:52:07Z"]);
    }

    #[test]
    fn what_has_not_ended_is_running() {
        let events = events(&sample::running(), &options(), |_| End::Known);
        let running = types(&events).into_iter().filter(|text| text.starts_with("Running"));
        assert_eq!(running.count(), 2);
        assert!(!types(&events).iter().any(|text| text.starts_with("Complete")));
    }

    #[test]
    fn a_name_can_hold_the_content_for_who_reads_names_only() {
        let options = Options { names: Names::ByContent, ..options() };
        let events = events(&sample::graph(), &options, |_| End::Known);
        let Some(Event::Run(last)) = events.last() else { panic!("a run") };
        let expected = format!("vision/resnet50/7@{}", sample::model());
        assert_eq!(last.outputs[0].name, expected);
    }
}
