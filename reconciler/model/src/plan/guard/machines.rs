//! Machines: deleting the object that stands for one switches it off and may wipe its disks.
//!
//! Incident class: Metal3 deprovisions a host, cleaning its disks, when its BareMetalHost goes, and
//! Cluster API deletes the machines of a cluster when its Cluster goes; a prune that took either by
//! mistake cannot be taken back.

use super::{Doomed, Finding};

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

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    let kind = &doomed.id.kind;
    let (_, _, what) =
        KINDS.iter().find(|(group, name, _)| kind.group == *group && kind.kind == *name)?;
    Some(Finding::Stake(format!("its deletion {what}")))
}
