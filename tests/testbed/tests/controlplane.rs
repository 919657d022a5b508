//! The test control plane against itself.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sitewright_testbed::{AuditEvent, ControlPlane, Mode, Nodes, Options};

/// One control plane for the tests that only read it or use names of their own.
fn shared() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| {
        let gpus = Nodes::named("gpu")
            .count(2)
            .capacity("nvidia.com/gpu", "8")
            .label("nvidia.com/gpu.product", "H200");
        ControlPlane::start(Options::new().scheduler().nodes(gpus)).expect("it starts")
    })
}

/// The audit log is one for all, so tests that read it take turns and look for their own names.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_server_reports_the_pinned_version() {
    let version = shared().kubectl(&["version", "-o", "json"]).unwrap();
    let pinned = sitewright_testbed::tools::Tool::KubeApiserver.version().unwrap();
    assert_eq!(version.matches(&format!("\"gitVersion\": \"{pinned}\"")).count(), 2, "{version}");
}

#[test]
fn the_audit_log_shows_each_request_once_and_none_of_the_testbeds() {
    let (control_plane, _turn) = (shared(), alone());
    let before = control_plane.audit().mark().unwrap();
    control_plane.kubectl(&["create", "configmap", "audited", "-n", "default"]).unwrap();
    let apply = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    let object =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: rehearsed, namespace: default}}";
    control_plane.kubectl_with(&apply, object.as_bytes()).unwrap();

    let events = control_plane.audit().since(before).unwrap();
    let of = |name: &str| -> Vec<&AuditEvent> {
        events.iter().filter(|event| event.name == name).collect()
    };
    let [create] = of("audited")[..] else { panic!("{events:#?}") };
    assert_eq!((create.verb.as_str(), create.code, create.mode), ("create", 201, Mode::Real));
    assert_eq!((create.resource.as_str(), create.namespace.as_str()), ("configmaps", "default"));
    assert!(create.user_agent.starts_with("kubectl/"), "{create:?}");
    let patch = of("rehearsed").into_iter().find(|event| event.verb == "patch").unwrap();
    assert_eq!(patch.mode, Mode::DryRun);
    assert!(events.iter().all(|event| event.user != "sitewright-testbed"));
}

#[test]
fn a_user_may_do_what_rbac_grants_and_nothing_else() {
    let control_plane = shared();
    control_plane
        .kubectl(&["create", "clusterrolebinding", "viewers", "--clusterrole=view", "--group=team"])
        .unwrap();
    let kubeconfig = control_plane.kubeconfig_for("ada", &["others", "team"]).unwrap();
    let kubeconfig = kubeconfig.display().to_string();
    let can = |verb: &str| {
        let args = ["auth", "can-i", verb, "pods", "-n", "default", "--kubeconfig", &kubeconfig];
        control_plane.kubectl(&args).is_ok_and(|answer| answer.trim() == "yes")
    };
    eventually("the binding is in force", || can("list"));
    assert!(!can("delete"));
}

#[test]
fn pods_run_on_fake_nodes_and_jobs_finish_when_told() {
    let control_plane = shared();
    let job = r#"
apiVersion: batch/v1
kind: Job
metadata: { name: train, namespace: default }
spec:
  template:
    metadata: { annotations: { testbed.sitewright.dev/run-for: 100ms } }
    spec:
      restartPolicy: Never
      containers:
      - { name: train, image: example.edu/train, resources: { limits: { nvidia.com/gpu: "8" } } }
"#;
    control_plane.kubectl_with(&["apply", "-f", "-"], job.as_bytes()).unwrap();
    control_plane
        .kubectl(&["wait", "--for=condition=Complete", "job/train", "--timeout=60s"])
        .unwrap();
}

