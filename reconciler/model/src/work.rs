//! What runs on a cluster now, as a plan names it: jobs, notebooks and services, on their nodes, by their queues.
//!
//! Comes in: what the cluster crate read of nodes, pods and queues ([`Running`]). Goes out: which of it a change would
//! hit ([`Hits`]). Never: I/O, a clock, what a pod holds beside its place, its owner and what it asks for.

mod extent;
mod sort;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    extent::{Extent, extent},
    sort::{Signs, Sort},
};
use crate::{drain::Ledger, object::ObjectId};

/// Names of nodes that hits are told with; the count has them all.
const NODES: usize = 20;

/// What runs on a cluster now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Running {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The pods that have not ended.
    pub pods: Vec<Pod>,
    /// The workloads that Kueue has admitted and that have not finished.
    pub workloads: Vec<Workload>,
    /// The ClusterQueues of Kueue.
    pub queues: Vec<Queue>,
    /// The DaemonSets that waves restart.
    pub daemon_sets: Vec<DaemonSet>,
    /// What is being drained for this site.
    pub ledger: Ledger,
    /// What could not be looked at, and why.
    pub missing: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// Whether no new pod is placed there.
    pub cordoned: bool,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// `spec.providerID`.
    pub provider_id: String,
    /// The site that says on it that it holds it back.
    pub held_by: Option<String>,
    /// For each wave that names a condition, in the form `component/wave`: whether the node fulfils it, or why that
    /// cannot be told.
    pub waves: BTreeMap<String, Result<bool, String>>,
}

/// A pod that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// Where it runs; none where it is not placed yet.
    pub node: Option<String>,
    /// When it began to run, or was made.
    pub since: Option<Timestamp>,
    /// Its controllers, from the nearest outwards.
    pub owners: Vec<ObjectId>,
    /// The extended resources that it asks for.
    pub devices: BTreeMap<String, u64>,
    /// The person, where a label or annotation names one.
    pub person: Option<String>,
    /// The queue, where a label names one.
    pub queue: Option<String>,
    /// What kind of work it is.
    pub sort: Sort,
    /// The `controller-revision-hash` of a DaemonSet's pod.
    pub revision: Option<String>,
    /// Whether its Ready condition is true.
    pub ready: bool,
}

/// A workload that Kueue has admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// What it stands for: a Job, a TrainJob; none where it owns itself.
    pub owner: Option<ObjectId>,
    /// The LocalQueue.
    pub local_queue: String,
    /// The ClusterQueue.
    pub queue: String,
    /// The flavors that it was admitted on.
    pub flavors: BTreeSet<String>,
    /// How many pods.
    pub pods: u64,
    /// The extended resources that it was admitted with.
    pub devices: BTreeMap<String, u64>,
    /// When it was admitted.
    pub since: Option<Timestamp>,
}

/// A ClusterQueue of Kueue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// The API version that it was read in.
    pub api_version: String,
    /// The cohort.
    pub cohort: Option<String>,
    /// The labels of the nodes of each of its flavors.
    pub flavors: Vec<BTreeMap<String, String>>,
    /// Whether it admits nothing new (`spec.stopPolicy`).
    pub stopped: bool,
    /// The site that says on it that it holds it back.
    pub held_by: Option<String>,
}

/// A DaemonSet whose pods a wave restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSet {
    /// It.
    pub id: ObjectId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The hash of its newest revision; none where its controller has not made one yet.
    pub revision: Option<String>,
    /// Whether its pods go only when somebody deletes them.
    pub on_delete: bool,
}

/// What a change would hit now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hits {
    /// Where it reaches, in words.
    #[serde(rename = "where")]
    pub place: String,
    /// The work there, jobs first, the longest running first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<Hit>,
    /// Why it cannot be told, or not in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Running work that a change would hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// What it is: the outermost owner of the pods.
    pub work: ObjectId,
    /// What kind of work.
    pub sort: Sort,
    /// Whose it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The queue that it came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Since when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// How many of its pods are hit.
    pub pods: u64,
    /// The extended resources that they hold, for example `nvidia.com/gpu: 8`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, u64>,
    /// The nodes that they are on, bounded.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<String>,
}

impl Hits {
    /// Returns the work that has an end and is to reach it: jobs and notebooks, not services.
    pub fn finite(&self) -> impl Iterator<Item = &Hit> {
        self.work.iter().filter(|hit| hit.sort.ends())
    }
}

impl Pod {
    /// Returns what it belongs to, outermost.
    pub fn work(&self) -> ObjectId {
        self.owners.last().cloned().unwrap_or_else(|| self.id())
    }

    /// Returns whether it is a node of Slurm: never evicted, since the jobs in it are the scheduler's to end.
    pub fn is_slurm(&self) -> bool {
        self.owners.iter().any(|owner| sort::is_slurm(&owner.kind))
    }

    /// Returns its identity.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            kind: crate::object::GroupKind::new("", "Pod"),
            namespace: Some(self.namespace.clone()),
            name: self.name.clone(),
        }
    }
}

