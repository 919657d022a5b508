//! Who serves a finalizer, and what it waits for: what a person must know of a deletion that hangs.
//!
//! Comes in: a live object, and who owns which of its fields. Goes out: words. A finalizer that is not
//! known here is told by its own name and by the field manager that added it.

use serde_json::Value;

use crate::managed::ManagerEntry;

/// Conditions in which controllers say what a deletion waits for, where they do.
const SAID_BY: [&str; 7] = [
    // Rook
    "DeletionIsBlocked",
    // Cluster API
    "Deleting",
    // the namespace controller
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
    "NamespaceDeletionContentFailure",
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
];

/// Returns what holds the deletion of `live`, and who must act; none where nothing does.
///
/// `managers` tell who added a finalizer that is not known; they may be empty.
pub fn held_by(live: &Value, managers: &[ManagerEntry]) -> Option<String> {
    let kind = live.get("kind").and_then(Value::as_str).unwrap_or_default();
    let all: Vec<String> = of(live)
        .map(|name| match added_by(name, managers) {
            Some(manager) if known(name, kind).is_none() => {
                format!("{name} ({}; added by {manager})", by_its_name(name))
            }
            _ => served(name, kind),
        })
        .collect();
    let noun = if all.len() == 1 { "finalizer" } else { "finalizers" };
    let mut text = format!("{noun} {}", listed(&all)?);
    for said in said(live) {
        text.push_str(&format!("; {said}"));
    }
    Some(text)
}

/// Returns a finalizer with who serves it and what it waits for on an object of the kind `kind`, for
/// example `kubernetes.io/pvc-protection (kube-controller-manager: until no pod uses the claim)`.
pub fn served(name: &str, kind: &str) -> String {
    match known(name, kind) {
        Some(Service { by, until }) => format!("{name} ({by}: until {until})"),
        None => format!("{name} ({})", by_its_name(name)),
    }
}

/// Returns the finalizers of an object; those of a namespace's content stand in its `spec`.
pub fn of(live: &Value) -> impl Iterator<Item = &str> {
    let is_namespace = live.get("kind").and_then(Value::as_str) == Some("Namespace");
    let pointers = ["/metadata/finalizers", "/spec/finalizers"];
    pointers
        .into_iter()
        .take(if is_namespace { 2 } else { 1 })
        .filter_map(|pointer| live.pointer(pointer)?.as_array())
        .flatten()
        .filter_map(Value::as_str)
}

/// Returns the field manager that owns a finalizer; where several do, the first.
fn added_by<'m>(name: &str, managers: &'m [ManagerEntry]) -> Option<&'m str> {
    let key = format!("v:{}", Value::from(name));
    let owns = |entry: &&ManagerEntry| {
        let fields = entry.fields.pointer("/f:metadata/f:finalizers");
        fields.is_some_and(|fields| fields.get(&key).is_some())
    };
    managers.iter().find(owns).map(|entry| entry.manager.as_str())
}

/// Returns what the conditions of the object say of its deletion, the first line of each.
fn said(live: &Value) -> impl Iterator<Item = &str> {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().filter_map(|condition| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str);
        let speaks = text("status") == Some("True") && SAID_BY.contains(&text("type")?);
        text("message")?.lines().next().filter(|line| speaks && !line.is_empty())
    })
}