#[test]
fn a_webhook_is_called_through_its_service_at_a_local_process() {
    let control_plane = shared();
    let hook = |service: &str| {
        format!(
            r#"
apiVersion: v1
kind: Service
metadata: {{ name: {service}, namespace: default }}
spec: {{ ports: [{{ port: 443, targetPort: 9443 }}] }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{ name: {service} }}
webhooks:
- name: {service}.example.edu
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  timeoutSeconds: 10
  clientConfig: {{ service: {{ name: {service}, namespace: default }} }}
  rules: [{{ apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE] }}]
  objectSelector: {{ matchLabels: {{ hook: {service} }} }}
"#
        )
    };
    for service in ["routed", "unrouted"] {
        control_plane.kubectl_with(&["apply", "-f", "-"], hook(service).as_bytes()).unwrap();
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    control_plane.route("routed.default.svc:443", &target).unwrap();
    // Whoever speaks TLS first sends a handshake record (22): the API server reached the process.
    let first_byte = thread::spawn(move || {
        use std::io::Read;
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).map(|()| byte[0])
    });
    let create = |service: &str| {
        let object = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{generateName: hooked-, namespace: default, labels: {{hook: {service}}}}}}}"
        );
        control_plane.kubectl_with(&["create", "-f", "-"], object.as_bytes())
    };
    eventually("the webhook is called", || {
        let _ = create("routed");
        first_byte.is_finished()
    });
    assert_eq!(first_byte.join().unwrap().unwrap(), 22);

    let mut refusal = String::new();
    eventually("the webhook without a route is refused", || match create("unrouted") {
        Ok(_) => false,
        Err(error) => {
            refusal = error.to_string();
            true
        }
    });
    assert!(refusal.contains("no route to"), "{refusal}");
}

#[test]
fn two_control_planes_side_by_side_know_nothing_of_each_other_and_leave_nothing() {
    let other = ControlPlane::start(Options::new().without_controllers()).unwrap();
    assert_ne!(other.url(), shared().url());
    other.kubectl(&["create", "namespace", "elsewhere"]).unwrap();
    assert!(shared().kubectl(&["get", "namespace", "elsewhere"]).is_err());

    let (ids, folder) = (other.process_ids(), other.folder().to_owned());
    assert_eq!(ids.len(), 2);
    drop(other);
    assert!(!folder.exists());
    assert!(!ids.iter().any(is_alive));
}

#[test]
fn data_survives_a_killed_api_server_and_a_killed_etcd() {
    let mut control_plane = ControlPlane::start(Options::new().without_controllers()).unwrap();
    control_plane.kubectl(&["create", "namespace", "kept"]).unwrap();

    control_plane.kill_apiserver();
    assert!(control_plane.kubectl(&["get", "namespace", "kept"]).is_err());
    control_plane.start_apiserver().unwrap();
    control_plane.kubectl(&["get", "namespace", "kept"]).unwrap();

    control_plane.kill_etcd();
    control_plane.start_etcd().unwrap();
    eventually("the API server finds etcd again", || {
        control_plane.kubectl(&["get", "namespace", "kept"]).is_ok()
    });

    control_plane.stop_apiserver();
    control_plane.start_apiserver().unwrap();
    control_plane.kubectl(&["get", "namespace", "kept"]).unwrap();
}

const HOLD: &str = "TESTBED_HOLD_A_CONTROL_PLANE";

/// Not a test of its own: the process that the next test kills.
#[test]
fn hold_a_control_plane() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    // Started on a thread that ends: death signals of the kernel would fire here.
    let control_plane = thread::spawn(|| ControlPlane::start(Options::new()).unwrap());
    let control_plane = control_plane.join().unwrap();
    println!("\nheld {} {:?}", control_plane.folder().display(), control_plane.process_ids());
    thread::sleep(Duration::from_secs(120));
}

#[test]
fn a_control_plane_dies_with_its_parent_even_by_sigkill() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hold_a_control_plane", "--nocapture"])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let held = lines.map(Result::unwrap).find(|line| line.starts_with("held ")).unwrap();
    let (folder, ids) = held.trim_start_matches("held ").split_once(' ').unwrap();
    let ids: Vec<u32> = serde_json::from_str(ids).unwrap();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(is_alive) && Path::new(folder).exists());

    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("all programs and files are gone", || {
        !ids.iter().any(is_alive) && !Path::new(folder).exists()
    });
}

/// Whether the process exists and is no zombie.
fn is_alive(id: &u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
    })
}
