//! The steps of the demo, in the order of a day's work.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sitewright_testbed::{AuditEvent, Mode};

use super::stage::{Agent, Stage, say};

/// Plays all steps; ends at the first thing that is not as it should be.
pub(super) fn play(stage: &mut Stage) -> Result<()> {
    stage.play("plan against an empty cluster", plan_first)?;
    stage.play("apply", apply_first)?;
    stage.play("the site is healthy", healthy)?;
    stage.play("a second run changes nothing", nothing_to_do)?;
    stage.play("a commit changes the site", change)?;
    stage.play("a change behind its back", edit)?;
    stage.play("the change is mended", mend)?;
    stage.play("a component leaves the site", leave)?;
    stage.play("what holds data goes by tombstone", bury)?;
    let mut agent = None;
    stage.play("the agent does it by itself", |stage| follow(stage, &mut agent))?;
    stage.play("a new driver waits for a job", |stage| wave(stage, &mut agent))?;
    stage.play("how was this model made?", lineage)
}

fn plan_first(stage: &mut Stage) -> Result<String> {
    stage.sitewright("plan", &[], 2)?;
    let plan = stage.plan(2)?;
    let creates = count(&plan, "create");
    ensure!(
        creates > 0 && creates == changes(&plan).count(),
        "something other than creates is planned"
    );
    Ok(format!("{creates} objects to create, nothing else"))
}

fn apply_first(stage: &mut Stage) -> Result<String> {
    stage.sitewright("apply", &["--yes"], 0)?;
    let live = stage.kubectl(&[
        "get",
        "namespaces,deployments,resourcequotas",
        "-A",
        "-l",
        "sitewright.dev/site=tiny",
    ])?;
    say(&live);
    Ok(format!(
        "{} objects of the site on the cluster",
        live.lines().filter(|line| line.contains('/')).count()
    ))
}

fn healthy(stage: &mut Stage) -> Result<String> {
    stage.sitewright("status", &[], 0)?;
    Ok("every component is healthy".into())
}

fn nothing_to_do(stage: &mut Stage) -> Result<String> {
    stage.sitewright("plan", &[], 0)?;
    let mark = stage.control_plane.audit().mark()?;
    stage.sitewright("apply", &["--yes"], 0)?;
    let requests = stage.control_plane.audit().since(mark)?;
    let ours = |event: &&AuditEvent| event.user_agent.starts_with("sitewright/");
    let is_write = |event: &&AuditEvent| {
        event.mode == Mode::Real && !["get", "list", "watch"].contains(&event.verb.as_str())
    };
    let sent = requests.iter().filter(ours).count();
    let written = requests.iter().filter(ours).filter(is_write).count();
    ensure!(written == 0, "{written} writes although nothing changed");
    Ok(format!("0 writes and {sent} reads, by the API server's audit log"))
}

fn change(stage: &mut Stage) -> Result<String> {
    stage.commit("vision gets 8 more CPUs", "vision: { cpus: 16,", "vision: { cpus: 24,")?;
    stage.sitewright("plan", &[], 2)?;
    stage.sitewright("apply", &["--yes"], 0)?;
    let quota = quota(stage)?;
    ensure!(quota == "24", "the quota is {quota}");
    Ok("one field of one object changed: the quota is 24 CPUs".into())
}

fn edit(stage: &mut Stage) -> Result<String> {
    let patch = r#"{"spec":{"hard":{"requests.cpu":"1000"}}}"#;
    stage.kubectl(&[
        "patch",
        "resourcequota",
        "team",
        "-n",
        "vision",
        "--field-manager=kubectl-edit",
        "-p",
        patch,
    ])?;
    let run = stage.sitewright("drift", &[], 2)?;
    ensure!(run.stdout.contains("kubectl-edit"), "the drift does not name who did it");
    Ok("the drift names the field, both values, kubectl-edit and the time".into())
}

fn mend(stage: &mut Stage) -> Result<String> {
    stage.sitewright("apply", &["--yes"], 0)?;
    stage.sitewright("drift", &[], 0)?;
    let quota = quota(stage)?;
    ensure!(quota == "24", "the quota is {quota}");
    Ok("the quota is 24 CPUs again".into())
}

fn leave(stage: &mut Stage) -> Result<String> {
    say("A guest has put data into a namespace of the component:");
    stage.kubectl_with(
        &["apply", "-f", "-"],
        "{ apiVersion: v1, kind: PersistentVolumeClaim, metadata: { name: thesis, namespace: guests }, \
         spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } } }",
    )?;
    stage.cut("the notice and its guests leave", "    - name: notice\n")?;
    stage.sitewright("plan", &[], 2)?;
    stage.sitewright("apply", &["--yes"], 2)?;
    let claim = stage.kubectl(&["get", "pvc", "thesis", "-n", "guests", "-o", "name"])?;
    ensure!(claim.contains("thesis"), "the claim is gone");
    let notice = stage.kubectl(&[
        "get",
        "deployment",
        "notice",
        "-n",
        "site-notice",
        "--ignore-not-found",
    ])?;
    ensure!(notice.is_empty(), "the notice still runs");
    Ok("the notice is pruned; the namespace with the guest's data is held".into())
}