fn listed(all: &[String]) -> Option<String> {
    match all {
        [] => None,
        [one] => Some(one.clone()),
        [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
    }
}

/// Who serves a finalizer, and until when it holds.
struct Service {
    by: &'static str,
    until: &'static str,
}

/// The controllers of Kubernetes itself.
const KUBERNETES: &str = "kube-controller-manager";
const ROOK: &str = "the Rook operator";
const KUEUE: &str = "kueue-controller-manager";
const SNAPSHOTS: &str = "snapshot-controller";

/// Returns who serves the finalizer `name` on an object of the kind `kind`, where that is known.
fn known(name: &str, kind: &str) -> Option<Service> {
    exactly(name, kind).or_else(|| by_domain(name, kind))
}

fn exactly(name: &str, kind: &str) -> Option<Service> {
    let (by, until) = match name {
        "kubernetes" if kind == "Namespace" => (KUBERNETES, "everything in the namespace is gone"),
        "foregroundDeletion" => (KUBERNETES, "the objects that it owns are gone"),
        "orphan" => (KUBERNETES, "the objects that it owns are released from it"),
        "kubernetes.io/pvc-protection" => (KUBERNETES, "no pod uses the claim"),
        "kubernetes.io/pv-protection" => (KUBERNETES, "no claim is bound to the volume"),
        "kubernetes.io/pv-controller" => (KUBERNETES, "the storage behind the volume is deleted"),
        "storage.kubernetes.io/vac-protection" => (KUBERNETES, "no claim or volume uses the class"),
        "batch.kubernetes.io/job-tracking" => (KUBERNETES, "the pod is counted in its job"),
        "resource.kubernetes.io/delete-protection" => {
            (KUBERNETES, "no pod uses the resource claim")
        }
        "customresourcecleanup.apiextensions.k8s.io" => {
            ("kube-apiserver", "all objects of the kind are gone")
        }
        "service.kubernetes.io/load-balancer-cleanup" => {
            ("the service controller of the cloud or load balancer", "the load balancer is deleted")
        }
        "external-provisioner.volume.kubernetes.io/finalizer" => {
            ("external-provisioner of the CSI driver", "the storage behind the volume is deleted")
        }
        "provisioner.storage.kubernetes.io/cloning-protection"
        | "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection" => {
            ("external-provisioner of the CSI driver", "no volume is being made from it")
        }
        "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection" => {
            (SNAPSHOTS, "no volume is being made from the snapshot")
        }
        "snapshot.storage.kubernetes.io/pvc-as-source-protection" => {
            (SNAPSHOTS, "no snapshot of the claim is being taken")
        }
        "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection" => {
            (SNAPSHOTS, "the content of the snapshot is deleted")
        }
        "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection" => {
            (SNAPSHOTS, "no snapshot is bound to the content, and its storage is deleted")
        }
        "objectbucket.io/finalizer" => (ROOK, "the bucket is deleted or released"),
        "ceph.rook.io/disaster-protection" => (ROOK, "the Ceph cluster that needs it is gone"),
        "kueue.x-k8s.io/managed" => (KUEUE, "the end of the pod is noted in its workload"),
        "baremetalhost.metal3.io" => ("baremetal-operator", "the host is deprovisioned"),
        "cluster.cluster.x-k8s.io" => ("Cluster API", "its machines and infrastructure are gone"),
        "machine.cluster.x-k8s.io" => {
            ("Cluster API", "its node is drained and its infrastructure is gone")
        }
        "resources-finalizer.argocd.argoproj.io" => {
            ("Argo CD", "the objects that the application made are deleted")
        }
        "finalizers.fluxcd.io" => ("Flux", "the objects that it made are deleted"),
        _ => return None,
    };
    Some(Service { by, until })
}

/// Families of finalizers that one program serves, one name for each kind or instance.
fn by_domain(name: &str, kind: &str) -> Option<Service> {
    let domain = domain(name);
    let within = |parent: &str| {
        domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let (by, until) = if within("ceph.rook.io") {
        (ROOK, in_ceph(kind))
    } else if within("kueue.x-k8s.io") {
        (KUEUE, in_kueue(kind))
    } else if domain == "external-attacher" {
        ("external-attacher of the CSI driver", "the volume is detached from its node")
    } else if within("infrastructure.cluster.x-k8s.io") && domain.starts_with("metal3") {
        ("Cluster API's provider for Metal3", "its host is given back")
    } else if within("infrastructure.cluster.x-k8s.io") && domain.starts_with("openstack") {
        ("Cluster API's provider for OpenStack", "what it made in OpenStack is deleted")
    } else if within("infrastructure.cluster.x-k8s.io") {
        ("Cluster API's infrastructure provider", "what it made is deleted")
    } else if within("controlplane.cluster.x-k8s.io") {
        ("Cluster API's control plane provider", "its machines are gone")
    } else if within("cluster.x-k8s.io") {
        ("Cluster API", "what it made is deleted")
    } else if within("metal3.io") {
        ("Metal3", "the host needs it no more")
    } else if within("snapshot.storage.kubernetes.io") {
        (SNAPSHOTS, "the snapshot is done with it")
    } else if within("cert-manager.io") {
        ("cert-manager", "what it set up to get the certificate is cleaned up")
    } else {
        return None;
    };
    Some(Service { by, until })
}

fn in_ceph(kind: &str) -> &'static str {
    match kind {
        "CephCluster" => "no pool, filesystem or object store is left, and its clean-up is done",
        "CephBlockPool" | "CephBlockPoolRadosNamespace" => "it holds no block image",
        "CephFilesystem" | "CephFilesystemSubVolumeGroup" => "it holds no subvolume",
        "CephObjectStore" => "it has no bucket and no user",
        _ => "it is taken out of Ceph",
    }
}

fn in_kueue(kind: &str) -> &'static str {
    match kind {
        "ClusterQueue" => "its admitted workloads are done",
        "ResourceFlavor" | "AdmissionCheck" => "no ClusterQueue uses it",
        "Topology" => "no ResourceFlavor uses it",
        "Workload" => "its quota is given back",
        _ => "nothing in a queue needs it",
    }
}

