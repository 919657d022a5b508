//! From bodies to what a plan needs of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};
use sitewright_model::{
    object::{GroupKind, ObjectId},
    work::{DaemonSet, Node, Pod, Queue, Signs, Sort, Workload},
};

use super::{Conditions, HELD_BY, fulfils};

/// Labels and annotations that name the person, in order of what they are worth.
const PERSON: [&str; 5] = [
    "hub.jupyter.org/username",
    "notebooks.kubeflow.org/creator",
    "workflows.argoproj.io/creator",
    "sitewright.dev/owner",
    "app.kubernetes.io/created-by",
];

/// Labels that name the queue.
const QUEUE: [&str; 3] =
    ["kueue.x-k8s.io/queue-name", "volcano.sh/queue-name", "scheduling.volcano.sh/queue-name"];

/// What a controller that is not a person leaves in `app.kubernetes.io/created-by`.
const NOT_A_PERSON: &str = "controller";

/// A pod whose owners are not all known yet.
pub(super) struct RawPod {
    pod: Pod,
    signs: Signs,
    /// Its controllers as far as they are known, from the nearest outwards.
    pub(super) owners: Vec<Owner>,
}

/// A controller, in the version that its dependent names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) id: ObjectId,
    pub(super) version: String,
}

/// What an owner says of its work, for pods that do not.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    person: Option<String>,
    queue: Option<String>,
}

impl RawPod {
    /// Takes what an owner says where nearer ones said nothing.
    pub(super) fn hear(&mut self, said: &Said) {
        self.pod.person = self.pod.person.take().or_else(|| said.person.clone());
        self.pod.queue = self.pod.queue.take().or_else(|| said.queue.clone());
    }

    pub(super) fn finish(self) -> Pod {
        let owners: Vec<ObjectId> = self.owners.into_iter().map(|owner| owner.id).collect();
        Pod { sort: Sort::of(&owners, self.signs), owners, ..self.pod }
    }
}

pub(super) fn node(body: &Value, conditions: &Conditions) -> Node {
    Node {
        name: text(body, "/metadata/name"),
        uid: text(body, "/metadata/uid"),
        labels: labels(body, "/metadata/labels"),
        cordoned: body.pointer("/spec/unschedulable") == Some(&Value::Bool(true)),
        ready: is_true(body, "Ready"),
        provider_id: text(body, "/spec/providerID"),
        held_by: annotation(body, HELD_BY),
        waves: conditions.iter().map(|(key, rules)| (key.clone(), fulfils(body, rules))).collect(),
    }
}

pub(super) fn pod(body: &Value) -> RawPod {
    let namespace = text(body, "/metadata/namespace");
    let owners = controller(body.get("metadata"), Some(&namespace)).into_iter().collect();
    let said = said(body);
    let is_static = annotation(body, "kubernetes.io/config.mirror").is_some();
    let since =
        time(body, "/status/startTime").or_else(|| time(body, "/metadata/creationTimestamp"));
    let mut pod = RawPod {
        signs: Signs {
            is_session: label(body, "component").as_deref() == Some("singleuser-server"),
            ends: matches!(text(body, "/spec/restartPolicy").as_str(), "Never" | "OnFailure"),
            is_idle_in_slurm: is_idle_in_slurm(body),
        },
        pod: Pod {
            name: text(body, "/metadata/name"),
            uid: text(body, "/metadata/uid"),
            node: Some(text(body, "/spec/nodeName")).filter(|node| !node.is_empty()),
            since,
            owners: Vec::new(),
            devices: devices(body),
            person: said.person,
            queue: said.queue,
            sort: Sort::default(),
            revision: label(body, "controller-revision-hash"),
            ready: is_true(body, "Ready"),
            namespace,
        },
        owners,
    };
    if is_static && pod.owners.is_empty() {
        let node = ObjectId {
            kind: GroupKind::new("", "Node"),
            namespace: None,
            name: pod.pod.node.clone().unwrap_or_default(),
        };
        pod.owners.push(Owner { id: node, version: "v1".into() });
    }
    pod
}

/// Returns whether Slurm's operator says that no job is on the node that this pod is.
///
/// It sets the state as conditions `SlurmNodeState…` of the pod, one base state at a time and flags beside it (Slinky's
/// slurm-operator). Where none is true its REST API may not have answered, which is no sign of an idle node.
fn is_idle_in_slurm(body: &Value) -> bool {
    const IDLE: [&str; 2] = ["SlurmNodeStateIdle", "SlurmNodeStateDown"];
    const BUSY: [&str; 3] =
        ["SlurmNodeStateAllocated", "SlurmNodeStateMixed", "SlurmNodeStateCompleting"];
    IDLE.iter().any(|state| is_true(body, state)) && !BUSY.iter().any(|state| is_true(body, state))
}

