//! What is known of kinds by their nature.

use sitewright_model::object::GroupKind;

/// Returns whether objects of `kind` have no status that anything waits for, and no controller writes to
/// them: as applied is how they stay.
pub(crate) fn is_inert(kind: &GroupKind) -> bool {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ConfigMap" | "Secret" | "LimitRange")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        | ("storage.k8s.io", "StorageClass")
        | ("node.k8s.io", "RuntimeClass") => true,
        // the rules of an aggregated ClusterRole are its controller's
        ("rbac.authorization.k8s.io", kind) => kind != "ClusterRole",
        _ => false,
    }
}
