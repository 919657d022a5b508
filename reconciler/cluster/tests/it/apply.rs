//! Applying against a real server.

use serde_json::{Value, json};
use sitewright_cluster::{
    CancellationToken, Error,
    apply::{End, ObjectOutcome, Options},
    observe::Depth,
};
use sitewright_model::plan::Action;

use crate::site::{
    Site, apply, apply_on, cluster, config_map, control_plane, id, live, namespace, outcome, plan,
};

fn widgets(group: &str) -> Value {
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("widgets.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": "widgets", "kind": "Widget" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object",
                    "properties": { "size": { "type": "integer" } } } } } } }] } })
}

async fn is_unchanged(site: &Site) -> bool {
    plan(site).await.changes().all(|(_, change)| change.action == Action::None)
}

#[tokio::test]
async fn what_was_applied_is_settled_and_costs_a_list() {
    namespace("settled");
    let maps = (0..30).map(|n| config_map("settled", &format!("c{n}"), "v"));
    let site = Site::new("settled").component("app", maps);
    let report = apply(&site).await;
    assert_eq!(report.end, End::Converged, "{report:#?}");
    assert_eq!(report.requests.apply, 30);
    let cluster = cluster().await;
    let before = cluster.requests();
    assert!(is_unchanged(&site).await);
    let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
    assert_eq!(live.inventory.entries.len(), 30);
    let sent = cluster.requests().since(&before);
    assert_eq!((sent.get, sent.list, sent.total()), (2, 2, 4), "{sent:?}");
    let again = apply(&site).await;
    assert_eq!((again.end, again.requests.total()), (End::Converged, 0));
}

#[tokio::test]
async fn a_definition_its_instance_and_their_namespace_go_in_one_apply() {
    let space =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "one-go" } });
    let widget = json!({ "apiVersion": "one-go.example/v1", "kind": "Widget",
        "metadata": { "name": "w", "namespace": "one-go" }, "spec": { "size": 3 } });
    let site =
        Site::new("one-go").component("app", [widgets("one-go.example"), widget.clone(), space]);
    let report = apply(&site).await;
    assert_eq!(report.end, End::Converged, "{report:#?}");
    assert_eq!(live(&widget).unwrap()["spec"]["size"], 3);
    assert!(is_unchanged(&site).await, "{:#?}", plan(&site).await);
}

#[tokio::test]
async fn what_leaves_the_site_is_deleted_and_forgotten() {
    namespace("leaves");
    let (stays, goes) = (config_map("leaves", "stays", "v"), config_map("leaves", "goes", "v"));
    apply(&Site::new("leaves").component("app", [stays.clone(), goes.clone()])).await;
    let site = Site::new("leaves").component("app", [stays.clone()]);
    let report = apply(&site).await;
    assert_eq!(outcome(&report, &goes), ObjectOutcome::Deleted);
    assert!(live(&goes).is_none() && live(&stays).is_some());
    let live = cluster().await.observe(site.desired(), Depth::Full).await.unwrap();
    assert_eq!(live.inventory.entries.len(), 1);
}

#[tokio::test]
async fn a_finalizer_that_hangs_is_named_and_nothing_is_forgotten() {
    namespace("hangs");
    let stays = config_map("hangs", "stays", "v");
    let mut held = config_map("hangs", "held", "v");
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    apply(&Site::new("hangs").component("app", [stays.clone(), held.clone()])).await;
    let site = Site::new("hangs").component("app", [stays]);
    let options =
        Options { longest_wait: Some(std::time::Duration::from_secs(2)), ..Options::default() };
    let report = apply_on(&cluster().await, &site, options).await.unwrap();
    let ObjectOutcome::Failed { code, message, .. } = outcome(&report, &held) else {
        panic!("{report:#?}")
    };
    assert!(code == "SW0510" && message.contains("example.org/hold"), "{message}");
    let live = cluster().await.observe(site.desired(), Depth::Full).await.unwrap();
    assert!(live.inventory.entries.contains_key(&id(&held)));
}

#[tokio::test]
async fn an_immutable_field_makes_a_new_object() {
    namespace("anew");
    let mut body = config_map("anew", "c", "old");
    body["immutable"] = true.into();
    apply(&Site::new("anew").component("app", [body.clone()])).await;
    let uid = live(&body).unwrap()["metadata"]["uid"].clone();
    body["data"]["key"] = "new".into();
    let site = Site::new("anew").component("app", [body.clone()]);
    let report = apply(&site).await;
    assert_eq!(outcome(&report, &body), ObjectOutcome::Replaced, "{report:#?}");
    let live = live(&body).unwrap();
    assert!(live["data"]["key"] == "new" && live["metadata"]["uid"] != uid);
    assert!(is_unchanged(&site).await);
}

#[tokio::test]
async fn a_deployment_settles_after_its_controller_wrote_to_it() {
    namespace("controller");
    let body = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "controller" },
        "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } } });
    let site = Site::new("controller").component("app", [body.clone()]);
    let report = apply(&site).await;
    assert_eq!(report.end, End::Converged, "{report:#?}");
    let annotations = live(&body).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
    let cluster = cluster().await;
    cluster.observe(site.desired(), Depth::Full).await.unwrap();
    assert_eq!(cluster.requests().dry_run, 0);
}

