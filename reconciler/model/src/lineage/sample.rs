//! A graph as a real cluster would give it, for tests of everything that shows or exports one.
//!
//! It goes through the same functions as a real one: a TrainJob whose first attempt was preempted, a change of the driver
//! between the attempts, and a model that is served.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ClusterId, DOMAIN, EntityId, EntityKind, Fact, Gap, Grade, Graph, Node, Relation, Seen, Source,
    Statement, Work, attempt,
    epoch::{Began, Happened},
    graph::Edge,
    node, ran_on, serving, work,
};
use crate::{
    digest::Digest,
    object::{GroupKind, ObjectId},
    revision::Revision,
};

/// The `kube-system` UID of the sample's cluster.
pub(crate) const CLUSTER: &str = "5f0c1c0e-6a55-4c1b-9d0e-0d9a8a4d8f11";
/// The UID of the sample's TrainJob.
pub(crate) const RUN: &str = "8d6f2a34-93c7-4f0e-8a5b-6f1c2b7e9d02";
/// The code that the annotation names.
pub(crate) const CODE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

const ATTEMPTS: [&str; 2] =
    ["c0b7e7a1-2a4b-4f7c-9c55-1d3f6f0a7b21", "e91d5b7c-7f0d-4a39-8f0a-5a2e8c1b4d32"];
const NODES: [&str; 2] =
    ["0a6b1f5e-11c2-4d8e-b3a7-7c9d2e4f6a10", "1b7c2e6f-22d3-4e9f-84b8-8d0e3f5a7b21"];

/// Statements in the order of a log, folded to a graph.
#[derive(Default)]
pub(crate) struct Log {
    nodes: BTreeMap<EntityId, Node>,
    edges: Vec<Edge>,
    gaps: Vec<Gap>,
    position: u64,
}

impl Log {
    /// Adds one record.
    pub(crate) fn add(&mut self, at: &str, namespace: Option<&str>, said: Vec<Statement>) {
        let (at, position) = (time(at), self.position);
        for statement in said {
            match statement {
                Statement::Fact { of, field, value, grade, source } => {
                    let fact = Fact { field, value, grade, source, position, at };
                    self.node(&of, namespace).facts.push(fact);
                }
                Statement::Edge { from, relation, to, grade, source } => {
                    self.node(&from, namespace);
                    self.node(&to, namespace);
                    self.edges.push(Edge { from, relation, to, grade, source, position, at });
                }
            }
        }
        self.position += 1;
    }

    /// Adds a blind interval.
    pub(crate) fn gap(&mut self, from: &str, to: &str, why: &str) {
        let gap = Gap { from: time(from), to: time(to), why: why.into(), position: self.position };
        self.gaps.push(gap);
        self.position += 1;
    }

    fn node(&mut self, id: &EntityId, namespace: Option<&str>) -> &mut Node {
        let is_of_tenant = matches!(
            id.kind(),
            EntityKind::Run
                | EntityKind::Attempt
                | EntityKind::Service
                | EntityKind::Volume
                | EntityKind::Tree
        );
        let namespace = namespace.filter(|_| is_of_tenant).map(str::to_owned);
        self.nodes.entry(id.clone()).or_insert_with(|| Node {
            id: id.clone(),
            kind: id.kind(),
            namespace,
            facts: Vec::new(),
        })
    }

    /// Returns the graph about `focus`.
    pub(crate) fn graph(self, focus: Vec<EntityId>) -> Graph {
        let mut graph = Graph::new(focus, self.position);
        graph.nodes = self.nodes.into_values().collect();
        graph.edges = self.edges;
        graph.gaps = self.gaps;
        graph.sort();
        graph
    }
}

/// Returns the graph about the service, back to every cause.
pub(crate) fn graph() -> Graph {
    let cluster = ClusterId::new(CLUSTER);
    let service = EntityId::service(&cluster, "7e4d2c1b-0a9f-4e8d-9c7b-6a5f4e3d2c1b");
    log().graph(vec![service])
}

/// Returns the graph about the run while its second attempt is under way.
pub(crate) fn running() -> Graph {
    let mut log = Log::default();
    begin(&mut log);
    log.graph(vec![run()])
}

