//! What others do between the plan, the read and the write.

use serde_json::{Value, json};
use sitewright_cluster::{
    CancellationToken, Cluster,
    apply::{End, ObjectOutcome, Options, Report},
    observe::Depth,
};
use sitewright_model::{
    live::Live,
    plan::{Action, Plan},
};
use sitewright_testbed::{Fault, FaultProxy, Mode, Request};

use crate::site::{
    Site, apply, apply_on, cluster, config_map, connect, control_plane, live, namespace, outcome,
    plan,
};

/// The proxy has a runtime of its own, and starts outside of ours.
fn proxy() -> FaultProxy {
    let start = || FaultProxy::start(control_plane()).unwrap();
    std::thread::spawn(start).join().unwrap()
}

fn kubectl(arguments: &[&str]) -> String {
    control_plane().kubectl(arguments).unwrap()
}

fn make_theirs(namespace: &str, name: &str) {
    kubectl(&["create", "configmap", name, "-n", namespace, "--from-literal=theirs=yes"]);
}

fn make_anew(namespace: &str, name: &str) {
    kubectl(&["delete", "configmap", name, "-n", namespace]);
    make_theirs(namespace, name);
}

/// Calls `call` right before the first request like these, which is then sent again.
fn before(
    proxy: &FaultProxy,
    matches: impl Fn(&Request) -> bool + Send + Sync + 'static,
    call: impl FnOnce() + Send + 'static,
) {
    proxy.count_only(matches);
    proxy.restart();
    proxy.call_before(1, call);
}

fn writes(method: &'static str, end: &'static str) -> impl Fn(&Request) -> bool {
    move |request| request.writes() && request.method == method && request.path.ends_with(end)
}

async fn observed(cluster: &Cluster, site: &Site) -> (Live, Plan) {
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let plan = sitewright_model::plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
    (live, plan)
}

async fn do_plan(cluster: &Cluster, site: &Site, (live, plan): &(Live, Plan)) -> Report {
    let options = Options { approval: Some(plan.digest), ..Options::default() };
    let (events, _receiver) = tokio::sync::mpsc::channel(1);
    let cancel = CancellationToken::new();
    cluster.apply(site.desired(), plan, live, options, events, cancel).await.unwrap()
}

fn code(report: &Report, body: &Value) -> String {
    match outcome(report, body) {
        ObjectOutcome::Failed { code, .. } => code,
        other => panic!("{other:?}: {report:#?}"),
    }
}

fn frozen(namespace: &str, value: &str) -> Value {
    let mut body = config_map(namespace, "frozen", value);
    body["immutable"] = true.into();
    body
}

/// Returns what is in the map, which is theirs and without a trace of ours.
fn assert_untouched(body: &Value) {
    let live = live(body).unwrap();
    assert_eq!(live["data"], json!({ "theirs": "yes" }));
    assert!(!live["metadata"].to_string().contains("sitewright"), "{live:#}");
}

