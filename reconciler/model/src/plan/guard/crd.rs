//! Custom resource definitions with instances: the server deletes every instance with the definition.
//!
//! Incident: rancher/fleet#1978, where removing a chart removed its CRDs and with them all objects of
//! all users; Fleet has kept CRDs by default ever since.

use super::{Doomed, Finding, is};
use crate::object::{GroupKind, ObjectId};

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    if !is(&doomed.id.kind, "apiextensions.k8s.io", "CustomResourceDefinition") {
        return None;
    }
    let Some(count) = doomed.evidence.instances.get(doomed.id) else {
        return Some(Finding::Blind("how many instances it has is not known".into()));
    };
    let kind = instances_of(doomed);
    let is_instance = |id: &&&ObjectId| kind.as_ref() == Some(&id.kind);
    let going = doomed.going.iter().filter(is_instance).count() as u64;
    match count.saturating_sub(going) {
        0 => None,
        1 => Some(Finding::Stake("1 object of this kind would be deleted with it".into())),
        left => {
            Some(Finding::Stake(format!("{left} objects of this kind would be deleted with it")))
        }
    }
}

/// Returns the kind that the CRD defines.
fn instances_of(doomed: &Doomed<'_>) -> Option<GroupKind> {
    let text = |pointer: &str| doomed.body?.pointer(pointer)?.as_str();
    Some(GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?))
}