/// Returns the domain of a finalizer: what stands before the slash, or all of an older name.
fn domain(name: &str) -> &str {
    name.split_once('/').map_or(name, |(domain, _)| domain)
}

/// Says what the name of an unknown finalizer tells of who serves it.
fn by_its_name(name: &str) -> String {
    match domain(name) {
        domain if domain.contains('.') => format!("by its name, a controller of {domain}"),
        _ => "who serves it is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(kind: &str, finalizers: &[&str]) -> String {
        let live = json!({ "kind": kind, "metadata": { "name": "x", "finalizers": finalizers } });
        held_by(&live, &[]).unwrap()
    }

    #[test]
    fn a_known_finalizer_tells_who_serves_it_and_until_when() {
        assert_eq!(
            held("PersistentVolumeClaim", &["kubernetes.io/pvc-protection"]),
            "finalizer kubernetes.io/pvc-protection (kube-controller-manager: until no pod uses the claim)"
        );
    }

    #[test]
    fn a_family_of_finalizers_is_told_by_the_kind_of_the_object() {
        let told = [
            ("CephCluster", "cephcluster.ceph.rook.io"),
            ("CephNFS", "cephnfs.ceph.rook.io"),
            ("ClusterQueue", "kueue.x-k8s.io/resource-in-use"),
            ("Workload", "kueue.x-k8s.io/managed-resources"),
            ("PersistentVolume", "external-attacher/rook-ceph-rbd-csi-ceph-com"),
            ("Metal3Machine", "metal3machine.infrastructure.cluster.x-k8s.io"),
            ("MachineDeployment", "cluster.x-k8s.io/machinedeployment"),
        ];
        let told: Vec<String> = told.iter().map(|(kind, name)| served(name, kind)).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_domain_that_only_ends_alike_is_another_one() {
        assert_eq!(
            served("notkueue.x-k8s.io/hold", "Pod"),
            "notkueue.x-k8s.io/hold (by its name, a controller of notkueue.x-k8s.io)"
        );
    }

    #[test]
    fn an_unknown_finalizer_is_told_by_its_name_and_by_who_added_it() {
        let live = json!({ "kind": "ConfigMap", "metadata": { "name": "c",
            "finalizers": ["foregroundDeletion", "example.org/hold", "profile-finalizer"] } });
        let entry = |manager: &str, name: &str| ManagerEntry {
            manager: manager.to_owned(),
            operation: "Update".to_owned(),
            subresource: String::new(),
            api_version: "v1".to_owned(),
            time: None,
            fields: json!({ "f:metadata": { "f:finalizers": { ".": {}, format!("v:\"{name}\""): {} } } }),
        };
        let managers = [
            entry("kubectl-edit", "example.org/hold"),
            entry("kube-controller-manager", "foregroundDeletion"),
        ];
        assert_eq!(
            held_by(&live, &managers).unwrap(),
            "finalizers foregroundDeletion (kube-controller-manager: until the objects that it owns are gone), \
             example.org/hold (by its name, a controller of example.org; added by kubectl-edit) \
             and profile-finalizer (who serves it is not known)"
        );
    }

    #[test]
    fn a_namespace_tells_what_is_left_in_it() {
        let live = json!({ "kind": "Namespace", "metadata": { "name": "lab" },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "conditions": [
                { "type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All resources discovered" },
                { "type": "NamespaceContentRemaining", "status": "True",
                  "message": "Some resources are remaining: configmaps. has 1 resource instances" },
                { "type": "NamespaceFinalizersRemaining", "status": "True",
                  "message": "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances" } ] } });
        insta::assert_snapshot!(held_by(&live, &[]).unwrap());
    }

    #[test]
    fn an_object_without_finalizers_is_held_by_nothing() {
        assert_eq!(held_by(&json!({ "kind": "Pod", "metadata": { "name": "p" } }), &[]), None);
    }
}