// === strangers ===

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_the_name_of_a_pruned_object_stays() {
    namespace("prune-race");
    let map = |name: &str| config_map("prune-race", name, "v");
    apply(&Site::new("prune-race").component("app", [map("stays"), map("goes")])).await;
    let site = Site::new("prune-race").component("app", [map("stays")]);
    let proxy = proxy();
    let cluster = connect(proxy.kubeconfig()).await;
    before(&proxy, writes("DELETE", "/goes"), || make_anew("prune-race", "goes"));
    let report = apply_on(&cluster, &site, Options::default()).await.unwrap();
    assert_eq!(outcome(&report, &map("goes")), ObjectOutcome::Deleted, "{report:#?}");
    assert_untouched(&map("goes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_the_name_of_a_replaced_object_stays() {
    namespace("replace-race");
    let site =
        |value: &str| Site::new("replace-race").component("app", [frozen("replace-race", value)]);
    // before the delete, and between the delete and the create
    for method in ["DELETE", "PATCH"] {
        apply(&site("1")).await;
        let proxy = proxy();
        let cluster = connect(proxy.kubeconfig()).await;
        before(&proxy, writes(method, "/frozen"), move || match method {
            "DELETE" => make_anew("replace-race", "frozen"),
            _ => make_theirs("replace-race", "frozen"),
        });
        let report = apply_on(&cluster, &site("2"), Options::default()).await.unwrap();
        assert_eq!(code(&report, &frozen("replace-race", "")), "SW0508", "{method}");
        assert_untouched(&frozen("replace-race", ""));
        kubectl(&["delete", "configmap", "frozen", "-n", "replace-race"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_makes_before_a_create_is_left_alone() {
    namespace("stranger");
    let body = config_map("stranger", "c", "ours");
    let site = Site::new("stranger").component("app", [body.clone()]);
    let proxy = proxy();
    let cluster = connect(proxy.kubeconfig()).await;
    let planned = observed(&cluster, &site).await;
    make_theirs("stranger", "c");
    // a first attempt that the server turned away does not make it ours
    let wait = std::time::Duration::from_secs(1);
    proxy.inject(Fault::TooManyRequests(wait), 1, writes("PATCH", "/c"));
    let report = do_plan(&cluster, &site, &planned).await;
    assert_eq!(code(&report, &body), "SW0508");
    assert_untouched(&body);
    let other = Site::new("stranger").component("app", [config_map("stranger", "other", "v")]);
    assert_eq!(outcome(&apply(&other).await, &body), ObjectOutcome::Forgotten);
    assert_untouched(&body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_object_that_somebody_makes_is_a_stranger_too() {
    namespace("twin");
    let body = config_map("twin", "c", "v");
    let site = Site::new("twin").component("app", [body.clone()]);
    let cluster = cluster().await;
    let planned = observed(&cluster, &site).await;
    kubectl(&["create", "configmap", "c", "-n", "twin", "--from-literal=key=v"]);
    let report = do_plan(&cluster, &site, &planned).await;
    assert_eq!(code(&report, &body), "SW0508");
    assert!(live(&body).unwrap()["metadata"].get("labels").is_none());
}

#[tokio::test]
async fn what_was_adopted_is_released_also_after_the_inventory_was_lost() {
    namespace("lost");
    make_theirs("lost", "c");
    let map = |name: &str| config_map("lost", name, "v");
    let both = || Site::new("lost").component("app", [map("c"), map("ours")]);
    let adopting = both().with(|component| component.policy.adopt = true);
    assert_eq!(outcome(&apply(&adopting).await, &map("c")), ObjectOutcome::Adopted);
    let selector = "sitewright.dev/inventory=lost";
    kubectl(&["delete", "configmap", "-n", "sitewright-system", "-l", selector]);
    assert_eq!(apply(&both()).await.end, End::Converged);
    assert!(plan(&both()).await.changes().all(|(_, change)| change.action == Action::None));
    let site = Site::new("lost").component("app", [map("stays")]);
    let report = apply(&site).await;
    assert_eq!(outcome(&report, &map("c")), ObjectOutcome::Released, "{report:#?}");
    assert_eq!(outcome(&report, &map("ours")), ObjectOutcome::Deleted);
    let live = live(&map("c")).unwrap();
    assert_eq!(live["data"], json!({ "theirs": "yes", "key": "v" }));
    assert!(!live["metadata"].to_string().contains("sitewright"), "{live:#}");
}

// === objects that do not hold still ===

fn service(namespace: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web", "namespace": namespace },
        "spec": { "selector": { "app": "web" }, "sessionAffinity": "None",
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] } })
}

fn patch(namespace: &str, body: &str, further: &[&str]) {
    let arguments = ["patch", "service", "web", "-n", namespace, "--type=merge", "-p", body];
    kubectl(&[&arguments[..], further].concat());
}

const EDIT: [&str; 1] = ["--field-manager=kubectl-edit"];

/// An apply of a Service with a hand-made edit, before whose forced request `meanwhile` happens.
async fn mended(
    namespace: &'static str,
    meanwhile: &'static str,
    further: &'static [&str],
) -> Report {
    crate::site::namespace(namespace);
    let site = Site::new(namespace).component("app", [service(namespace)]);
    apply(&site).await;
    patch(namespace, r#"{"spec":{"sessionAffinity":"ClientIP"}}"#, &EDIT);
    let proxy = proxy();
    let cluster = connect(proxy.kubeconfig()).await;
    before(&proxy, writes("PATCH", "/web"), move || patch(namespace, meanwhile, further));
    apply_on(&cluster, &site, Options::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_made_edit_is_mended_on_an_object_whose_status_moves() {
    let status = r#"{"status":{"conditions":[{"type":"Busy","status":"True","reason":"Test",
        "message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
    let report = mended("moves", status, &["--subresource=status"]).await;
    assert_eq!(outcome(&report, &service("moves")), ObjectOutcome::Updated, "{report:#?}");
    let live = live(&service("moves")).unwrap();
    assert_eq!(live["spec"]["sessionAffinity"], "None");
    assert_eq!(live["status"]["conditions"][0]["type"], "Busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_since_the_plan_is_not_forced() {
    let edit = r#"{"spec":{"publishNotReadyAddresses":true}}"#;
    let report = mended("changed", edit, &EDIT).await;
    assert_eq!(code(&report, &service("changed")), "SW0508");
    let live = live(&service("changed")).unwrap();
    assert_eq!(live["spec"]["sessionAffinity"], "ClientIP");
}

// === the proof of a replacement ===

#[tokio::test]
async fn a_replacement_is_proven_right_before_its_delete() {
    namespace("proof");
    let site = |value: &str| Site::new("proof").component("app", [frozen("proof", value)]);
    apply(&site("1")).await;
    let second = site("2");
    let cluster = cluster().await;
    let planned = observed(&cluster, &second).await;
    let mark = control_plane().audit().mark().unwrap();
    let report = do_plan(&cluster, &second, &planned).await;
    assert_eq!(outcome(&report, &frozen("proof", "")), ObjectOutcome::Replaced, "{report:#?}");
    let events = control_plane().audit().since(mark).unwrap();
    let mut deeds = events
        .iter()
        .filter(|event| event.namespace == "proof" && event.resource == "configmaps")
        .filter(|event| event.verb != "get" && event.verb != "list")
        .map(|event| (event.verb.as_str(), event.mode));
    assert_eq!(deeds.next(), Some(("create", Mode::DryRun)));
    assert_eq!(deeds.next(), Some(("delete", Mode::Real)));
    assert_eq!(deeds.next(), Some(("patch", Mode::Real)));
    assert_eq!(deeds.next(), None);
}

#[tokio::test]
async fn a_replacement_that_is_refused_at_the_last_moment_deletes_nothing() {
    namespace("late");
    let site = |value: &str| Site::new("late").component("app", [frozen("late", value)]);
    apply(&site("1")).await;
    let uid = live(&frozen("late", "")).unwrap()["metadata"]["uid"].clone();
    let second = site("2");
    let cluster = cluster().await;
    let planned = observed(&cluster, &second).await;
    kubectl(&["create", "quota", "full", "-n", "late", "--hard=count/configmaps=0"]);
    let trial = ["create", "configmap", "trial", "-n", "late", "--dry-run=server"];
    // until admission knows the quota
    while control_plane().kubectl(&trial).is_ok() {}
    let report = do_plan(&cluster, &second, &planned).await;
    assert_eq!(code(&report, &frozen("late", "")), "SW0509");
    assert_eq!(live(&frozen("late", "")).unwrap()["metadata"]["uid"], uid);
}
