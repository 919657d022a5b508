//! How the API server comes to ask the agent before something serves.

use serde_json::{Value, json};

use super::{Install, REVIEWS, labels};

/// The Secret of the certificate.
pub(super) const SECRET: &str = "sitewright-lineage-tls";

/// The name of everything else.
const NAME: &str = "sitewright-lineage";

impl Install {
    /// Returns the certificate, and what has the API server ask.
    pub(super) fn admission(&self) -> Vec<Value> {
        let service = self.agent(1);
        let host = format!("{service}.{}.svc", self.namespace);
        let issuer = json!({ "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": self.metadata(NAME), "spec": { "selfSigned": {} } });
        let certificate = json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": self.metadata(NAME),
            "spec": { "secretName": SECRET, "dnsNames": [host],
                "issuerRef": { "name": NAME, "kind": "Issuer" } } });
        let rule = |group: &str, version: &str, resources: &[&str]| {
            json!({ "apiGroups": [group], "apiVersions": [version], "resources": resources,
                "operations": ["CREATE", "UPDATE"], "scope": "Namespaced" })
        };
        // it is in no namespace
        let metadata = json!({ "name": NAME, "labels": labels(), "annotations": {
            "cert-manager.io/inject-ca-from": format!("{}/{NAME}", self.namespace) } });
        let ours = ["kube-system", &self.namespace];
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": metadata,
            "webhooks": [{
                "name": "models.lineage.sitewright.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                // an agent that is away keeps nobody from serving
                "failurePolicy": "Ignore",
                "timeoutSeconds": 5,
                "matchPolicy": "Equivalent",
                "clientConfig": { "service": {
                    "name": service, "namespace": self.namespace, "path": "/admit", "port": REVIEWS } },
                "namespaceSelector": { "matchExpressions": [{
                    "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ours }] },
                "rules": [
                    rule("serving.kserve.io", "*", &["inferenceservices", "llminferenceservices"]),
                    rule("apps", "v1", &["deployments", "statefulsets"]),
                ],
            }],
        });
        vec![issuer, certificate, webhook]
    }
}
