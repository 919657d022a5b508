//! SLSA provenance v1 in an in-toto Statement v1, signed as DSSE: one for each model.
//!
//! The predicate keeps apart what the tenant asked for (external: to be checked by who reads it) and what the platform
//! set (internal). What the model came from stands in `resolvedDependencies`, each with its grade. The builder says by
//! its id how good the evidence is, as SLSA wants it: see [`Evidence`] and the book's page `lineage/provenance.md`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    EntityId, EntityKind, Grade, Graph, Node, OMS, Relation, Run, Tie, names, openlineage,
    story::Outcome,
};
use crate::lineage::DOMAIN;

/// The type of an in-toto statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The type of SLSA provenance.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// The type of what is signed.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The kind of build: a run on a cluster that was watched from outside. The book's page says what its parameters are.
pub fn build_type() -> String {
    format!("https://{DOMAIN}/run/v1")
}

/// How good the evidence for a model is; each is a builder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Code, image and data are known at least by a verified signature, and nothing was missed.
    Verified,
    /// Nothing was missed, but something of it was only claimed, or follows from a rule, or sources differ.
    Claimed,
    /// For some time nothing could be seen, or a part of the graph is left out.
    Incomplete,
}

impl Evidence {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Claimed, Self::Incomplete];

    /// Returns the id of the builder.
    pub fn builder(self) -> String {
        let word = match self {
            Self::Verified => "verified",
            Self::Claimed => "claimed",
            Self::Incomplete => "incomplete",
        };
        format!("https://{DOMAIN}/recorder/v1/{word}")
    }

    fn of(run: Run<'_>, dependencies: &[Tie<'_>], made: Tie<'_>) -> Self {
        let graph = run.graph;
        if !run.gaps().is_empty() || graph.is_cut || graph.hidden > 0 {
            return Self::Incomplete;
        }
        let mut grades = dependencies.iter().chain([&made]).map(|tie| tie.grade);
        let has_code = dependencies.iter().any(|tie| tie.edge.relation == Relation::RanCode);
        // what was within reach and not known to be read is told apart by its relation
        if has_code && grades.all(|grade| grade.reaches(Grade::Attested)) {
            Self::Verified
        } else {
            Self::Claimed
        }
    }
}

/// An in-toto statement with SLSA provenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// Always [`STATEMENT`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The model.
    pub subject: Vec<Descriptor>,
    /// Always [`PREDICATE`].
    pub predicate_type: String,
    /// How it was made.
    pub predicate: Provenance,
}

/// A thing, by content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Descriptor {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// How it is known.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

/// How a model was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// What went in.
    pub build_definition: BuildDefinition,
    /// Who saw it, and when.
    pub run_details: RunDetails,
}

/// What went in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildDefinition {
    /// Always [`build_type`].
    pub build_type: String,
    /// What the tenant asked for. All values are text.
    pub external_parameters: Map<String, Value>,
    /// What the platform set. All values are text.
    pub internal_parameters: Map<String, Value>,
    /// What it was made from.
    pub resolved_dependencies: Vec<Descriptor>,
}

/// Who saw it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunDetails {
    /// Who.
    pub builder: Builder,
    /// When.
    pub metadata: Metadata,
    /// What else there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<Descriptor>,
}

/// Who saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Builder {
    /// See [`Evidence`].
    pub id: String,
    /// Versions of the recorder.
    pub version: BTreeMap<String, String>,
}

/// When.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The run.
    pub invocation_id: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_on: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<Timestamp>,
}

/// Relations of a run to what its model depends on.
const DEPENDENCIES: [Relation; 6] = [
    Relation::RanCode,
    Relation::ExecutedIn,
    Relation::Used,
    Relation::Expected,
    Relation::MayHaveRead,
    Relation::ContinuedFrom,
];

