//! Who may reach the agent.

use serde_json::{Value, json};

use super::{HOOKS, Install, LINEAGE, PORT, REVIEWS};

/// Why it is as it is, for whoever reads the manifest.
const WHY: &str = "Lets in who asks for metrics and lineage, from this cluster, and webhooks, from anywhere. What goes out stays open: \
    sites name API servers, git servers, registries and forges, and a policy knows addresses alone.";

impl Install {
    /// Returns a policy that lets in what asks for metrics and webhooks, and nothing else.
    ///
    /// Probes come from the node itself, which every network plugin lets in. What goes out is open: the API servers, git
    /// servers, registries and forges of a site are named by its files and its SiteSync, and a policy knows addresses alone;
    /// one that was computed today would cut off the site that is added tomorrow.
    pub(super) fn network_policy(&self) -> Value {
        let inside: Vec<Value> = [Some(PORT), self.lineage.as_ref().map(|_| LINEAGE)]
            .into_iter()
            .flatten()
            .map(|port| json!({ "port": port, "protocol": "TCP" }))
            .collect();
        let mut metadata = self.metadata("sitewright-agent");
        if let Some(map) = metadata.as_object_mut() {
            map.insert("annotations".into(), json!({ "kubernetes.io/description": WHY }));
        }
        let mut ingress = vec![
            // whoever scrapes it is in some namespace of this cluster; so is whoever asks for lineage, or the Ingress
            // before them, and the agent asks the cluster who that is
            json!({ "from": [{ "namespaceSelector": {} }], "ports": inside }),
            // a forge, by an Ingress or a load balancer, which may keep its address; messages are signed
            json!({ "ports": [{ "port": HOOKS, "protocol": "TCP" }] }),
        ];
        if self.lineage_admission {
            // the API server, which is in no namespace
            ingress.push(json!({ "ports": [{ "port": REVIEWS, "protocol": "TCP" }] }));
        }
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                // the agents of all shards
                "podSelector": { "matchLabels": { "app.kubernetes.io/part-of": "sitewright" } },
                "policyTypes": ["Ingress"],
                "ingress": ingress,
            },
        })
    }
}
