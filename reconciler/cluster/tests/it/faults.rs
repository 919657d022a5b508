//! Answers that get lost, servers that are busy, webhooks that hang: what is hit, and what goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sitewright_cluster::{
    CancellationToken, Cluster, Connection, Deadlines,
    apply::{End, Event, ObjectOutcome, Options, Report},
    observe::Depth,
};
use sitewright_model::{
    inventory::EntryState,
    object::ObjectId,
    plan::{self, Action},
};
use sitewright_testbed::{Authority, ControlPlane, Fault, FaultProxy, Request};

use crate::site::{
    Site, apply, apply_on, cluster, config_map, connect, control_plane, id, live, namespace,
    outcome,
};

fn frozen(namespace: &str, value: &str) -> Value {
    let mut body = config_map(namespace, "frozen", value);
    body["immutable"] = true.into();
    body
}

/// A site before and after a revision that creates, updates, replaces and deletes.
fn revisions(name: &str) -> (Site, Site) {
    let map = |object: &str, value: &str| config_map(name, object, value);
    let before = [map("changes", "1"), map("goes", "1"), frozen(name, "1")];
    let after = [map("changes", "2"), map("comes", "1"), frozen(name, "2")];
    (Site::new(name).component("app", before), Site::new(name).component("app", after))
}

/// The proxy has a runtime of its own, and starts outside of ours.
pub(crate) fn proxy() -> FaultProxy {
    let start = || FaultProxy::start(control_plane()).unwrap();
    std::thread::spawn(start).join().unwrap()
}

async fn through(proxy: &FaultProxy) -> Cluster {
    connect(proxy.kubeconfig()).await
}

fn assert_converged(name: &str, report: &Report, hint: &str) {
    assert_eq!(report.end, End::Converged, "{hint}: {report:#?}");
    let value =
        |object: &str| live(&config_map(name, object, "")).map(|live| live["data"]["key"].clone());
    assert_eq!(value("changes"), Some(json!("2")), "{hint}");
    assert_eq!(value("comes"), Some(json!("1")), "{hint}");
    assert_eq!(value("frozen"), Some(json!("2")), "{hint}");
    assert_eq!(value("goes"), None, "{hint}");
}

