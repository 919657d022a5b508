//! What the guards see on a real server, and what cannot be seen.

use std::sync::OnceLock;

use serde_json::{Value, json};
use sitewright_cluster::{
    Cluster,
    apply::{End, ObjectOutcome, Options},
    observe::Depth,
};
use sitewright_model::plan::{Action, Change, Gate};
use tokio::sync::{Mutex, MutexGuard};

use crate::site::{
    Site, apply, apply_on, cluster, config_map, connect, control_plane, id, live, namespace,
    outcome, plan,
};

/// Definitions that come and go are the whole server's; those who list namespaces take turns.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: OnceLock<Mutex<()>> = OnceLock::new();
    TURN.get_or_init(Mutex::default).lock().await
}

fn kubectl_apply(body: &Value) {
    let body = serde_json::to_vec(body).unwrap();
    control_plane().kubectl_with(&["apply", "--server-side", "-f", "-"], &body).unwrap();
}

fn delete(body: &Value) {
    let body = serde_json::to_vec(body).unwrap();
    control_plane().kubectl_with(&["delete", "-f", "-"], &body).unwrap();
}

async fn change(site: &Site, body: &Value) -> Change {
    plan(site).await.change(&id(body)).unwrap().clone()
}

/// Returns what is at stake, as the one gate says.
async fn stake(site: &Site, body: &Value) -> String {
    let change = change(site, body).await;
    match change.gates.as_slice() {
        [Gate::Tombstone { because, .. }] => because.clone(),
        _ => panic!("{change:#?}"),
    }
}

/// Applies, and checks that the object is held and still there.
async fn assert_held(site: &Site, body: &Value) {
    let report = apply(site).await;
    assert!(matches!(outcome(&report, body), ObjectOutcome::Held { .. }), "{report:#?}");
    assert!(live(body).is_some());
}

fn claim(namespace: &str, name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["accessModes"] = json!(["ReadWriteOnce"]);
    spec["resources"] = json!({ "requests": { "storage": "1Gi" } });
    json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec })
}

fn class(name: &str) -> Value {
    json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
        "provisioner": "none.example" })
}

fn definition(group: &str, kind: &str) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" } },
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": plural, "kind": kind },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } })
}

fn instance(group: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({ "apiVersion": format!("{group}/v1"), "kind": kind,
        "metadata": { "name": name, "namespace": namespace } })
}

/// Returns once the server serves the kind, or no longer does.
async fn until_served(body: &Value, served: bool) {
    let site = Site::new("looker").component("app", [body.clone()]);
    let kind = id(body).kind;
    loop {
        let live = cluster().await.observe(site.desired(), Depth::SkipCreates).await.unwrap();
        let is = matches!(live.kinds[&kind], sitewright_model::live::KindFacts::Served { .. });
        if is == served {
            return;
        }
    }
}

// === claims and classes ===

#[tokio::test]
async fn a_bound_claim_is_held() {
    namespace("bound");
    let bound =
        claim("bound", "data", json!({ "storageClassName": "", "volumeName": "bound-volume" }));
    let free = claim("bound", "free", json!({ "storageClassName": "none" }));
    let stays = config_map("bound", "stays", "v");
    let site = Site::new("bound").component("app", [stays.clone(), bound.clone(), free.clone()]);
    let options =
        Options { longest_wait: Some(std::time::Duration::from_secs(1)), ..Options::default() };
    apply_on(&cluster().await, &site, options).await.unwrap();
    let site = Site::new("bound").component("app", [stays]);
    assert!(stake(&site, &bound).await.contains("bound-volume"));
    assert_held(&site, &bound).await;
    assert!(live(&free).is_none_or(|free| free["metadata"].get("deletionTimestamp").is_some()));
}

