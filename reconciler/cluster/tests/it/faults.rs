//! Answers that get lost, servers that are busy: every request of an apply is hit once.

use std::time::Duration;

use serde_json::{Value, json};
use sitewright_cluster::{
    Cluster,
    apply::{End, Options, Report},
    observe::Depth,
};
use sitewright_testbed::{Fault, FaultProxy};

use crate::site::{
    Site, apply, apply_on, cluster, config_map, connect, control_plane, live, namespace,
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
