//! Lineage: real Jobs on a real control plane, recorded by the agent, and what is answered about them.

mod admission;
mod lookups;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sitewright_e2e::{Lab, Run, Running, git};
use sitewright_testbed::{ControlPlane, Nodes, Options};

const CODE: &str = "1111111111111111111111111111111111111111";
const DATA: &str = "2222222222222222222222222222222222222222";
const IMAGE: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";

/// A control plane with a GPU node, for all tests here.
pub(super) fn control_plane() -> &'static ControlPlane {
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
pub(super) struct Recorded {
    pub(super) lab: Lab,
    pub(super) ledger: PathBuf,
    pub(super) key: PathBuf,
    /// The process that sees the folder, where no other does.
    inside: Option<u32>,
    /// What may be looked up.
    pub(super) settings: Option<PathBuf>,
}

impl Recorded {
    pub(super) fn new(name: &str) -> Self {
        let control_plane = control_plane();
        let mut lab = Lab::at(control_plane, name);
        lab.component("base", &config("1"));
        git(lab.folder(), &["init", "-q", "-b", "main"]);
        let (ledger, key) = (lab.folder().join("ledger"), lab.folder().join("lineage.key"));
        fs::write(lab.folder().join(".gitignore"), "ledger\nlineage.*\n").unwrap();
        let site = Self { lab, ledger, key, inside: None, settings: None };
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

    pub(super) fn agent(&self) -> Running {
        let running = Running::start(&mut self.agent_command());
        running.handle().wait_to_say("NewRevision");
        running
    }

    fn agent_command(&self) -> Command {
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
        let mut command = self.lab.command(&arguments);
        if let Some(settings) = &self.settings {
            command.arg("--lineage-settings").arg(settings);
        }
        command
    }

    pub(super) fn finish(&self, job: &str) {
        let (namespace, label) = (self.lab.name(), format!("job={job}"));
        let run_for = "testbed.sitewright.dev/run-for=0s";
        self.lab.kubectl(&["annotate", "pods", "-n", namespace, "-l", &label, run_for]);
    }

    /// Runs the program where the record can be seen.
    fn run(&self, arguments: &[&str]) -> Run {
        let Some(process) = self.inside else { return self.lab.run(arguments) };
        let command = self.lab.command(arguments);
        let output = Command::new("nsenter")
            .args(["--user", "--mount", "--preserve-credentials", "--target"])
            .arg(process.to_string())
            .arg(command.get_program())
            .args(command.get_args())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(255);
        Run { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn ask(&self, question: &[&str]) -> Value {
        let ledger = self.ledger.display().to_string();
        let run =
            self.run(&[&["lineage"], question, &["-o", "json", "--ledger", &ledger]].concat());
        assert_eq!(run.code, 0, "{question:?}: {run}");
        run.json()
    }

    /// Waits until the answer to a question holds `text`.
    pub(super) fn until_answered(&self, question: &[&str], text: &str) -> Value {
        let ledger = self.ledger.display().to_string();
        let arguments = [&["lineage"], question, &["-o", "json", "--ledger", &ledger]].concat();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let run = self.run(&arguments);
            if run.code == 0 && run.stdout.contains(text) {
                return run.json();
            }
            assert!(Instant::now() < deadline, "{question:?} never holds {text}: {run}");
            thread::sleep(Duration::from_millis(300));
        }
    }

    pub(super) fn verify(&self) {
        let (ledger, key) = (self.ledger.display().to_string(), self.key.with_extension("pub"));
        let key = key.display().to_string();
        let run = self.run(&["lineage", "verify", &ledger, "--key", &key]);
        assert_eq!(run.code, 0, "{run}");
    }

    pub(super) fn submit(&self, name: &str, more: &str, annotations: &str) {
        self.submit_to(self.lab.name(), name, more, annotations);
    }

    fn submit_to(&self, namespace: &str, name: &str, more: &str, annotations: &str) {
        let claims = format!(
            "    lineage.sitewright.dev/code: git+https://git.example.edu/vision/train@{CODE}
    lineage.sitewright.dev/data: git+https://git.example.edu/vision/data@{DATA}
    lineage.sitewright.dev/model: s3://models/{namespace}/{name}"
        );
        let image = format!("registry.example.edu/train@{IMAGE}");
        self.submit_all(namespace, name, more, annotations, &claims, &image);
    }

    /// Submits a Job with `claims` as its annotations, whose pods tell that they ran `image`.
    fn submit_with(&self, name: &str, more: &str, annotations: &str, claims: &str, image: &str) {
        self.submit_all(self.lab.name(), name, more, annotations, claims, image);
    }

    fn submit_all(
        &self,
        namespace: &str,
        name: &str,
        more: &str,
        annotations: &str,
        claims: &str,
        image: &str,
    ) {
        let job = format!(
            r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
{claims}
spec:
  backoffLimit: 0
{more}
  template:
    metadata:
      labels: {{ job: {name} }}
      annotations:
        testbed.sitewright.dev/image-id: {image}
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

    pub(super) fn thing(&self, name: &str) -> String {
        format!("{}/{name}", self.lab.name())
    }
}

/// Returns where an agent that logs JSON answers questions.
pub(crate) fn answers_at(agent: &Running) -> String {
    let ending = " for questions of lineage";
    agent.handle().wait_to_say(ending);
    let said = agent.handle().said();
    let (before, _) = said.split_once(ending).unwrap();
    let (_, address) = before.rsplit_once("listening at ").unwrap();
    format!("http://{address}")
}

/// Makes a service account that is bound to the role of readers, in its namespace or everywhere; returns the file of its
/// token.
pub(crate) fn reader(lab: &Lab, namespace: &str, name: &str, is_everywhere: bool) -> String {
    lab.kubectl(&["create", "serviceaccount", name, "-n", namespace]);
    let kind = if is_everywhere { "ClusterRoleBinding" } else { "RoleBinding" };
    let binding = format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}
metadata: {{ name: {namespace}-{name}, namespace: {namespace} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sitewright-lineage-reader }}
subjects: [{{ kind: ServiceAccount, name: {name}, namespace: {namespace} }}]
"#
    );
    lab.kubectl_with(&["apply", "-f", "-"], &binding);
    let token = lab.kubectl(&["create", "token", name, "-n", namespace]);
    let file = lab.folder().join(format!("lineage.{name}"));
    fs::write(&file, token).unwrap();
    file.display().to_string()
}

#[test]
fn a_reader_of_one_namespace_is_answered_of_it_alone_and_the_reader_of_all_can_copy_the_log() {
    let site = Recorded::new("lineage-http");
    let (ours, theirs) = (site.lab.name(), "lineage-http-theirs");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: sitewright-lineage-reader }\n\
        rules: [{ apiGroups: [lineage.sitewright.dev], resources: [runs], verbs: [get] }]\n";
    site.lab.kubectl_with(&["apply", "-f", "-"], role);
    site.lab.kubectl(&["create", "namespace", theirs]);
    let mut command = site.agent_command();
    command.args(["--lineage-listen", "127.0.0.1:0", "--log-format", "json"]);
    let running = Running::start(&mut command);
    let address = answers_at(&running);
    running.handle().wait_to_say("NewRevision");
    site.submit("one", "", QUICK);
    site.submit_to(theirs, "two", "", QUICK);
    site.until_answered(&["of", &format!("{ours}/one")], "succeeded");
    site.until_answered(&["of", &format!("{theirs}/two")], "succeeded");

    let ada = reader(&site.lab, ours, "ada", false);
    let bob = reader(&site.lab, theirs, "bob", false);
    let all = reader(&site.lab, ours, "all", true);
    let ask = |token: Option<&str>, question: &[&str]| {
        let token = token.map(|file| vec!["--token-file", file]).unwrap_or_default();
        let from = ["--ledger", &address, "-o", "json"];
        site.lab.run(&[&["lineage"], question, &from, &token].concat())
    };
    let (one, two) = (format!("{ours}/one"), format!("{theirs}/two"));
    for (token, sees, sees_not) in [(&ada, &one, &two), (&bob, &two, &one)] {
        let run = ask(Some(token), &["of", sees]);
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(facts(&run.json(), "run", "outcome"), ["succeeded"]);
        let run = ask(Some(token), &["of", sees_not]);
        assert!(run.code == 1 && run.says("SW1007"), "{run}");
        // both used the same data: each sees one run, and that there is another
        let impact = ask(Some(token), &["impact", DATA]).json();
        assert_eq!(facts(&impact, "run", "name").len(), 1, "{impact:#}");
        assert!(impact["hidden"].as_u64() > Some(0), "{impact:#}");
    }
    for thing in [&one, &two] {
        assert_eq!(ask(Some(&all), &["of", thing]).code, 0);
    }
    let impact = ask(Some(&all), &["impact", DATA]).json();
    assert_eq!((runs(&impact, ours), runs(&impact, theirs)), (vec!["one"], vec!["two"]));
    let nobody = ask(None, &["of", &one]);
    assert!(nobody.code == 1 && nobody.says("SW1021"), "{nobody}");
    let diff = ask(Some(&all), &["diff", &one, &two]);
    assert!(diff.code == 0 && diff.json()["aspects"].is_object(), "{diff}");

    let to = site.lab.folder().join("ledger-copy").display().to_string();
    let copy = |token: &str| {
        site.lab.run(&["lineage", "export", &to, "--from", &address, "--token-file", token])
    };
    let refused = copy(&ada);
    assert!(refused.code == 1 && refused.says("all namespaces"), "{refused}");
    let copied = copy(&all);
    assert_eq!(copied.code, 0, "{copied}");
    let key = site.key.with_extension("pub").display().to_string();
    let verified = site.lab.run(&["lineage", "verify", &to, "--key", &key]);
    assert_eq!(verified.code, 0, "{verified}");
    // the copy answers by itself, as the log does
    let of_copy = site.lab.run(&["lineage", "of", &one, "-o", "json", "--ledger", &to]);
    assert_eq!(facts(&of_copy.json(), "run", "outcome"), ["succeeded"]);
    running.handle().signal("TERM");
    running.end();
}

fn config(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: settings, namespace: {{ns}} }}\ndata: {{ value: \"{value}\" }}\n"
    )
}

