//! Lineage: real Jobs on a real control plane, recorded by the agent, and what is answered about them.

use std::{
    fs,
    path::PathBuf,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sitewright_e2e::{Lab, Running, git};
use sitewright_testbed::{ControlPlane, Nodes, Options};

const CODE: &str = "1111111111111111111111111111111111111111";
const DATA: &str = "2222222222222222222222222222222222222222";
const IMAGE: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";

/// A control plane with a GPU node, for all tests here.
fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| {
        let nodes = Nodes::named("gpu")
            .count(1)
            .capacity("nvidia.com/gpu", "8")
            .label("nvidia.com/gpu.product", "H100")
            .label("nvidia.com/cuda.driver-version.full", "570.10.01");
        ControlPlane::start(Options::new().scheduler().nodes(nodes)).unwrap()
    })
}

/// A site in git, its cluster, and the folder of the record.
struct Recorded {
    lab: Lab,
    ledger: PathBuf,
    key: PathBuf,
}

impl Recorded {
    fn new(name: &str) -> Self {
        let control_plane = control_plane();
        let mut lab = Lab::on(control_plane, control_plane.kubeconfig(), name);
        lab.kubectl(&["create", "namespace", name]);
        lab.component("base", &config("1"));
        git(lab.folder(), &["init", "-q", "-b", "main"]);
        let (ledger, key) = (lab.folder().join("ledger"), lab.folder().join("lineage.key"));
        fs::write(lab.folder().join(".gitignore"), "ledger\nlineage.*\n").unwrap();
        let site = Self { lab, ledger, key };
        site.commit();
        let key = site.key.display().to_string();
        let run = site.lab.run(&["lineage", "key", name, "--to", &key]);
        assert_eq!(run.code, 0, "{run}");
        site
    }

    /// Commits the site as it is; returns the commit.
    fn commit(&self) -> String {
        git(self.lab.folder(), &["add", "-A"]);
        git(self.lab.folder(), &["commit", "-q", "-m", "site"]);
        let head = self.lab.folder().join(".git/refs/heads/main");
        fs::read_to_string(head).unwrap().trim().to_owned()
    }

    fn agent(&self) -> Running {
        let (ledger, key) = (self.ledger.display().to_string(), self.key.display().to_string());
        let arguments = [
            "agent",
            "--site",
            ".",
            "--poll",
            "1s",
            "--resync",
            "1h",
            "--lineage",
            &ledger,
            "--lineage-key",
            &key,
        ];
        let running = Running::start(&mut self.lab.command(&arguments));
        running.handle().wait_to_say("NewRevision");
        running
    }

    fn ask(&self, question: &[&str]) -> Value {
        let ledger = self.ledger.display().to_string();
        let run =
            self.lab.run(&[&["lineage"], question, &["-o", "json", "--ledger", &ledger]].concat());
        assert_eq!(run.code, 0, "{question:?}: {run}");
        run.json()
    }

    /// Waits until the answer to a question holds `text`.
    fn until_answered(&self, question: &[&str], text: &str) -> Value {
        let ledger = self.ledger.display().to_string();
        let arguments = [&["lineage"], question, &["-o", "json", "--ledger", &ledger]].concat();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let run = self.lab.run(&arguments);
            if run.code == 0 && run.stdout.contains(text) {
                return run.json();
            }
            assert!(Instant::now() < deadline, "{question:?} never holds {text}: {run}");
            thread::sleep(Duration::from_millis(300));
        }
    }

    fn verify(&self) {
        let (ledger, key) = (self.ledger.display().to_string(), self.key.with_extension("pub"));
        let key = key.display().to_string();
        let run = self.lab.run(&["lineage", "verify", &ledger, "--key", &key]);
        assert_eq!(run.code, 0, "{run}");
    }

    fn submit(&self, name: &str, more: &str, annotations: &str) {
        let namespace = self.lab.name();
        let job = format!(
            r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    lineage.sitewright.dev/code: git+https://git.example.edu/vision/train@{CODE}
    lineage.sitewright.dev/data: git+https://git.example.edu/vision/data@{DATA}
    lineage.sitewright.dev/model: s3://models/{namespace}/{name}
spec:
  backoffLimit: 0
{more}
  template:
    metadata:
      labels: {{ job: {name} }}
      annotations:
        testbed.sitewright.dev/image-id: registry.example.edu/train@{IMAGE}
{annotations}
    spec:
      restartPolicy: Never
      containers:
      - name: train
        image: registry.example.edu/train:1
        args: ["--lr", "0.1", "--api-token", "hunter2"]
        resources: {{ requests: {{ nvidia.com/gpu: "1" }}, limits: {{ nvidia.com/gpu: "1" }} }}
"#
        );
        self.lab.kubectl_with(&["apply", "-f", "-"], &job);
    }

    fn serve(&self, name: &str, model: &str) {
        let namespace = self.lab.name();
        let deployment = format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {namespace}
  annotations: {{ lineage.sitewright.dev/model: "{model}" }}
spec:
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec: {{ containers: [{{ name: serve, image: registry.example.edu/serve }}] }}
"#
        );
        self.lab.kubectl_with(&["apply", "-f", "-"], &deployment);
    }

    fn thing(&self, name: &str) -> String {
        format!("{}/{name}", self.lab.name())
    }
}

