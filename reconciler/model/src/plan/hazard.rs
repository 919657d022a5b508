//! What a change does to running work: rules that hold on every cluster, and those of blueprints.
//!
//! Comes in: a change, the live object, the blueprint's rules. Goes out: the worst [`Hazard`] and why.
//! Data is the guards' matter ([`super::guard`]), which look at live state.

use serde_json::Value;

use super::{Action, diff::Difference};
use crate::{
    field::FieldPath,
    format::blueprint::{Hazard, HazardOn, HazardRule},
    inventory::DeletionHazard,
    object::{GroupKind, ObjectId, Shown},
};

/// The worst that a change does, and all reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Danger {
    pub(crate) hazard: Hazard,
    pub(crate) because: Vec<String>,
}

/// One change to look at.
#[derive(Clone, Copy)]
pub(crate) struct Deed<'a> {
    pub(crate) id: &'a ObjectId,
    pub(crate) action: &'a Action,
    pub(crate) differences: &'a [Difference],
    /// The live body; none where there is none.
    pub(crate) live: Option<&'a Value>,
    /// The rules of the component's blueprint; empty where the component is gone.
    pub(crate) rules: &'a [HazardRule],
    /// What its deletion does, as recorded when it was last applied: by rules that may be gone by now.
    pub(crate) deletion: Option<&'a DeletionHazard>,
}

/// What of an object's life a change touches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Create,
    Update,
    Delete,
}

impl Danger {
    /// Adds a reason; the hazard only rises.
    pub(crate) fn raise(&mut self, hazard: Hazard, because: impl Into<String>) {
        self.hazard = self.hazard.max(hazard);
        let because = because.into();
        if !self.because.contains(&because) {
            self.because.push(because);
        }
    }
}

/// Returns what `deed` does to running work.
pub(crate) fn of(deed: &Deed<'_>) -> Danger {
    let mut danger = Danger::default();
    let phases: &[Phase] = match deed.action {
        Action::None
        | Action::Record
        | Action::Release { .. }
        | Action::Forget
        | Action::Unknown => &[],
        Action::Create => &[Phase::Create],
        Action::Update { .. } | Action::Adopt { .. } => &[Phase::Update],
        // What a changed field does, it does also where the object has to be made anew for it.
        Action::Replace { .. } => &[Phase::Delete, Phase::Update, Phase::Create],
        Action::Delete { .. } => &[Phase::Delete],
    };
    for phase in phases {
        built_in(deed, *phase, &mut danger);
        by_rules(deed, *phase, &mut danger);
    }
    danger
}

// === rules of blueprints ===

fn by_rules(deed: &Deed<'_>, phase: Phase, danger: &mut Danger) {
    if let Some(recorded) = deed.deletion.filter(|_| phase == Phase::Delete) {
        danger.raise(recorded.is, recorded.because.clone());
    }
    let fitting = deed.rules.iter().filter(|rule| deed.id.fits(&rule.kind, rule.name.as_deref()));
    for rule in fitting {
        let applies = match &rule.on {
            HazardOn::Delete => phase == Phase::Delete,
            HazardOn::Create => phase == Phase::Create,
            HazardOn::Update => phase == Phase::Update && !deed.differences.is_empty(),
            HazardOn::Field { field } => phase == Phase::Update && touches(deed, field),
        };
        if applies {
            danger.raise(rule.is, rule.because.clone());
        }
    }
}

/// Returns whether the field changes; a rule whose path cannot be read is taken to be about every field.
fn touches(deed: &Deed<'_>, field: &str) -> bool {
    let Ok(path) = field.parse::<FieldPath>() else { return !deed.differences.is_empty() };
    let nothing = Value::Null;
    let live = deed.live.unwrap_or(&nothing);
    deed.differences.iter().any(|difference| difference.touches(&path, live))
}

// === rules that hold everywhere ===

