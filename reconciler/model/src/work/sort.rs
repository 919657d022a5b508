//! What kind of work a pod is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    object::{GroupKind, ObjectId},
    plan::is_job,
};

/// What kind of work it is; in order of what an interruption costs.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// A computation with an end.
    #[default]
    Job,
    /// A person's session.
    Notebook,
    /// What a controller keeps running, and starts again elsewhere.
    Service,
    /// What belongs to the node itself: pods of DaemonSets, static pods.
    Daemon,
}

/// What a pod itself says of its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Its labels say that it is the server of a person's notebook.
    pub is_session: bool,
    /// Its `restartPolicy` is not `Always`, as no service's is.
    pub ends: bool,
    /// Slurm's operator says that no job is on it.
    pub is_idle_in_slurm: bool,
}

/// Returns whether pods of `kind` are nodes of Slurm (Slinky).
pub(super) fn is_slurm(kind: &GroupKind) -> bool {
    kind.group == "slinky.slurm.net" && kind.kind == "NodeSet"
}

impl Sort {
    /// Returns what a pod of these owners is, from the nearest outwards.
    ///
    /// A pod that nothing owns is somebody's own, and is taken for a job: nothing starts it again. So is one of a kind
    /// that nobody here knows, where it has an end; and a node of Slurm that is not known to be idle.
    pub fn of(owners: &[ObjectId], signs: Signs) -> Self {
        let is = |group: &str, kind: &str| {
            owners.iter().any(|owner| owner.kind.group == group && owner.kind.kind == kind)
        };
        if signs.is_session || is("kubeflow.org", "Notebook") {
            Self::Notebook
        } else if owners.iter().any(|owner| is_slurm(&owner.kind)) {
            if signs.is_idle_in_slurm { Self::Daemon } else { Self::Job }
        } else if is("apps", "DaemonSet") || is("", "Node") {
            Self::Daemon
        } else if signs.ends || owners.is_empty() || owners.iter().any(|o| is_job(&o.kind)) {
            Self::Job
        } else {
            Self::Service
        }
    }

    /// Returns whether it has an end that is worth waiting for.
    pub fn ends(self) -> bool {
        matches!(self, Self::Job | Self::Notebook)
    }

    /// Returns the word for one of them.
    pub fn word(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Notebook => "notebook",
            Self::Service => "service",
            Self::Daemon => "daemon",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(group: &str, kind: &str) -> ObjectId {
        ObjectId {
            kind: GroupKind::new(group, kind),
            namespace: Some("n".into()),
            name: "x".into(),
        }
    }

    #[test]
    fn what_has_an_end_is_waited_for_and_what_a_controller_keeps_running_is_not() {
        let of = |owners: &[ObjectId], ends| Sort::of(owners, Signs { ends, ..Signs::default() });
        let web = [owner("apps", "ReplicaSet"), owner("apps", "Deployment")];
        assert_eq!(of(&web, false), Sort::Service);
        assert_eq!(of(&[owner("apps", "DaemonSet")], false), Sort::Daemon);
        assert_eq!(of(&[owner("batch", "Job")], true), Sort::Job);
        // restartPolicy Always, and a job all the same
        assert_eq!(of(&[owner("ray.io", "RayCluster")], false), Sort::Job);
        assert_eq!(of(&[owner("example.edu", "Sweep")], true), Sort::Job);
        assert_eq!(of(&[], false), Sort::Job);
        let notebook = [owner("apps", "StatefulSet"), owner("kubeflow.org", "Notebook")];
        assert_eq!(of(&notebook, false), Sort::Notebook);
        let session = Signs { is_session: true, ..Signs::default() };
        assert_eq!(Sort::of(&[], session), Sort::Notebook);
        // of a node of Slurm it has to be known that nothing runs there
        let slurmd = [owner("slinky.slurm.net", "NodeSet")];
        assert_eq!(of(&slurmd, false), Sort::Job);
        let idle = Signs { is_idle_in_slurm: true, ..Signs::default() };
        assert_eq!(Sort::of(&slurmd, idle), Sort::Daemon);
    }
}
