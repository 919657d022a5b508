//! The proxy that counts requests and lets them fail.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sitewright_testbed::{ControlPlane, Fault, FaultProxy, Options, Request, tools::Tool};

fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| {
        ControlPlane::start(Options::new().without_controllers()).expect("it starts")
    })
}

/// kubectl through the proxy, without the retries that would blur the count.
fn kubectl(proxy: &FaultProxy, arguments: &[&str]) -> Command {
    let mut command = Command::new(Tool::Kubectl.find().expect("kubectl is there"));
    command.args(arguments).env("KUBECONFIG", proxy.kubeconfig());
    command.env("KUBECACHEDIR", control_plane().folder().join("cache-of-proxy"));
    command
}

fn creates(request: &Request) -> bool {
    request.writes() && request.path.ends_with("/configmaps")
}

/// Runs `kubectl create configmap NAME` through the proxy; whether kubectl was told that it worked.
fn create(proxy: &FaultProxy, name: &str) -> bool {
    let arguments = ["create", "configmap", name, "-n", "default"];
    kubectl(proxy, &arguments).output().expect("kubectl runs").status.success()
}

fn exists(name: &str) -> bool {
    control_plane().kubectl(&["get", "configmap", name, "-n", "default"]).is_ok()
}

#[test]
fn requests_pass_and_are_recorded() {
    let proxy = FaultProxy::start(control_plane()).unwrap();
    proxy.count_only(creates);
    assert!(create(&proxy, "passes") && exists("passes"));
    let [request] = &proxy.requests().into_iter().filter(creates).collect::<Vec<_>>()[..] else {
        panic!("{:#?}", proxy.requests())
    };
    assert_eq!((request.number, request.status), (Some(1), Some(201)));
    assert_eq!(request.path, "/api/v1/namespaces/default/configmaps");
    assert!(request.query.contains("fieldManager=kubectl-create"), "{request:?}");
    assert_eq!(proxy.count(), 1);
}

#[test]
fn a_request_cut_before_is_not_done_and_one_cut_after_is_done_unknown_to_the_client() {
    let proxy = FaultProxy::start(control_plane()).unwrap();
    proxy.count_only(creates);
    proxy.cut_before(1);
    proxy.cut_after(2);
    assert!(!create(&proxy, "cut-before") && !exists("cut-before"));
    assert!(!create(&proxy, "cut-after") && exists("cut-after"));
    assert!(create(&proxy, "afterwards"));
    let answers: Vec<_> =
        proxy.requests().into_iter().filter(creates).map(|r| (r.number, r.status)).collect();
    assert_eq!(answers, [(Some(1), None), (Some(2), None), (Some(3), Some(201))]);
}

#[test]
fn a_call_happens_at_its_moment_and_a_restart_forgets() {
    let proxy = FaultProxy::start(control_plane()).unwrap();
    proxy.count_only(creates);
    static DONE: AtomicBool = AtomicBool::new(false);
    proxy.call_after(1, || DONE.store(exists("called"), Ordering::SeqCst));
    assert!(!create(&proxy, "called"));
    assert!(DONE.load(Ordering::SeqCst), "the object was there when the call happened");

    proxy.cut_before(2);
    proxy.restart();
    assert_eq!((proxy.count(), proxy.requests().len()), (0, 0));
    assert!(create(&proxy, "restarted-one") && create(&proxy, "restarted-two"));
}

#[test]
fn faults_answer_as_the_server_would() {
    let proxy = FaultProxy::start(control_plane()).unwrap();
    proxy.count_only(creates);
    let faults = [
        (Fault::Conflict, "injected by the testbed: Conflict"),
        (Fault::InternalError, "injected by the testbed: InternalError"),
        (Fault::Unavailable, ""),
    ];
    // Clients try again after 503, so its message is not always shown.
    for (fault, message) in faults {
        proxy.inject(fault, 1, creates);
        let arguments = ["create", "configmap", "faulty", "-n", "default"];
        let output = kubectl(&proxy, &arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(message), "{fault:?}: {said}");
        control_plane()
            .kubectl(&["delete", "configmap", "faulty", "-n", "default", "--ignore-not-found"])
            .unwrap();
    }
    // Kubernetes clients wait as long as they are told, and then succeed.
    proxy.inject(Fault::TooManyRequests(Duration::from_secs(2)), 1, creates);
    let started = Instant::now();
    assert!(create(&proxy, "patient"));
    assert!(started.elapsed() >= Duration::from_secs(2));

    proxy.inject(Fault::Silence, 1, creates);
    let arguments = ["create", "configmap", "silent", "-n", "default", "--request-timeout=1s"];
    assert!(!kubectl(&proxy, &arguments).output().unwrap().status.success());
    assert!(!exists("silent"));
}

#[test]
fn a_watch_passes_each_event_when_it_happens() {
    let proxy = FaultProxy::start(control_plane()).unwrap();
    let arguments = ["get", "configmaps", "-n", "kube-public", "--watch-only", "-o", "name"];
    let mut watch = kubectl(&proxy, &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let watching =
        |request: &Request| request.query.contains("watch=true") && request.status == Some(200);
    while !proxy.requests().iter().any(watching) {
        assert!(Instant::now() < deadline, "{:#?}", proxy.requests());
        std::thread::sleep(Duration::from_millis(50));
    }
    control_plane().kubectl(&["create", "configmap", "seen", "-n", "kube-public"]).unwrap();
    let line = BufReader::new(watch.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(line, "configmap/seen");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn clients_act_as_the_user_of_the_proxy() {
    let proxy = FaultProxy::start_as(control_plane(), "somebody", &["system:masters"]).unwrap();
    let output = kubectl(&proxy, &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "somebody");
}
