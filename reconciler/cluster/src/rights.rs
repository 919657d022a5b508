//! The least rights that an agent needs for a site, computed from what the site renders to.
//!
//! Comes in: [`Desired`]. Goes out: rules of a ClusterRole (RBAC). Never: asks a cluster.
//!
//! Rights are for whole kinds: a site's objects are found by one list of each kind, by label, and RBAC knows no
//! labels. What guards and health look at is read only; where even that is not allowed, a guard holds.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{GroupVersionKind, discovery::ApiResource};
use serde::Serialize;
use serde_json::Value;
use sitewright_model::{crd, desired::Desired, object::GroupKind};

/// What is done with objects that a site owns.
const OWNED: [&str; 6] = ["create", "delete", "get", "list", "patch", "watch"];

/// What is done with what is looked at.
const SEEN: [&str; 2] = ["get", "list"];

/// What guards and health look at, whatever the site has: what runs, what is stored, and why something waits.
const LOOKED_AT: [(&str, &[&str]); 18] = [
    (
        "",
        &[
            "events",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "services",
        ],
    ),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("batch", &["cronjobs", "jobs"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("storage.k8s.io", &["storageclasses"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("events.k8s.io", &["events"]),
    // whose pods run, and by which queue they came
    ("kueue.x-k8s.io", &["clusterqueues", "resourceflavors", "workloads"]),
    ("batch.volcano.sh", &["jobs"]),
    ("jobset.x-k8s.io", &["jobsets"]),
    ("trainer.kubeflow.org", &["trainjobs"]),
    (
        "kubeflow.org",
        &["jaxjobs", "mpijobs", "notebooks", "paddlejobs", "pytorchjobs", "tfjobs", "xgboostjobs"],
    ),
    ("ray.io", &["rayclusters", "rayjobs", "rayservices"]),
    ("sparkoperator.k8s.io", &["sparkapplications"]),
    ("argoproj.io", &["workflows"]),
    ("leaderworkerset.x-k8s.io", &["leaderworkersets"]),
    ("workload.codeflare.dev", &["appwrappers"]),
    ("slinky.slurm.net", &["nodesets"]),
];

const RBAC: &str = "rbac.authorization.k8s.io";

/// One rule of a Role or ClusterRole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The API groups.
    pub api_groups: Vec<String>,
    /// The resources.
    pub resources: Vec<String>,
    /// The names of objects; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// What is allowed.
    pub verbs: Vec<String>,
}

/// What a recorder of lineage follows by watch: nodes, workloads, services, and which kinds there are.
const FOLLOWED: [(&str, &[&str]); 14] = [
    ("", &["nodes", "pods"]),
    ("apps", &["deployments", "statefulsets"]),
    ("batch", &["jobs"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("kueue.x-k8s.io", &["workloads"]),
    ("batch.volcano.sh", &["jobs"]),
    ("jobset.x-k8s.io", &["jobsets"]),
    ("trainer.kubeflow.org", &["trainjobs"]),
    (
        "kubeflow.org",
        &["jaxjobs", "mpijobs", "notebooks", "paddlejobs", "pytorchjobs", "tfjobs", "xgboostjobs"],
    ),
    ("ray.io", &["rayclusters", "rayjobs"]),
    ("sparkoperator.k8s.io", &["sparkapplications"]),
    ("argoproj.io", &["workflows"]),
    ("leaderworkerset.x-k8s.io", &["leaderworkersets"]),
    ("workload.codeflare.dev", &["appwrappers"]),
];

/// What serves models, followed as well.
const SERVING: (&str, &[&str]) =
    ("serving.kserve.io", &["inferenceservices", "llminferenceservices"]);

/// Returns the rules that a recorder of lineage needs: it reads, and writes nothing.
pub fn recorder_rules() -> Vec<Rule> {
    // owners of pods that are no runs are looked at once
    let owners = ("apps", ["daemonsets", "replicasets"].as_slice(), SEEN.as_slice());
    let followed = FOLLOWED.iter().chain([&SERVING]);
    let verbs: &[&str] = &["get", "list", "watch"];
    let rule = |(group, plurals, verbs): (&str, &[&str], &[&str])| Rule {
        api_groups: vec![group.to_owned()],
        resources: plurals.iter().map(|plural| (*plural).to_owned()).collect(),
        resource_names: Vec::new(),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
    };
    followed.map(|(group, plurals)| (*group, *plurals, verbs)).chain([owners]).map(rule).collect()
}

/// Returns the rules that who answers questions of lineage needs: to ask who somebody is, and what they may see.
pub fn access_rules() -> Vec<Rule> {
    let rule = |group: &str, resource: &str| Rule {
        api_groups: vec![group.to_owned()],
        resources: vec![resource.to_owned()],
        resource_names: Vec::new(),
        verbs: vec!["create".to_owned()],
    };
    vec![
        rule("authentication.k8s.io", "tokenreviews"),
        rule("authorization.k8s.io", "subjectaccessreviews"),
    ]
}

/// Returns the rule that a reader of lineage needs: in one namespace by a RoleBinding, everywhere by a ClusterRoleBinding.
pub fn reader_rule() -> Rule {
    Rule {
        api_groups: vec![sitewright_model::lineage::DOMAIN.to_owned()],
        resources: vec!["runs".to_owned()],
        resource_names: Vec::new(),
        verbs: vec!["get".to_owned()],
    }
}

/// Returns the rules that an agent needs on the cluster of `sites`, in order.
pub fn rules<'d>(sites: impl IntoIterator<Item = &'d Desired> + Clone) -> Vec<Rule> {
    let mut verbs: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    let mut allow = |group: &str, plural: &str, more: &[&'static str]| {
        verbs.entry((group.to_owned(), plural.to_owned())).or_default().extend(more);
    };
    for (group, plurals) in LOOKED_AT {
        plurals.iter().for_each(|plural| allow(group, plural, &SEEN));
    }
    let mut handed_on = BTreeSet::new();
    for site in sites {
        for (group, plural, more) in held_back(site) {
            allow(group, plural, more);
        }
        let plurals = brought(site);
        for plural in plurals.values() {
            allow(&plural.0, &plural.1, &SEEN); // how many instances a definition has
        }
        for (_, object) in site.objects() {
            let id = object.object.id();
            let known = plurals.get(&id.kind).map(|(_, plural)| plural.clone());
            let plural = known.unwrap_or_else(|| guessed(&id.kind, object.object.version()));
            allow(&id.kind.group, &plural, &OWNED);
            if id.kind.group == RBAC {
                handed_on.extend(role_of(&id.name, &id.kind.kind, object.object.expose()));
            }
        }
    }
    let mut by_verbs: BTreeMap<(String, Vec<String>), Vec<String>> = BTreeMap::new();
    for ((group, plural), verbs) in verbs {
        let verbs = verbs.into_iter().map(str::to_owned).collect();
        by_verbs.entry((group, verbs)).or_default().push(plural);
    }
    let rule = |((group, verbs), resources): ((String, Vec<String>), Vec<String>)| Rule {
        api_groups: vec![group],
        resources,
        resource_names: Vec::new(),
        verbs,
    };
    let mut rules: Vec<Rule> = by_verbs.into_iter().map(rule).collect();
    rules.extend(handing_on(handed_on));
    rules
}

/// What draining and waves do: they hold nodes and queues back, and restart and evict pods. Nothing of it is allowed where no
/// component asks for it.
fn held_back(site: &Desired) -> Vec<(&'static str, &'static str, &'static [&'static str])> {
    let drains = site.components.iter().any(|component| component.policy.drain.is_some());
    let has_waves = site.components.iter().any(|component| !component.waves.is_empty());
    let mut rights: Vec<(&str, &str, &'static [&'static str])> = Vec::new();
    if drains || has_waves {
        rights.push(("", "nodes", &["patch"]));
        rights.push(("kueue.x-k8s.io", "clusterqueues", &["patch"]));
    }
    if has_waves {
        rights.push(("", "pods", &["delete"]));
        rights.push(("", "pods/eviction", &["create"]));
        rights.push(("apps", "controllerrevisions", &["list"]));
    }
    rights
}

/// Nobody can write a role that allows more than they may do themselves, or bind one, but by these two verbs; for
/// the site's own roles alone.
fn handing_on(names: BTreeSet<(&'static str, String)>) -> Vec<Rule> {
    let mut by_resource: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (resource, name) in names {
        by_resource.entry(resource).or_default().push(name);
    }
    let rule = |(resource, resource_names): (&str, Vec<String>)| Rule {
        api_groups: vec![RBAC.to_owned()],
        resources: vec![resource.to_owned()],
        resource_names,
        verbs: vec!["bind".to_owned(), "escalate".to_owned()],
    };
    by_resource.into_iter().map(rule).collect()
}

/// Returns the role that an object of RBAC is, or binds.
fn role_of(name: &str, kind: &str, body: &Value) -> Option<(&'static str, String)> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let resource = |kind: &str| if kind == "ClusterRole" { "clusterroles" } else { "roles" };
    match kind {
        "Role" | "ClusterRole" => Some((resource(kind), name.to_owned())),
        _ => Some((resource(text("/roleRef/kind")?), text("/roleRef/name")?.to_owned())),
    }
}

/// Returns group and plural of each kind that a site's own definitions bring.
fn brought(site: &Desired) -> BTreeMap<GroupKind, (String, String)> {
    let plural = |body: &Value| {
        let (kind, _) = crd::brings(body)?;
        let plural = body.pointer("/spec/names/plural")?.as_str()?.to_owned();
        let group = kind.group.clone();
        Some((kind, (group, plural)))
    };
    let objects = site
        .objects()
        .filter(|(_, object)| object.object.id().kind.kind == "CustomResourceDefinition");
    objects.filter_map(|(_, object)| plural(object.object.expose())).collect()
}

/// Returns the plural of a kind as Kubernetes' own kinds, and nearly all others, have it.
fn guessed(kind: &GroupKind, version: &str) -> String {
    ApiResource::from_gvk(&GroupVersionKind::gvk(&kind.group, version, &kind.kind)).plural
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_recorded_may_be_followed() {
        let rules = recorder_rules();
        for kind in sitewright_model::lineage::kinds() {
            let plural = format!("{}s", kind.kind.to_lowercase());
            let allows = |rule: &Rule| {
                rule.api_groups.contains(&kind.group)
                    && rule.resources.contains(&plural)
                    && rule.verbs.iter().any(|verb| verb == "watch")
            };
            assert!(rules.iter().any(allows), "{kind}");
        }
    }
}