/// Returns a statement for each model that is in `graph` by its content. `recorder` is the version of the program.
pub fn statements(graph: &Graph, recorder: &str) -> Vec<Statement> {
    let of_run = |run: Run<'_>| {
        let outputs = run.outputs();
        let with_content = outputs.into_iter().filter(|tie| !digests(tie.node).is_empty());
        with_content.map(|tie| statement(run, tie, recorder)).collect::<Vec<_>>()
    };
    let has_ended = |run: &Run<'_>| run.outcome() != Outcome::Running;
    Run::all(graph).filter(has_ended).flat_map(of_run).collect()
}

/// Returns the statements about one model: one for each run that is said to have made it.
pub fn of_model(graph: &Graph, model: &EntityId, recorder: &str) -> Vec<Statement> {
    let of_run = |run: Run<'_>| {
        let made = run.outputs().into_iter().find(|tie| tie.node.id == *model)?;
        (!digests(made.node).is_empty()).then(|| statement(run, made, recorder))
    };
    Run::all(graph).filter_map(of_run).collect()
}

fn statement(run: Run<'_>, made: Tie<'_>, recorder: &str) -> Statement {
    let dependencies = run.causes(&DEPENDENCIES);
    let evidence = Evidence::of(run, &dependencies, made);
    let mut resolved: Vec<Descriptor> = dependencies.iter().map(dependency).collect();
    resolved.extend(configurations(run));
    let spec = run.node.value("spec").and_then(|digest| digest.strip_prefix("sha256:"));
    let byproduct = |hex: &str| Descriptor {
        name: Some("spec".into()),
        digest: [("sha256".to_owned(), hex.to_owned())].into(),
        ..Descriptor::default()
    };
    Statement {
        kind: STATEMENT.into(),
        subject: vec![subject(made)],
        predicate_type: PREDICATE.into(),
        predicate: Provenance {
            build_definition: BuildDefinition {
                build_type: build_type(),
                external_parameters: external(run),
                internal_parameters: internal(run),
                resolved_dependencies: resolved,
            },
            run_details: RunDetails {
                builder: Builder {
                    id: evidence.builder(),
                    version: [("sitewright".to_owned(), recorder.to_owned())].into(),
                },
                metadata: Metadata {
                    invocation_id: run.node.id.to_string(),
                    started_on: run.started(),
                    finished_on: run.ended(),
                },
                byproducts: spec.map(byproduct).into_iter().collect(),
            },
        },
    }
}

fn subject(made: Tie<'_>) -> Descriptor {
    let mut annotations = graded(&made);
    if let Some(root) = made.node.value(OMS) {
        annotations.insert("omsRoot".into(), json!(root));
    }
    Descriptor {
        name: Some(made.node.value("uri").map_or_else(|| made.node.title(), str::to_owned)),
        uri: None,
        digest: digests(made.node),
        annotations,
    }
}

fn dependency(tie: &Tie<'_>) -> Descriptor {
    let uri = match tie.node.kind {
        EntityKind::Ref => Some(tie.node.id.rest()),
        _ => tie.node.value("uri"),
    };
    Descriptor {
        name: tie.node.value("name").map(str::to_owned),
        uri: Some(uri.map_or_else(|| names::iri(&tie.node.id), names::uri)),
        digest: digests(tie.node),
        annotations: graded(tie),
    }
}

fn graded(tie: &Tie<'_>) -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert("id".into(), json!(tie.node.id.as_str()));
    annotations.insert("relation".into(), json!(tie.edge.relation.word()));
    annotations.insert("grade".into(), json!(tie.grade.word()));
    annotations.insert("source".into(), json!(tie.edge.source.to_string()));
    annotations
}

/// The commits of the cluster's configuration that were in force.
fn configurations(run: Run<'_>) -> Vec<Descriptor> {
    let commit = |epoch: openlineage::Epoch| {
        let commit = epoch.commit?;
        let repository = epoch.repository.unwrap_or_default();
        let annotations = [
            ("id", json!(epoch.id)),
            ("relation", json!(Relation::ConfiguredBy.word())),
            ("grade", json!(epoch.grade.word())),
        ];
        Some(Descriptor {
            name: epoch.site,
            uri: Some(names::uri(&format!("git+{repository}@{commit}"))),
            digest: [("gitCommit".to_owned(), commit)].into(),
            annotations: annotations
                .map(|(key, value)| (key.to_owned(), value))
                .into_iter()
                .collect(),
        })
    };
    openlineage::epochs(run).into_iter().filter_map(commit).collect()
}

