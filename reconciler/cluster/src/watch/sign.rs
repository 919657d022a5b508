//! What an event of a metadata watch tells.

use serde::Deserialize;
use serde_json::Value;
use sitewright_model::digest::{Digest, canonical_json};

/// The metadata of an object, as far as it matters here.
#[derive(Clone, Deserialize)]
pub(super) struct Partial {
    pub(super) metadata: Metadata,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: Option<String>,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    managed_fields: Vec<Manager>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manager {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    fields_v1: Value,
}

impl Metadata {
    /// Returns a digest of what changes once a field that `manager` applied does: of which object it is, whether
    /// it is being deleted, and of that manager's entry.
    pub(super) fn sign(&self, manager: &str) -> Digest {
        let is_ours = |entry: &&Manager| {
            entry.manager == manager && entry.operation == "Apply" && entry.subresource.is_empty()
        };
        let fields = self.managed_fields.iter().find(is_ours).map(|entry| &entry.fields_v1);
        let fields = fields.map(canonical_json).unwrap_or_default();
        let deleting = if self.deletion_timestamp.is_some() { "deleting" } else { "" };
        Digest::of_parts([self.uid.as_bytes(), deleting.as_bytes(), &fields])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(uid: &str, ours: Value, theirs: Value, more: Value) -> Metadata {
        let mut body = json!({ "name": "web", "uid": uid, "resourceVersion": "1", "managedFields": [
            { "manager": "sitewright-lab", "operation": "Apply", "fieldsV1": ours },
            { "manager": "sitewright-lab", "operation": "Update", "fieldsV1": theirs },
            { "manager": "sitewright-lab", "operation": "Apply", "subresource": "scale", "fieldsV1": theirs },
            { "manager": "kubectl-edit", "operation": "Update", "fieldsV1": theirs },
        ] });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn only_what_concerns_our_fields_changes_the_sign() {
        let none = json!({});
        let ours = json!({ "f:spec": { "f:replicas": {} } });
        let sign = |metadata: Metadata| metadata.sign("sitewright-lab");
        let before = sign(metadata("u", ours.clone(), json!({}), none.clone()));
        let theirs = json!({ "f:status": { "f:x": {} } });
        let version = json!({ "resourceVersion": "2" });
        assert_eq!(sign(metadata("u", ours.clone(), theirs, version)), before);
        let taken = metadata("u", json!({ "f:spec": {} }), json!({}), none.clone());
        assert_ne!(sign(taken), before, "a field went to another manager");
        assert_ne!(sign(metadata("other", ours.clone(), json!({}), none)), before);
        let deleting = json!({ "deletionTimestamp": "2026-11-25T00:00:00Z" });
        assert_ne!(sign(metadata("u", ours, json!({}), deleting)), before);
    }
}
