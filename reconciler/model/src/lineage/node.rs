//! In which state a node was: kernel, runtime, driver, as one content with a digest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ClusterId, EntityId, Grade, Relation, Source, Statement, claim::bounded};
use crate::{
    digest::Digest,
    object::{GroupKind, ObjectId},
};

/// Labels and annotations that tell of a node's hardware, drivers and machine configuration, by what they are called here.
///
/// The kubelet may write labels of its own node, and GPU feature discovery runs there: what they say is observed of the
/// node's own word.
const SIGNS: [(&str, &str); 14] = [
    ("gpuProduct", "nvidia.com/gpu.product"),
    ("gpuCount", "nvidia.com/gpu.count"),
    ("gpuMemory", "nvidia.com/gpu.memory"),
    ("migStrategy", "nvidia.com/mig.strategy"),
    ("migConfig", "nvidia.com/mig.config"),
    ("gpuSharing", "nvidia.com/gpu.sharing-strategy"),
    ("driver", "nvidia.com/cuda.driver-version.full"),
    ("cuda", "nvidia.com/cuda.runtime-version.full"),
    ("amdDriver", "amd.com/gpu.driver-version"),
    ("amdProduct", "amd.com/gpu.product-name"),
    ("machineConfig", "machineconfiguration.openshift.io/currentConfig"),
    ("instanceType", "node.kubernetes.io/instance-type"),
    ("zone", "topology.kubernetes.io/zone"),
    ("devicePlugin", "lineage.sitewright.dev/device-plugin"),
];

/// Fields that are a part of their own: one asks what a driver reaches.
const PARTS: [(&str, &str); 7] = [
    ("driver", "nvidia-driver"),
    ("cuda", "cuda"),
    ("amdDriver", "amd-driver"),
    ("kernel", "kernel"),
    ("runtime", "runtime"),
    ("kubelet", "kubelet"),
    ("machineConfig", "machine-config"),
];

/// The state of a node: what it is called here, and what it says.
pub type State = BTreeMap<&'static str, String>;

/// Returns the state of the node in `body`.
pub fn state(body: &Value) -> State {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(bounded);
    let info = [
        ("kernel", "/status/nodeInfo/kernelVersion"),
        ("os", "/status/nodeInfo/osImage"),
        ("architecture", "/status/nodeInfo/architecture"),
        ("runtime", "/status/nodeInfo/containerRuntimeVersion"),
        ("kubelet", "/status/nodeInfo/kubeletVersion"),
    ];
    let mut state: State = info
        .into_iter()
        .filter_map(|(name, pointer)| Some((name, text(pointer)?)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let sign = |key: &str| {
        ["labels", "annotations"]
            .into_iter()
            .find_map(|place| body.get("metadata")?.get(place)?.get(key)?.as_str().map(bounded))
    };
    state.extend(SIGNS.into_iter().filter_map(|(name, key)| Some((name, sign(key)?))));
    if !state.contains_key("driver") {
        // releases of GPU feature discovery before 0.17 give three labels
        let parts =
            ["major", "minor", "rev"].map(|part| sign(&format!("nvidia.com/cuda.driver.{part}")));
        if let [Some(major), Some(minor), rev] = parts {
            let rev =
                rev.filter(|rev| !rev.is_empty()).map(|rev| format!(".{rev}")).unwrap_or_default();
            state.insert("driver", format!("{major}.{minor}{rev}"));
        }
    }
    state
}

/// Returns the identity of a state.
pub fn id(state: &State) -> EntityId {
    EntityId::state(Digest::of_json(&json!({ "nodeState": state })))
}

/// Returns what is said of a node that is in `state`; its first edge ties the state to the node.
pub fn statements(
    cluster: &ClusterId,
    body: &Value,
    state: &State,
) -> Option<(EntityId, Vec<Statement>)> {
    let metadata = body.get("metadata")?;
    let text = |name: &str| metadata.get(name).and_then(Value::as_str);
    let (uid, name) = (text("uid")?, text("name")?);
    let source = Source {
        object: Some(ObjectId {
            kind: GroupKind::new("", "Node"),
            namespace: None,
            name: name.to_owned(),
        }),
        uid: Some(uid.to_owned()),
        version: text("resourceVersion").map(str::to_owned),
        ..Source::default()
    };
    let (node, id) = (EntityId::node(cluster, uid), id(state));
    let mut said = vec![
        Statement::edge(&id, Relation::StateOf, &node, Grade::Observed, &source),
        Statement::fact(&node, "name", name, Grade::Observed, &source.at("metadata.name")),
    ];
    if let Some(boot) = body.pointer("/status/nodeInfo/bootID").and_then(Value::as_str) {
        let source = source.at("status.nodeInfo.bootID");
        said.push(Statement::fact(&node, "bootId", bounded(boot), Grade::Observed, &source));
    }
    let source = Source {
        version: None,
        uid: None,
        object: None,
        field: None,
        rule: Some("nodeState".into()),
    };
    for (field, value) in state {
        said.push(Statement::fact(&id, field, value, Grade::Observed, &source));
    }
    for (field, part) in PARTS {
        let Some(value) = state.get(field) else { continue };
        let Some(part) = EntityId::part(part, &value.replace(char::is_whitespace, "_")) else {
            continue;
        };
        said.push(Statement::edge(&id, Relation::Holds, &part, Grade::Observed, &source));
    }
    Some((node, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(driver: &str) -> Value {
        json!({
            "metadata": { "name": "gpu-1", "uid": "u1", "resourceVersion": "7", "labels": {
                "nvidia.com/gpu.product": "H100", "nvidia.com/cuda.driver.major": driver,
                "nvidia.com/cuda.driver.minor": "95", "nvidia.com/cuda.driver.rev": "05",
            } },
            "status": { "nodeInfo": { "kernelVersion": "6.8.0", "bootID": "b", "osImage": "Ubuntu 24.04" } },
        })
    }

    #[test]
    fn the_same_state_of_two_nodes_is_one_thing() {
        let (one, other) = (state(&node("580")), state(&node("580")));
        assert_eq!(id(&one), id(&other));
        assert_ne!(id(&one), id(&state(&node("575"))));
        assert_eq!(one["driver"], "580.95.05");
    }

    #[test]
    fn a_driver_is_a_thing_that_one_can_ask_about() {
        let body = node("580");
        let (_, said) = statements(&ClusterId::new("c"), &body, &state(&body)).unwrap();
        let driver = EntityId::part("nvidia-driver", "580.95.05").unwrap();
        assert!(said.iter().any(|one| matches!(one, Statement::Edge { to, relation: Relation::Holds, .. } if *to == driver)));
    }
}
