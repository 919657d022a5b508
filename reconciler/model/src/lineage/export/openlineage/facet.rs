//! Facets: those of the standard, and four of our own with published schemas.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    super::{Grade, Run, Tie, names},
    INPUTS, Node, Options, Outcome, Relation, insert,
};
use crate::format::schema;

/// Where OpenLineage keeps the schemas of its facets.
const UPSTREAM: &str = "https://openlineage.io/spec/facets";

/// The files of `schema/` with the schemas of our facets. A facet that changes gets another file.
pub const SCHEMAS: [&str; 4] = [
    "openlineage-configuration-1-0-0.schema.json",
    "openlineage-nodes-1-0-0.schema.json",
    "openlineage-record-1-0-0.schema.json",
    "openlineage-content-1-0-0.schema.json",
];

/// Run facet `sitewright_configuration`: the configurations of the cluster that the run was under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// Who writes it.
    #[serde(rename = "_producer")]
    #[schemars(extend("format" = "uri"))]
    pub producer: String,
    /// The schema of it.
    #[serde(rename = "_schemaURL")]
    #[schemars(extend("format" = "uri"))]
    pub schema_url: String,
    /// The epochs.
    pub epochs: Vec<Epoch>,
}

/// An interval in which one revision was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Epoch {
    /// Its identity.
    pub id: String,
    /// How it is known that the run was under it.
    pub grade: Grade,
    /// The site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The folder of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The digest of what was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
    /// What is known of the commit's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// How the last apply ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// The version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What somebody had changed by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
}

/// Run facet `sitewright_nodes`: the nodes that it ran on, each in the state of that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nodes {
    /// Who writes it.
    #[serde(rename = "_producer")]
    #[schemars(extend("format" = "uri"))]
    pub producer: String,
    /// The schema of it.
    #[serde(rename = "_schemaURL")]
    #[schemars(extend("format" = "uri"))]
    pub schema_url: String,
    /// The nodes.
    pub nodes: Vec<NodeInState>,
}

/// A node in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeInState {
    /// The attempt that ran there.
    pub attempt: String,
    /// The name of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The identity of the state.
    pub id: String,
    /// How it is known that the attempt ran there.
    pub grade: Grade,
    /// Kernel, runtime, driver and so on.
    pub state: BTreeMap<String, String>,
}

/// Run facet `sitewright_record`: what the record of the run may lack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recorded {
    /// Who writes it.
    #[serde(rename = "_producer")]
    #[schemars(extend("format" = "uri"))]
    pub producer: String,
    /// The schema of it.
    #[serde(rename = "_schemaURL")]
    #[schemars(extend("format" = "uri"))]
    pub schema_url: String,
    /// The identity of the run or attempt.
    pub id: String,
    /// How many leaves the log had.
    pub log_size: u64,
    /// Whether something may have been missed while it ran.
    pub is_incomplete: bool,
    /// When.
    pub gaps: Vec<Blind>,
}

/// An interval in which something may have been missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blind {
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: Timestamp,
    /// Until when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub to: Timestamp,
    /// Why.
    pub why: String,
}

/// Dataset facet `sitewright_content`: what the dataset is by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    /// Who writes it.
    #[serde(rename = "_producer")]
    #[schemars(extend("format" = "uri"))]
    pub producer: String,
    /// The schema of it.
    #[serde(rename = "_schemaURL")]
    #[schemars(extend("format" = "uri"))]
    pub schema_url: String,
    /// Its identity.
    pub id: String,
    /// The SHA-256 of the list of its files, which binds their names: `dirHash` of in-toto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir_hash: Option<String>,
    /// The root of OpenSSF model signing. It does not bind the names of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oms_root: Option<String>,
    /// How many files it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<String>,
    /// How many bytes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Returns the schemas of our facets with the names of their files in `schema/`.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let [configuration, nodes, record, content] = SCHEMAS;
    vec![
        (configuration, schema::written::<Configuration>(configuration)),
        (nodes, schema::written::<Nodes>(nodes)),
        (record, schema::written::<Recorded>(record)),
        (content, schema::written::<Content>(content)),
    ]
}

/// Returns a facet of the standard.
pub(super) fn upstream(options: &Options, version: &str, name: &str, mut body: Value) -> Value {
    insert(&mut body, "_producer", json!(names::uri(&options.producer)));
    insert(
        &mut body,
        "_schemaURL",
        json!(format!("{UPSTREAM}/{version}/{name}.json#/$defs/{name}")),
    );
    body
}

fn own(facet: impl Serialize) -> Value {
    serde_json::to_value(facet).expect("a facet is JSON")
}