/// Returns what is immutable of a thing, by the words of in-toto.
fn digests(node: &Node) -> BTreeMap<String, String> {
    let rest = node.id.rest();
    let sha256 = rest.strip_prefix("sha256:").unwrap_or(rest).to_owned();
    let found = match node.kind {
        EntityKind::Commit => ("gitCommit".to_owned(), rest.to_owned()),
        EntityKind::Image => ("sha256".to_owned(), sha256),
        EntityKind::Tree => ("dirHash".to_owned(), sha256),
        EntityKind::Data => match rest.split_once(':') {
            Some(("sha256", hex)) => ("sha256".to_owned(), hex.to_owned()),
            // an id that its own system never changes; in-toto allows for those
            Some((scheme, id)) => (scheme.to_owned(), id.to_owned()),
            None => return BTreeMap::new(),
        },
        _ => return BTreeMap::new(),
    };
    [found].into()
}

fn external(run: Run<'_>) -> Map<String, Value> {
    let mut parameters = texts(run.node, &["kind", "name", "spec", "experiment", "queue"]);
    parameters.extend(run.node.namespace.iter().map(|name| ("namespace".into(), json!(name))));
    let named = run.prefixed("parameter").into_iter();
    let named: Map<String, Value> =
        named.map(|(name, known)| (name.to_owned(), json!(known.value))).collect();
    if !named.is_empty() {
        parameters.insert("parameters".into(), Value::Object(named));
    }
    let mut containers = Map::new();
    for attempt in run.attempts() {
        let fields = attempt.node.fields().into_iter();
        let asked = fields.filter(|name| {
            [".image", ".command", ".args", ".environment", ".devices"]
                .iter()
                .any(|end| name.ends_with(end))
        });
        containers.extend(
            asked.filter_map(|name| Some((name.to_owned(), json!(attempt.node.value(name)?)))),
        );
    }
    if !containers.is_empty() {
        parameters.insert("containers".into(), Value::Object(containers));
    }
    parameters
}

fn internal(run: Run<'_>) -> Map<String, Value> {
    let mut parameters = texts(run.node, &["clusterQueue", "admittedAt", "outcome"]);
    let cluster = run.node.id.rest().split_once('/').map_or("", |(cluster, _)| cluster);
    parameters.insert("cluster".into(), json!(cluster));
    parameters.insert("logSize".into(), json!(run.graph.log_size.to_string()));
    parameters.insert("epochs".into(), json!(openlineage::epochs(run)));
    parameters.insert("nodes".into(), json!(openlineage::in_states(run)));
    let attempt = |attempt: &Run<'_>| {
        let mut of = texts(attempt.node, &["name", "node", "startedAt", "reason", "phase"]);
        of.insert("id".into(), json!(attempt.node.id.as_str()));
        let codes = attempt.exit_codes().into_iter();
        of.extend(codes.map(|(name, code)| (format!("{name}.exitCode"), json!(code))));
        Value::Object(of)
    };
    let attempts: Vec<Value> = run.attempts().iter().map(attempt).collect();
    parameters.insert("attempts".into(), Value::Array(attempts));
    let gap = |gap: &&crate::lineage::Gap| json!({ "from": gap.from.to_string(), "to": gap.to.to_string(), "why": gap.why });
    let gaps: Vec<Value> = run.gaps().iter().map(gap).collect();
    parameters.insert("gaps".into(), Value::Array(gaps));
    parameters
}

fn texts(node: &Node, fields: &[&str]) -> Map<String, Value> {
    let text = |field: &&str| Some(((*field).to_owned(), json!(node.value(field)?)));
    fields.iter().filter_map(text).collect()
}

/// A signed envelope: DSSE v1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The type of the payload.
    pub payload_type: String,
    /// The payload, in base64.
    pub payload: String,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A hint which key it is.
    #[serde(default)]
    pub keyid: String,
    /// The signature, in base64.
    pub sig: String,
}

