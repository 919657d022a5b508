//! What waits for what, and the walk over it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::plan::{
    Consent, Gate,
    tests::world::{World, component, config_map, id, object},
};

fn graph(world: &World) -> Graph {
    Graph::of(&world.desired(), &world.live(), &world.plan()).unwrap()
}

fn waits(world: &World, id: &ObjectId) -> Vec<String> {
    let graph = graph(world);
    let line = |(node, requirement): &(&Node, Requirement)| format!("{node}: {requirement}");
    let mut lines: Vec<String> = graph.waits_for(id).iter().map(line).collect();
    lines.sort();
    lines
}

fn put(world: &mut World, name: &str, depends_on: &[&str], objects: Vec<Value>) {
    world.components.push(component(name, depends_on));
    world.put(name, objects);
}

fn applied(world: &mut World) {
    let plan = world.plan();
    world.apply(&plan, Consent::Given);
}

fn crd() -> Value {
    let spec = json!({ "group": "x.io", "names": { "kind": "Widget", "plural": "widgets" } });
    object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.x.io", spec)
}

fn widget(name: &str) -> Value {
    object("x.io/v1", "Widget", "n", name, json!({}))
}

fn deployment(name: &str, pod: Value) -> Value {
    let template = json!({ "metadata": { "labels": { "app": name } }, "spec": pod });
    object("apps/v1", "Deployment", "n", name, json!({ "template": template }))
}

fn service(name: &str) -> Value {
    object("v1", "Service", "n", name, json!({ "selector": { "app": name } }))
}

fn hook(name: &str, service: &str, resources: &[&str]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name }, "spec": {},
        "webhooks": [{
            "clientConfig": { "service": { "namespace": "n", "name": service } },
            "rules": [{ "apiGroups": ["x.io"], "resources": resources }],
        }],
    })
}

fn hook_id(name: &str) -> ObjectId {
    id("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", name)
}

// === edges ===

#[test]
fn definitions_and_namespaces_come_before_what_needs_them() {
    let space = object("v1", "Namespace", "", "n", json!({}));
    let world = World::with([widget("a"), crd(), space]);
    assert_eq!(
        waits(&world, &id("x.io", "Widget", "n", "a")),
        [
            "CustomResourceDefinition.apiextensions.k8s.io widgets.x.io: established",
            "Namespace n: applied",
        ]
    );
}

#[test]
fn a_workload_waits_for_all_that_it_names_and_for_its_rights() {
    let pod = json!({
        "serviceAccountName": "sa",
        "volumes": [
            { "configMap": { "name": "settings" } },
            { "secret": { "secretName": "key" } },
            { "persistentVolumeClaim": { "claimName": "data" } },
        ],
        "containers": [{ "envFrom": [{ "configMapRef": { "name": "env" } }] }],
    });
    let simple = |kind: &str, name: &str| object("v1", kind, "n", name, json!({}));
    let mut binding = object("rbac.authorization.k8s.io/v1", "RoleBinding", "n", "b", json!({}));
    binding["roleRef"] = json!({ "kind": "Role", "name": "r" });
    binding["subjects"] = json!([{ "kind": "ServiceAccount", "name": "sa", "namespace": "n" }]);
    let world = World::with([
        deployment("d", pod),
        simple("ServiceAccount", "sa"),
        config_map("settings", json!({})),
        config_map("env", json!({})),
        config_map("unrelated", json!({})),
        simple("Secret", "key"),
        simple("PersistentVolumeClaim", "data"),
        service("d"),
        binding,
        object("rbac.authorization.k8s.io/v1", "Role", "n", "r", json!({})),
    ]);
    let mut found = waits(&world, &id("apps", "Deployment", "n", "d"));
    found.sort();
    assert_eq!(
        found,
        [
            "ConfigMap n/env: applied",
            "ConfigMap n/settings: applied",
            "PersistentVolumeClaim n/data: applied",
            "RoleBinding.rbac.authorization.k8s.io n/b: applied",
            "Secret n/key: applied",
            "Service n/d: applied",
            "ServiceAccount n/sa: applied",
        ]
    );
    assert_eq!(
        waits(&world, &id("rbac.authorization.k8s.io", "RoleBinding", "n", "b")),
        ["Role.rbac.authorization.k8s.io n/r: applied", "ServiceAccount n/sa: applied",]
    );
}

