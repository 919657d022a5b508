//! The steps of the demo, in the order of a day's work.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sitewright_testbed::{AuditEvent, Mode};

use super::stage::{Stage, say};

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
    stage.play("the agent does it by itself", follow)
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
fn follow(stage: &mut Stage) -> Result<String> {
    let mut agent = stage.agent()?;
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