fn bury(stage: &mut Stage) -> Result<String> {
    let mut tombstones = String::from("  tombstones:\n");
    for (kind, name, uid) in held(&stage.plan(2)?) {
        writeln!(
            tombstones,
            "    - {{ kind: {kind}, name: {name}, uid: {uid}, reason: the guests have left }}"
        )?;
    }
    stage.append("tombstones for what the guests left", &tombstones)?;
    stage.sitewright("plan", &[], 2)?;
    let digest = stage.plan(2)?["digest"].as_str().context("a plan has a digest")?.to_owned();
    stage.sitewright("apply", &["--plan", &digest], 0)?;
    let guests = stage.kubectl(&["get", "namespace", "guests", "--ignore-not-found"])?;
    ensure!(guests.is_empty(), "the namespace is still there");
    stage.sitewright("plan", &[], 0)?;
    Ok("deleted, by name and UID, after a commit said so and a person named the plan".into())
}

/// From here on nobody gives commands: the agent follows the branch, and the cluster.
fn follow(stage: &mut Stage, running: &mut Option<Agent>) -> Result<String> {
    let agent = running.insert(stage.agent()?);
    agent.wait_to_say("NewRevision")?;
    say("A push, and nothing else:");
    stage.commit("vision gets 8 more CPUs", "vision: { cpus: 24,", "vision: { cpus: 32,")?;
    agent.wait_to_say("Applied")?;
    let given = quota(stage)?;
    ensure!(given == "32", "the quota is {given}");
    say("Somebody edits the live object:");
    let patch = r#"{"spec":{"hard":{"requests.cpu":"1000"}}}"#;
    let edit = ["patch", "resourcequota", "team", "-n", "vision", "-p", patch];
    stage.kubectl(&[&edit[..], &["--field-manager=kubectl-edit"]].concat())?;
    agent.wait_to_say("was changed by kubectl-edit")?;
    let mended = quota(stage)?;
    ensure!(mended == "32", "the quota is {mended}");
    Ok("a push is applied, and an edit is put right with the culprit named".into())
}

/// The blueprint of the step: a stand-in for the driver of a GPU operator.
const DRIVER: [(&str, &str); 3] = [
    ("blueprint.yaml", include_str!("node-driver/blueprint.yaml")),
    ("values.schema.json", include_str!("node-driver/values.schema.json")),
    ("templates/driver.yaml.j2", include_str!("node-driver/templates/driver.yaml.j2")),
];

/// A training job that says which code and data it used, and what it makes.
fn job(name: &str, code: &str, data: &str, more: &str) -> String {
    format!(
        r#"{{ apiVersion: batch/v1, kind: Job, metadata: {{ name: {name}, namespace: vision,
  labels: {{ sitewright.dev/owner: ada }}, annotations: {{
    lineage.sitewright.dev/code: "git+https://git.example.org/vision/train@{code}",
    lineage.sitewright.dev/data: "git+https://git.example.org/vision/data@{data}",
    lineage.sitewright.dev/model: "s3://models/vision/{name}" }} }},
  spec: {{ template: {{ metadata: {{ labels: {{ job: {name} }}, annotations: {{ {more} }} }}, spec: {{
    restartPolicy: Never, containers: [{{ name: train, image: example.org/train, args: [--lr, "0.1"], resources: {{
    requests: {{ cpu: 1, memory: 1Gi }}, limits: {{ cpu: 1, memory: 1Gi, nvidia.com/gpu: 8 }} }} }}] }} }} }} }}"#
    )
}

const SERVICE: &str = r#"{ apiVersion: apps/v1, kind: Deployment, metadata: { name: resnet, namespace: vision,
  annotations: { lineage.sitewright.dev/model: "s3://models/vision/train-again" } }, spec: {
  selector: { matchLabels: { app: resnet } }, template: { metadata: { labels: { app: resnet } }, spec: {
  containers: [{ name: serve, image: example.org/serve, resources: {
  requests: { cpu: 1, memory: 1Gi }, limits: { cpu: 1, memory: 1Gi } } }] } } } }"#;

/// Says on the nodes which driver they have, as GPU feature discovery does.
fn discover(stage: &Stage, driver: &str) -> Result<()> {
    let label = format!("nvidia.com/cuda.driver-version.full={driver}");
    stage.kubectl(&["label", "nodes", "--all", "--overwrite", &label]).map(drop)
}