#[test]
fn webhooks_wait_for_their_endpoint_and_judged_objects_for_the_webhook() {
    let world = World::with([
        hook("h", "d", &["widgets"]),
        service("d"),
        deployment("d", json!({})),
        crd(),
        widget("a"),
    ]);
    assert_eq!(waits(&world, &hook_id("h")), ["the endpoint of Service n/d: applied"]);
    let printed = graph(&world).to_string();
    let group = "the endpoint of Service n/d waits for\n  Service n/d: endpoint ready\n  Deployment.apps n/d: applied\n";
    assert!(printed.contains(group), "{printed}");
    let a = waits(&world, &id("x.io", "Widget", "n", "a"));
    assert!(a.contains(&"the endpoint of Service n/d: applied".to_owned()), "{a:?}");
    assert!(a.iter().any(|line| line.contains("WebhookConfiguration")), "{a:?}");

    let world = World::with([hook("h", "d", &["gadgets"]), service("d"), crd(), widget("a")]);
    let a = waits(&world, &id("x.io", "Widget", "n", "a"));
    assert_eq!(a.len(), 1, "{a:?}");
}

#[test]
fn an_object_that_the_webhooks_own_service_needs_does_not_wait_for_the_webhook() {
    let mut owned = deployment("d", json!({}));
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "x.io/v1", "kind": "Widget", "name": "needed" }]);
    let world = World::with([
        hook("h", "d", &["*"]),
        service("d"),
        owned,
        crd(),
        widget("needed"),
        widget("other"),
    ]);
    assert_eq!(waits(&world, &id("x.io", "Widget", "n", "needed")).len(), 1);
    assert_eq!(waits(&world, &id("x.io", "Widget", "n", "other")).len(), 3);
}

#[test]
fn instances_wait_for_the_service_that_converts_them() {
    let mut crd = crd();
    crd["spec"]["conversion"] = json!({ "webhook": { "clientConfig": {
        "service": { "namespace": "n", "name": "d" } } } });
    let world = World::with([crd, service("d"), deployment("d", json!({})), widget("a")]);
    let a = waits(&world, &id("x.io", "Widget", "n", "a"));
    assert!(a.contains(&"the endpoint of Service n/d: applied".to_owned()), "{a:?}");
}

#[test]
fn a_circle_is_an_error_that_shows_it() {
    let mut world = World::new();
    let space = object("v1", "Namespace", "", "n", json!({}));
    put(&mut world, "storage", &[], vec![config_map("a", json!({}))]);
    put(&mut world, "apps", &["storage"], vec![space]);
    let error = Graph::of(&world.desired(), &world.live(), &world.plan()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ConfigMap n/a waits for Namespace n to be applied"), "{text}");
    assert!(text.contains("component storage waits for ConfigMap n/a to be healthy"), "{text}");
}

#[test]
fn the_graph_prints() {
    let world = World::with([widget("a"), crd()]);
    assert_eq!(
        graph(&world).to_string(),
        "Widget.x.io n/a waits for\n  CustomResourceDefinition.apiextensions.k8s.io widgets.x.io: established\n"
    );
    assert!(graph(&world).to_mermaid().contains("n0 -->|established| n1"));
}

// === the walk ===

/// Walks to the end; `fails` names steps that fail. Returns the steps in order.
fn walk(
    world: &World,
    consent: Consent,
    fails: &[&str],
) -> (Vec<String>, BTreeMap<String, Consequence>) {
    let plan = world.plan();
    let graph = Graph::of(&world.desired(), &world.live(), &plan).unwrap();
    let mut walk = Walk::new(&graph, &plan, consent);
    let mut steps = Vec::new();
    while let Some(step) = walk.next() {
        let text = match &step {
            Step::Change(id) => format!("{} {}", id.kind.kind, id.name),
            Step::Await(id, requirement) => format!("{} {} {requirement}", id.kind.kind, id.name),
        };
        let outcome = if fails.contains(&text.as_str()) { Outcome::Failed } else { Outcome::Done };
        steps.push(text);
        walk.done(&step, outcome);
    }
    assert!(walk.is_finished());
    let consequences = walk.consequences();
    let named = consequences.map(|(id, c)| (format!("{} {}", id.kind.kind, id.name), c.clone()));
    (steps, named.collect())
}

fn at(steps: &[String], step: &str) -> usize {
    steps.iter().position(|known| known == step).unwrap_or_else(|| panic!("{step} in {steps:?}"))
}

#[test]
fn a_whole_site_is_walked_in_order_and_each_step_once() {
    let mut world = World::new();
    put(
        &mut world,
        "base",
        &[],
        vec![crd(), service("d"), deployment("d", json!({})), hook("h", "d", &["widgets"])],
    );
    put(&mut world, "use", &["base"], vec![widget("a")]);
    let (steps, _) = walk(&world, Consent::None, &[]);
    let mut once = steps.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), steps.len(), "{steps:?}");
    let order = [
        "Deployment d",
        "Service d endpoint ready",
        "ValidatingWebhookConfiguration h",
        "ValidatingWebhookConfiguration h healthy",
        "Widget a",
        "Widget a healthy",
    ];
    assert!(order.windows(2).all(|pair| at(&steps, pair[0]) < at(&steps, pair[1])), "{steps:?}");
}