pub(super) fn of_job(run: Run<'_>, options: &Options) -> Map<String, Value> {
    let kind = if run.is_attempt() { Some("Pod") } else { run.node.value("kind") };
    let kind = kind.map_or("JOB", |kind| kind.split('.').next().unwrap_or(kind));
    let body = json!({ "processingType": "BATCH", "integration": "KUBERNETES", "jobType": kind });
    let mut facets = Map::new();
    facets.insert("jobType".into(), upstream(options, "2-0-4", "JobTypeJobFacet", body));
    if let Some(body) = run.code().first().and_then(source_code) {
        let facet = upstream(options, "1-1-0", "SourceCodeLocationJobFacet", body);
        facets.insert("sourceCodeLocation".into(), facet);
    }
    facets
}

/// Where the code is; none where nobody named its repository. A second commit that stands against it is in the tags.
fn source_code(tie: &Tie<'_>) -> Option<Value> {
    let uri = tie.node.value("uri")?;
    let (repository, path) = uri.split_once('#').unwrap_or((uri, ""));
    let repository = names::uri(repository.strip_prefix("git+").unwrap_or(repository));
    let mut body = json!({
        "type": "git",
        "url": repository,
        "repoUrl": repository,
        "version": tie.node.id.rest(),
    });
    if !path.is_empty() {
        insert(&mut body, "path", json!(path));
    }
    Some(body)
}

pub(super) fn of_run(run: Run<'_>, options: &Options) -> Map<String, Value> {
    let (producer, url) = (names::uri(&options.producer), schema::url);
    let [configuration, nodes, record, _] = SCHEMAS;
    let mut facets = Map::new();
    let epochs = epochs(run);
    if !epochs.is_empty() {
        let facet =
            Configuration { producer: producer.clone(), schema_url: url(configuration), epochs };
        facets.insert("sitewright_configuration".into(), own(facet));
    }
    let in_states = in_states(run);
    if !in_states.is_empty() {
        let facet = Nodes { producer: producer.clone(), schema_url: url(nodes), nodes: in_states };
        facets.insert("sitewright_nodes".into(), own(facet));
    }
    let gaps = run.gaps();
    let facet = Recorded {
        producer,
        schema_url: url(record),
        id: run.node.id.to_string(),
        log_size: run.graph.log_size,
        is_incomplete: !gaps.is_empty() || run.graph.is_cut || run.graph.hidden > 0,
        gaps: gaps
            .iter()
            .map(|gap| Blind { from: gap.from, to: gap.to, why: gap.why.clone() })
            .collect(),
    };
    facets.insert("sitewright_record".into(), own(facet));
    let tags = tags(run);
    if !tags.is_empty() {
        let facet = upstream(options, "1-0-0", "TagsRunFacet", json!({ "tags": tags }));
        facets.insert("tags".into(), facet);
    }
    let parameters = parameters(run);
    if !parameters.is_empty() {
        let body = json!({ "parameters": parameters });
        let facet = upstream(options, "1-0-0", "ExecutionParametersRunFacet", body);
        facets.insert("executionParameters".into(), facet);
    }
    if run.outcome() == Outcome::Failed {
        let reason = run.node.value("reason").unwrap_or("it failed");
        let codes: Vec<String> = run
            .exit_codes()
            .iter()
            .map(|(container, code)| format!("{container} exited with {code}"))
            .collect();
        let message = [vec![reason.to_owned()], codes].concat().join("; ");
        let body = json!({ "message": message, "programmingLanguage": "unknown" });
        facets.insert(
            "errorMessage".into(),
            upstream(options, "1-0-1", "ErrorMessageRunFacet", body),
        );
    }
    facets
}

/// The epochs that a run was under.
pub(in super::super) fn epochs(run: Run<'_>) -> Vec<Epoch> {
    let epoch = |tie: &Tie<'_>| {
        let value = |field: &str| tie.node.value(field).map(str::to_owned);
        let mut puts = run.graph.edges_from(&tie.node.id);
        let commit = puts.find(|edge| edge.relation == Relation::PutInForce);
        let drift: BTreeSet<&str> = tie
            .node
            .facts
            .iter()
            .filter(|fact| matches!(fact.field.as_str(), "drift" | "mended"))
            .map(|fact| fact.value.as_str())
            .collect();
        Epoch {
            id: tie.node.id.to_string(),
            grade: tie.grade,
            site: value("site"),
            repository: value("repository"),
            path: value("path"),
            commit: commit.map(|edge| edge.to.rest().to_owned()),
            rendered: value("rendered"),
            signature: value("signature"),
            applied: value("applied"),
            agent: value("agent"),
            drift: drift.into_iter().map(str::to_owned).collect(),
        }
    };
    let mut ties = run.causes(&[Relation::ConfiguredBy]);
    ties.sort_by_key(|tie| tie.edge.position);
    ties.iter().map(epoch).collect()
}

