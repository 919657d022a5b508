//! How far a change reaches: which pods, nodes and queues it touches.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Node, Pod, Running, Workload};
use crate::{
    format::{
        blueprint::HazardRule,
        drain::{self, HitsRule},
    },
    object::ObjectId,
    plan::is_job,
};

/// How far a change reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// No running work.
    Nothing,
    /// The pods that the object controls, itself included.
    Owner(ObjectId),
    /// Pods on nodes.
    Nodes(HitsRule),
    /// Pods on one node.
    Node {
        /// Its name.
        name: String,
        /// Only those that ask for this resource, as [`HitsRule::uses`] has it.
        uses: Option<String>,
    },
    /// Pods on the node that is this machine: namespace and name of a BareMetalHost.
    Machine(String),
    /// Workloads that these ClusterQueues have admitted.
    Queues(BTreeSet<String>),
    /// Workloads of one LocalQueue: namespace and name.
    LocalQueue(String, String),
    /// Workloads admitted on one flavor.
    Flavor(String),
    /// Pods of one queue of Volcano.
    Volcano(String),
    /// It cannot be told: why.
    Unknown(String),
}

/// The resources of GPUs of NVIDIA and AMD, and the label by which their nodes are known.
const NVIDIA: (&str, &str, &str) = ("nvidia.com/*", "nvidia.com/gpu.present", "true");
const AMD: (&str, &str, &str) = ("amd.com/*", "feature.node.kubernetes.io/amd-gpu", "true");

/// Returns how far a change of the object `id` reaches; `live` is its body, where it is there. The rules are those that
/// make the change hazardous: the first one that says where it hits wins over what the kind tells.
pub fn extent<'r>(
    id: &ObjectId,
    live: Option<&Value>,
    running: &Running,
    rules: impl IntoIterator<Item = &'r HazardRule>,
) -> Extent {
    let told = rules.into_iter().find_map(|rule| rule.hits.clone());
    match told {
        Some(hits) => Extent::Nodes(hits),
        None => of_kind(id, live, running),
    }
}

fn of_kind(id: &ObjectId, live: Option<&Value>, running: &Running) -> Extent {
    let name = || id.name.clone();
    match (id.kind.group.as_str(), id.kind.kind.as_str()) {
        ("nvidia.com", "ClusterPolicy" | "NVIDIADriver") => Extent::Nodes(nodes(live, NVIDIA)),
        ("amd.com", "DeviceConfig") => Extent::Nodes(nodes(live, AMD)),
        // a network that is taken away is taken from every pod
        ("mellanox.com", "NicClusterPolicy") => Extent::Nodes(HitsRule {
            nodes: [("feature.node.kubernetes.io/pci-15b3.present".to_owned(), "true".to_owned())]
                .into(),
            uses: None,
        }),
        ("", "Node") => Extent::Node { name: name(), uses: None },
        ("metal3.io", "BareMetalHost") => {
            Extent::Machine(format!("{}/{}", id.namespace.as_deref().unwrap_or_default(), id.name))
        }
        ("kueue.x-k8s.io", "ClusterQueue") => Extent::Queues([name()].into()),
        ("kueue.x-k8s.io", "Cohort") => Extent::Queues(
            running
                .queues
                .iter()
                .filter(|queue| queue.cohort.as_deref() == Some(id.name.as_str()))
                .map(|queue| queue.name.clone())
                .collect(),
        ),
        ("kueue.x-k8s.io", "LocalQueue") => {
            Extent::LocalQueue(id.namespace.clone().unwrap_or_default(), name())
        }
        ("kueue.x-k8s.io", "ResourceFlavor") => Extent::Flavor(name()),
        ("scheduling.volcano.sh", "Queue") => Extent::Volcano(name()),
        ("slinky.slurm.net", "NodeSet") => Extent::Owner(id.clone()),
        ("", "Pod" | "ReplicationController") | ("apps", _) => Extent::Owner(id.clone()),
        _ if is_job(&id.kind) || owns_pods(id, running) => Extent::Owner(id.clone()),
        _ => Extent::Unknown(format!(
            "nothing says where a change of {id} hits; `hits` of the blueprint's hazard rule would"
        )),
    }
}