#[test]
fn nothing_to_do_is_no_step() {
    let mut world = World::new();
    put(&mut world, "base", &[], vec![crd()]);
    put(&mut world, "use", &["base"], vec![widget("a")]);
    applied(&mut world);
    assert_eq!(walk(&world, Consent::None, &[]).0, [""; 0]);
}

#[test]
fn what_is_there_is_waited_for_only_where_something_needs_it() {
    let mut world = World::new();
    put(&mut world, "base", &[], vec![crd(), config_map("c", json!({}))]);
    applied(&mut world);
    put(&mut world, "use", &["base"], vec![widget("a")]);
    let (steps, _) = walk(&world, Consent::None, &[]);
    let wants = [
        "ConfigMap c healthy",
        "CustomResourceDefinition widgets.x.io established",
        "CustomResourceDefinition widgets.x.io healthy",
        "Widget a",
        "Widget a healthy",
    ];
    let mut sorted = steps.clone();
    sorted.sort();
    assert_eq!(sorted, wants, "{steps:?}");
}

#[test]
fn a_failure_stops_its_branch_only() {
    let mut world = World::new();
    put(&mut world, "base", &[], vec![crd(), deployment("d", json!({}))]);
    put(&mut world, "use", &["base"], vec![widget("a")]);
    put(&mut world, "other", &[], vec![config_map("free", json!({}))]);
    let (steps, ends) = walk(&world, Consent::None, &["Deployment d healthy"]);
    assert!(steps.contains(&"ConfigMap free healthy".to_owned()));
    assert!(!steps.contains(&"Widget a".to_owned()));
    let because_of = id("apps", "Deployment", "n", "d");
    assert_eq!(ends["Widget a"], Consequence::Skipped { because_of });
    assert_eq!(ends["Deployment d"], Consequence::Failed);
    assert_eq!(ends["CustomResourceDefinition widgets.x.io"], Consequence::Done);
}

#[test]
fn a_held_change_lets_dependents_go_on_with_what_is_there() {
    let mut world = World::new();
    put(&mut world, "base", &[], vec![deployment("d", json!({ "x": 1 }))]);
    applied(&mut world);
    world.put("base", [deployment("d", json!({ "x": 2 }))]);
    world.policy.approve = crate::format::site::ApproveFrom::RestartsPods;
    put(&mut world, "use", &["base"], vec![config_map("c", json!({}))]);
    let (steps, ends) = walk(&world, Consent::None, &[]);
    assert_eq!(steps, ["Deployment d healthy", "ConfigMap c", "ConfigMap c healthy"]);
    assert_eq!(ends["Deployment d"], Consequence::Held);
    let (steps, _) = walk(&world, Consent::Given, &[]);
    assert_eq!(steps[0], "Deployment d");
}

#[test]
fn what_is_held_and_not_there_stops_what_depends_on_it() {
    use crate::live::{Judgement, Refusal};
    let mut world = World::with([crd(), widget("a")]);
    let definition = id("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.x.io");
    let refusal = Judgement::Refused(Refusal::Denied("no".into()));
    world.judgements.insert(definition.clone(), refusal);
    let (steps, ends) = walk(&world, Consent::Given, &[]);
    assert_eq!(steps, [""; 0]);
    assert_eq!(ends["Widget a"], Consequence::Skipped { because_of: definition });
}

