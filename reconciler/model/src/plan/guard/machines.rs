//! Machines: deleting the object that stands for one switches it off and may wipe its disks.
//!
//! Incident class: Metal3 deprovisions a host, cleaning its disks, when its BareMetalHost goes, and
//! Cluster API deletes the machines of a cluster when its Cluster goes; a prune that took either by
//! mistake cannot be taken back.

use super::{Doomed, Finding};
use crate::object::GroupKind;

const KINDS: &[(&str, &str, &str)] = &[
    ("metal3.io", "BareMetalHost", "deprovisions the machine and cleans its disks"),
    ("cluster.x-k8s.io", "Cluster", "deletes every machine of the cluster"),
    ("cluster.x-k8s.io", "Machine", "deletes the machine and its local disks"),
    ("cluster.x-k8s.io", "MachineSet", "deletes its machines and their local disks"),
    ("cluster.x-k8s.io", "MachineDeployment", "deletes its machines and their local disks"),
    ("cluster.x-k8s.io", "MachinePool", "deletes its machines and their local disks"),
    (
        "controlplane.cluster.x-k8s.io",
        "KubeadmControlPlane",
        "deletes the control plane and its etcd",
    ),
];

/// Returns the kinds whose objects stand for machines.
pub(super) fn kinds() -> impl Iterator<Item = GroupKind> {
    KINDS.iter().map(|(group, kind, _)| GroupKind::new(*group, *kind))
}

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    let kind = &doomed.id.kind;
    let known = KINDS.iter().find(|(group, name, _)| kind.group == *group && kind.kind == *name);
    let what = match known {
        Some((_, _, what)) => what,
        None if is_infrastructure(kind) => "deletes the machines that it stands for",
        None => return None,
    };
    Some(Finding::Stake(format!("its deletion {what}")))
}

/// Returns whether the kind is an infrastructure provider's machine or cluster, such as `OpenStackMachine`;
/// templates are not.
fn is_infrastructure(kind: &GroupKind) -> bool {
    let ends = ["Machine", "MachinePool", "Cluster"];
    kind.group == "infrastructure.cluster.x-k8s.io"
        && ends.iter().any(|end| kind.kind.ends_with(end))
}