/// Returns the controller that an object's metadata names.
pub(super) fn controller(metadata: Option<&Value>, namespace: Option<&str>) -> Option<Owner> {
    let owners = metadata?.get("ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let api_version = owner.get("apiVersion")?.as_str()?;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let kind = GroupKind::new(group, owner.get("kind")?.as_str()?);
    let in_cluster = kind.group.is_empty() && kind.kind == "Node";
    let namespace = namespace.map(str::to_owned).filter(|name| !name.is_empty() && !in_cluster);
    let name = owner.get("name")?.as_str()?.to_owned();
    Some(Owner { id: ObjectId { kind, namespace, name }, version: version.to_owned() })
}

pub(super) fn said(body: &Value) -> Said {
    let first = |keys: &[&str]| {
        keys.iter().find_map(|key| label(body, key).or_else(|| annotation(body, key)))
    };
    Said {
        person: first(&PERSON).filter(|person| !person.contains(NOT_A_PERSON)),
        queue: first(&QUEUE),
    }
}

/// Returns a workload that is admitted and has not finished.
pub(super) fn workload(body: &Value) -> Option<Workload> {
    let queue = body.pointer("/status/admission/clusterQueue")?.as_str()?.to_owned();
    if is_true(body, "Finished") || !is_true(body, "QuotaReserved") {
        return None;
    }
    let namespace = text(body, "/metadata/namespace");
    let mut found = Workload {
        name: text(body, "/metadata/name"),
        owner: controller(body.get("metadata"), Some(&namespace)).map(|owner| owner.id),
        local_queue: text(body, "/spec/queueName"),
        queue,
        flavors: BTreeSet::new(),
        pods: 0,
        devices: BTreeMap::new(),
        since: condition(body, "Admitted").and_then(|one| time(one, "/lastTransitionTime")),
        namespace,
    };
    let sets = body.pointer("/status/admission/podSetAssignments").and_then(Value::as_array);
    for set in sets.into_iter().flatten() {
        let map = |key: &str| set.get(key).and_then(Value::as_object);
        found.pods += set.get("count").and_then(Value::as_u64).unwrap_or_default();
        for flavor in map("flavors").into_iter().flat_map(Map::values) {
            found.flavors.extend(flavor.as_str().map(str::to_owned));
        }
        for (resource, amount) in map("resourceUsage").into_iter().flatten() {
            if let Some(count) = extended(resource, amount) {
                *found.devices.entry(resource.clone()).or_default() += count;
            }
        }
    }
    Some(found)
}

pub(super) fn flavor(body: &Value) -> (String, BTreeMap<String, String>) {
    (text(body, "/metadata/name"), labels(body, "/spec/nodeLabels"))
}

pub(super) fn queue(body: &Value, flavors: &BTreeMap<String, BTreeMap<String, String>>) -> Queue {
    let groups = body.pointer("/spec/resourceGroups").and_then(Value::as_array);
    let of_group = |group: &Value| group.get("flavors").and_then(Value::as_array).cloned();
    let used = groups.into_iter().flatten().filter_map(of_group).flatten();
    let stop = body.pointer("/spec/stopPolicy").and_then(Value::as_str).unwrap_or("None");
    let cohort = ["/spec/cohortName", "/spec/cohort"].map(|pointer| text(body, pointer));
    Queue {
        name: text(body, "/metadata/name"),
        uid: text(body, "/metadata/uid"),
        api_version: text(body, "/apiVersion"),
        cohort: cohort.into_iter().find(|name| !name.is_empty()),
        flavors: used
            .filter_map(|flavor| flavors.get(flavor.get("name")?.as_str()?).cloned())
            .collect(),
        stopped: stop != "None",
        held_by: annotation(body, HELD_BY),
    }
}

pub(super) fn daemon_set(body: &Value, revisions: &[Value]) -> DaemonSet {
    let namespace = text(body, "/metadata/namespace");
    let id = ObjectId {
        kind: GroupKind::new("apps", "DaemonSet"),
        namespace: Some(namespace.clone()),
        name: text(body, "/metadata/name"),
    };
    let is_seen =
        body.pointer("/status/observedGeneration") == body.pointer("/metadata/generation");
    let of_set = revisions.iter().filter(|revision| {
        controller(revision.get("metadata"), Some(&namespace)).is_some_and(|owner| owner.id == id)
    });
    let newest = of_set.max_by_key(|revision| revision.get("revision").and_then(Value::as_u64));
    DaemonSet {
        labels: labels(body, "/metadata/labels"),
        // of a change that its controller has not seen there is no revision yet
        revision: newest.filter(|_| is_seen).and_then(|one| label(one, "controller-revision-hash")),
        on_delete: text(body, "/spec/updateStrategy/type") == "OnDelete",
        id,
    }
}

/// The extended resources that a pod asks for. What init containers ask for is held while they run, and no longer, so
/// the larger of both counts.
fn devices(pod: &Value) -> BTreeMap<String, u64> {
    let mut devices: BTreeMap<String, u64> = BTreeMap::new();
    let of = |container: &Value| -> Vec<(String, u64)> {
        let limits = container.pointer("/resources/limits").and_then(Value::as_object);
        let limits = limits.into_iter().flatten();
        limits.filter_map(|(name, amount)| Some((name.clone(), extended(name, amount)?))).collect()
    };
    let containers =
        |key: &str| pod.pointer(key).and_then(Value::as_array).into_iter().flatten().flat_map(of);
    for (name, count) in containers("/spec/containers") {
        *devices.entry(name).or_default() += count;
    }
    for (name, count) in containers("/spec/initContainers") {
        let most = devices.entry(name).or_default();
        *most = (*most).max(count);
    }
    // devices by dynamic resource allocation have no count in the pod
    let claims = pod.pointer("/spec/resourceClaims").and_then(Value::as_array);
    for _ in claims.into_iter().flatten() {
        *devices.entry("resource.k8s.io/claim".into()).or_default() += 1;
    }
    devices.retain(|_, count| *count > 0);
    devices
}

/// Returns the amount of an extended resource: one with a vendor's domain; none of Kubernetes' own.
fn extended(resource: &str, amount: &Value) -> Option<u64> {
    let (domain, _) = resource.split_once('/')?;
    if domain == "kubernetes.io" || resource.starts_with("hugepages-") {
        return None;
    }
    match amount {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => quantity(text),
        _ => None,
    }
}

/// Whole numbers, with the suffixes that they may have.
fn quantity(text: &str) -> Option<u64> {
    let (number, factor) = match text.strip_suffix('k') {
        Some(number) => (number, 1000),
        None => (text, 1),
    };
    number.parse::<u64>().ok().map(|number| number.saturating_mul(factor))
}

fn condition<'b>(body: &'b Value, kind: &str) -> Option<&'b Value> {
    let conditions = body.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(kind))
}

