//! Kueue's own manager behind its own chart, unchanged.

use std::{
    thread,
    time::{Duration, Instant},
};

use sitewright_testbed::{ControlPlane, Kueue, Nodes, Options};

const QUEUES: &str = r"
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: { name: gpu }
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: { name: vision }
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [nvidia.com/gpu]
    flavors: [{ name: gpu, resources: [{ name: nvidia.com/gpu, nominalQuota: 8 }] }]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: { name: vision, namespace: default }
spec: { clusterQueue: vision }
";

fn job(name: &str, gpus: u32) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: default
  labels: {{ kueue.x-k8s.io/queue-name: vision }}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: train
        image: example.edu/train
        resources: {{ requests: {{ nvidia.com/gpu: "{gpus}" }}, limits: {{ nvidia.com/gpu: "{gpus}" }} }}
"#
    )
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_job_within_the_quota_runs_and_one_above_it_waits() {
    let gpus = Nodes::named("gpu").count(2).capacity("nvidia.com/gpu", "8");
    let control_plane = ControlPlane::start(Options::new().scheduler().nodes(gpus)).unwrap();
    let kueue = Kueue::install(&control_plane).unwrap();
    let get = |what: &str, path: &str| {
        let path = format!("jsonpath={{{path}}}");
        control_plane.kubectl(&["get", what, "-n", "default", "-o", &path]).unwrap()
    };

    control_plane.kubectl_with(&["apply", "-f", "-"], QUEUES.as_bytes()).unwrap();
    control_plane
        .kubectl(&["wait", "--for=condition=Active", "clusterqueue/vision", "--timeout=60s"])
        .unwrap();
    let submit = |name: &str, gpus: u32| {
        control_plane.kubectl_with(&["apply", "-f", "-"], job(name, gpus).as_bytes()).unwrap()
    };
    // One after the other: Kueue makes Workloads of two new Jobs side by side, so that the second may
    // be admitted first.
    submit("fits", 8);
    eventually("the pod of the admitted Job runs", || {
        get("pods", ".items[*].status.phase") == "Running"
    });
    assert_eq!(get("job/fits", ".spec.suspend"), "false", "{}", kueue.last_lines());
    submit("waits", 4);
    eventually("the waiting Job is counted", || {
        get("localqueue/vision", ".status.pendingWorkloads") == "1"
    });
    assert_eq!(get("job/waits", ".spec.suspend"), "true");
    assert_eq!(get("pods", ".items[*].status.phase"), "Running", "a pod above the quota runs");
    control_plane
        .kubectl(&["wait", "--for=condition=Available", "apiservice", "--all", "--timeout=60s"])
        .unwrap();
}
