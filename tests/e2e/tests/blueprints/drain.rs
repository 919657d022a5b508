//! Draining with Kueue's own manager, the real scheduler and DaemonSet controller: a change of the GPUs waits for the job
//! that runs on them, lets nothing new start there, happens, and gives everything back.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sitewright_e2e::{Lab, Running};
use sitewright_testbed::{ControlPlane, Kueue, Nodes, Options};

const QUEUES: &str = r#"
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: { name: gpu }
spec: { nodeLabels: { nvidia.com/gpu.present: "true" } }
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: { name: vision }
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [nvidia.com/gpu]
    flavors: [{ name: gpu, resources: [{ name: nvidia.com/gpu, nominalQuota: 16 }] }]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: { name: users, namespace: research }
spec: { clusterQueue: vision }
"#;

const BLUEPRINT: &str = r#"
hazards:
  - kind: ConfigMap
    name: time-slicing
    on: update
    is: evicts-jobs
    because: the device plugin restarts on every GPU node
    hits: { nodes: { nvidia.com/gpu.present: "true" }, uses: nvidia.com/* }
waves:
  - name: driver
    hits: { nodes: { nvidia.com/gpu.present: "true" }, uses: nvidia.com/* }
    restart: { namespace: gpu-operator, daemonSets: { app: driver } }
"#;

fn objects(slices: u32, driver: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{ name: time-slicing, namespace: gpu-operator }}
data: {{ replicas: "{slices}" }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{ name: driver, namespace: gpu-operator, labels: {{ app: driver }} }}
spec:
  selector: {{ matchLabels: {{ app: driver }} }}
  updateStrategy: {{ type: OnDelete }}
  template:
    metadata: {{ labels: {{ app: driver }} }}
    spec:
      tolerations: [{{ operator: Exists }}]
      containers: [{{ name: driver, image: "example.edu/driver:{driver}" }}]
"#
    )
}

fn job(name: &str) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: research
  labels: {{ kueue.x-k8s.io/queue-name: users, sitewright.dev/owner: ada }}
spec:
  template:
    metadata: {{ labels: {{ job: {name} }} }}
    spec:
      restartPolicy: Never
      containers:
      - name: train
        image: example.edu/train
        resources: {{ requests: {{ nvidia.com/gpu: "8" }}, limits: {{ nvidia.com/gpu: "8" }} }}
"#
    )
}

struct Site {
    lab: Lab,
    _kueue: Kueue,
}

impl Site {
    fn new(name: &str) -> Self {
        let nodes = Nodes::named("gpu")
            .count(2)
            .capacity("nvidia.com/gpu", "8")
            .label("nvidia.com/gpu.present", "true");
        let control_plane = ControlPlane::start(Options::new().scheduler().nodes(nodes)).unwrap();
        let control_plane: &'static ControlPlane = Box::leak(Box::new(control_plane));
        let kueue = Kueue::install(control_plane).unwrap();
        let mut lab = Lab::on(control_plane, control_plane.kubeconfig(), name);
        for namespace in ["research", "gpu-operator"] {
            lab.kubectl(&["create", "namespace", namespace]);
        }
        lab.kubectl_with(&["apply", "-f", "-"], QUEUES);
        lab.component_blueprint("gpus", BLUEPRINT);
        lab.component_site("gpus", "policy: { drain: wait }");
        lab.component("gpus", &objects(1, "570"));
        let site = Self { lab, _kueue: kueue };
        let run = site.lab.apply();
        assert_eq!(run.code, 0, "{run}");
        site
    }

    fn agent(&self) -> Running {
        let arguments = ["agent", "--site", ".", "--poll", "1h", "--resync", "2s"];
        let running = Running::start(&mut self.lab.command(&arguments));
        running.handle().wait_to_say("NewRevision");
        running
    }

    fn submit(&self, name: &str) {
        self.lab.kubectl_with(&["apply", "-f", "-"], &job(name));
    }

    fn start_job(&self, name: &str) {
        self.submit(name);
        eventually("the job runs", || self.phase(name) == "Running");
    }

    fn get(&self, what: &[&str], path: &str) -> String {
        let path = format!("jsonpath={{{path}}}");
        self.lab.kubectl(&[&["get", "-o", &path], what].concat())
    }

    fn phase(&self, job: &str) -> String {
        let label = format!("job={job}");
        self.get(&["pods", "-n", "research", "-l", &label], ".items[*].status.phase")
    }

    fn node_of(&self, job: &str) -> String {
        let label = format!("job={job}");
        self.get(&["pods", "-n", "research", "-l", &label], ".items[*].spec.nodeName")
    }

    fn finish(&self, job: &str) {
        let label = format!("job={job}");
        let run_for = "testbed.sitewright.dev/run-for=1s";
        self.lab.kubectl(&["annotate", "pods", "-n", "research", "-l", &label, run_for]);
        eventually("the job finishes", || self.phase(job) == "Succeeded");
    }

    fn slices(&self) -> String {
        self.get(&["cm", "time-slicing", "-n", "gpu-operator"], ".data.replicas")
    }

    fn drivers(&self) -> Vec<String> {
        let path = ".items[*].spec.containers[0].image";
        let images = self.get(&["pods", "-n", "gpu-operator", "-l", "app=driver"], path);
        let mut images: Vec<String> = images.split(' ').map(str::to_owned).collect();
        images.sort();
        images
    }

    fn cordoned(&self) -> Vec<String> {
        let nodes: Value =
            serde_json::from_str(&self.lab.kubectl(&["get", "nodes", "-o", "json"])).unwrap();
        let items = nodes["items"].as_array().unwrap().iter();
        items
            .filter(|node| node["spec"]["unschedulable"] == true)
            .map(|node| node["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn policy(&self) -> String {
        self.get(&["clusterqueue", "vision"], ".spec.stopPolicy")
    }
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !check() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_change_of_the_gpus_waits_for_the_job_lets_none_start_happens_and_gives_back() {
    let mut site = Site::new("drains");
    site.start_job("train");
    site.lab.component("gpus", &objects(4, "570"));
    let plan = site.lab.run(&["plan"]);
    assert_eq!(plan.code, 2, "{plan}");
    for told in [
        "Draining [SW0414]",
        "Job.batch research/train",
        "ada, queue users",
        "8 nvidia.com/gpu on gpu-",
    ] {
        assert!(plan.stdout.contains(told), "no `{told}` in\n{plan}");
    }

    // an admin has cordoned one of them before, and wants it to stay so
    let by_hand = if site.node_of("train") == "gpu-0" { "gpu-1" } else { "gpu-0" };
    site.lab.kubectl(&["cordon", by_hand]);
    let running = site.agent();
    eventually("nodes and queue are held", || {
        site.cordoned() == ["gpu-0", "gpu-1"] && site.policy() == "Hold"
    });
    site.submit("next");
    thread::sleep(Duration::from_secs(5));
    assert_eq!((site.phase("next"), site.slices()), (String::new(), "1".to_owned()));
    let status = site.lab.run(&["plan"]);
    assert!(status.stdout.contains("1 job or notebook left; waiting"), "{status}");
    let status = site.lab.run(&["status"]);
    for told in [
        "changes of gpus",
        "waiting for running work",
        "nodes gpu-0 and gpu-1 cordoned; queue vision stopped",
        "1 job or notebook left; waiting",
    ] {
        assert!(status.stdout.contains(told), "no `{told}` in\n{status}");
    }

    site.finish("train");
    eventually("the change happens", || site.slices() == "4");
    eventually("all is given back", || site.cordoned() == [by_hand] && site.policy() == "None");
    eventually("the next job runs", || site.phase("next") == "Running");
    running.handle().wait_to_say("nodes and queues are given back");
    running.handle().signal("TERM");
    running.end();
    let node: Value =
        serde_json::from_str(&site.lab.kubectl(&["get", "node", "gpu-0", "-o", "json"])).unwrap();
    assert_eq!(node["metadata"]["annotations"].get("sitewright.dev/held-by"), None);
    assert_eq!(site.lab.run(&["plan"]).code, 0);
}

#[test]
fn an_agent_that_dies_while_it_drains_is_followed_by_one_that_goes_on() {
    let mut site = Site::new("dies");
    site.start_job("train");
    site.lab.component("gpus", &objects(4, "570"));
    let running = site.agent();
    eventually("the queue is held", || site.policy() == "Hold" && site.cordoned().len() == 2);
    running.handle().signal("KILL");
    running.end();
    // meanwhile the change is taken back: nobody waits for it any more
    site.lab.component("gpus", &objects(1, "570"));
    let running = site.agent();
    eventually("all is given back", || site.cordoned().is_empty() && site.policy() == "None");
    running.handle().signal("TERM");
    running.end();
    assert_eq!((site.phase("train"), site.slices()), ("Running".to_owned(), "1".to_owned()));
}

#[test]
fn a_driver_reaches_the_idle_node_at_once_and_the_busy_one_after_its_job() {
    let mut site = Site::new("waves");
    site.start_job("train");
    let busy = site.node_of("train");
    let running = site.agent();
    site.lab.component("gpus", &objects(1, "580"));
    eventually("the idle node has the new driver", || {
        site.drivers() == ["example.edu/driver:570", "example.edu/driver:580"]
    });
    eventually("the busy node takes nothing new", || site.cordoned() == [busy.clone()]);
    assert_eq!(site.policy(), "None", "the other node takes jobs");
    site.start_job("next");
    assert_ne!(site.node_of("next"), busy);
    let plan = site.lab.run(&["plan"]);
    assert!(plan.stdout.contains("gpus driver: 1 node to go, 1 done"), "{plan}");
    assert!(plan.stdout.contains("waiting, takes nothing new: Job.batch research/train"), "{plan}");
    site.finish("train");
    eventually("both have it, and all is given back", || {
        site.drivers() == ["example.edu/driver:580", "example.edu/driver:580"]
            && site.cordoned().is_empty()
    });
    running.handle().signal("TERM");
    running.end();
    assert_eq!(site.phase("next"), "Running", "a job on another node was touched");
}