#[test]
fn deletes_come_last_after_health_and_in_reverse() {
    let mut world = World::with([
        crd(),
        widget("a"),
        deployment("d", json!({ "serviceAccountName": "sa" })),
        object("v1", "ServiceAccount", "n", "sa", json!({})),
        object("v1", "Namespace", "", "n", json!({})),
    ]);
    applied(&mut world);
    let definition = id("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.x.io");
    world.evidence.instances.insert(definition, 1);
    world.evidence.namespace_contents.insert(id("", "Namespace", "", "n"), vec![]);
    world.put("app", [object("v1", "ConfigMap", "m", "new", json!({}))]);
    let (steps, ends) = walk(&world, Consent::Given, &[]);
    let order = [
        "ConfigMap new healthy",
        "Widget a",
        "Widget a gone",
        "Deployment d",
        "Deployment d gone",
        "ServiceAccount sa",
        "ServiceAccount sa gone",
        "Namespace n",
        "Namespace n gone",
    ];
    assert!(order.windows(2).all(|pair| at(&steps, pair[0]) < at(&steps, pair[1])), "{steps:?}");
    assert!(at(&steps, "Widget a gone") < at(&steps, "CustomResourceDefinition widgets.x.io"));
    assert_eq!(ends["Namespace n"], Consequence::Done);

    let (steps, ends) = walk(&world, Consent::Given, &["ConfigMap new healthy"]);
    assert_eq!(steps.len(), 2, "nothing goes while the new is not healthy: {steps:?}");
    assert!(matches!(ends["Widget a"], Consequence::Skipped { .. }));

    let (steps, ends) = walk(&world, Consent::Given, &["Widget a gone"]);
    assert!(!steps.contains(&"Deployment d".to_owned()), "its controller stays: {steps:?}");
    assert!(matches!(ends["Namespace n"], Consequence::Skipped { .. }));
}

/// A world in which `old` leaves the site, and `new` and `proven` came with an earlier apply.
fn replaced_in_two_applies() -> World {
    let named = |name: &str| deployment(name, json!({}));
    let mut world = World::with([named("old"), named("new"), named("proven")]);
    applied(&mut world);
    world.put("app", [named("new"), named("proven")]);
    world
}

#[test]
fn a_delete_waits_for_what_an_earlier_apply_left_unhealthy() {
    let mut world = replaced_in_two_applies();
    let new = id("apps", "Deployment", "n", "new");
    world.inventory.entries.get_mut(&new).unwrap().unproven = true;
    let (steps, _) = walk(&world, Consent::Given, &[]);
    assert_eq!(steps, ["Deployment new healthy", "Deployment old", "Deployment old gone"]);
    let (steps, ends) = walk(&world, Consent::Given, &["Deployment new healthy"]);
    assert_eq!(steps, ["Deployment new healthy"]);
    assert_eq!(ends["Deployment old"], Consequence::Skipped { because_of: new });
}

#[test]
fn a_delete_does_not_go_ahead_of_what_is_going_away_itself() {
    let mut world = replaced_in_two_applies();
    let new = id("apps", "Deployment", "n", "new");
    world.put("app", [deployment("new", json!({ "x": 1 })), deployment("proven", json!({}))]);
    world.cluster.get_mut(&new).unwrap().deleting_since = Some("2026-02-03T04:00:00Z".into());
    let (steps, ends) = walk(&world, Consent::Given, &[]);
    assert_eq!(steps, [""; 0]);
    assert_eq!(ends["Deployment old"], Consequence::Skipped { because_of: new });
}

#[test]
fn a_held_change_elsewhere_does_not_keep_a_component_from_pruning() {
    let mut world = World::new();
    put(&mut world, "one", &[], vec![deployment("d", json!({ "x": 1 }))]);
    put(&mut world, "two", &[], vec![config_map("a", json!({})), config_map("b", json!({}))]);
    applied(&mut world);
    world.policy.approve = crate::format::site::ApproveFrom::RestartsPods;
    world.put("one", [deployment("d", json!({ "x": 2 }))]);
    world.put("two", [config_map("a", json!({}))]);
    let (steps, _) = walk(&world, Consent::None, &[]);
    assert_eq!(steps, ["ConfigMap b", "ConfigMap b gone"]);
    // Its own held change does: the old object may still be in use.
    world.put("one", [deployment("d", json!({ "x": 2 })), config_map("b", json!({}))]);
    world.put("one", [deployment("d", json!({ "x": 2 }))]).put("two", [config_map("a", json!({}))]);
    let gates = world.plan().change(&id("apps", "Deployment", "n", "d")).unwrap().gates.clone();
    assert!(matches!(gates.as_slice(), [Gate::Approval { .. }]));
}