/// The nodes that the object's own selector names; else those with the vendor's devices.
fn nodes(live: Option<&Value>, (uses, label, value): (&str, &str, &str)) -> HitsRule {
    let selector = ["/spec/nodeSelector", "/spec/selector"].iter().find_map(|pointer| {
        let map = live?.pointer(pointer)?.as_object()?;
        let labels =
            map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        Some(labels.collect()).filter(|labels: &BTreeMap<_, _>| !labels.is_empty())
    });
    let nodes = selector.unwrap_or_else(|| [(label.to_owned(), value.to_owned())].into());
    HitsRule { nodes, uses: Some(uses.to_owned()) }
}

/// What Slurm's jobs use its pod need not ask for.
fn asks_for(pod: &Pod, uses: Option<&str>) -> bool {
    let asks = |uses| pod.devices.keys().any(|resource| drain::is_of(uses, resource));
    pod.is_slurm() || uses.is_none_or(asks)
}

fn owns_pods(id: &ObjectId, running: &Running) -> bool {
    running.pods.iter().any(|pod| pod.owners.contains(id))
}

impl Extent {
    pub(crate) fn has(&self, running: &Running, pod: &Pod) -> bool {
        let on = |is_there: &dyn Fn(&Node) -> bool| {
            let node =
                pod.node.as_ref().and_then(|name| running.nodes.iter().find(|n| n.name == *name));
            node.is_some_and(is_there)
        };
        match self {
            Self::Owner(id) => pod.owners.contains(id) || pod.id() == *id,
            Self::Nodes(rule) => {
                asks_for(pod, rule.uses.as_deref()) && on(&|node| rule.is_on(&node.labels))
            }
            Self::Node { name, uses } => {
                pod.node.as_ref() == Some(name) && asks_for(pod, uses.as_deref())
            }
            Self::Machine(_) => on(&|node| self.is_on(node)),
            Self::Volcano(queue) => pod.queue.as_ref() == Some(queue) && pod.node.is_some(),
            // by their workloads
            Self::Queues(_) | Self::LocalQueue(..) | Self::Flavor(_) => {
                running.workloads.iter().any(|workload| {
                    workload
                        .owner
                        .as_ref()
                        .is_some_and(|owner| pod.owners.contains(owner) || pod.id() == *owner)
                        && self.has_workload(running, workload)
                })
            }
            Self::Nothing | Self::Unknown(_) => false,
        }
    }

    pub(super) fn has_workload(&self, _: &Running, workload: &Workload) -> bool {
        match self {
            Self::Queues(names) => names.contains(&workload.queue),
            Self::LocalQueue(namespace, name) => {
                workload.namespace == *namespace && workload.local_queue == *name
            }
            Self::Flavor(flavor) => workload.flavors.contains(flavor),
            _ => false,
        }
    }

    /// Returns whether it reaches the node.
    pub(super) fn is_on(&self, node: &Node) -> bool {
        match self {
            Self::Nodes(rule) => rule.is_on(&node.labels),
            Self::Node { name, .. } => node.name == *name,
            // metal3://NAMESPACE/HOST/MACHINE
            Self::Machine(host) => node
                .provider_id
                .strip_prefix("metal3://")
                .and_then(|rest| rest.strip_prefix(host.as_str()))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            _ => false,
        }
    }

    pub(super) fn words(&self, running: &Running) -> String {
        let nodes = running.nodes_of(self).len();
        // a slip in the labels of a rule must not read as peace
        if let Self::Nodes(rule) = self
            && nodes == 0
            && !rule.nodes.is_empty()
        {
            return format!("matches no node now: none has {}", drain::labels(&rule.nodes));
        }
        let nodes = format!("{nodes} {}", if nodes == 1 { "node" } else { "nodes" });
        match self {
            Self::Nothing => "nothing that runs".to_owned(),
            Self::Owner(id) => format!("the pods of {id}"),
            Self::Nodes(HitsRule { uses: Some(uses), .. }) => {
                format!("pods with {uses} on {nodes}")
            }
            Self::Nodes(_) | Self::Machine(_) => format!("pods on {nodes}"),
            Self::Node { name, .. } => format!("pods on the node {name}"),
            Self::Queues(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("workloads admitted by {}", names.join(", "))
            }
            Self::LocalQueue(namespace, name) => {
                format!("workloads of the queue {namespace}/{name}")
            }
            Self::Flavor(name) => format!("workloads admitted on {name}"),
            Self::Volcano(name) => format!("jobs of the Volcano queue {name}"),
            Self::Unknown(_) => "not known".to_owned(),
        }
    }

    pub(super) fn unknown(&self) -> Option<String> {
        match self {
            Self::Unknown(why) => Some(why.clone()),
            _ => None,
        }
    }
}