fn config(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: settings, namespace: {{ns}} }}\ndata: {{ value: \"{value}\" }}\n"
    )
}

const QUICK: &str = "        testbed.sitewright.dev/run-for: 1s";

fn facts<'g>(graph: &'g Value, kind: &str, field: &str) -> Vec<&'g str> {
    let nodes = graph["nodes"].as_array().unwrap().iter().filter(|node| node["kind"] == kind);
    let facts = nodes.flat_map(|node| node["facts"].as_array().into_iter().flatten());
    facts
        .filter(|fact| fact["field"] == field)
        .map(|fact| fact["value"].as_str().unwrap())
        .collect()
}

fn edge<'g>(graph: &'g Value, relation: &str, to: &str) -> &'g Value {
    let mut edges = graph["edges"].as_array().unwrap().iter();
    edges
        .find(|edge| edge["relation"] == relation && edge["to"].as_str().unwrap().contains(to))
        .unwrap_or_else(|| panic!("no {relation} to {to} in {graph:#}"))
}

#[test]
fn a_live_service_leads_back_to_code_data_image_driver_and_configuration_and_the_data_to_it() {
    let mut site = Recorded::new("lineage-story");
    let first = site.commit_or_head();
    let running = site.agent();
    site.submit("one", "  ttlSecondsAfterFinished: 0", QUICK);
    site.until_answered(&["of", &site.thing("one")], "succeeded");
    // the configuration changes, and then the driver, before the second run
    site.lab.component("base", &config("2"));
    let second = site.commit();
    site.until_answered(&["during", &second], "epoch:");
    site.lab.kubectl(&[
        "label",
        "node",
        "gpu-0",
        "--overwrite",
        "nvidia.com/cuda.driver-version.full=580.95.05",
    ]);
    site.until_answered(&["impact", "gpu-0"], "gpu-0");
    thread::sleep(Duration::from_secs(1));
    site.submit("two", "  ttlSecondsAfterFinished: 0", QUICK);
    site.until_answered(&["of", &site.thing("two")], "succeeded");
    site.serve("live", "s3://models/lineage-story/two");
    let of = site.until_answered(&["of", &site.thing("live")], "putInForce");
    let text = of.to_string();
    for (relation, to, grade) in [
        ("serves", "s3://models/lineage-story/two", "claimed"),
        ("generatedBy", "run:", "claimed"),
        ("ranCode", CODE, "claimed"),
        ("used", DATA, "claimed"),
        ("executedIn", IMAGE, "observed"),
        ("holds", "nvidia-driver/580.95.05", "observed"),
        ("configuredBy", "epoch:", "observed"),
        ("putInForce", second.as_str(), "observed"),
    ] {
        assert_eq!(edge(&of, relation, to)["grade"], grade, "{relation} {to}");
    }
    assert!(
        !text.contains("570.10.01") && !text.contains(&first),
        "the first run is not its cause"
    );
    assert!(!text.contains("hunter2"), "a secret was recorded");

    let impact = site.ask(&["impact", DATA]);
    assert!(facts(&impact, "service", "name").contains(&"live"), "{impact:#}");
    assert_eq!(
        facts(&impact, "run", "name").iter().filter(|name| ["one", "two"].contains(name)).count()
            >= 2,
        true
    );
    let impact = site.ask(&["impact", "nvidia-driver/570.10.01"]);
    assert!(
        impact.to_string().contains("lineage-story/one")
            && !impact.to_string().contains("\"live\"")
    );
    let during = site.ask(&["during", &first]);
    assert!(
        facts(&during, "run", "name").contains(&"one")
            && !facts(&during, "run", "name").contains(&"two")
    );
    let config = site.ask(&["config", &site.thing("two")]);
    assert!(config.to_string().contains(&second), "{config:#}");
    running.handle().signal("TERM");
    running.end();
    site.verify();
    let diff =
        site.ask(&["diff", "s3://models/lineage-story/one", "s3://models/lineage-story/two"]);
    assert_eq!(diff["aspects"]["code"]["both"][0]["what"], format!("commit:{CODE}"), "{diff:#}");
    assert!(diff["aspects"]["nodes"]["onlyOther"].to_string().contains("580.95.05"), "{diff:#}");
}

impl Recorded {
    fn commit_or_head(&self) -> String {
        let head = self.lab.folder().join(".git/refs/heads/main");
        fs::read_to_string(head).unwrap().trim().to_owned()
    }
}