fn is_true(body: &Value, kind: &str) -> bool {
    condition(body, kind).and_then(|one| one.get("status")) == Some(&Value::from("True"))
}

fn text(body: &Value, pointer: &str) -> String {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn time(body: &Value, pointer: &str) -> Option<Timestamp> {
    body.pointer(pointer)?.as_str()?.parse().ok()
}

fn labels(body: &Value, pointer: &str) -> BTreeMap<String, String> {
    let map = body.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn label(body: &Value, key: &str) -> Option<String> {
    body.pointer("/metadata/labels")?.get(key)?.as_str().map(str::to_owned)
}

fn annotation(body: &Value, key: &str) -> Option<String> {
    body.pointer("/metadata/annotations")?.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_asks_for_what_its_containers_hold_together() {
        let pod = json!({ "metadata": { "name": "a", "namespace": "n" }, "spec": {
            "initContainers": [{ "resources": { "limits": { "nvidia.com/gpu": "4" } } }],
            "containers": [
                { "resources": { "limits": { "nvidia.com/gpu": "1", "cpu": "2" } } },
                { "resources": { "limits": { "nvidia.com/gpu": 2, "rdma/hca": "1k" } } },
            ],
        } });
        let devices = devices(&pod);
        assert_eq!(devices.get("nvidia.com/gpu"), Some(&4));
        assert_eq!(devices.get("rdma/hca"), Some(&1000));
        assert_eq!(devices.len(), 2);
    }

    #[test]
    fn only_the_controller_owns() {
        let metadata = json!({ "ownerReferences": [
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "x" },
            { "apiVersion": "batch/v1", "kind": "Job", "name": "train", "controller": true },
        ] });
        let owner = controller(Some(&metadata), Some("n")).unwrap();
        assert_eq!(owner.id.to_string(), "Job.batch n/train");
        assert_eq!(owner.version, "v1");
    }

    #[test]
    fn a_session_names_its_person_and_a_controller_is_none() {
        let session = json!({ "metadata": {
            "name": "jupyter-ada", "namespace": "hub",
            "labels": { "component": "singleuser-server" },
            "annotations": { "hub.jupyter.org/username": "ada" },
        } });
        let pod = pod(&session).finish();
        assert_eq!((pod.sort, pod.person.as_deref()), (Sort::Notebook, Some("ada")));
        let said = said(&json!({ "metadata": { "labels": {
            "app.kubernetes.io/created-by": "training-controller" } } }));
        assert_eq!(said.person, None);
    }

    #[test]
    fn a_slurm_node_is_idle_only_where_its_operator_says_so() {
        let sort_with = |states: &[&str]| {
            let conditions: Vec<Value> =
                states.iter().map(|state| json!({ "type": state, "status": "True" })).collect();
            let owner = json!({ "apiVersion": "slinky.slurm.net/v1beta1", "kind": "NodeSet",
                "name": "gpu", "controller": true });
            let body = json!({
                "metadata": { "name": "gpu-0", "namespace": "slurm", "ownerReferences": [owner] },
                "spec": { "nodeName": "n1" },
                "status": { "conditions": conditions },
            });
            pod(&body).finish().sort
        };
        assert_eq!(sort_with(&["Ready", "SlurmNodeStateIdle"]), Sort::Daemon);
        assert_eq!(sort_with(&["SlurmNodeStateDown", "SlurmNodeStateDrain"]), Sort::Daemon);
        assert_eq!(sort_with(&["SlurmNodeStateMixed", "SlurmNodeStateDrain"]), Sort::Job);
        assert_eq!(sort_with(&["SlurmNodeStateIdle", "SlurmNodeStateCompleting"]), Sort::Job);
        assert_eq!(sort_with(&["Ready"]), Sort::Job, "nothing is known");
    }
}
