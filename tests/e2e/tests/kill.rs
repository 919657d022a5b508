//! SIGKILL between any two requests of an apply: the next run converges, and nothing is lost or orphaned (law 2).
//!
//! A proxy before the API server counts the requests of the program. For each number there are two cuts:
//! before the server sees the request, and after it has done it but before the program knows.

#![allow(clippy::indexing_slicing, reason = "a test may panic, also in its helpers")]

use std::{collections::BTreeMap, sync::mpsc};

use serde_json::Value;
use sitewright_e2e::{Handle, Lab, Running, control_plane};
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

/// More requests than a small apply could need: a loop ends when an apply gets through uncut.
const MOST: u64 = 100;

/// At which side of the API server the program is killed.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Before,
    After,
}

/// A proxy and the number of the request at which every apply through it is killed.
struct Killer<'a> {
    proxy: &'a FaultProxy,
    number: u64,
    cut: Cut,
    /// Whether any apply was killed.
    has_killed: bool,
}

impl Killer<'_> {
    /// Applies and kills, then applies to the end.
    fn apply(&mut self, lab: &Lab) {
        self.has_killed |= self.kills(lab);
        lab.apply();
    }

    /// Returns whether the apply was killed; else it got through.
    fn kills(&self, lab: &Lab) -> bool {
        self.proxy.restart();
        let (sender, receiver) = mpsc::channel::<Handle>();
        let kill = move || receiver.recv().expect("the program runs").signal("KILL");
        match self.cut {
            Cut::Before => self.proxy.call_before(self.number, kill),
            Cut::After => self.proxy.call_after(self.number, kill),
        }
        let mut command = lab.command(&["apply", "--yes"]);
        let running = Running::start(command.env("KUBECONFIG", self.proxy.kubeconfig()));
        sender.send(running.handle()).expect("the proxy waits for it");
        let run = running.end();
        assert!(run.code == 0 || run.code == 137, "{self}: an uncut apply failed:\n{run}");
        run.code == 137
    }
}

impl std::fmt::Display for Killer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} request {}", self.cut, self.number)
    }
}

/// Kills at every request in turn, until `survives` says that none was killed any more.
fn at_every_request(cut: Cut, survives: impl Fn(&mut Killer<'_>)) {
    let proxy = FaultProxy::start(control_plane()).expect("the proxy starts");
    for number in 1..MOST {
        let mut killer = Killer { proxy: &proxy, number, cut, has_killed: false };
        survives(&mut killer);
        if !killer.has_killed {
            // Every apply got through, so every request of each was cut before.
            assert!(number > 5, "only {number} requests: does the program go through the proxy?");
            return;
        }
    }
    panic!("after {MOST} requests an apply is not through: not every one was cut");
}

/// A lab of its own, with a config map that nobody owns; in one call of kubectl, for there are many labs.
fn lab_with(prefix: &str, killer: &Killer<'_>, map: &str) -> Lab {
    let name = format!("{prefix}-{:?}-{}", killer.cut, killer.number).to_lowercase();
    let lab = Lab::on(control_plane(), control_plane().kubeconfig(), &name);
    let objects = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: '{{ns}}' }}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {map}, namespace: '{{ns}}' }}\ndata: {{ mine: 'yes' }}\n"
    );
    lab.kubectl_with(&["create", "-f", "-"], &objects);
    lab
}

/// The live config maps of the lab by name.
fn config_maps(lab: &Lab) -> BTreeMap<String, Value> {
    let text = lab.kubectl(&["get", "configmaps", "-n", lab.name(), "-o", "json"]);
    let list: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    let items = list.get("items").and_then(Value::as_array).expect("a list");
    let name = |map: &Value| text_at(map, "/metadata/name");
    items.iter().map(|map| (name(map), map.clone())).collect()
}

fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn uid(maps: &BTreeMap<String, Value>, name: &str) -> String {
    text_at(maps.get(name).unwrap_or_else(|| panic!("no {name}")), "/metadata/uid")
}

/// The names of the config maps that carry the label of the site.
fn owned(maps: &BTreeMap<String, Value>) -> Vec<&str> {
    let is_owned = |map: &Value| map.pointer("/metadata/labels/sitewright.dev~1site").is_some();
    maps.iter().filter(|(_, map)| is_owned(map)).map(|(name, _)| name.as_str()).collect()
}