impl Running {
    /// Returns what is hit where a change reaches `extent`.
    pub fn hits(&self, extent: &Extent) -> Hits {
        let mut found: BTreeMap<ObjectId, Hit> = BTreeMap::new();
        let by_owner = self.by_owner();
        for pod in self.pods.iter().filter(|pod| pod.sort != Sort::Daemon && extent.has(self, pod))
        {
            let workload = pod.owners.iter().rev().find_map(|owner| by_owner.get(owner));
            add_pod(&mut found, pod, workload.copied());
        }
        for workload in self.workloads.iter().filter(|workload| extent.has_workload(self, workload))
        {
            add_workload(&mut found, workload, self);
        }
        let mut work: Vec<Hit> = found.into_values().collect();
        work.sort_by(|one, other| {
            (one.sort, one.since.unwrap_or(Timestamp::MAX), &one.work).cmp(&(
                other.sort,
                other.since.unwrap_or(Timestamp::MAX),
                &other.work,
            ))
        });
        let missing = (!self.missing.is_empty()).then(|| self.missing.join("; "));
        Hits { place: extent.words(self), work, unknown: extent.unknown().or(missing) }
    }

    /// Returns the nodes on which nothing new may start while a change that reaches `extent` waits.
    pub fn nodes_of(&self, extent: &Extent) -> BTreeSet<String> {
        match extent {
            Extent::Nodes(rule) => self
                .nodes
                .iter()
                .filter(|n| rule.is_on(&n.labels))
                .map(|n| n.name.clone())
                .collect(),
            Extent::Node { name, .. } => [name.clone()].into(),
            Extent::Machine(_) => {
                self.nodes.iter().filter(|n| extent.is_on(n)).map(|n| n.name.clone()).collect()
            }
            Extent::Owner(_)
            | Extent::Queues(_)
            | Extent::LocalQueue(..)
            | Extent::Flavor(_)
            | Extent::Volcano(_)
            | Extent::Nothing
            | Extent::Unknown(_) => BTreeSet::new(),
        }
    }

    /// Returns the ClusterQueues that are to admit nothing new while a change that reaches `extent` waits.
    ///
    /// Those that it names, and those of which one flavor has nodes, and none that are left once `nodes` are out: what
    /// they admitted could not run.
    pub fn queues_of(&self, extent: &Extent, nodes: &BTreeSet<String>) -> BTreeSet<String> {
        let named = |queue: &&Queue| match extent {
            Extent::Queues(names) => names.contains(&queue.name),
            Extent::LocalQueue(namespace, name) => self.workloads.iter().any(|workload| {
                workload.namespace == *namespace
                    && workload.local_queue == *name
                    && workload.queue == queue.name
            }),
            Extent::Flavor(flavor) => self
                .workloads
                .iter()
                .any(|workload| workload.queue == queue.name && workload.flavors.contains(flavor)),
            _ => false,
        };
        let starved = |queue: &&Queue| {
            queue.flavors.iter().any(|labels| {
                let mut of_flavor = self
                    .nodes
                    .iter()
                    .filter(|node| crate::format::drain::fits(labels, &node.labels))
                    .peekable();
                of_flavor.peek().is_some() && of_flavor.all(|node| nodes.contains(&node.name))
            })
        };
        let names = self.queues.iter().filter(|queue| named(queue) || starved(queue));
        names.map(|queue| queue.name.clone()).collect()
    }

    fn by_owner(&self) -> BTreeMap<&ObjectId, &Workload> {
        self.workloads
            .iter()
            .filter_map(|workload| Some((workload.owner.as_ref()?, workload)))
            .collect()
    }
}

fn add_pod(found: &mut BTreeMap<ObjectId, Hit>, pod: &Pod, workload: Option<&Workload>) {
    let work = pod.work();
    let hit = found.entry(work.clone()).or_insert_with(|| Hit {
        work,
        sort: pod.sort,
        person: None,
        queue: workload.map(|workload| workload.local_queue.clone()),
        since: None,
        pods: 0,
        devices: BTreeMap::new(),
        nodes: BTreeSet::new(),
    });
    hit.pods += 1;
    hit.person = hit.person.take().or_else(|| pod.person.clone());
    hit.queue = hit.queue.take().or_else(|| pod.queue.clone());
    hit.since = match (hit.since, pod.since) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    for (resource, count) in &pod.devices {
        *hit.devices.entry(resource.clone()).or_default() += count;
    }
    if let Some(node) = pod.node.as_ref().filter(|_| hit.nodes.len() < NODES) {
        hit.nodes.insert(node.clone());
    }
}

/// Of a workload whose pods were seen, the pods tell more.
fn add_workload(found: &mut BTreeMap<ObjectId, Hit>, workload: &Workload, running: &Running) {
    let id = || ObjectId {
        kind: crate::object::GroupKind::new("kueue.x-k8s.io", "Workload"),
        namespace: Some(workload.namespace.clone()),
        name: workload.name.clone(),
    };
    let owner = workload.owner.clone().unwrap_or_else(id);
    let pods = running.pods.iter().find(|pod| pod.owners.contains(&owner) || pod.id() == owner);
    let work = pods.map_or_else(|| owner.clone(), Pod::work);
    found.entry(work.clone()).or_insert_with(|| Hit {
        work,
        sort: Sort::Job,
        person: None,
        queue: Some(workload.local_queue.clone()),
        since: workload.since,
        pods: workload.pods,
        devices: workload.devices.clone(),
        nodes: BTreeSet::new(),
    });
}
