//! What the doctor finds on a real server.

use std::collections::BTreeSet;

use serde_json::json;
use sitewright_model::object::GroupKind;

use crate::site::{cluster, connect, control_plane, namespace};

fn kinds() -> BTreeSet<GroupKind> {
    [GroupKind::new("", "ConfigMap"), GroupKind::new("apps", "Deployment")].into()
}

#[tokio::test]
async fn an_administrator_may_do_everything() {
    let checks = cluster().await.doctor(&kinds()).await.unwrap();
    let rights = checks.iter().find(|check| check.what == "rights").unwrap();
    assert_eq!(rights.found.as_deref().unwrap(), "these credentials may do everything");
    assert!(checks.iter().any(|check| check.what == "parts of the API" && check.found.is_ok()));
    let clock = checks.iter().find(|check| check.what == "clock").unwrap();
    assert_eq!(clock.found.as_deref().unwrap(), "agrees with the server's");
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let role = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "some-rights" },
          "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch", "delete"] },
                    { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"] }] },
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "some-rights" },
          "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "some-rights" },
          "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "some" }] } ] });
    let plane = control_plane();
    plane.kubectl_with(&["apply", "-f", "-"], role.to_string().as_bytes()).unwrap();
    let cluster = connect(&plane.kubeconfig_for("some", &["some"]).unwrap()).await;
    let checks = cluster.doctor(&kinds()).await.unwrap();
    let found = |what: &str| &checks.iter().find(|check| check.what == what).unwrap().found;
    assert!(found("rights on configmaps").is_ok());
    let missing = found("rights on deployments.apps").as_ref().unwrap_err();
    assert!(missing.message.contains("patch deployments"), "{missing}");
    let own = found("rights on its own objects in sitewright-system").as_ref().unwrap_err();
    assert!(
        own.message.contains("update configmaps") && own.message.contains("get leases"),
        "{own}"
    );
}

#[tokio::test]
async fn a_webhook_without_endpoint_is_found() {
    namespace("blocking");
    let hook = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "blocking.example" }, "webhooks": [{ "name": "blocking.example.org",
            "clientConfig": { "service": { "name": "judge", "namespace": "blocking" } }, "failurePolicy": "Fail",
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "blocking" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"] }] }] });
    control_plane().kubectl_with(&["apply", "-f", "-"], hook.to_string().as_bytes()).unwrap();
    let checks = cluster().await.doctor(&kinds()).await.unwrap();
    let found = checks.iter().find(|check| check.what == "webhook blocking.example.org").unwrap();
    let diagnostic = found.found.as_ref().unwrap_err();
    assert_eq!(diagnostic.code.number, 612);
    assert!(diagnostic.message.contains("no endpoint"), "{diagnostic}");
}