#[tokio::test]
async fn a_wedged_list_is_freed() {
    namespace("wedged");
    let body = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "wedged" },
        "spec": { "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] } });
    let site = Site::new("wedged").component("app", [body.clone()]);
    apply(&site).await;
    let patch = r#"[{"op":"replace","path":"/spec/ports/0/port","value":81}]"#;
    let edit = [
        "patch",
        "service",
        "web",
        "-n",
        "wedged",
        "--type=json",
        "-p",
        patch,
        "--field-manager=kubectl-edit",
    ];
    control_plane().kubectl(&edit).unwrap();
    let report = apply(&site).await;
    assert_eq!(report.end, End::Converged, "{report:#?}");
    let ports = live(&body).unwrap()["spec"]["ports"].clone();
    assert_eq!((ports.as_array().unwrap().len(), &ports[0]["port"]), (1, &json!(80)), "{ports}");
    assert!(is_unchanged(&site).await, "{:#?}", plan(&site).await);
}

#[tokio::test]
async fn an_adopted_object_is_released_with_its_fields() {
    namespace("released");
    let body = config_map("released", "c", "v");
    let create = ["create", "configmap", "c", "-n", "released", "--from-literal=mine=yes"];
    control_plane().kubectl(&create).unwrap();
    let stays = config_map("released", "stays", "v");
    let site = Site::new("released")
        .component("app", [body.clone(), stays.clone()])
        .with(|component| component.policy.adopt = true);
    assert_eq!(outcome(&apply(&site).await, &body), ObjectOutcome::Adopted);
    let site = Site::new("released").component("app", [stays]);
    assert_eq!(outcome(&apply(&site).await, &body), ObjectOutcome::Released);
    let live = live(&body).unwrap();
    assert_eq!(live["data"], json!({ "mine": "yes", "key": "v" }));
    let labels = &live["metadata"]["labels"];
    assert!(labels.get("sitewright.dev/site").is_none(), "{labels}");
    let managers = live["metadata"]["managedFields"].to_string();
    assert!(!managers.contains("sitewright-"), "{managers}");
}

#[tokio::test]
async fn a_failure_stops_its_branch_only() {
    namespace("branches");
    let mut broken = config_map("branches", "broken", "v");
    broken["data"] = json!({ "not a key!": "v" });
    let good = config_map("branches", "good", "v");
    let after = config_map("branches", "after", "v");
    let site = Site::new("branches")
        .component("bad", [broken.clone()])
        .component("good", [good.clone()])
        .component("after", [after.clone()])
        .with(|component| component.depends_on = vec!["bad".parse().unwrap()]);
    let report = apply(&site).await;
    assert_eq!(report.end, End::Failed);
    let ObjectOutcome::Failed { message, .. } = outcome(&report, &broken) else {
        panic!("{report:#?}")
    };
    assert!(message.contains("not a key!"), "{message}");
    assert_eq!(outcome(&report, &good), ObjectOutcome::Created);
    let ObjectOutcome::Blocked { by } = outcome(&report, &after) else { panic!("{report:#?}") };
    assert!(by.contains("broken"), "{by}");
    assert!(live(&after).is_none());
}

#[tokio::test]
async fn a_workload_that_does_not_get_ready_says_why() {
    namespace("unready");
    let body = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "unready" },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } } });
    let site = Site::new("unready").component("app", [body.clone()]);
    let options =
        Options { longest_wait: Some(std::time::Duration::from_secs(6)), ..Options::default() };
    let report = apply_on(&cluster().await, &site, options).await.unwrap();
    assert_eq!(report.end, End::Failed, "{report:#?}");
    let object = &report.components[0].objects[0];
    assert_eq!(object.outcome, ObjectOutcome::Created);
    assert!(object.health.as_ref().unwrap().why().unwrap().contains("after"), "{object:#?}");
}

#[tokio::test]
async fn a_signal_stops_before_the_first_write_and_leaves_no_lock() {
    namespace("signal");
    let site = Site::new("signal").component("app", [config_map("signal", "c", "v")]);
    let cluster = cluster().await;
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let plan = sitewright_model::plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
    let (events, mut receiver) = tokio::sync::mpsc::channel(8);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let stopper = tokio::spawn(async move {
        receiver.recv().await;
        stop.cancel();
    });
    let done =
        cluster.apply(site.desired(), &plan, &live, Options::default(), events, cancel).await;
    stopper.await.unwrap();
    match done {
        Ok(report) => assert!(matches!(report.end, End::Stopped | End::Converged), "{report:#?}"),
        Err(error) => assert!(matches!(error, Error::Stopped), "{error}"),
    }
    assert_eq!(apply(&site).await.end, End::Converged);
}

#[tokio::test]
async fn an_approval_of_another_plan_is_refused() {
    namespace("approval");
    let site = Site::new("approval").component("app", [config_map("approval", "c", "v")]);
    let cluster = cluster().await;
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let plan = sitewright_model::plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
    let other = sitewright_model::plan::PlanDigest(sitewright_model::digest::Digest::of("other"));
    let options = Options { approval: Some(other), ..Options::default() };
    let (events, _receiver) = tokio::sync::mpsc::channel(1);
    let cancel = CancellationToken::new();
    let error =
        cluster.apply(site.desired(), &plan, &live, options, events, cancel).await.unwrap_err();
    assert_eq!(error.code().number, 501);
}