/// The agent still runs; the change is pushed while a job holds the GPUs of one node.
fn wave(stage: &mut Stage, running: &mut Option<Agent>) -> Result<String> {
    let agent = running.as_mut().context("the agent runs")?;
    for (file, text) in DRIVER {
        stage.write(&format!("blueprints/node-driver/{file}"), text)?;
    }
    stage.commit(
        "a driver for the GPUs",
        "  tombstones:\n",
        "    - name: gpus\n      blueprint: { name: node-driver }\n      values: { version: \"570\" }\n      policy: { drain: wait }\n  tombstones:\n",
    )?;
    agent.wait_to_say("Applied")?;
    drivers(stage, &["570", "570"])?;
    discover(stage, "570")?;
    say("A job takes the GPUs of one node:");
    let code = stage.research("train", "train.py", "print('training')\n")?;
    let data = stage.research("data", "images.csv", "cat,1\ndog,2\n")?;
    stage.kubectl_with(&["apply", "-f", "-"], &job("train", &code, &data, ""))?;
    stage.kubectl(&[
        "wait",
        "pod",
        "-n",
        "vision",
        "-l",
        "job=train",
        "--for=condition=Ready",
        "--timeout=60s",
    ])?;
    say("A new driver is pushed:");
    stage.commit("the new driver", "version: \"570\"", "version: \"580\"")?;
    agent.wait_to_say("is free, and is being changed")?;
    agent.wait_to_say("1 job to wait for")?;
    drivers(stage, &["570", "580"])?;
    stage.sitewright("plan", &[], 0)?;
    say("The job comes to its end:");
    let finish =
        ["annotate", "pod", "-n", "vision", "-l", "job=train", "testbed.sitewright.dev/run-for=1s"];
    stage.kubectl(&finish)?;
    agent.wait_to_say("is free, and is being changed")?;
    agent.wait_to_say("is changed and well, and is given back")?;
    drivers(stage, &["580", "580"])?;
    discover(stage, "580")?;
    Ok("the idle node at once, the busy one after its job; no job was hit".into())
}

/// The agent has recorded it all; nobody wrote anything down.
fn lineage(stage: &mut Stage) -> Result<String> {
    say("Once more with better code and more data, on the new driver; and the model is served:");
    let (code, data) = (
        stage.research("train", "train.py", "print('training, better')\n")?,
        stage.research("data", "more.csv", "bird,3\n")?,
    );
    let quick = r#"testbed.sitewright.dev/run-for: "1s""#;
    stage.lineage(&["impact", "nvidia-driver/580"], &["580"])?;
    stage.kubectl_with(&["apply", "-f", "-"], &job("train-again", &code, &data, quick))?;
    stage.kubectl_with(&["apply", "-f", "-"], SERVICE)?;
    say("Which code, data, driver and configuration made what is served?");
    let site = stage.head()?;
    let short = |commit: &str| commit.get(..12).unwrap_or_default().to_owned();
    let (code, data, site) = (short(&code), short(&data), short(&site));
    stage.lineage(&["of", "vision/resnet"], &[&code, &data, &site, "580"])?;
    say("The data turns out to be bad: what does it reach?");
    stage.lineage(&["impact", &data], &["train-again", "resnet"])?;
    say("And in what do the two models differ?");
    let models = ["s3://models/vision/train", "s3://models/vision/train-again"];
    stage.lineage(&["diff", models[0], models[1]], &["nvidia-driver/570", "nvidia-driver/580"])?;
    let page = stage.lineage(&["of", "vision/resnet", "-o", "html"], &["<svg", "resnet"])?;
    say(&format!("The graph as a page: {}", stage.page("lineage.html", &page)?.display()));
    stage.prove()?;
    Ok("from the live service back to three commits, and from the data forward to it; proven"
        .into())
}

/// Waits until the nodes have these drivers.
fn drivers(stage: &Stage, wanted: &[&str]) -> Result<()> {
    let path = "jsonpath={.items[*].spec.containers[0].image}";
    let mut found = Vec::new();
    for _ in 0..300 {
        let arguments = ["get", "pods", "-n", "gpu-driver", "-o", path];
        let images = stage.control_plane.kubectl(&arguments)?;
        found = images
            .split(' ')
            .filter_map(|image| Some(image.split_once(':')?.1.to_owned()))
            .collect();
        found.sort();
        if found == wanted {
            say(&format!("Drivers on the nodes: {}", found.join(", ")));
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    anyhow::bail!("the drivers are {found:?} where {wanted:?} were expected")
}

fn quota(stage: &Stage) -> Result<String> {
    stage.kubectl(&[
        "get",
        "resourcequota",
        "team",
        "-n",
        "vision",
        "-o",
        r"jsonpath={.spec.hard.requests\.cpu}",
    ])
}

fn changes(plan: &Value) -> impl Iterator<Item = &Value> {
    let components = plan["components"].as_array().into_iter().flatten();
    components.flat_map(|component| component["changes"].as_array().into_iter().flatten())
}

fn count(plan: &Value, action: &str) -> usize {
    changes(plan).filter(|change| change["action"]["is"] == action).count()
}

/// Kind, name and UID of everything that waits for a tombstone.
fn held(plan: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for change in changes(plan) {
        for gate in change["gates"].as_array().into_iter().flatten() {
            if gate["waitsFor"] == "tombstone" {
                found.push((
                    text(&change["id"]["kind"]),
                    text(&change["id"]["name"]),
                    text(&gate["uid"]),
                ));
            }
        }
    }
    found
}
