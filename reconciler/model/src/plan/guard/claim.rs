//! Claims that are bound: with the claim goes the volume, where its reclaim policy is Delete.
//!
//! Incident: devantler-tech/platform#3369, where protecting one object of the chain from prune did not
//! protect the data, since the volume's reclaim policy was Delete.

use serde_json::Value;

use super::{Doomed, Finding, is};

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    if !is(&doomed.id.kind, "", "PersistentVolumeClaim") {
        return None;
    }
    let in_body = doomed.body.map(|body| {
        body.pointer("/spec/volumeName").and_then(Value::as_str).filter(|name| !name.is_empty())
    });
    let in_evidence = doomed.evidence.bound_claims.get(doomed.id).map(String::as_str);
    match (in_evidence.or(in_body.flatten()), in_body) {
        (Some(volume), _) => Some(Finding::Stake(format!(
            "it is bound to the volume {volume}, which may go with it"
        ))),
        (None, Some(_)) => None,
        (None, None) => Some(Finding::Blind("whether the claim is bound is not known".into())),
    }
}
