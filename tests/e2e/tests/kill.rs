//! SIGKILL between any two requests of an apply: the next run converges, and nothing is lost or orphaned (law 2).
//!
//! A proxy before the API server counts the requests of the program. For each number there are two cuts:
//! before the server sees the request, and after it has done it but before the program knows.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use sitewright_e2e::{Lab, control_plane};
use sitewright_testbed::FaultProxy;

const BEFORE: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: stays, namespace: '{ns}' }
data: { color: blue }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: frozen, namespace: '{ns}' }
immutable: true
data: { color: blue }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: goes, namespace: '{ns}' }
";

const AFTER: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: stays, namespace: '{ns}' }
data: { color: green }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: frozen, namespace: '{ns}' }
immutable: true
data: { color: green }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: comes, namespace: '{ns}' }
";

const LAST: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: last, namespace: '{ns}' }
";

/// More requests than a small apply could need: the loop ends when one gets through uncut.
const MOST: u64 = 300;

#[derive(Clone, Copy)]
enum Cut {
    Before,
    After,
}

/// Returns whether the apply was killed at request `number`.
fn killed_at(lab: &Lab, proxy: &FaultProxy, number: u64, cut: Cut) -> bool {
    proxy.restart();
    let (sender, receiver) = mpsc::channel::<u32>();
    let kill = move || {
        let process = receiver.recv_timeout(Duration::from_secs(30)).expect("the program runs");
        let status =
            Command::new("kill").args(["-KILL", &process.to_string()]).status().expect("kill runs");
        assert!(status.success());
    };
    match cut {
        Cut::Before => proxy.call_before(number, kill),
        Cut::After => proxy.call_after(number, kill),
    }
    let mut command = lab.command(&["apply", "--yes"]);
    command
        .env("KUBECONFIG", proxy.kubeconfig())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    sender.send(child.id()).expect("the proxy waits for it");
    let output = child.wait_with_output().expect("the program ends");
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => false,
        Some(code) => panic!("request {number}: the uncut apply ended with {code}:\n{}", text()),
        None => true,
    }
}

fn owned(lab: &Lab) -> BTreeSet<String> {
    let label = format!("sitewright.dev/site={}", lab.name());
    let names = lab.kubectl(&[
        "get",
        "configmaps",
        "-n",
        lab.name(),
        "-l",
        &label,
        "-o",
        "jsonpath={.items[*].metadata.name}",
    ]);
    names.split_whitespace().map(str::to_owned).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Kills the first apply of a site and the apply of a change, at request `number`; returns whether either was.
fn survives(proxy: &FaultProxy, number: u64, cut: Cut) -> bool {
    let side = match cut {
        Cut::Before => "before",
        Cut::After => "after",
    };
    let mut lab = Lab::new(&format!("kill-{side}-{number}"));
    lab.kubectl(&["create", "configmap", "stranger", "-n", lab.name()]);

    lab.component("app", BEFORE);
    let first = killed_at(&lab, proxy, number, cut);
    lab.apply();
    assert_eq!(owned(&lab), names(&["frozen", "goes", "stays"]), "{side} {number}");

    lab.component("app", AFTER);
    let second = killed_at(&lab, proxy, number, cut);
    lab.apply();
    assert_eq!(owned(&lab), names(&["comes", "frozen", "stays"]), "{side} {number}");
    let color = |name: &str| {
        let live = lab.live("configmap", name).expect("it is there");
        live.pointer("/data/color").cloned().expect("it has a color")
    };
    assert_eq!(
        (color("stays"), color("frozen")),
        ("green".into(), "green".into()),
        "{side} {number}"
    );

    // All that is on the cluster is in the inventory: what leaves the site is deleted, and only that.
    lab.component("app", LAST);
    lab.apply();
    assert_eq!(owned(&lab), names(&["last"]), "{side} {number}");
    assert!(lab.live("configmap", "stranger").is_some(), "{side} {number}");
    first || second
}

fn at_every_request(cut: Cut) {
    let proxy = FaultProxy::start(control_plane()).expect("the proxy starts");
    let cuts = (1..MOST).take_while(|&number| survives(&proxy, number, cut)).count();
    assert!(cuts > 5, "only {cuts} requests were cut: does the program go through the proxy?");
}

#[test]
fn killed_before_any_request_the_next_run_converges() {
    at_every_request(Cut::Before);
}

#[test]
fn killed_after_any_request_the_next_run_converges() {
    at_every_request(Cut::After);
}
