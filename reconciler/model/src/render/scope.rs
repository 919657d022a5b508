//! Which kinds live in namespaces: what Kubernetes itself brings, and what desired CRDs say.

use serde_json::Value;

use super::Scope;
use crate::object::GroupKind;

/// The cluster-scoped kinds of the groups that Kubernetes 1.33 to 1.37 serves itself; everything else in
/// these groups is namespaced. Kinds of other groups are defined by custom resource definitions.
const CLUSTER_SCOPED: &[(&str, &[&str])] = &[
    ("", &["Namespace", "Node", "PersistentVolume", "ComponentStatus"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("apps", &[]),
    ("authentication.k8s.io", &["SelfSubjectReview", "TokenReview"]),
    (
        "authorization.k8s.io",
        &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"],
    ),
    ("autoscaling", &[]),
    ("batch", &[]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("coordination.k8s.io", &[]),
    ("discovery.k8s.io", &[]),
    ("events.k8s.io", &[]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    ("networking.k8s.io", &["IngressClass", "IPAddress", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("policy", &[]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    (
        "storage.k8s.io",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// Returns the scope of a kind that Kubernetes itself serves; none for custom resources.
pub(super) fn built_in(kind: &GroupKind) -> Option<Scope> {
    let (_, cluster) = CLUSTER_SCOPED.iter().find(|(group, _)| *group == kind.group)?;
    Some(if cluster.contains(&kind.kind.as_str()) { Scope::Cluster } else { Scope::Namespaced })
}

/// Returns the kind that a custom resource definition defines, with its scope.
pub(super) fn defined_by(crd: &Value) -> Option<(GroupKind, Scope)> {
    let spec = crd.get("spec")?;
    let group = spec.get("group")?.as_str()?;
    let kind = spec.get("names")?.get("kind")?.as_str()?;
    let scope = match spec.get("scope")?.as_str()? {
        "Cluster" => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    Some((GroupKind::new(group, kind), scope))
}

/// Returns whether `kind` is a custom resource definition.
pub(super) fn is_crd(kind: &GroupKind) -> bool {
    kind.group == "apiextensions.k8s.io" && kind.kind == "CustomResourceDefinition"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_serves_is_known_and_custom_kinds_are_not() {
        let scope = |group, kind| built_in(&GroupKind::new(group, kind));
        assert_eq!(scope("", "Namespace"), Some(Scope::Cluster));
        assert_eq!(scope("", "ConfigMap"), Some(Scope::Namespaced));
        assert_eq!(scope("rbac.authorization.k8s.io", "Role"), Some(Scope::Namespaced));
        assert_eq!(scope("rbac.authorization.k8s.io", "ClusterRole"), Some(Scope::Cluster));
        assert_eq!(scope("kueue.x-k8s.io", "ClusterQueue"), None);
    }
}