/// Kinds whose deletion stops pods that a controller keeps running: services, not somebody's job.
const WORKLOADS: &[(&str, &str)] = &[
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
    ("", "Pod"),
    ("serving.kserve.io", "InferenceService"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
];

/// Kinds whose deletion ends a computation or a person's session.
const JOBS: &[(&str, &str)] = &[
    ("batch", "Job"),
    ("batch", "CronJob"),
    ("jobset.x-k8s.io", "JobSet"),
    ("batch.volcano.sh", "Job"),
    ("kubeflow.org", "Notebook"),
    ("kubeflow.org", "PyTorchJob"),
    ("kubeflow.org", "TFJob"),
    ("kubeflow.org", "MPIJob"),
    ("kubeflow.org", "XGBoostJob"),
    ("kubeflow.org", "PaddleJob"),
    ("kubeflow.org", "JAXJob"),
    ("trainer.kubeflow.org", "TrainJob"),
    ("ray.io", "RayJob"),
    ("ray.io", "RayCluster"),
    ("ray.io", "RayService"),
    ("sparkoperator.k8s.io", "SparkApplication"),
    ("argoproj.io", "Workflow"),
    ("argoproj.io", "CronWorkflow"),
    ("workload.codeflare.dev", "AppWrapper"),
    ("kueue.x-k8s.io", "Workload"),
];

/// Kinds whose deletion takes away what running jobs were admitted by or run on.
const GROUND: &[(&str, &str, &str)] = &[
    ("kueue.x-k8s.io", "ClusterQueue", "workloads admitted by it lose their quota"),
    ("kueue.x-k8s.io", "LocalQueue", "workloads queued in it are no longer admitted"),
    ("kueue.x-k8s.io", "ResourceFlavor", "workloads admitted on it lose their quota"),
    ("kueue.x-k8s.io", "Cohort", "queues in it can no longer borrow"),
    ("scheduling.volcano.sh", "Queue", "jobs queued in it are no longer scheduled"),
    (
        "nvidia.com",
        "ClusterPolicy",
        "the GPU operator takes drivers and device plugins off every node",
    ),
    ("nvidia.com", "NVIDIADriver", "the GPU operator takes the driver off its nodes"),
    ("", "Node", "its pods are evicted"),
];

/// A field whose change is felt, whatever it changes to.
const FIELDS: &[(&str, &str, &str, Hazard, &str)] = &[
    (
        "apps",
        "Deployment",
        "spec.template",
        Hazard::RestartsPods,
        "its pods restart: the pod template changes",
    ),
    (
        "apps",
        "StatefulSet",
        "spec.template",
        Hazard::RestartsPods,
        "its pods restart one by one: the pod template changes",
    ),
    (
        "apps",
        "DaemonSet",
        "spec.template",
        Hazard::RestartsPods,
        "its pods restart on every node: the pod template changes",
    ),
    ("", "Node", "spec.taints", Hazard::EvictsJobs, "a taint can evict the pods of the node"),
    (
        "metal3.io",
        "BareMetalHost",
        "spec.online",
        Hazard::RebootsNode,
        "the machine is switched on or off",
    ),
    (
        "metal3.io",
        "BareMetalHost",
        "spec.image",
        Hazard::DestroysData,
        "the machine is provisioned anew: its disks are overwritten",
    ),
    (
        "cluster.x-k8s.io",
        "MachineDeployment",
        "spec.template",
        Hazard::DestroysData,
        "every machine is replaced by a new one, and its local disks go with it",
    ),
    (
        "cluster.x-k8s.io",
        "MachinePool",
        "spec.template",
        Hazard::DestroysData,
        "every machine is replaced by a new one, and its local disks go with it",
    ),
    (
        "controlplane.cluster.x-k8s.io",
        "KubeadmControlPlane",
        "spec",
        Hazard::RebootsNode,
        "the machines of the control plane are replaced one by one",
    ),
    (
        "kubeflow.org",
        "Notebook",
        "spec.template",
        Hazard::EvictsJobs,
        "the notebook's server restarts, and what runs in it is lost",
    ),
    (
        "ray.io",
        "RayService",
        "spec.rayClusterConfig",
        Hazard::RestartsPods,
        "a new Ray cluster takes the place of the old one",
    ),
    (
        "serving.kserve.io",
        "InferenceService",
        "spec",
        Hazard::RestartsPods,
        "a new revision of the model server takes over",
    ),
    (
        "leaderworkerset.x-k8s.io",
        "LeaderWorkerSet",
        "spec.leaderWorkerTemplate",
        Hazard::RestartsPods,
        "its groups of pods restart one by one",
    ),
    (
        "nvidia.com",
        "ClusterPolicy",
        "spec.driver",
        Hazard::EvictsJobs,
        "the GPU operator evicts GPU pods node by node to load another driver",
    ),
    (
        "nvidia.com",
        "ClusterPolicy",
        "spec.mig",
        Hazard::EvictsJobs,
        "GPUs are partitioned anew, and what runs on them ends",
    ),
    (
        "nvidia.com",
        "NVIDIADriver",
        "spec",
        Hazard::EvictsJobs,
        "the GPU operator evicts GPU pods node by node to load another driver",
    ),
    (
        "mellanox.com",
        "NicClusterPolicy",
        "spec.ofedDriver",
        Hazard::RebootsNode,
        "the network driver is loaded anew on every node, and its pods lose the network",
    ),
    (
        "amd.com",
        "DeviceConfig",
        "spec.driver",
        Hazard::RebootsNode,
        "the GPU driver is loaded anew, which may reboot the nodes",
    ),
];

/// Kinds whose `spec.replicas` counts machines.
const MACHINES: &[(&str, &str)] = &[
    ("cluster.x-k8s.io", "MachineDeployment"),
    ("cluster.x-k8s.io", "MachineSet"),
    ("cluster.x-k8s.io", "MachinePool"),
    ("controlplane.cluster.x-k8s.io", "KubeadmControlPlane"),
];

/// Returns the kinds whose objects are running work.
pub(super) fn work() -> impl Iterator<Item = GroupKind> {
    JOBS.iter().chain(WORKLOADS).map(|(group, kind)| GroupKind::new(*group, *kind))
}

/// Returns whether objects of `kind` are computations or sessions of people.
pub(crate) fn is_job(kind: &GroupKind) -> bool {
    is_one_of(kind, JOBS)
}

fn is_one_of(kind: &GroupKind, list: &[(&str, &str)]) -> bool {
    list.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

fn built_in(deed: &Deed<'_>, phase: Phase, danger: &mut Danger) {
    match phase {
        Phase::Create => {}
        Phase::Delete => on_delete(deed, danger),
        Phase::Update => on_update(deed, danger),
    }
}

fn on_delete(deed: &Deed<'_>, danger: &mut Danger) {
    let kind = &deed.id.kind;
    if is_one_of(kind, WORKLOADS) && !is_scaled_to_zero(deed.live) {
        danger.raise(Hazard::RestartsPods, "its pods stop");
    }
    if is_one_of(kind, JOBS) && !is_finished(deed.live) {
        danger.raise(Hazard::EvictsJobs, "what it runs is stopped");
    }
    for (group, name, because) in GROUND {
        if kind.group == *group && kind.kind == *name {
            danger.raise(Hazard::EvictsJobs, *because);
        }
    }
}

fn on_update(deed: &Deed<'_>, danger: &mut Danger) {
    let kind = &deed.id.kind;
    for (group, name, field, hazard, because) in FIELDS {
        let fits = kind.group == *group && kind.kind == *name && touches(deed, field);
        let is_idle = *hazard == Hazard::RestartsPods && is_scaled_to_zero(deed.live);
        if fits && !is_idle && !waits_for_its_pods(deed, field) {
            danger.raise(*hazard, *because);
        }
    }
    if let Some((before, after)) = change_of(deed, "/spec/replicas")
        && let (Some(before), Some(after)) = (before.as_u64(), after.as_u64())
        && after < before
    {
        on_scale_down(deed, before, before - after, danger);
    }
    let becomes_true =
        |pointer| change_of(deed, pointer).is_some_and(|(_, after)| *after == Value::Bool(true));
    if is_one_of(kind, JOBS) && becomes_true("/spec/suspend") {
        danger.raise(Hazard::EvictsJobs, "it is suspended: its pods stop");
    }
    if kind.group.is_empty() && kind.kind == "Node" && becomes_true("/spec/unschedulable") {
        danger.raise(Hazard::RestartsPods, "the node takes no new pods");
    }
}

/// Returns whether what changes is felt only once somebody deletes the pods: a wave does, or a person.
fn waits_for_its_pods(deed: &Deed<'_>, field: &str) -> bool {
    let (pointer, value) = match (deed.id.kind.kind.as_str(), field) {
        ("DaemonSet", "spec.template") => ("/spec/updateStrategy/type", Value::from("OnDelete")),
        ("ClusterPolicy", "spec.driver") => {
            ("/spec/driver/upgradePolicy/autoUpgrade", Value::Bool(false))
        }
        _ => return false,
    };
    let is_so = deed.live.and_then(|live| live.pointer(pointer)) == Some(&value);
    let changes = deed.differences.iter().any(|difference| {
        pointer.starts_with(&difference.live) || difference.live.starts_with(pointer)
    });
    is_so && !changes
}

fn on_scale_down(deed: &Deed<'_>, of: u64, fewer: u64, danger: &mut Danger) {
    let kind = &deed.id.kind;
    if is_one_of(kind, WORKLOADS) {
        danger.raise(Hazard::RestartsPods, format!("{fewer} of {of} pods stop"));
    }
    if is_one_of(kind, MACHINES) {
        let because =
            format!("{fewer} of {of} machines are deleted, and their local disks with them");
        danger.raise(Hazard::DestroysData, because);
    }
    if kind.group == "apps" && kind.kind == "StatefulSet" && loses_claims_of_fewer(deed) {
        let because = format!("the claims of {fewer} of {of} pods are deleted with them");
        danger.raise(Hazard::DestroysData, because);
    }
}

/// Returns whether a StatefulSet deletes the claims of pods that it no longer has (KEP-1847).
fn loses_claims_of_fewer(deed: &Deed<'_>) -> bool {
    const POLICY: &str = "/spec/persistentVolumeClaimRetentionPolicy/whenScaled";
    let live = |pointer| deed.live.and_then(|live| live.pointer(pointer));
    let deletes = |value: &Value| value == "Delete";
    let templates = live("/spec/volumeClaimTemplates").and_then(Value::as_array);
    templates.is_some_and(|templates| !templates.is_empty())
        && (live(POLICY).is_some_and(deletes)
            || change_of(deed, POLICY).is_some_and(|(_, after)| deletes(after)))
}

/// Returns the values before and after of exactly the field at `pointer`; `null` where there is none.
fn change_of<'d>(deed: &Deed<'d>, pointer: &str) -> Option<(&'d Value, &'d Value)> {
    fn value(shown: &Shown) -> &Value {
        match shown {
            Shown::Value(value) => value,
            Shown::Absent | Shown::Secret => &Value::Null,
        }
    }
    let found = deed.differences.iter().find(|difference| difference.live == pointer)?;
    Some((value(&found.before), value(&found.after)))
}

fn is_scaled_to_zero(live: Option<&Value>) -> bool {
    live.and_then(|live| live.pointer("/spec/replicas")) == Some(&Value::from(0))
}

/// Returns whether a job's conditions say that it has ended.
fn is_finished(live: Option<&Value>) -> bool {
    const ENDED: [&str; 5] = ["Complete", "Completed", "Failed", "Finished", "Succeeded"];
    let conditions =
        live.and_then(|live| live.pointer("/status/conditions")).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
        ENDED.contains(&text("type")) && text("status") == "True"
    })
}
