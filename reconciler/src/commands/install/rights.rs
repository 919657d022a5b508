//! The rights of the agent, and of an account that it acts as.

use serde_json::{Value, json};
use sitewright_cluster::rights::{Rule, access_rules, reader_rule, recorder_rules, rules};
use sitewright_model::desired::Desired;

use super::{Install, label, labels};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Where inventories and locks are, whatever the namespace of the agent.
const HOME: &str = "sitewright-system";

/// The agent's own account.
const AGENT: &str = "sitewright-agent";

/// A service account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    namespace: String,
    name: String,
}

/// Reads `NAMESPACE/NAME`.
pub(super) fn account(text: &str) -> Result<Account, String> {
    let (namespace, name) =
        text.split_once('/').ok_or("an account is written NAMESPACE/NAME, for example lab/site")?;
    let is_name =
        !name.is_empty() && name.len() <= 253 && name.split('.').all(|part| label(part).is_ok());
    if !is_name {
        return Err("this is not the name of a service account".to_owned());
    }
    Ok(Account { namespace: label(namespace)?, name: name.to_owned() })
}

impl Account {
    fn subject(&self) -> Value {
        json!({ "kind": "ServiceAccount", "name": self.name, "namespace": self.namespace })
    }

    fn object(&self) -> Value {
        json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": labels() } })
    }
}

impl Install {
    /// Returns the accounts, what the agent may do whatever its sites, and what may be done with those.
    pub(super) fn rights(&self, sites: &[Desired]) -> Vec<Value> {
        let agent = Account { namespace: self.namespace.clone(), name: AGENT.to_owned() };
        let mut objects = vec![agent.object()];
        if self.namespace != HOME {
            objects.push(json!({ "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": HOME, "labels": labels() } }));
        }
        // inventories and locks; and the Secrets that SiteSyncs in this namespace name
        let home = [records(), vec![rule("", &["secrets"], &["get"])]].concat();
        objects.extend(role(AGENT, HOME, &home, &agent));
        objects.extend(cluster_role(
            AGENT,
            &[follows(), vec![knows_the_cluster()]].concat(),
            &agent,
        ));
        if self.lineage.is_some() {
            let recorder = [recorder_rules(), access_rules()].concat();
            objects.extend(cluster_role("sitewright-recorder", &recorder, &agent));
            // bound to nobody: who runs the cluster binds it, in a namespace or everywhere
            objects.push(json!({ "apiVersion": RBAC, "kind": "ClusterRole",
                "metadata": { "name": "sitewright-lineage-reader", "labels": labels() },
                "rules": [reader_rule()] }));
        }
        match (&self.act_as, self.broad) {
            (_, true) => objects.push(bound("sitewright-broad", "cluster-admin", &agent)),
            (None, false) => {
                objects.extend(cluster_role("sitewright-sites", &rules(sites), &agent))
            }
            (Some(account), false) => objects.extend(acted_as(account, &agent, sites)),
        }
        objects
    }
}

/// What an account needs that the agent acts as, and the right to do so: of that account alone.
fn acted_as(account: &Account, agent: &Account, sites: &[Desired]) -> Vec<Value> {
    let mut objects = vec![account.object()];
    objects.extend(role("sitewright-sites", HOME, &records(), account));
    let on_sites = [vec![knows_the_cluster()], rules(sites)].concat();
    objects.extend(cluster_role("sitewright-sites", &on_sites, account));
    let act_as = Rule {
        resource_names: vec![account.name.clone()],
        ..rule("", &["serviceaccounts"], &["impersonate"])
    };
    objects.extend(role("sitewright-act-as", &account.namespace, &[act_as], agent));
    objects
}

/// The SiteSyncs and what is told of them.
fn follows() -> Vec<Rule> {
    vec![
        rule("sitewright.dev", &["sitesyncs"], &["get", "list", "watch"]),
        rule("sitewright.dev", &["sitesyncs/status"], &["patch"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// Which cluster it is: the UID of kube-system.
fn knows_the_cluster() -> Rule {
    Rule { resource_names: vec!["kube-system".to_owned()], ..rule("", &["namespaces"], &["get"]) }
}

/// Inventories and other records of sites, and their locks.
fn records() -> Vec<Rule> {
    vec![
        rule("", &["configmaps"], &["create", "delete", "get", "list", "update"]),
        rule("coordination.k8s.io", &["leases"], &["create", "get", "update"]),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Rule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Rule {
        api_groups: vec![group.to_owned()],
        resources: owned(resources),
        resource_names: Vec::new(),
        verbs: owned(verbs),
    }
}

/// A Role and its binding, of one name.
fn role(name: &str, namespace: &str, rules: &[Rule], account: &Account) -> [Value; 2] {
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels() });
    [
        json!({ "apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules }),
        json!({ "apiVersion": RBAC, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [account.subject()] }),
    ]
}

/// A ClusterRole and its binding, of one name.
fn cluster_role(name: &str, rules: &[Rule], account: &Account) -> [Value; 2] {
    let role = json!({ "apiVersion": RBAC, "kind": "ClusterRole",
        "metadata": { "name": name, "labels": labels() }, "rules": rules });
    [role, bound(name, name, account)]
}

fn bound(name: &str, role: &str, account: &Account) -> Value {
    json!({ "apiVersion": RBAC, "kind": "ClusterRoleBinding",
        "metadata": { "name": name, "labels": labels() },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [account.subject()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_namespace_and_a_name() {
        assert!(account("lab/site").is_ok() && account("lab/site.v2").is_ok());
        for text in ["site", "lab/", "/site", "Lab/site", "lab/site/x", "lab/-site"] {
            assert!(account(text).is_err(), "{text}");
        }
    }
}
