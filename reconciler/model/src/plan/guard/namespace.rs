//! Namespaces that hold something: everything in a namespace is deleted with it.
//!
//! Incidents: argoproj/argo-cd#28630, where a restart before the caches had synced pruned a namespace
//! that some 97 applications shared; fluxcd/kustomize-controller#1724, where two owners of one object
//! flapped until its namespace was deleted; kubernetes#66430, where a prune by label deleted namespaces
//! that were nobody's business.

use std::collections::BTreeSet;

use super::{Doomed, Finding, data, is, machines};
use crate::{
    object::{GroupKind, ObjectId},
    plan::hazard,
};

/// What the control plane puts into every namespace.
const OF_EVERY_NAMESPACE: [&str; 2] = ["ConfigMap kube-root-ca.crt", "ServiceAccount default"];
/// Kinds that only tell of other objects, and go with them.
const SHADOWS: [&str; 5] = ["Event", "Endpoints", "EndpointSlice", "Lease", "ControllerRevision"];

/// Returns the kinds that are looked for in a namespace before it goes: data, machines and work, by the
/// tables of those who guard and weigh them.
pub fn telling() -> BTreeSet<GroupKind> {
    let claim = GroupKind::new("", "PersistentVolumeClaim");
    data::kinds().chain(machines::kinds()).chain(hazard::work()).chain([claim]).collect()
}

/// Returns whether an object of `kind` is data whoever owns it; of work, the owner tells.
pub fn is_data(kind: &GroupKind) -> bool {
    is(kind, "", "PersistentVolumeClaim") || data::kinds().any(|data| data == *kind)
}

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    if !is(&doomed.id.kind, "", "Namespace") {
        return None;
    }
    let Some(contents) = doomed.evidence.namespace_contents.get(doomed.id) else {
        return Some(Finding::Blind("what is in the namespace is not known".into()));
    };
    let in_it = |id: &&&ObjectId| id.namespace.as_deref() == Some(&doomed.id.name);
    let going: Vec<&ObjectId> = doomed.going.iter().filter(in_it).copied().collect();
    let found = contents.iter().filter(|content| !goes_first(&going, content)).cloned();
    let staying = doomed.staying.iter().filter(in_it);
    let staying = staying.map(|id| format!("{} {}", id.kind, id.name));
    let mut left: Vec<String> = found.chain(staying).collect();
    left.sort_by_cached_key(|content| (rank(content), content.clone()));
    left.dedup();
    let first = left.first()?;
    let more = match left.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Finding::Stake(format!("{first}{more} would be deleted with the namespace")))
}

/// Returns whether `content` (`Kind name`) is no loss: it goes before the namespace, or comes with every namespace.
fn goes_first(going: &[&ObjectId], content: &str) -> bool {
    let (kind, name) = content.split_once(' ').unwrap_or((content, ""));
    OF_EVERY_NAMESPACE.contains(&content)
        || SHADOWS.contains(&kind)
        || going.iter().any(|id| id.kind.fits(kind) && id.name == name)
}

/// Data is named before work, work before the rest.
fn rank(content: &str) -> u8 {
    let kind = content.split([' ', '.']).next().unwrap_or_default();
    match kind {
        "PersistentVolumeClaim" => 0,
        kind if data::is_named_like_data(kind) => 0,
        "Job" | "Notebook" | "Workload" | "StatefulSet" | "Deployment" | "DaemonSet" | "Pod" => 1,
        _ => 2,
    }
}
