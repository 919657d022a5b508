//! What the graph must know of kinds.

use serde_json::Value;

use crate::object::{GroupKind, ObjectId};

pub(super) fn is_crd(id: &ObjectId) -> bool {
    id.kind.group == "apiextensions.k8s.io" && id.kind.kind == "CustomResourceDefinition"
}

pub(super) fn is_namespace(id: &ObjectId) -> bool {
    id.kind.group.is_empty() && id.kind.kind == "Namespace"
}

pub(super) fn is_webhook_configuration(id: &ObjectId) -> bool {
    id.kind.group == "admissionregistration.k8s.io"
        && matches!(
            id.kind.kind.as_str(),
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration"
        )
}

/// A custom kind as its definition tells it.
pub(super) struct Defined {
    pub(super) kind: GroupKind,
    pub(super) plural: String,
}

/// Returns what the definition `body` defines.
pub(super) fn defined(body: &Value) -> Option<Defined> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    Some(Defined {
        kind: GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?),
        plural: text("/spec/names/plural")?.to_owned(),
    })
}

/// Makes the id of an object of a core or built-in kind.
pub(super) fn id(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectId {
    ObjectId {
        kind: GroupKind::new(group, kind),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

/// Returns the Service that a `clientConfig.service` or an APIService's `spec.service` names.
pub(super) fn service(reference: Option<&Value>) -> Option<ObjectId> {
    let reference = reference?;
    let text = |key: &str| reference.get(key).and_then(Value::as_str);
    Some(id("", "Service", Some(text("namespace")?), text("name")?))
}

/// Returns the pod template of a workload, or the pod itself.
pub(super) fn pod_template<'v>(id: &ObjectId, body: &'v Value) -> Option<&'v Value> {
    match (id.kind.group.as_str(), id.kind.kind.as_str()) {
        ("", "Pod") => Some(body),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
            body.pointer("/spec/template")
        }
        ("batch", "CronJob") => body.pointer("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Returns whether the Service `body` selects pods of `template`.
pub(super) fn selects(body: &Value, template: &Value) -> bool {
    let selector = body.pointer("/spec/selector").and_then(Value::as_object);
    let labels = template.pointer("/metadata/labels");
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    })
}