// === config maps: created, updated, replaced, pruned ===

fn survives_small_changes(killer: &mut Killer<'_>) {
    let mut lab = lab_with("kill", killer, "stranger");

    lab.component("app", BEFORE);
    killer.apply(&lab);
    let first = config_maps(&lab);
    assert_eq!(owned(&first), ["frozen", "goes", "stays"], "{killer}");

    lab.component("app", AFTER);
    killer.apply(&lab);
    let second = config_maps(&lab);
    assert_eq!(owned(&second), ["comes", "frozen", "stays"], "{killer}");
    for name in ["stays", "frozen"] {
        assert_eq!(text_at(&second[name], "/data/color"), "green", "{killer}: {name}");
    }
    assert_eq!(uid(&second, "stays"), uid(&first, "stays"), "{killer}: it was made anew");

    // All that is on the cluster is in the inventory: what leaves the site is deleted, and only that.
    lab.component("app", LAST);
    killer.apply(&lab);
    let third = config_maps(&lab);
    assert_eq!(owned(&third), ["last"], "{killer}");
    assert_eq!(uid(&third, "stranger"), uid(&first, "stranger"), "{killer}: not ours to touch");
}

#[test]
fn killed_before_any_request_the_next_run_converges() {
    at_every_request(Cut::Before, survives_small_changes);
}

#[test]
fn killed_after_any_request_the_next_run_converges() {
    at_every_request(Cut::After, survives_small_changes);
}

// === a definition and its instance in one go, an adoption, a release ===

const ADOPTED: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: adopted, namespace: '{ns}' }
data: { color: blue }
";

/// A namespace, a definition and an instance of it in that namespace.
fn widgets(lab: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{ name: '{lab}-inner' }}\n\
         ---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{ name: widgets.{lab}.example }}\n\
         spec:\n  group: {lab}.example\n  scope: Namespaced\n  names: {{ plural: widgets, singular: widget, kind: Widget, listKind: WidgetList }}\n\
         \u{20} versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema:\n          type: object\n\
         \u{20}         properties: {{ spec: {{ type: object, properties: {{ size: {{ type: integer }} }} }} }}\n\
         ---\napiVersion: {lab}.example/v1\nkind: Widget\nmetadata: {{ name: one, namespace: '{lab}-inner' }}\nspec: {{ size: 1 }}\n"
    )
}

fn survives_definition_adoption_and_release(killer: &mut Killer<'_>) {
    let mut lab = lab_with("kinds", killer, "adopted");
    let before = uid(&config_maps(&lab), "adopted");

    lab.component("widgets", &widgets(lab.name()));
    lab.component("app", ADOPTED);
    lab.component_site("app", "policy: { adopt: true }");
    killer.apply(&lab);
    let maps = config_maps(&lab);
    assert_eq!(owned(&maps), ["adopted"], "{killer}");
    assert_eq!(text_at(&maps["adopted"], "/data/color"), "blue", "{killer}");
    let widget = format!("widgets.{}.example", lab.name());
    let inner = format!("{}-inner", lab.name());
    let size = ["get", &widget, "one", "-n", &inner, "-o", "jsonpath={.spec.size}"];
    assert_eq!(lab.kubectl(&size), "1", "{killer}");

    // It was there before the site, so it stays when it leaves the site, whatever was cut.
    lab.component("app", LAST);
    killer.apply(&lab);
    let maps = config_maps(&lab);
    assert_eq!(owned(&maps), ["last"], "{killer}");
    assert_eq!(uid(&maps, "adopted"), before, "{killer}: it was deleted or made anew");
    assert_eq!(text_at(&maps["adopted"], "/data/mine"), "yes", "{killer}");

    // A definition costs the API server work for as long as it is there.
    lab.kubectl(&["delete", "crd", &widget, "--wait=false"]);
}

#[test]
fn killed_before_any_request_of_a_definition_an_adoption_or_a_release_the_next_run_converges() {
    at_every_request(Cut::Before, survives_definition_adoption_and_release);
}

#[test]
fn killed_after_any_request_of_a_definition_an_adoption_or_a_release_the_next_run_converges() {
    at_every_request(Cut::After, survives_definition_adoption_and_release);
}
