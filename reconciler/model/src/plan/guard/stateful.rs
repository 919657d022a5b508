//! StatefulSets that take their claims with them.
//!
//! Incident class: `persistentVolumeClaimRetentionPolicy.whenDeleted: Delete` (KEP-1847) makes the
//! deletion of the set delete every replica's claim; a replacement, which deletes first, does too.

use serde_json::Value;

use super::{Doomed, Finding, is};

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    if !is(&doomed.id.kind, "apps", "StatefulSet") {
        return None;
    }
    let policy = doomed
        .body?
        .pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted")
        .and_then(Value::as_str);
    let claims = doomed.body?.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    (policy == Some("Delete") && claims.is_some_and(|claims| !claims.is_empty())).then(|| {
        Finding::Stake(
            "the claims of its replicas are deleted with it (whenDeleted: Delete)".into(),
        )
    })
}