const QUICK: &str = "        testbed.sitewright.dev/run-for: 1s";

pub(super) fn facts<'g>(graph: &'g Value, kind: &str, field: &str) -> Vec<&'g str> {
    let nodes = graph["nodes"].as_array().unwrap().iter().filter(|node| node["kind"] == kind);
    let facts = nodes.flat_map(|node| node["facts"].as_array().into_iter().flatten());
    facts
        .filter(|fact| fact["field"] == field)
        .map(|fact| fact["value"].as_str().unwrap())
        .collect()
}

/// Returns the names of the runs of one namespace: the tests share a cluster, and what runs there is in every record.
fn runs<'g>(graph: &'g Value, namespace: &str) -> Vec<&'g str> {
    let nodes = graph["nodes"].as_array().unwrap().iter();
    let runs = nodes.filter(|node| node["kind"] == "run" && node["namespace"] == namespace);
    let facts = runs.flat_map(|run| run["facts"].as_array().into_iter().flatten());
    let names = facts.filter(|fact| fact["field"] == "name");
    let mut names: Vec<&str> = names.map(|fact| fact["value"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

pub(super) fn edge<'g>(graph: &'g Value, relation: &str, to: &str) -> &'g Value {
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
    assert_eq!(runs(&impact, site.lab.name()), ["one", "two"], "{impact:#}");
    let impact = site.ask(&["impact", "nvidia-driver/570.10.01"]);
    assert!(
        impact.to_string().contains("lineage-story/one")
            && !impact.to_string().contains("\"live\"")
    );
    let during = site.ask(&["during", &first]);
    assert_eq!(runs(&during, site.lab.name()), ["one"], "{during:#}");
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

#[test]
fn a_job_that_is_cleaned_up_at_once_is_recorded_whole_and_nothing_of_it_is_written() {
    let site = Recorded::new("lineage-quick");
    let running = site.agent();
    site.until_answered(&["explain", "gpu-0"], "stateOf");
    running.handle().wait_to_say("Applied");
    thread::sleep(Duration::from_secs(3));
    let requests = site.lab.requests(|| {
        site.submit("quick", "  ttlSecondsAfterFinished: 0", QUICK);
        site.until_answered(&["of", &site.thing("quick")], "goneAt");
    });
    assert!(requests.writes().is_empty(), "{requests}");
    // the owners of pods are known from their own watches
    assert_eq!(
        requests.0.iter().filter(|event| event.verb != "watch").count(),
        0,
        "{requests}\n{}",
        running.handle().said()
    );
    let of = site.ask(&["of", &site.thing("quick")]);
    assert_eq!(facts(&of, "run", "outcome"), ["succeeded"]);
    assert_eq!(facts(&of, "attempt", "train.exitCode"), ["0"]);
    assert_eq!(edge(&of, "executedIn", IMAGE)["grade"], "observed");
    running.handle().signal("TERM");
    running.end();
    site.verify();
}

#[test]
fn what_is_forged_is_shown_as_what_it_is() {
    let site = Recorded::new("lineage-forged");
    let running = site.agent();
    let other = "4".repeat(40);
    let message = format!(
        "        testbed.sitewright.dev/message: '{{\"code\": \"git+https://git.example.edu/x@{other}\"}}'"
    );
    site.submit("forged", "", &message);
    let of = site.until_answered(&["of", &site.thing("forged")], "run:");
    let run = of["focus"][0].as_str().unwrap().to_owned();
    let question = ["of", run.as_str()];
    site.until_answered(&question, IMAGE);
    // somebody with a right to `pods/status` says that another image ran
    let namespace = site.lab.name().to_owned();
    let pods = ["get", "pods", "-n", &namespace, "-o", "jsonpath={.items[0].metadata.name}"];
    let pod = site.lab.kubectl(&pods);
    let image = format!("sha256:{}", "5".repeat(64));
    let patch = format!(
        r#"[{{"op": "replace", "path": "/status/containerStatuses/0/imageID", "value": "registry.example.edu/train@{image}"}}]"#
    );
    let patch = [
        "patch",
        "pod",
        &pod,
        "-n",
        &namespace,
        "--subresource=status",
        "--type=json",
        "-p",
        &patch,
    ];
    site.lab.kubectl(&patch);
    site.until_answered(&question, &image);
    // and the annotation of the code is changed after the start
    let annotation =
        format!("lineage.sitewright.dev/data=git+https://git.example.edu/vision/data@{other}");
    site.lab.kubectl(&["annotate", "job", "forged", "-n", &namespace, "--overwrite", &annotation]);
    site.finish("forged");
    site.until_answered(&question, "succeeded");
    running.handle().signal("TERM");
    running.end();

    let text =
        site.lab.run(&["lineage", "of", &run, "--ledger", &site.ledger.display().to_string()]);
    for relation in ["executedIn", "ranCode", "used"] {
        let branch = format!(" {relation} ");
        let mut lines = text.stdout.lines().filter(|line| line.contains(&branch));
        let all = lines.clone().count();
        assert!(all >= 2 && lines.all(|line| line.starts_with("conflict")), "{relation}\n{text}");
    }
    let again = site.ask(&["reproduce", &run]);
    assert!(again["doubts"].to_string().contains("sources differ on its code"), "{again:#}");
    // no claim has become more than one
    let of = site.ask(&question);
    let claims = of["edges"].as_array().unwrap().iter();
    let mut claims = claims.filter(|edge| {
        ["ranCode", "used", "generatedBy"].contains(&edge["relation"].as_str().unwrap())
    });
    assert!(claims.all(|edge| edge["grade"] == "claimed"), "{of:#}");
    // and a run cannot be told from others only by what it says of itself
    let only_observed = site.lab.run(&[
        "lineage",
        "of",
        &run,
        "--at-least",
        "observed",
        "--ledger",
        &site.ledger.display().to_string(),
    ]);
    assert!(!only_observed.stdout.contains("ranCode"), "{only_observed}");
}

#[test]
fn what_ends_while_nobody_records_is_called_incomplete_and_the_gap_is_signed() {
    let site = Recorded::new("lineage-gap");
    let running = site.agent();
    site.submit("unseen", "  ttlSecondsAfterFinished: 0", "");
    site.submit("lasting", "", "");
    let of = site.until_answered(&["of", &site.thing("unseen")], IMAGE);
    let run = of["focus"][0].as_str().unwrap().to_owned();
    site.until_answered(&["of", &site.thing("lasting")], IMAGE);
    let epochs = facts(&of, "epoch", "startedAt").len();
    running.handle().signal("KILL");
    running.end();
    site.finish("unseen");
    let namespace = site.lab.name().to_owned();
    let gone = ["wait", "--for=delete", "job/unseen", "-n", &namespace, "--timeout=60s"];
    site.lab.kubectl(&gone);

    let running = site.agent();
    let of = site.until_answered(&["of", &run], "it ended unseen between");
    assert!(!of["gaps"].as_array().unwrap().is_empty(), "{of:#}");
    let gaps = site.ask(&["gaps"]).to_string();
    assert!(gaps.contains("nobody recorded"), "{gaps}");
    // the same configuration goes on: no new epoch, and no run twice
    let lasting = site.ask(&["of", &site.thing("lasting")]);
    assert_eq!(facts(&lasting, "epoch", "startedAt").len(), epochs, "{lasting:#}");
    assert!(!lasting.to_string().contains("ended unseen"));
    running.handle().signal("TERM");
    running.end();
    site.verify();
}

#[test]
fn a_full_disk_stops_neither_jobs_nor_reconciles_and_leaves_a_blind_interval() {
    let mut site = Recorded::new("lineage-full");
    fs::create_dir_all(&site.ledger).unwrap();
    // the agent alone sees a file system of 32 megabytes where its record is
    let agent = site.agent_command();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(r#"mount -t tmpfs -o size=32m tmpfs "$LEDGER" && exec "$@""#).arg("sh");
    command.arg(agent.get_program()).args(agent.get_args());
    for (name, value) in agent.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("LEDGER", &site.ledger);
    if let Some(folder) = agent.get_current_dir() {
        command.current_dir(folder);
    }
    let running = Running::start(&mut command);
    running.handle().wait_to_say("NewRevision");
    let process = running.handle().process();
    site.inside = Some(process);
    let inside = PathBuf::from(format!("/proc/{process}/root{}", site.ledger.display()));
    site.until_answered(&["explain", "gpu-0"], "stateOf");

    let filler = inside.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    site.submit("during", "", QUICK);
    let namespace = site.lab.name().to_owned();
    let done =
        ["wait", "--for=condition=Complete", "job/during", "-n", &namespace, "--timeout=60s"];
    site.lab.kubectl(&done);
    site.lab.component("base", &config("2"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let value = || {
        site.lab.kubectl(&[
            "get",
            "cm",
            "settings",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.data.value}",
        ])
    };
    while value() != "2" {
        assert!(Instant::now() < deadline, "the reconcile waits for the record");
        thread::sleep(Duration::from_millis(200));
    }
    running.handle().wait_to_say("no space is left");
    drop(file);
    fs::remove_file(&filler).unwrap();
    site.submit("after", "", QUICK);
    site.until_answered(&["of", &site.thing("after")], "succeeded");
    let gaps = site.ask(&["gaps"]).to_string();
    assert!(gaps.contains("records were lost") && gaps.contains("no space is left"), "{gaps}");
    site.verify();
    running.handle().signal("TERM");
    running.end();
}