#[tokio::test]
async fn a_storage_class_in_use_is_held() {
    namespace("class");
    let stays = config_map("class", "stays", "v");
    apply(&Site::new("class").component("app", [stays.clone(), class("class-used")])).await;
    let user = claim("class", "theirs", json!({ "storageClassName": "class-used" }));
    kubectl_apply(&user);
    let site = Site::new("class").component("app", [stays]);
    let stake = stake(&site, &class("class-used")).await;
    assert!(stake.contains("PersistentVolumeClaim theirs"), "{stake}");
    assert_held(&site, &class("class-used")).await;
}

/// Somebody with all rights that a site of config maps and classes needs, but none to list claims.
async fn blind() -> Cluster {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
    let all = ["get", "list", "create", "update", "patch", "delete"];
    let role = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "blind" },
          "rules": [rule("", &["configmaps"], &all), rule("", &["namespaces"], &["get"]),
                    rule("coordination.k8s.io", &["leases"], &all),
                    rule("storage.k8s.io", &["storageclasses"], &all)] },
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "blind" },
          "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "blind" },
          "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "blind" }] } ] });
    kubectl_apply(&role);
    connect(&control_plane().kubeconfig_for("blind", &["blind"]).unwrap()).await
}

#[tokio::test]
async fn what_may_not_be_looked_at_is_missing_evidence() {
    namespace("blind");
    let stays = config_map("blind", "stays", "v");
    apply(&Site::new("blind").component("app", [stays.clone(), class("class-blind")])).await;
    let site = Site::new("blind").component("app", [stays]);
    let report = apply_on(&blind().await, &site, Options::default()).await.unwrap();
    let outcome = outcome(&report, &class("class-blind"));
    let ObjectOutcome::Held { gates } = &outcome else { panic!("{report:#?}") };
    let [Gate::MissingEvidence { because }] = gates.as_slice() else { panic!("{gates:?}") };
    assert!(because.contains("persistentvolumeclaims"), "{because}");
    assert!(live(&class("class-blind")).is_some());
}

// === namespaces ===

#[tokio::test]
async fn a_namespace_with_data_or_work_of_others_is_held() {
    let _turn = turn().await;
    let snapshots = definition("snapshot.storage.k8s.io", "VolumeSnapshot");
    kubectl_apply(&snapshots);
    let snapshot = instance("snapshot.storage.k8s.io", "VolumeSnapshot", "full", "theirs");
    until_served(&snapshot, true).await;
    namespace("full-home");
    let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "full" } });
    let stays = config_map("full-home", "stays", "v");
    apply(&Site::new("full").component("app", [stays.clone(), space.clone()])).await;
    let site = Site::new("full").component("app", [stays]);
    assert_eq!(change(&site, &space).await.gates, []);

    kubectl_apply(&config_map("full", "owner", "v"));
    let uid = live(&config_map("full", "owner", "")).unwrap()["metadata"]["uid"].clone();
    let owner = |kind: &str, name: &str, uid: Value| json!([{ "apiVersion": "v1", "kind": kind, "name": name, "uid": uid }]);
    let mut job = json!({ "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": "theirs", "namespace": "full", "ownerReferences": owner("ConfigMap", "owner", uid) },
        "spec": { "suspend": true, "template": { "spec": { "restartPolicy": "Never",
            "containers": [{ "name": "c", "image": "i:1" }] } } } });
    let volume = claim("full", "theirs", json!({ "storageClassName": "none" }));
    for (body, named) in [
        (&volume, "PersistentVolumeClaim theirs"),
        (&snapshot, "VolumeSnapshot.snapshot.storage.k8s.io theirs"),
        (&job, "Job.batch theirs"),
    ] {
        kubectl_apply(body);
        let stake = stake(&site, &space).await;
        assert!(stake.starts_with(named), "{stake}");
        assert_held(&site, &space).await;
        delete(body);
    }
    // what is owned by something that is looked at itself is not told twice
    kubectl_apply(&volume);
    job["metadata"]["ownerReferences"] =
        owner("PersistentVolumeClaim", "theirs", live(&volume).unwrap()["metadata"]["uid"].clone());
    kubectl_apply(&job);
    assert_eq!(
        stake(&site, &space).await,
        "PersistentVolumeClaim theirs would be deleted with the namespace"
    );
    assert_held(&site, &space).await;
    delete(&job);
    delete(&snapshots);
}

