//! The lock of a site, held and lost.

use std::time::{Duration, Instant};

use serde_json::json;
use sitewright_cluster::{
    Cluster, Connection, Deadlines,
    apply::{End, ObjectOutcome, Options},
};
use sitewright_testbed::{Fault, FaultProxy, Request};

use crate::{
    faults::proxy,
    site::{Site, apply, apply_on, config_map, control_plane, live, namespace, outcome},
};

/// A holder on another machine, of which nothing can be known here.
const ELSEWHERE: &str = "elsewhere_7_7_othermachine_00000000";

fn lease(site: &str) -> String {
    format!("sitewright-{site}")
}

/// Lets somebody else hold the lock of a site, for as many seconds of silence.
fn steal(site: &str, seconds: u64) {
    let patch = json!({ "spec": { "holderIdentity": ELSEWHERE, "leaseDurationSeconds": seconds } });
    let (lease, patch) = (lease(site), patch.to_string());
    let arguments =
        ["patch", "lease", &lease, "-n", "sitewright-system", "--type=merge", "-p", &patch];
    control_plane().kubectl(&arguments).unwrap();
}

fn holder(site: &str) -> String {
    let arguments = [
        "get",
        "lease",
        &lease(site),
        "-n",
        "sitewright-system",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ];
    control_plane().kubectl(&arguments).unwrap()
}

fn is_lease(request: &Request) -> bool {
    request.path.contains("/leases/")
}

fn is_apply_of(request: &Request, name: &str) -> bool {
    request.method == "PATCH" && request.path.ends_with(&format!("/configmaps/{name}"))
}

async fn connect(proxy: &FaultProxy, concurrency: usize, deadlines: Deadlines) -> Cluster {
    let connection = Connection {
        kubeconfig: Some(proxy.kubeconfig().to_owned()),
        concurrency: concurrency.try_into().ok(),
        deadlines,
        ..Connection::default()
    };
    Cluster::connect(&connection).await.unwrap()
}

/// A site whose second component waits for the first.
fn two_steps(name: &str) -> Site {
    Site::new(name)
        .component("first", [config_map(name, "first", "v")])
        .component("second", [config_map(name, "second", "v")])
        .with(|component| component.depends_on = vec!["first".parse().unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_once_the_lock_is_lost() {
    namespace("stolen");
    apply(&Site::new("stolen").component("other", [config_map("stolen", "other", "v")])).await;
    let proxy = proxy();
    let cluster = connect(&proxy, 8, Deadlines::default()).await;
    // a write that hangs, so that it is under way when the lock is lost
    proxy.inject(Fault::Silence, 1, |request| {
        let is_hit = is_apply_of(request, "first");
        if is_hit {
            std::thread::spawn(|| steal("stolen", 15));
        }
        is_hit
    });
    let report = apply_on(&cluster, &two_steps("stolen"), Options::default()).await.unwrap();
    assert_eq!(report.end, End::Failed);
    let codes: Vec<&str> = report.troubles.iter().map(|trouble| trouble.code.as_str()).collect();
    assert_eq!(codes, ["SW0505"], "{report:#?}");
    assert!(report.troubles[0].message.contains("process 7 on elsewhere"), "{report:#?}");
    let requests = proxy.requests();
    let hung = requests.iter().position(|request| is_apply_of(request, "first")).unwrap();
    let late: Vec<&Request> = requests[hung + 1..]
        .iter()
        .filter(|request| request.writes() && !is_lease(request))
        .collect();
    assert!(late.is_empty(), "{late:#?}");
    assert_eq!(holder("stolen"), ELSEWHERE);
    assert!(live(&config_map("stolen", "second", "v")).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_cannot_be_renewed_is_given_up_before_another_may_take_it() {
    namespace("silent");
    let proxy = proxy();
    let cluster = connect(&proxy, 8, Deadlines::default()).await;
    // the Lease is written once; then neither it nor the object comes through
    proxy.inject(Fault::Silence, u32::MAX, |request| is_lease(request) && request.method == "PUT");
    proxy.inject(Fault::TooManyRequests(Duration::from_secs(1)), u32::MAX, |request| {
        is_apply_of(request, "first")
    });
    let report = apply_on(&cluster, &two_steps("silent"), Options::default()).await.unwrap();
    assert_eq!(report.troubles[0].code, "SW0505", "{report:#?}");
    let tries = proxy.requests().iter().filter(|request| is_apply_of(request, "first")).count();
    assert!(tries >= 5, "{tries} tries: the lock was given up too soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_requests_do_not_hold_up_the_renewal() {
    namespace("crowded");
    let proxy = proxy();
    // one place for requests, taken for longer than an unrenewed lock is believed
    let deadlines = Deadlines { attempt: Duration::from_secs(12), ..Deadlines::default() };
    let cluster = connect(&proxy, 1, deadlines).await;
    proxy.inject(Fault::Silence, 1, |request| is_apply_of(request, "first"));
    let report = apply_on(&cluster, &two_steps("crowded"), Options::default()).await.unwrap();
    assert_eq!(report.end, End::Converged, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_holder_is_believed_for_as_long_as_its_lease_says() {
    namespace("patient");
    let body = config_map("patient", "c", "1");
    apply(&Site::new("patient").component("app", [body])).await;
    steal("patient", 4);
    let body = config_map("patient", "c", "2");
    let started = Instant::now();
    let report = apply(&Site::new("patient").component("app", [body.clone()])).await;
    assert_eq!(outcome(&report, &body), ObjectOutcome::Updated);
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(holder("patient"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_shows_itself_keeps_the_lock() {
    namespace("alive");
    apply(&Site::new("alive").component("app", [config_map("alive", "c", "1")])).await;
    steal("alive", 6);
    let shows_itself = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(3));
        let (lease, now) = (lease("alive"), jiff::Timestamp::now());
        let patch = json!({ "spec": { "renewTime": format!("{now:.6}") } }).to_string();
        let arguments =
            ["patch", "lease", &lease, "-n", "sitewright-system", "--type=merge", "-p", &patch];
        control_plane().kubectl(&arguments).unwrap();
    });
    let cluster = crate::site::cluster().await;
    let site = Site::new("alive").component("app", [config_map("alive", "c", "2")]);
    let error = apply_on(&cluster, &site, Options::default()).await.unwrap_err();
    shows_itself.join().unwrap();
    assert_eq!(error.code().number, 504, "{error}");
    assert!(error.to_string().contains("process 7 on elsewhere"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_cannot_be_given_back_does_not_hide_what_was_done() {
    namespace("unreleased");
    let proxy = proxy();
    let cluster = connect(&proxy, 8, Deadlines::default()).await;
    proxy.inject(Fault::InternalError, u32::MAX, |request| {
        is_lease(request) && request.method == "PUT"
    });
    let report = apply_on(&cluster, &two_steps("unreleased"), Options::default()).await.unwrap();
    assert_eq!(report.end, End::Converged, "{report:#?}");
    assert_eq!(report.troubles[0].code, "SW0608", "{report:#?}");
}