/// The nodes that a run's attempts, or an attempt, ran on.
pub(in super::super) fn in_states(run: Run<'_>) -> Vec<NodeInState> {
    let attempts = if run.is_attempt() { vec![run] } else { run.attempts() };
    let of_attempt = |attempt: &Run<'_>| {
        let name = attempt.node.value("node").map(str::to_owned);
        let attempt_id = attempt.node.id.to_string();
        let in_state = |tie: &Tie<'_>| {
            let node = tie.node;
            let fields = node.fields().into_iter();
            let state = fields
                .filter_map(|field| Some((field.to_owned(), node.value(field)?.to_owned())))
                .collect();
            NodeInState {
                attempt: attempt_id.clone(),
                node: name.clone(),
                id: node.id.to_string(),
                grade: tie.grade,
                state,
            }
        };
        attempt.states().iter().map(in_state).collect::<Vec<_>>()
    };
    attempts.iter().flat_map(of_attempt).collect()
}

/// What the run is tied to and what it said, each with its grade.
fn tags(run: Run<'_>) -> Vec<Value> {
    let relations = [
        Relation::RanCode,
        Relation::ExecutedIn,
        Relation::ConfiguredBy,
        Relation::RanOn,
        Relation::ContinuedFrom,
    ];
    let ties = run.causes(&[relations.as_slice(), INPUTS.as_slice()].concat());
    let tie = |tie: &Tie<'_>| tag(tie.edge.relation.word(), tie.node.id.as_str(), tie.grade);
    let mut tags: Vec<Value> = ties.iter().map(tie).collect();
    tags.extend(run.outputs().iter().map(|tie| tag("generated", tie.node.id.as_str(), tie.grade)));
    let fields = ["experiment", "queue", "spec"].into_iter().filter_map(|field| {
        run.node.known(field).map(|known| tag(field, known.value, known.grade))
    });
    tags.extend(fields);
    let metrics = run.prefixed("metric").into_iter();
    tags.extend(
        metrics.map(|(name, known)| tag(&format!("metric.{name}"), known.value, known.grade)),
    );
    tags
}

fn tag(key: &str, value: &str, grade: Grade) -> Value {
    json!({ "key": key, "value": value, "source": grade.word() })
}

/// Parameters that the run named, and the arguments of its containers.
fn parameters(run: Run<'_>) -> Vec<Value> {
    let parameter = |key: String, value: &str, grade: Grade| json!({ "key": key, "name": key, "description": grade.word(), "value": value });
    let mut list: Vec<Value> = run
        .prefixed("parameter")
        .into_iter()
        .map(|(name, known)| parameter(name.to_owned(), known.value, known.grade))
        .collect();
    if run.is_attempt() {
        let fields = run.node.fields().into_iter();
        let arguments = fields.filter(|name| name.ends_with(".args") || name.ends_with(".command"));
        let known = arguments.filter_map(|name| Some((name, run.node.known(name)?)));
        list.extend(
            known.map(|(name, known)| parameter(name.to_owned(), known.value, known.grade)),
        );
    }
    list
}

pub(super) fn of_dataset(
    node: &Node,
    ties: &[Tie<'_>],
    version: Option<&str>,
    options: &Options,
) -> Map<String, Value> {
    let mut facets = Map::new();
    if let Some(version) = version {
        let body = json!({ "datasetVersion": version });
        let facet = upstream(options, "1-0-1", "DatasetVersionDatasetFacet", body);
        facets.insert("version".into(), facet);
    }
    let tags: Vec<Value> = ties
        .iter()
        .map(|tie| {
            let of = if tie.edge.from == node.id { &tie.edge.to } else { &tie.edge.from };
            tag(tie.edge.relation.word(), of.as_str(), tie.grade)
        })
        .collect();
    let facet = upstream(options, "1-0-0", "TagsDatasetFacet", json!({ "tags": tags }));
    facets.insert("tags".into(), facet);
    let value = |field: &str| node.value(field).map(str::to_owned);
    let is_tree = node.kind == super::super::EntityKind::Tree;
    let facet = Content {
        producer: names::uri(&options.producer),
        schema_url: schema::url(SCHEMAS[3]),
        id: node.id.to_string(),
        dir_hash: is_tree.then(|| node.id.rest().to_owned()),
        oms_root: value(super::super::OMS),
        files: value("files"),
        bytes: value("bytes"),
        title: value("name"),
    };
    facets.insert("sitewright_content".into(), own(facet));
    facets
}