/// What somebody may write into a name, to do harm where it is shown.
pub(crate) const HARM: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`--><!--]]>&lt;#x\u{202e}\u{1b}[31m";

/// Returns the graph with harm in every text that people write.
pub(crate) fn hostile() -> Graph {
    let mut graph = graph();
    for fact in graph.nodes.iter_mut().flat_map(|node| &mut node.facts) {
        fact.value = HARM.to_owned();
        fact.field.push_str("<b>\"'");
        fact.source.rule = Some(HARM.to_owned());
    }
    for node in &mut graph.nodes {
        let first = node.facts.first().cloned();
        node.facts.extend(first.map(|fact| Fact { field: "name".into(), ..fact }));
        node.namespace = Some(HARM.to_owned());
    }
    for edge in &mut graph.edges {
        edge.source.field = Some(HARM.to_owned());
    }
    for gap in &mut graph.gaps {
        gap.why = HARM.to_owned();
    }
    graph
}

/// Returns the identity of the run.
pub(crate) fn run() -> EntityId {
    EntityId::run(&ClusterId::new(CLUSTER), RUN)
}

/// Returns the identity of the model.
pub(crate) fn model() -> EntityId {
    EntityId::tree(Digest::of("the tree of the model"))
}

/// Returns everything that was recorded.
pub(crate) fn log() -> Log {
    let mut log = Log::default();
    begin(&mut log);
    end(&mut log);
    serve(&mut log);
    log
}

fn time(text: &str) -> Timestamp {
    format!("2026-11-18T{text}Z").parse().expect("a time")
}

fn begin(log: &mut Log) {
    let cluster = ClusterId::new(CLUSTER);
    let first = apply(log, "08:00:04", None, "1f0c6b2d9e8a7f6c5b4a39281706f5e4d3c2b1a0");
    let old = node_body(0, "gpu-a100-03", "570.124.06", "12.8");
    let new = node_body(1, "gpu-a100-07", "580.95.05", "13.0");
    let before = see_node(log, "08:00:09", &old);
    let body = train_job();
    let kind = GroupKind::new("trainer.kubeflow.org", "TrainJob");
    let seen = Seen { cluster: &cluster, body: &body, kind: &kind, owners: &[], salt: b"salt" };
    let (id, said) = work(&seen).expect("a run");
    log.add("08:12:31", Some("vision"), said);
    log.add("08:12:31", Some("vision"), configured(&id, &first));
    see_pod(
        log,
        "08:12:52",
        0,
        "gpu-a100-03",
        &before,
        &ended(137, "Preempted", "08:13:02", "09:02:40"),
    );
    let second = apply(log, "09:05:10", Some(&first), "9c8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e2d1c0b");
    log.add("09:05:10", Some("vision"), configured(&id, &second));
    let after = see_node(log, "09:06:15", &new);
    see_pod(log, "09:07:20", 1, "gpu-a100-07", &after, &json!({ "running": {} }));
}

fn end(log: &mut Log) {
    let cluster = ClusterId::new(CLUSTER);
    let id = run();
    log.gap("09:31:00", "09:33:20", "the watch of pods broke off: 410 Gone");
    let state = node::id(&node::state(&node_body(1, "gpu-a100-07", "580.95.05", "13.0")));
    see_pod(
        log,
        "11:48:37",
        1,
        "gpu-a100-07",
        &state,
        &ended(0, "Completed", "09:07:31", "11:48:33"),
    );
    let mut body = train_job();
    body["status"] = json!({ "startTime": "2026-11-18T08:12:30Z", "conditions": [
        { "type": "Complete", "status": "True", "lastTransitionTime": "2026-11-18T11:48:35Z", "reason": "JobsCompleted" },
    ] });
    let kind = GroupKind::new("trainer.kubeflow.org", "TrainJob");
    let seen = Seen { cluster: &cluster, body: &body, kind: &kind, owners: &[], salt: b"salt" };
    log.add("11:48:38", Some("vision"), work(&seen).expect("a run").1);
    let (code, said) = resolved(&id);
    log.add("11:48:51", Some("vision"), said);
    let source = Source::rule(format!("{code}: data/cifar10.dvc"));
    let data = EntityId::data("dvc", "md5:22e2f9d5b1c7a4f0e6b3d8a9c0f1e2d3.dir").expect("data");
    log.add(
        "11:48:52",
        Some("vision"),
        vec![
            Statement::edge(&id, Relation::Expected, &data, Grade::Resolved, &source),
            Statement::fact(&data, "name", "data/cifar10", Grade::Resolved, &source),
            Statement::fact(&data, "bytes", "184549376", Grade::Resolved, &source),
        ],
    );
    let (model, source) = (model(), Source::rule("model directory"));
    let name = EntityId::reference("s3://models/vision/resnet50/7").expect("a name");
    let base = crate::lineage::claim::named(&base_model()).expect("a name").id;
    let fact =
        |field: &str, value: &str| Statement::fact(&model, field, value, Grade::Observed, &source);
    log.add(
        "11:52:07",
        Some("vision"),
        vec![
            Statement::edge(&name, Relation::LedTo, &model, Grade::Observed, &source),
            Statement::edge(
                &model,
                Relation::GeneratedBy,
                &id,
                Grade::Claimed,
                &annotation("model"),
            ),
            Statement::edge(
                &model,
                Relation::DerivedFrom,
                &base,
                Grade::Claimed,
                &annotation("base-model"),
            ),
            fact("name", "resnet50"),
            fact("uri", "s3://models/vision/resnet50/7"),
            fact("oms", &Digest::of("the files of the model").to_string()),
            fact("files", "4"),
            fact("bytes", "102760448"),
        ],
    );
}

/// What resolvers say of the code and the image.
fn resolved(id: &EntityId) -> (EntityId, Vec<Statement>) {
    let code = EntityId::commit(CODE).expect("a commit");
    let other = EntityId::commit("e83c5163316f89bfbde7d9ab23ca2e25604af290").expect("a commit");
    let remote = Source::rule("git: https://git.example.org/vision/train");
    let label = Source::rule("image label org.opencontainers.image.revision");
    let (index, manifest) = (image(), EntityId::image(Digest::of("manifest")));
    let registry = Source::rule("registry.example.org/vision/train");
    let said = vec![
        Statement::fact(&code, "reachableFrom", "refs/heads/main", Grade::Resolved, &remote),
        Statement::fact(
            &code,
            "tree",
            "aaff74984cccd156a469afa7d9ab10e4777beb24",
            Grade::Resolved,
            &remote,
        ),
        Statement::edge(id, Relation::RanCode, &other, Grade::Claimed, &label),
        Statement::fact(
            &other,
            "uri",
            "git+https://git.example.org/vision/train",
            Grade::Claimed,
            &label,
        ),
        Statement::edge(&manifest, Relation::PartOf, &index, Grade::Resolved, &registry),
        Statement::fact(
            &index,
            "uri",
            "oci://registry.example.org/vision/train",
            Grade::Resolved,
            &registry,
        ),
        Statement::fact(&index, "name", "vision/train:1.4", Grade::Claimed, &registry),
    ];
    (code, said)
}

fn serve(log: &mut Log) {
    let cluster = ClusterId::new(CLUSTER);
    let kind = GroupKind::new("serving.kserve.io", "InferenceService");
    let body = json!({
        "metadata": { "name": "resnet50", "namespace": "vision", "uid": "7e4d2c1b-0a9f-4e8d-9c7b-6a5f4e3d2c1b",
            "resourceVersion": "99120", "creationTimestamp": "2026-11-18T12:04:00Z" },
        "spec": { "predictor": { "model": { "storageUri": "s3://models/vision/resnet50/7" } } },
        "status": { "url": "https://resnet50.vision.example.org" },
    });
    let seen = Seen { cluster: &cluster, body: &body, kind: &kind, owners: &[], salt: b"salt" };
    log.add("12:04:02", Some("vision"), serving(&seen).expect("a service").1);
}

fn annotation(name: &str) -> Source {
    Source {
        object: Some(ObjectId {
            kind: GroupKind::new("trainer.kubeflow.org", "TrainJob"),
            namespace: Some("vision".into()),
            name: "resnet50-cifar".into(),
        }),
        uid: Some(RUN.into()),
        field: Some(format!("metadata.annotations[{DOMAIN}/{name}]")),
        version: Some("88010".into()),
        rule: None,
    }
}

fn base_model() -> String {
    format!("https://models.example.org/resnet50-imagenet.safetensors@{}", Digest::of("base"))
}

fn image() -> EntityId {
    EntityId::image(Digest::of("index"))
}

fn apply(log: &mut Log, at: &str, before: Option<&EntityId>, commit: &str) -> EntityId {
    let (cluster, site) = (ClusterId::new(CLUSTER), "lab-gpu".parse().expect("a name"));
    let revision = Revision {
        repository: "https://git.example.org/ops/clusters".into(),
        path: "sites/lab-gpu".into(),
        reference: Some("main".into()),
        commit: Some(commit.into()),
        dirty: false,
        inputs: Digest::of(commit),
    };
    let began = Began {
        cluster: &cluster,
        site: &site,
        revision: &revision,
        rendered: Digest::of(format!("rendered {commit}")),
        agent: "0.1.0",
        before,
        nonce: "n",
    };
    let id = began.id();
    log.add(at, None, began.statements());
    let policy = ObjectId {
        kind: GroupKind::new("nvidia.com", "ClusterPolicy"),
        namespace: None,
        name: "cluster-policy".into(),
    };
    let objects = vec![(policy.clone(), "changed".to_owned())];
    let plan = Digest::of(format!("plan {commit}")).to_string();
    log.add(at, None, Happened::Applied { end: "succeeded".into(), plan, objects }.statements(&id));
    if before.is_some() {
        let what = "kubectl-edit changed spec.driver.version".to_owned();
        let drift = Happened::Drifted { object: policy, what, is_mended: true };
        log.add(at, None, drift.statements(&id));
    }
    id
}

fn configured(run: &EntityId, epoch: &EntityId) -> Vec<Statement> {
    let source = Source::rule("epoch in force");
    vec![Statement::edge(run, Relation::ConfiguredBy, epoch, Grade::Observed, &source)]
}

fn node_body(index: usize, name: &str, driver: &str, cuda: &str) -> Value {
    json!({
        "metadata": { "name": name, "uid": NODES[index], "resourceVersion": "70", "labels": {
            "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu.count": "8",
            "nvidia.com/cuda.driver-version.full": driver, "nvidia.com/cuda.runtime-version.full": cuda,
        } },
        "status": { "nodeInfo": {
            "kernelVersion": "6.8.0-51-generic", "bootID": "b1", "osImage": "Ubuntu 24.04.3 LTS",
            "architecture": "amd64", "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.37.2",
        } },
    })
}

fn see_node(log: &mut Log, at: &str, body: &Value) -> EntityId {
    let state = node::state(body);
    let (_, said) = node::statements(&ClusterId::new(CLUSTER), body, &state).expect("a node");
    log.add(at, None, said);
    node::id(&state)
}

fn train_job() -> Value {
    let annotation = |name: &str| format!("{DOMAIN}/{name}");
    json!({
        "metadata": {
            "name": "resnet50-cifar", "namespace": "vision", "uid": RUN, "resourceVersion": "88010",
            "creationTimestamp": "2026-11-18T08:12:29Z",
            "labels": { "kueue.x-k8s.io/queue-name": "gpu-a100", "sitewright.dev/owner": "m.rossi" },
            "annotations": {
                annotation("code"): format!("git+https://git.example.org/vision/train@{CODE}#src"),
                annotation("data"): "s3://datasets/augment/v3.tar@3L4kqtJlcpXroDTDmJ",
                annotation("model"): "s3://models/vision/resnet50/7",
                annotation("base-model"): base_model(),
                annotation("experiment"): "cifar-sweep-12",
            },
        },
        "spec": { "runtimeRef": { "name": "torch-distributed" }, "trainer": { "numNodes": 1 } },
        "status": { "startTime": "2026-11-18T08:12:30Z" },
    })
}

fn ended(code: u8, reason: &str, from: &str, to: &str) -> Value {
    json!({ "terminated": {
        "exitCode": code, "reason": reason, "startedAt": format!("2026-11-18T{from}Z"), "finishedAt": format!("2026-11-18T{to}Z"),
        "message": if code == 0 {
            json!({ "metrics": { "accuracy": "0.942" }, "parameters": { "learning-rate": "0.1", "epochs": 90 } }).to_string()
        } else {
            String::new()
        },
    } })
}

/// Records the pod of an attempt in a state.
fn see_pod(log: &mut Log, at: &str, index: usize, node: &str, state: &EntityId, container: &Value) {
    let (cluster, kind) = (ClusterId::new(CLUSTER), GroupKind::new("", "Pod"));
    let job = ObjectId {
        kind: GroupKind::new("trainer.kubeflow.org", "TrainJob"),
        namespace: Some("vision".into()),
        name: "resnet50-cifar".into(),
    };
    let owners = [Work { id: job, uid: RUN.into() }];
    let started = ["2026-11-18T08:12:58Z", "2026-11-18T09:07:27Z"][index];
    let body = json!({
        "metadata": { "name": format!("resnet50-cifar-node-0-{}", ["x7k2p", "m4q9d"][index]), "namespace": "vision",
            "uid": ATTEMPTS[index], "resourceVersion": format!("8802{index}") },
        "spec": { "nodeName": node, "serviceAccountName": "trainer", "restartPolicy": "Never",
            "containers": [{ "name": "trainer", "image": "registry.example.org/vision/train:1.4",
                "command": ["torchrun", "train.py"], "args": ["--lr", "0.1", "--token=abc"],
                "resources": { "limits": { "nvidia.com/gpu": "8" } } }],
            "volumes": [{ "name": "scratch", "persistentVolumeClaim": { "claimName": "scratch" } }] },
        "status": { "startTime": started, "containerStatuses": [{ "name": "trainer",
            "imageID": format!("registry.example.org/vision/train@{}", image().rest()), "state": container }] },
    });
    let seen = Seen { cluster: &cluster, body: &body, kind: &kind, owners: &owners, salt: b"salt" };
    let (run, id, mut said) = attempt(&seen).expect("an attempt");
    let volume = EntityId::volume(&cluster, "2c8d3f70-33e4-4fa0-95c9-9e1f406b8c32");
    let source = Source { uid: Some(ATTEMPTS[index].into()), ..Source::default() };
    let mode = "spec.volumes[scratch]";
    said.push(Statement::edge(
        &run,
        Relation::MayHaveRead,
        &volume,
        Grade::Observed,
        &source.at(mode),
    ));
    said.push(Statement::fact(&volume, "name", "scratch", Grade::Observed, &source.at(mode)));
    said.push(Statement::fact(&volume, "mode", "read-write", Grade::Observed, &source.at(mode)));
    let node = EntityId::node(&cluster, NODES[index]);
    said.extend(ran_on(&id, &node, state));
    log.add(at, Some("vision"), said);
}

#[test]
fn the_sample_has_everything_that_an_answer_can_have() {
    let graph = graph();
    for kind in EntityKind::ALL {
        assert!(graph.of_kind(kind).next().is_some(), "{kind}");
    }
    assert!(graph.edges.iter().any(|edge| graph.grade(edge) == Grade::Conflict));
    assert!(!graph.gaps.is_empty());
    let text = serde_json::to_string(&graph).unwrap();
    assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that renews its file")]
fn the_sample_is_kept_as_a_file_for_the_tests_of_others() {
    let text = serde_json::to_string_pretty(&graph()).unwrap() + "\n";
    if std::env::var_os("SITEWRIGHT_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lineage.json");
        std::fs::write(path, &text).unwrap();
        let page = super::picture::html(&graph());
        if let Some(to) = std::env::var_os("SITEWRIGHT_PAGE") {
            std::fs::write(to, page).unwrap();
        }
        return;
    }
    assert!(
        text == include_str!("../../tests/lineage.json"),
        "write it anew: SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --lib lineage::sample"
    );
}
