//! What kind of work a pod is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{object::ObjectId, plan::is_job};

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

impl Sort {
    /// Returns what a pod of these owners is, from the nearest outwards; `is_session`: its labels say that it is the
    /// server of a person's notebook.
    ///
    /// A pod that nothing owns is somebody's own, and is taken for a job: nothing starts it again.
    pub fn of(owners: &[ObjectId], is_session: bool) -> Self {
        let is = |group: &str, kind: &str| {
            owners.iter().any(|owner| owner.kind.group == group && owner.kind.kind == kind)
        };
        if is_session || is("kubeflow.org", "Notebook") {
            Self::Notebook
        } else if is("apps", "DaemonSet") || is("", "Node") {
            Self::Daemon
        } else if is("slinky.slurm.net", "NodeSet") {
            // slurmd itself: whether jobs run in it the NodeSet's status tells
            Self::Daemon
        } else if owners.is_empty() || owners.iter().any(|owner| is_job(&owner.kind)) {
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