#[tokio::test]
async fn what_was_adopted_is_not_lost_with_its_namespace() {
    let _turn = turn().await;
    namespace("kept-home");
    let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kept" } });
    let stays = config_map("kept-home", "stays", "v");
    let theirs = config_map("kept", "theirs", "v");
    apply(&Site::new("kept").component("app", [stays.clone(), space.clone()])).await;
    kubectl_apply(&theirs);
    let site = Site::new("kept")
        .component("app", [stays.clone(), space.clone(), theirs.clone()])
        .with(|component| component.policy.adopt = true);
    assert_eq!(outcome(&apply(&site).await, &theirs), ObjectOutcome::Adopted);
    let site = Site::new("kept").component("app", [stays]);
    // also the second time: it was not released into a namespace that looks empty then
    for _ in 0..2 {
        assert_held(&site, &theirs).await;
        assert_held(&site, &space).await;
    }
}

#[tokio::test]
async fn definitions_and_the_namespace_of_their_instances_go_in_one_apply() {
    let _turn = turn().await;
    namespace("whole-home");
    let group = "kueue.x-k8s.io";
    let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "whole" } });
    let stays = config_map("whole-home", "stays", "v");
    let workload = instance(group, "Workload", "whole", "w");
    let site = Site::new("whole")
        .component("home", [stays.clone()])
        .component("app", [definition(group, "Workload"), space.clone(), workload.clone()]);
    let report = apply(&site).await;
    assert_eq!(report.end, End::Converged, "{report:#?}");
    let report = apply(&Site::new("whole").component("home", [stays])).await;
    assert_eq!(outcome(&report, &definition(group, "Workload")), ObjectOutcome::Deleted);
    assert_eq!(outcome(&report, &space), ObjectOutcome::Deleted, "{report:#?}");
    assert_eq!(report.end, End::Converged, "{report:#?}");
}

// === kinds that are not served ===

#[tokio::test]
async fn a_kind_that_is_not_served_is_not_taken_for_gone() {
    let _turn = turn().await;
    namespace("unserved");
    let group = "unserved.example";
    kubectl_apply(&definition(group, "Gear"));
    let gear = instance(group, "Gear", "unserved", "g");
    until_served(&gear, true).await;
    let stays = config_map("unserved", "stays", "v");
    apply(&Site::new("unserved").component("app", [stays.clone(), gear.clone()])).await;
    let site = Site::new("unserved").component("app", [stays]);
    let cluster = cluster().await;
    let before = cluster.observe(site.desired(), Depth::Full).await.unwrap();

    let mut hidden = definition(group, "Gear");
    hidden["spec"]["versions"][0]["served"] = false.into();
    kubectl_apply(&hidden);
    until_served(&gear, false).await;
    let change = change(&site, &gear).await;
    assert_eq!(change.action, Action::Unknown, "{change:#?}");
    let [Gate::MissingEvidence { because }] = change.gates.as_slice() else {
        panic!("{change:#?}")
    };
    assert!(because.contains("gears.unserved.example is there"), "{because}");
    // nor where a plan from before is done now
    let planned =
        sitewright_model::plan::plan(site.desired(), &before, jiff::Timestamp::UNIX_EPOCH);
    let (events, _receiver) = tokio::sync::mpsc::channel(1);
    let cancel = sitewright_cluster::CancellationToken::new();
    let report = cluster
        .apply(site.desired(), &planned, &before, Options::default(), events, cancel)
        .await
        .unwrap();
    let ObjectOutcome::Failed { code, .. } = outcome(&report, &gear) else { panic!("{report:#?}") };
    assert_eq!(code, "SW0611");
    let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
    assert!(live.inventory.entries.contains_key(&id(&gear)));

    delete(&hidden);
    let report = apply(&site).await;
    assert_eq!(outcome(&report, &gear), ObjectOutcome::Forgotten, "{report:#?}");
}