/// Returns the bytes that DSSE signs for a payload: its pre-authentication encoding.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    /// Returns `statement` signed by `sign`, which gets the bytes to sign.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign<E>(
        statement: &Statement,
        keyid: &str,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        // what is signed is these very bytes: nobody has to write them again the same way
        let payload = serde_json::to_vec(statement).expect("a statement is JSON");
        let sig = STANDARD.encode(sign(&pae(PAYLOAD, &payload))?);
        Ok(Self {
            payload_type: PAYLOAD.into(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature { keyid: keyid.to_owned(), sig }],
        })
    }

    /// Returns the payload where `is_good` takes one of the signatures; it gets the hint, the signed bytes and the
    /// signature.
    pub fn verified(&self, mut is_good: impl FnMut(&str, &[u8], &[u8]) -> bool) -> Option<Vec<u8>> {
        let payload = STANDARD.decode(&self.payload).ok()?;
        let signed = pae(&self.payload_type, &payload);
        let mut signatures = self.signatures.iter();
        let is_signed = signatures.any(|one| {
            STANDARD.decode(&one.sig).is_ok_and(|sig| is_good(&one.keyid, &signed, &sig))
        });
        is_signed.then_some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::sample;

    #[test]
    fn the_vector_of_the_specification() {
        let bytes = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        assert_eq!(pae("ü", b"\xff"), b"DSSEv1 2 \xc3\xbc 1 \xff");
    }

    #[test]
    fn a_model_has_one_statement_with_its_causes_and_their_grades() {
        let statements = statements(&sample::graph(), "0.1.0");
        assert_eq!(statements.len(), 1);
        insta::assert_snapshot!(serde_json::to_string_pretty(&statements[0]).unwrap());
        assert_eq!(of_model(&sample::graph(), &sample::model(), "0.1.0"), statements);
    }

    #[test]
    fn a_run_that_goes_on_has_no_statement() {
        assert!(statements(&sample::running(), "0.1.0").is_empty());
    }

    #[test]
    fn the_builder_tells_how_good_the_evidence_is() {
        let builder =
            |graph: &Graph| statements(graph, "0.1.0")[0].predicate.run_details.builder.id.clone();
        let mut graph = sample::graph();
        assert!(builder(&graph).ends_with("/incomplete"));
        graph.gaps.clear();
        assert!(builder(&graph).ends_with("/claimed"));
        // who claims a second commit takes the proof away from the first
        let is_other = |id: &EntityId| id.rest().starts_with("e83c51");
        let mut best = graph.clone();
        best.edges.retain(|edge| !is_other(&edge.to));
        for edge in &mut best.edges {
            edge.grade = Grade::Resolved;
        }
        assert!(builder(&best).ends_with("/verified"));
        best.hidden = 1;
        assert!(builder(&best).ends_with("/incomplete"));
    }

    #[test]
    fn every_parameter_is_text() {
        fn is_text(value: &Value) -> bool {
            match value {
                Value::String(_) => true,
                Value::Array(list) => list.iter().all(is_text),
                Value::Object(map) => map.values().all(is_text),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            }
        }
        let definition = &statements(&sample::graph(), "0.1.0")[0].predicate.build_definition;
        for map in [&definition.external_parameters, &definition.internal_parameters] {
            assert!(map.values().all(is_text));
        }
    }

    #[test]
    fn an_envelope_opens_with_a_good_signature_only() {
        let statement = statements(&sample::graph(), "0.1.0").remove(0);
        let sign = |bytes: &[u8]| Ok::<_, ()>(crate::digest::Digest::of(bytes).bytes().to_vec());
        let mut envelope = Envelope::sign(&statement, "key", sign).unwrap();
        let check =
            |_: &str, bytes: &[u8], sig: &[u8]| crate::digest::Digest::of(bytes).bytes() == sig;
        let payload = envelope.verified(check).unwrap();
        assert_eq!(serde_json::from_slice::<Statement>(&payload).unwrap(), statement);
        envelope.payload_type = "text/plain".into();
        assert_eq!(envelope.verified(check), None);
    }
}
