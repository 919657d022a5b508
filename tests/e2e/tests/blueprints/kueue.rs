//! The blueprint `kueue` with Kueue's own manager: the quota in the site is the quota that jobs get.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sitewright_e2e::{Lab, Running};
use sitewright_testbed::Kueue;

use super::control_plane;

/// Longer than the manager takes to start on a busy machine.
const INSTALLED: Duration = Duration::from_secs(180);

fn site(gpus: u32) -> String {
    format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: queues }}\nspec:\n  components:\n\
         \u{20}   - name: queues\n      blueprint: {{ name: kueue, version: 1.x }}\n      values:\n\
         \u{20}       teams: {{ vision: {{ cpus: 64, memory: 64Gi, gpus: {gpus} }} }}\n"
    )
}

fn job(name: &str, gpus: u32) -> String {
    with_priority(name, gpus, "")
}

/// `priority` is one more label.
fn with_priority(name: &str, gpus: u32, priority: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: vision
  labels: {{ kueue.x-k8s.io/queue-name: default{priority} }}
spec:
  template:
    metadata: {{ labels: {{ job: {name} }} }}
    spec:
      restartPolicy: Never
      containers:
      - name: train
        image: example.edu/train
        resources: {{ requests: {{ nvidia.com/gpu: "{gpus}" }}, limits: {{ nvidia.com/gpu: "{gpus}" }} }}
"#
    )
}

/// The values at `path` in what `kubectl get` gives in the team's namespace.
fn get(lab: &Lab, what: &[&str], path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    lab.kubectl(&[&["get", "-n", "vision", "-o", &path], what].concat())
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_team_gets_the_quota_of_the_site_and_no_more() {
    let control_plane = control_plane();
    let lab = Lab::with_library(control_plane, "queues");
    lab.site(&site(8));
    // The manager starts when its objects are there, as its pod would, while the apply waits for it. Its pod
    // finds a node, and so is ready, when the manager is.
    let nodes = |verb: &str| control_plane.kubectl(&[verb, "gpu-0", "gpu-1"]);
    nodes("cordon").unwrap();
    let (run, kueue) = thread::scope(|scope| {
        let manager = scope.spawn(|| {
            let kueue = Kueue::start_when_installed(control_plane, INSTALLED)?;
            nodes("uncordon").map(|_| kueue)
        });
        let run = lab.run(&["apply", "--yes"]);
        (run, manager.join().unwrap())
    });
    let kueue = kueue.unwrap();
    assert_eq!(run.code, 0, "{run}\n{}", kueue.last_lines());
    let active = ".status.conditions[?(@.type=='Active')].status";
    assert_eq!(get(&lab, &["clusterqueue/vision"], active), "True");
    // What the manager writes itself, certificates above all, is neither change nor drift.
    let plan = lab.run(&["plan"]);
    assert_eq!(plan.code, 0, "{plan}");
    assert_eq!(lab.run(&["drift"]).code, 0);

    let submit = |name: &str, gpus: u32| {
        lab.kubectl_with(&["apply", "-f", "-"], &job(name, gpus));
    };
    let phase =
        |job: &str| get(&lab, &["pods", "-l", &format!("job={job}")], ".items[*].status.phase");
    submit("fits", 8);
    eventually("the job within the quota runs", || phase("fits") == "Running");
    submit("waits", 4);
    eventually("the job above the quota is counted", || {
        get(&lab, &["localqueue/default"], ".status.pendingWorkloads") == "1"
    });
    assert_eq!(get(&lab, &["job/waits"], ".spec.suspend"), "true");
    assert_eq!(phase("waits"), "");

    // A changed quota may hit other teams: nobody's --yes opens that, a person's digest does.
    lab.site(&site(12));
    let held = lab.run(&["apply", "--yes"]);
    assert_eq!(held.code, 2, "{held}");
    assert_eq!(get(&lab, &["job/waits"], ".spec.suspend"), "true");
    let digest = lab.plan()["digest"].as_str().unwrap().to_owned();
    let run = lab.run(&["apply", "--plan", &digest]);
    assert_eq!(run.code, 0, "{run}");
    eventually("the job that waited runs", || phase("waits") == "Running");
    assert_eq!(phase("fits"), "Running", "a running job was touched");

    a_preempted_run_has_two_attempts_and_the_reason(&lab, &phase);
}

/// A more urgent job takes the place of one that runs, which begins again after it: one run, as the record has it.
fn a_preempted_run_has_two_attempts_and_the_reason(lab: &Lab, phase: &dyn Fn(&str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ledger, key) = (path("ledger"), path("lineage.key"));
    assert_eq!(lab.run(&["lineage", "key", "queues", "--to", &key]).code, 0);
    let arguments = ["agent", "--site", ".", "--lineage", &ledger, "--lineage-key", &key];
    let running = Running::start(&mut lab.command(&arguments));
    let explain = |job: &str| {
        let thing = format!("vision/{job}");
        let run = lab.run(&["lineage", "of", &thing, "-o", "json", "--ledger", &ledger]);
        if run.code == 0 { run.stdout } else { String::new() }
    };
    eventually("the run is recorded", || explain("waits").contains("attempt:"));
    let urgent = with_priority("urgent", 4, ", kueue.x-k8s.io/priority-class: deadline");
    lab.kubectl_with(&["apply", "-f", "-"], &urgent);
    eventually("the urgent job runs", || phase("urgent") == "Running");
    let preempted = |job: &str| explain(job).contains("Preempted");
    eventually("it is recorded who had to go", || preempted("waits") || preempted("fits"));
    let job = if preempted("waits") { "waits" } else { "fits" };
    let done = "testbed.sitewright.dev/run-for=0s";
    lab.kubectl(&["annotate", "pods", "-n", "vision", "-l", "job=urgent", done]);
    eventually("the one that had to go runs again", || phase(job).contains("Running"));
    let attempts = |job: &str| {
        let answer: Value = serde_json::from_str(&explain(job)).unwrap_or_default();
        let nodes = answer["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().filter(|node| node["kind"] == "attempt").count()
    };
    eventually("both attempts are of one run", || attempts(job) == 2);
    running.handle().signal("TERM");
    running.end();
    let public = path("lineage.pub");
    assert_eq!(lab.run(&["lineage", "verify", &ledger, "--key", &public]).code, 0);
}