#[test]
fn a_moved_object_is_there_before_the_old_one_goes() {
    let moved = |namespace: &str| object("v1", "ConfigMap", namespace, "a", json!({}));
    let mut world = World::new();
    put(&mut world, "one", &[], vec![moved("old"), config_map("stays", json!({}))]);
    applied(&mut world);
    world.put("one", [config_map("stays", json!({}))]);
    put(&mut world, "two", &[], vec![moved("new")]);
    let old = id("", "ConfigMap", "old", "a");
    assert!(waits(&world, &old).contains(&"ConfigMap new/a: changed and healthy".to_owned()));
}

#[test]
fn what_is_blocked_says_for_what() {
    let mut world = World::new();
    put(&mut world, "base", &[], vec![config_map("c", json!({}))]);
    put(&mut world, "use", &["base"], vec![config_map("u", json!({}))]);
    let plan = world.plan();
    let graph = Graph::of(&world.desired(), &world.live(), &plan).unwrap();
    let mut walk = Walk::new(&graph, &plan, Consent::None);
    let step = walk.next().unwrap();
    assert_eq!(walk.next(), None);
    assert!(!walk.is_finished());
    let need =
        |requirement| Need { node: Node::Object(id("", "ConfigMap", "n", "c")), requirement };
    let blocked = walk.blocked();
    assert_eq!(blocked.len(), 1);
    assert_eq!(blocked[0].id, id("", "ConfigMap", "n", "u"));
    assert_eq!(blocked[0].on, [need(Requirement::Healthy)]);
    walk.done(&step, Outcome::Done);
    assert_eq!(walk.next(), Some(Step::Await(id("", "ConfigMap", "n", "c"), Requirement::Healthy)));
}

// === laws of the walk ===

/// A graph whose edges lead to earlier nodes only; with it, by node, whether it is held and how it ends.
#[derive(Clone, Debug)]
struct Case {
    roles: Vec<Role>,
    edges: Vec<Vec<(usize, Requirement)>>,
    held: Vec<bool>,
    /// Which steps fail: one number for each node, a bit for each kind of step.
    fails: Vec<u8>,
    /// Which running step ends next.
    picks: Vec<usize>,
}

fn case() -> impl Strategy<Value = Case> {
    let role = prop_oneof![
        5 => Just(Role::Apply),
        2 => Just(Role::Idle),
        1 => Just(Role::Renew),
        2 => Just(Role::Group),
        1 => Just(Role::Lost),
    ];
    let requirement = prop_oneof![
        3 => Just(Requirement::Applied),
        2 => Just(Requirement::Healthy),
        1 => Just(Requirement::Established),
    ];
    let edges = prop::collection::vec((any::<prop::sample::Index>(), requirement), 0..4);
    let node =
        (role, edges, prop::bool::weighted(0.1), prop_oneof![6 => Just(0u8), 1 => any::<u8>()]);
    let nodes = prop::collection::vec(node, 1..30);
    (nodes, prop::collection::vec(any::<usize>(), 200)).prop_map(|(nodes, picks)| {
        let roles: Vec<Role> = nodes.iter().map(|node| node.0).collect();
        let edge = |from: usize, (on, requirement): &(prop::sample::Index, Requirement)| {
            let on = on.index(from);
            let is_group = roles[on] == Role::Group;
            (on, if is_group { Requirement::Applied } else { *requirement })
        };
        let edges = nodes.iter().enumerate().map(|(from, node)| {
            if from == 0 { Vec::new() } else { node.1.iter().map(|e| edge(from, e)).collect() }
        });
        Case {
            edges: edges.collect(),
            held: nodes.iter().map(|node| node.2).collect(),
            fails: nodes.iter().map(|node| node.3).collect(),
            roles,
            picks,
        }
    })
}

impl Case {
    fn graph(&self) -> Graph {
        let name = |index: usize| id("", "X", "n", &format!("x{index}"));
        let node = |(index, role): (usize, &Role)| match role {
            Role::Group => Node::Component(format!("g{index}").parse().unwrap()),
            _ => Node::Object(name(index)),
        };
        let edge = |(on, requirement): &(usize, Requirement)| Edge {
            on: *on,
            requirement: *requirement,
            strength: Strength::Hard,
        };
        let objects = (0..self.roles.len()).filter(|index| self.roles[*index] != Role::Group);
        Graph {
            nodes: self.roles.iter().enumerate().map(node).collect(),
            roles: self.roles.clone(),
            there: self.roles.iter().map(|role| *role != Role::Lost).collect(),
            edges: self.edges.iter().map(|edges| edges.iter().map(edge).collect()).collect(),
            index: objects.map(|index| (name(index), index)).collect(),
        }
    }