async fn is_settled(site: &Site) -> bool {
    let cluster = cluster().await;
    let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
    live.inventory.entries.len() == 3 && cluster.requests().dry_run == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_or_answer_changes_nothing_whichever_it_is() {
    namespace("lossy");
    let (before, after) = revisions("lossy");
    let proxy = proxy();
    apply(&before).await;
    let cluster = through(&proxy).await;
    proxy.restart();
    let report = apply_on(&cluster, &after, Options::default()).await.unwrap();
    assert_converged("lossy", &report, "no loss");
    let total = proxy.count();
    assert!(total > 15, "{total} requests");
    for number in 1..=total {
        for cut in [FaultProxy::cut_before, FaultProxy::cut_after] {
            apply(&before).await;
            let cluster = through(&proxy).await;
            proxy.restart();
            cut(&proxy, number);
            let hint = format!("request {number} of {total}");
            let report = apply_on(&cluster, &after, Options::default()).await;
            let report =
                report.unwrap_or_else(|error| panic!("{hint}: {error}: {:#?}", proxy.requests()));
            assert_converged("lossy", &report, &hint);
            assert!(is_settled(&after).await, "{hint}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_when_it_says() {
    namespace("busy");
    let (before, after) = revisions("busy");
    let proxy = proxy();
    let faults =
        [Fault::TooManyRequests(Duration::from_secs(1)), Fault::Unavailable, Fault::InternalError];
    for fault in faults {
        apply(&before).await;
        let cluster = through(&proxy).await;
        proxy.restart();
        proxy.inject(fault, 2, |request| request.writes());
        proxy.inject(fault, 2, |request| !request.writes());
        let started = std::time::Instant::now();
        let report = apply_on(&cluster, &after, Options::default()).await.unwrap();
        assert_converged("busy", &report, &format!("{fault:?}"));
        assert!(report.requests.retries >= 1, "{:?}", report.requests);
        if fault != Fault::InternalError {
            assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After was not obeyed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writer_of_the_inventory_stops_the_apply() {
    namespace("raced");
    let (before, after) = revisions("raced");
    apply(&before).await;
    let proxy = proxy();
    let cluster = through(&proxy).await;
    proxy.count_only(|request| {
        request.method == "PUT" && request.path.contains("/configmaps/sitewright-raced")
    });
    proxy.restart();
    // when the program writes ahead, somebody else has just done so
    proxy.call_before(1, || {
        let patch = r#"{"data":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}"#;
        let arguments =
            ["patch", "configmap", "sitewright-raced.1.0", "-n", "sitewright-system", "--type=merge", "-p", patch];
        control_plane().kubectl(&arguments).unwrap();
    });
    let error = apply_on(&cluster, &after, Options::default()).await.unwrap_err();
    assert_eq!(error.code().number, 503, "{error}");
    // nothing was applied
    assert_eq!(live(&config_map("raced", "changes", "")).unwrap()["data"]["key"], "1");
    // and what is damaged now is not taken for empty
    let error = cluster.observe(after.desired(), Depth::Full).await.unwrap_err();
    assert_eq!(error.code().number, 502, "{error}");
}

// === one request's trouble ===

/// Two components that do not need each other.
fn branches(name: &str, bad: Value) -> (Site, Value) {
    let good = config_map(name, "good", "v");
    let site = Site::new(name).component("bad", [bad]).component("good", [good.clone()]);
    (site, good)
}

fn at_most(seconds: u64) -> Options {
    Options { longest_wait: Some(Duration::from_secs(seconds)), ..Options::default() }
}

fn code_of(report: &Report, body: &Value) -> String {
    let ObjectOutcome::Failed { code, .. } = outcome(report, body) else { panic!("{report:#?}") };
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_a_race_with_itself_is_asked_again() {
    namespace("races");
    let proxy = proxy();
    let cluster = through(&proxy).await;
    proxy.inject(Fault::Conflict, 2, |request| request.method == "PATCH");
    let site = Site::new("races").component("app", [config_map("races", "c", "v")]);
    let report = apply_on(&cluster, &site, Options::default()).await.unwrap();
    assert_eq!(report.end, End::Converged, "{report:#?}");
    assert_eq!(report.requests.apply, 3, "{:?}", report.requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_never_answered_fails_its_branch_only() {
    namespace("unanswered");
    let proxy = proxy();
    let deadlines =
        Deadlines { attempt: Duration::from_secs(1), operation: Duration::from_secs(3) };
    let kubeconfig = Some(proxy.kubeconfig().to_owned());
    let connection = Connection { kubeconfig, deadlines, ..Connection::default() };
    let cluster = Cluster::connect(&connection).await.unwrap();
    let is_hit =
        |request: &Request| request.method == "PATCH" && request.path.ends_with("/configmaps/bad");
    proxy.inject(Fault::Silence, u32::MAX, is_hit);
    let bad = config_map("unanswered", "bad", "v");
    let (site, good) = branches("unanswered", bad.clone());
    let started = Instant::now();
    let report = apply_on(&cluster, &site, Options::default()).await.unwrap();
    assert!(started.elapsed() >= deadlines.operation, "{:?}", started.elapsed());
    assert_eq!(report.troubles, [], "{report:#?}");
    assert_eq!(code_of(&report, &bad), "SW0608", "{report:#?}");
    assert_eq!(outcome(&report, &good), ObjectOutcome::Created);
    let tries = proxy.requests().iter().filter(|request| is_hit(request)).count();
    assert!(tries >= 2, "{tries} tries");
}

/// Every write of what is labelled `judge: NAME` goes to a webhook that takes connections and says nothing.
fn hanging_webhook(name: &'static str) -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/judge", listener.local_addr().unwrap());
    let hook = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": format!("{name}.example") }, "webhooks": [{ "name": format!("{name}.example.org"),
            "clientConfig": { "url": url }, "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 2,
            "admissionReviewVersions": ["v1"], "objectSelector": { "matchLabels": { "judge": name } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"] }] }] });
    control_plane().kubectl_with(&["apply", "-f", "-"], hook.to_string().as_bytes()).unwrap();
    listener
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_fails_its_branch_only() {
    namespace("hook");
    let _listener = hanging_webhook("hook");
    let mut bad = config_map("hook", "bad", "v");
    bad["metadata"]["labels"] = json!({ "judge": "hook" });
    let (site, good) = branches("hook", bad.clone());
    let report = apply_on(&cluster().await, &site, at_most(3)).await.unwrap();
    assert_eq!(code_of(&report, &bad), "SW0511", "{report:#?}");
    assert_eq!(outcome(&report, &good), ObjectOutcome::Created);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_webhook_holds_no_place() {
    namespace("places");
    let _listener = hanging_webhook("places");
    let hung = (0..4).map(|number| {
        let mut body = config_map("places", &format!("hung-{number}"), "v");
        body["metadata"]["labels"] = json!({ "judge": "places" });
        body
    });
    // by identity, what hangs comes first
    let good = config_map("places", "zz-good", "v");
    let site = Site::new("places").component("app", hung.chain([good.clone()]));
    // one request at a time, and two changes
    let connection = Connection {
        kubeconfig: Some(control_plane().kubeconfig().to_owned()),
        concurrency: 1.try_into().ok(),
        ..Connection::default()
    };
    let cluster = Cluster::connect(&connection).await.unwrap();
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let plan = sitewright_model::plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
    let (events, mut receiver) = tokio::sync::mpsc::channel(100);
    let cancel = CancellationToken::new();
    cluster.apply(site.desired(), &plan, &live, at_most(20), events, cancel).await.unwrap();
    let mut done = Vec::new();
    while let Some(event) = receiver.recv().await {
        if let Event::Done { id, .. } = event {
            done.push(id);
        }
    }
    assert_eq!(done.len(), 5, "{done:?}");
    assert_eq!(done[0], id(&good), "it waited for what hangs: {done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_cannot_be_looked_at_holds_up_what_waits_for_it_alone() {
    namespace("unseen");
    let proxy = proxy();
    let cluster = through(&proxy).await;
    proxy
        .inject(Fault::InternalError, u32::MAX, |request| request.path.contains("/endpointslices"));
    let service = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "judge", "namespace": "unseen" },
        "spec": { "selector": { "app": "judge" }, "ports": [{ "port": 443 }] } });
    let hook = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "unseen.example" }, "webhooks": [{ "name": "unseen.example.org",
            "clientConfig": { "service": { "name": "judge", "namespace": "unseen" } }, "failurePolicy": "Ignore",
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "rules": [{ "apiGroups": ["unseen.example"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"] }] }] });
    let good = config_map("unseen", "good", "v");
    let site = Site::new("unseen")
        .component("bad", [service.clone(), hook.clone()])
        .component("good", [good.clone()]);
    let report = apply_on(&cluster, &site, at_most(3)).await.unwrap();
    assert_eq!(report.troubles, [], "{report:#?}");
    assert_eq!(code_of(&report, &service), "SW0511", "{report:#?}");
    assert!(live(&hook).is_none());
    assert_eq!(outcome(&report, &good), ObjectOutcome::Created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_webhook_that_fails_holds_its_kind_alone() {
    // Of its own: while a kind cannot be converted, the garbage collector of the whole cluster waits.
    let start = || ControlPlane::start(sitewright_testbed::Options::new()).unwrap();
    let control_plane = std::thread::spawn(start).join().unwrap();
    let cluster = connect(control_plane.kubeconfig()).await;
    control_plane.kubectl(&["create", "namespace", "converts"]).unwrap();
    let crd = |conversion: Value| {
        let version = |name: &str, storage: bool| {
            json!({ "name": name, "served": true, "storage": storage, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } })
        };
        json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": "things.converts.example" },
            "spec": { "group": "converts.example", "scope": "Namespaced",
                "names": { "plural": "things", "kind": "Thing" }, "conversion": conversion,
                "versions": [version("v1", true), version("v2", false)] } })
    };
    let kubectl = |body: &Value| {
        let arguments = ["apply", "--server-side", "-f", "-"];
        control_plane.kubectl_with(&arguments, body.to_string().as_bytes()).unwrap();
    };
    kubectl(&crd(json!({ "strategy": "None" })));
    let wait = ["wait", "--for=condition=Established", "crd/things.converts.example"];
    control_plane.kubectl(&wait).unwrap();
    let thing = |version: &str| {
        json!({ "apiVersion": format!("converts.example/{version}"), "kind": "Thing",
            "metadata": { "name": "t", "namespace": "converts" }, "spec": { "size": 1 } })
    };
    let (first, good) = (config_map("converts", "first", "v"), config_map("converts", "good", "v"));
    let before = Site::new("converts").component("app", [thing("v1"), first.clone()]);
    assert_eq!(apply_on(&cluster, &before, Options::default()).await.unwrap().end, End::Converged);
    let nowhere = json!({ "strategy": "Webhook", "webhook": { "conversionReviewVersions": ["v1"],
        "clientConfig": { "url": "https://127.0.0.1:1/convert" } } });
    kubectl(&crd(nowhere));
    let site = Site::new("converts").component("app", [thing("v2"), first, good.clone()]);
    let change = async || {
        let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
        let plan = plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
        plan.change(&id(&thing("v2"))).unwrap().clone()
    };
    let mut held = change().await;
    // the server takes a moment to take the new definition up
    for _ in 0..50 {
        if held.action == Action::Unknown {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        held = change().await;
    }
    assert_eq!(held.action, Action::Unknown, "{held:?}");
    let gates = format!("{:?}", held.gates);
    assert!(gates.contains("MissingEvidence") && gates.contains("conversion webhook"), "{gates}");
    let report = apply_on(&cluster, &site, Options::default()).await.unwrap();
    assert_eq!(outcome(&report, &good), ObjectOutcome::Created, "{report:#?}");
}

// === the record ===

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_inventory_is_written_loses_no_record() {
    namespace("flush");
    let map = config_map("flush", "c", "v");
    // never ready: there are no nodes
    let web = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "flush" },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } } });
    let site = Site::new("flush").component("app", [map.clone(), web]);
    let proxy = proxy();
    let cluster = through(&proxy).await;
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await.unwrap();
    let plan = sitewright_model::plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
    proxy.count_only(|request| {
        request.method == "PUT" && request.path.contains("/configmaps/sitewright-flush.1.")
    });
    proxy.restart();
    let cancel = CancellationToken::new();
    let signal = cancel.clone();
    // the first one writes ahead; the second comes while the apply waits, and its answer is lost too
    proxy.call_before(2, move || signal.cancel());
    let options = Options { record_every: Some(Duration::from_millis(100)), ..Options::default() };
    let (events, _receiver) = tokio::sync::mpsc::channel(1);
    let report =
        cluster.apply(site.desired(), &plan, &live, options, events, cancel).await.unwrap();
    assert_eq!((report.end, &report.troubles[..]), (End::Stopped, &[][..]), "{report:#?}");
    assert_eq!(outcome(&report, &map), ObjectOutcome::Created);
    let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
    let state = |id: &ObjectId| live.inventory.entries[id].state.clone();
    assert!(matches!(state(&id(&map)), EntryState::Applied { .. }), "{:?}", state(&id(&map)));
}

// === no ground ===

#[tokio::test]
async fn credentials_and_certificates_that_are_refused_are_told_as_such() {
    let plane = control_plane();
    let connect = |name: &str, authority: String, user: Value| {
        let path = plane.folder().join(name);
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
            "clusters": [{ "name": "c", "cluster": { "server": plane.url(), "certificate-authority": authority } }],
            "users": [{ "name": "c", "user": user }] });
        std::fs::write(&path, config.to_string()).unwrap();
        async move {
            let connection = Connection { kubeconfig: Some(path), ..Connection::default() };
            Cluster::connect(&connection).await.unwrap_err()
        }
    };
    let file = |name: &str, text: String| {
        let path = plane.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let ours = file("ours.crt", plane.authority().certificate());
    let other = file("other.crt", Authority::new("other").unwrap().certificate());
    let error = connect("unauthorised", ours, json!({ "token": "canary-token" })).await;
    assert_eq!(error.code().number, 605, "{error}");
    assert!(!format!("{error}{error:?}").contains("canary"), "{error:?}");
    let error = connect("uncertain", other, json!({ "token": "canary-token" })).await;
    assert_eq!(error.code().number, 604, "{error}");
}