    fn outcome(&self, step: &Step, graph: &Graph) -> Outcome {
        let (id, kind) = match step {
            Step::Change(id) => (id, 1),
            Step::Await(id, Requirement::Healthy) => (id, 2),
            Step::Await(id, _) => (id, 4),
        };
        if self.fails[graph.index[id]] & kind != 0 { Outcome::Failed } else { Outcome::Done }
    }

    /// Returns whether what the edge wants of its node will be reached.
    fn holds(&self, on: usize, requirement: Requirement) -> bool {
        let fails = |bit: u8| self.fails[on] & bit != 0;
        let kind = if requirement == Requirement::Healthy { 2 } else { 4 };
        let waited = requirement == Requirement::Applied || !fails(kind);
        match (self.roles[on], self.held[on]) {
            (Role::Group, _) => self.edges[on].iter().all(|(on, r)| self.holds(*on, *r)),
            (Role::Lost, _) => false,
            (Role::Idle, _) | (_, true) => waited,
            _ => self.starts(on) && !fails(1) && waited,
        }
    }

    /// Returns whether the node's own change is started.
    fn starts(&self, index: usize) -> bool {
        self.edges[index].iter().all(|(on, requirement)| self.holds(*on, *requirement))
    }
}

proptest! {
    /// Every change is started exactly where all that it waits for is reached, once, and after it.
    #[test]
    fn the_walk_does_what_the_graph_says(case in case()) {
        let graph = case.graph();
        let mut walk = Walk::start(&graph, &case.held);
        let mut running: Vec<Step> = Vec::new();
        let mut seen: Vec<Step> = Vec::new();
        let mut ended: Vec<(Step, Outcome)> = Vec::new();
        let mut picks = case.picks.iter().cycle();
        loop {
            while let Some(step) = walk.next() {
                prop_assert!(!seen.contains(&step), "{step:?} twice");
                if let Step::Change(id) = &step {
                    for edge in &graph.edges[graph.index[id]] {
                        prop_assert!(case.holds(edge.on, edge.requirement), "{id} too early");
                        if let Some(Node::Object(on)) = graph.node(edge.on)
                            && edge.requirement != Requirement::Applied
                        {
                            let wait = Step::Await(on.clone(), edge.requirement);
                            prop_assert!(ended.contains(&(wait, Outcome::Done)), "{id} before {on}");
                        }
                    }
                }
                seen.push(step.clone());
                running.push(step);
            }
            if running.is_empty() {
                break;
            }
            let step = running.swap_remove(picks.next().unwrap() % running.len());
            let outcome = case.outcome(&step, &graph);
            walk.done(&step, outcome);
            ended.push((step, outcome));
        }
        prop_assert!(walk.is_finished());
        prop_assert_eq!(walk.blocked(), vec![]);
        for (id, index) in &graph.index {
            let acts = matches!(case.roles[*index], Role::Apply | Role::Renew) && !case.held[*index];
            let started = seen.contains(&Step::Change(id.clone()));
            prop_assert_eq!(started, acts && case.starts(*index), "{}", id);
            let skipped = matches!(walk.consequence(id), Some(Consequence::Skipped { .. }));
            prop_assert_eq!(skipped, acts && !case.starts(*index), "{}", id);
        }
    }
}

#[test]
fn ten_thousand_nodes_are_walked_without_recursion() {
    let count = 10_000;
    let edges = (0..count).map(|index| match index {
        0 => vec![],
        index => vec![(index - 1, Requirement::Applied), (index / 2, Requirement::Healthy)],
    });
    let case = Case {
        roles: vec![Role::Apply; count],
        edges: edges.collect(),
        held: vec![false; count],
        fails: vec![0; count],
        picks: vec![],
    };
    let graph = case.graph();
    let mut walk = Walk::start(&graph, &case.held);
    let mut steps = 0;
    while let Some(step) = walk.next() {
        steps += 1;
        walk.done(&step, Outcome::Done);
    }
    assert_eq!(steps, 2 * count);
}
