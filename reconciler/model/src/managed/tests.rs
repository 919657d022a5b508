//! What `prepare` decides, case by case.

use serde_json::json;

use super::*;
use crate::{
    desired::DesiredObject,
    format::site::{ComponentPolicy, IgnoreRule, TakeOver},
    inventory::{Entry, EntryState},
    object::{ADOPTED_LABEL, Object, SITE_LABEL, Uid},
};

const OURS: &str = "sitewright-lab";

fn manager(name: &str, operation: &str, fields: Value) -> ManagerEntry {
    ManagerEntry {
        manager: name.into(),
        operation: operation.into(),
        subresource: String::new(),
        api_version: "v1".into(),
        time: Some("2026-01-02T03:04:05Z".into()),
        fields,
    }
}

/// A case: what is live, who owns it, and the rules.
struct Case {
    component: DesiredComponent,
    policy: SitePolicy,
    site: SiteName,
    entry: Option<Entry>,
    live: Value,
    managers: Vec<ManagerEntry>,
}

impl Case {
    fn new(live: Value, managers: Vec<ManagerEntry>) -> Self {
        let component = DesiredComponent {
            name: "web".parse().unwrap(),
            blueprint: "web".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            depends_on: vec![],
            objects: vec![],
            health: vec![],
            hazards: vec![],
            waves: vec![],
            ignore: vec![],
            policy: ComponentPolicy::default(),
        };
        let site = "lab".parse().unwrap();
        Self {
            component,
            policy: SitePolicy::default(),
            site,
            entry: Some(entry()),
            live,
            managers,
        }
    }

    fn prepare(&self, desired: &DesiredObject) -> Prepared {
        let live = LiveFields { body: &self.live, managers: &self.managers };
        prepare(desired, &self.rules(), self.entry.as_ref(), Some(live))
    }

    fn rules(&self) -> Rules<'_> {
        Rules { site: &self.site, policy: &self.policy, component: &self.component }
    }
}

fn entry() -> Entry {
    Entry {
        api_version: "v1".into(),
        component: "web".parse().unwrap(),
        adopted: false,
        unproven: true,
        said: None,
        state: EntryState::Planned,
    }
}

fn desired(body: Value) -> DesiredObject {
    let object = Object::new(body).unwrap();
    let digest = object.digest();
    DesiredObject { object, origin: "t.yaml".into(), digest }
}

fn deployment(spec: Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "uid": "u1" }, "spec": spec })
}

fn replicas_of(name: &str, operation: &str) -> ManagerEntry {
    manager(name, operation, json!({ "f:spec": { "f:replicas": {} } }))
}

fn scaled_by(name: &str) -> Case {
    Case::new(deployment(json!({ "replicas": 5 })), vec![replicas_of(name, "Update")])
}

fn three() -> DesiredObject {
    desired(deployment(json!({ "replicas": 3, "paused": false })))
}

#[test]
fn what_is_not_there_is_sent_whole_without_force_and_bound_to_its_absence() {
    let case = scaled_by("hpa");
    let prepared = prepare(&three(), &case.rules(), None, None);
    let mut wanted = three().object.expose().clone();
    wanted["metadata"]["resourceVersion"] = "1".into();
    assert_eq!(prepared.body, wanted);
    assert!(!prepared.force && prepared.conflicts.is_empty() && prepared.left_out.is_empty());
}

#[test]
fn a_person_is_mended_by_force_and_the_uid_is_bound() {
    for person in ["kubectl-edit", "k9s", "OpenLens", "Mozilla", "node-fetch"] {
        let prepared = scaled_by(person).prepare(&three());
        assert!(prepared.force, "{person}");
        assert_eq!(prepared.conflicts, []);
        assert_eq!(prepared.body["metadata"]["uid"], "u1");
    }
}

#[test]
fn the_site_may_name_further_people() {
    let mut case = scaled_by("our-console");
    assert_eq!(case.prepare(&three()).conflicts.len(), 1);
    case.policy.people = vec!["our-console".into()];
    assert!(case.prepare(&three()).force);
}

#[test]
fn a_controller_is_a_conflict_and_nothing_is_forced() {
    let prepared = scaled_by("hpa").prepare(&three());
    let conflict = FieldConflict { manager: "hpa".into(), field: ".spec.replicas".into() };
    assert_eq!(prepared.conflicts, [conflict]);
    assert!(!prepared.force);
}

#[test]
fn one_conflict_holds_the_whole_object_though_a_person_changed_it_too() {
    let mut case = scaled_by("hpa");
    case.live["spec"]["paused"] = true.into();
    case.managers.push(manager("kubectl-edit", "Update", json!({ "f:spec": { "f:paused": {} } })));
    let prepared = case.prepare(&three());
    assert!(!prepared.force);
    assert_eq!(prepared.conflicts.len(), 1);
}

#[test]
fn equal_values_are_shared_and_no_conflict() {
    let mut case = scaled_by("hpa");
    case.live["spec"]["replicas"] = 3.into();
    let prepared = case.prepare(&three());
    assert!(prepared.conflicts.is_empty() && !prepared.force);
}

#[test]
fn equal_quantities_are_no_conflict() {
    let mut case = Case::new(
        deployment(json!({ "cpu": "1", "memory": "1Gi" })),
        vec![manager("vpa", "Update", json!({ "f:spec": { "f:cpu": {}, "f:memory": {} } }))],
    );
    let wanted = desired(deployment(json!({ "cpu": "1000m", "memory": "1024Mi" })));
    assert_eq!(case.prepare(&wanted).conflicts, []);
    case.live["spec"]["cpu"] = "2".into();
    assert_eq!(case.prepare(&wanted).conflicts.len(), 1);
}

#[test]
fn a_take_over_names_the_field_and_the_manager() {
    let mut case = scaled_by("hpa");
    let rule = |field: Option<&str>, manager: &str| TakeOver {
        kind: "Deployment.apps".into(),
        name: None,
        namespace: None,
        field: field.map(Into::into),
        manager: manager.into(),
    };
    for (field, manager, force) in [
        (Some("spec.replicas"), "hpa", true),
        (Some("spec"), "hpa", true),
        (None, "hpa", true),
        (Some("spec.paused"), "hpa", false),
        (Some("spec.replicas"), "other", false),
        (Some("spec..replicas"), "hpa", false),
    ] {
        case.component.policy.take_over = vec![rule(field, manager)];
        let prepared = case.prepare(&three());
        assert_eq!(prepared.force, force, "{field:?} {manager}");
        assert_eq!(prepared.conflicts.is_empty(), force);
        let conflicts = [FieldConflict { manager: "hpa".into(), field: ".spec.replicas".into() }];
        let answer = resolve(&conflicts, &three(), &case.rules());
        assert_eq!(answer == Resolution::Force, force, "{field:?} {manager}");
    }
}

#[test]
fn an_ignored_field_is_left_to_the_manager_that_owns_it_and_to_no_other() {
    let mut case = scaled_by("hpa");
    let rule = |manager: Option<&str>| IgnoreRule {
        kind: "Deployment".into(),
        name: None,
        field: "spec.replicas".into(),
        manager: manager.map(Into::into),
    };
    for (manager, left) in [(None, true), (Some("hpa"), true), (Some("keda"), false)] {
        case.component.ignore = vec![rule(manager)];
        let prepared = case.prepare(&three());
        assert_eq!(prepared.body["spec"].get("replicas").is_none(), left, "{manager:?}");
        assert_eq!(prepared.conflicts.is_empty(), left);
        assert_eq!(prepared.left_out.len(), usize::from(left));
    }
    case.component.ignore = vec![rule(None)];
    case.managers.clear();
    assert_eq!(case.prepare(&three()).body["spec"]["replicas"], 3, "nobody owns it: it is ours");
}

#[test]
fn an_ignored_part_of_a_list_entry_leaves_its_key() {
    let owned = json!({ "f:spec": { "f:containers": {
        "k:{\"name\":\"a\"}": { ".": {}, "f:name": {}, "f:image": {} } } } });
    let mut case = Case::new(
        deployment(json!({ "containers": [{ "name": "a", "image": "new" }] })),
        vec![manager("updater", "Update", owned)],
    );
    case.component.ignore = vec![IgnoreRule {
        kind: "Deployment".into(),
        name: None,
        field: "spec.containers[*]".into(),
        manager: None,
    }];
    let wanted = desired(deployment(
        json!({ "containers": [{ "name": "a", "image": "old", "tty": true }, { "name": "b" }] }),
    ));
    let prepared = case.prepare(&wanted);
    assert_eq!(
        prepared.body["spec"]["containers"],
        json!([{ "name": "a", "tty": true }, { "name": "b" }])
    );
    assert_eq!(prepared.conflicts, []);
}

#[test]
fn an_object_of_another_site_is_never_forced() {
    let mut case = scaled_by("kubectl-edit");
    case.live["metadata"]["labels"] = json!({ SITE_LABEL: "elsewhere" });
    assert!(!case.prepare(&three()).force);
}

#[test]
fn what_is_not_ours_and_not_to_become_ours_is_never_forced() {
    let mut case = scaled_by("kubectl-edit");
    case.entry = None;
    assert!(!case.prepare(&three()).force);
    case.component.policy.adopt = true;
    assert!(case.prepare(&three()).force);
    case.component.policy.adopt = false;
    case.live["metadata"]["labels"] = json!({ SITE_LABEL: "lab" });
    assert!(case.prepare(&three()).force, "the inventory was lost");
}

#[test]
fn force_waits_where_the_server_may_see_a_conflict_that_we_cannot_judge() {
    let mut case = scaled_by("kubectl-scale");
    case.live["spec"]["list"] = json!([{ "a": 1, "defaulted": true }, { "a": 2 }]);
    case.managers.push(manager("controller", "Update", json!({ "f:spec": { "f:list": {} } })));
    let wanted = desired(deployment(json!({ "replicas": 3, "list": [{ "a": 1 }] })));
    let prepared = case.prepare(&wanted);
    assert!(!prepared.force && prepared.conflicts.is_empty());
    let replicas =
        FieldConflict { manager: "kubectl-scale".into(), field: ".spec.replicas".into() };
    let list = FieldConflict { manager: "controller".into(), field: ".spec.list".into() };
    assert_eq!(resolve(std::slice::from_ref(&replicas), &wanted, &case.rules()), Resolution::Force);
    assert_eq!(
        resolve(&[replicas, list.clone()], &wanted, &case.rules()),
        Resolution::Held(vec![list])
    );
}

/// A case in which a person changed the replicas, and `manager` owns `field` as a whole.
fn edited_beside(field: &str, live: Value, manager_name: &str) -> Case {
    let mut case = scaled_by("kubectl-edit");
    case.live["spec"][field] = live;
    let owned = json!({ "f:spec": { (format!("f:{field}")): {} } });
    case.managers.push(manager(manager_name, "Update", owned));
    case
}

#[test]
fn force_never_takes_what_a_controller_added_to_an_atomic_map() {
    let live = json!({ "app": "x", "rollouts-pod-template-hash": "abc" });
    let case = edited_beside("selector", live.clone(), "rollouts-controller");
    let wanted = desired(deployment(json!({ "replicas": 3, "selector": { "app": "x" } })));
    let prepared = case.prepare(&wanted);
    assert!(!prepared.force, "the selector would be overwritten");
    assert_eq!(prepared.conflicts, [], "the server may find no conflict");
    let same = desired(deployment(json!({ "replicas": 3, "selector": live })));
    assert!(case.prepare(&same).force, "what is the same is nobody's loss");
}

#[test]
fn force_never_takes_a_text_that_looks_like_an_equal_quantity() {
    let case = edited_beside("version", "1.10".into(), "operator");
    let wanted = desired(deployment(json!({ "replicas": 3, "version": "1.1" })));
    let prepared = case.prepare(&wanted);
    assert!(!prepared.force && prepared.conflicts.is_empty());
}

// === the wedge: kubernetes#130292, fluxcd/flux2 discussion 6068 ===

fn service(ports: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "s", "namespace": "n", "uid": "u1", "resourceVersion": "7" },
        "spec": { "clusterIP": "10.0.0.1", "ports": ports } })
}

fn port(number: u16) -> Value {
    json!({ ".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {} , "n": number })
}

fn owns_port(name: &str, operation: &str, number: u16) -> ManagerEntry {
    let key = format!("k:{{\"port\":{number},\"protocol\":\"TCP\"}}");
    let mut entry = port(number);
    entry.as_object_mut().unwrap().remove("n");
    manager(name, operation, json!({ "f:spec": { "f:ports": { key: entry } } }))
}

fn declared() -> DesiredObject {
    desired(service(json!([{ "name": "http", "port": 80, "targetPort": 8080 }])))
}

#[test]
fn a_port_edited_by_hand_passes_to_us_so_that_the_apply_removes_it() {
    let case = Case::new(
        service(json!([{ "name": "http", "port": 81, "protocol": "TCP", "targetPort": 8080 }])),
        vec![
            manager(OURS, "Apply", json!({ "f:spec": { "f:type": {} } })),
            owns_port("kubectl-edit", "Update", 81),
        ],
    );
    let prepared = case.prepare(&declared());
    assert_eq!(prepared.conflicts, []);
    let [transfer] = prepared.transfers.as_slice() else { panic!("one transfer") };
    assert_eq!(transfer.entries, ["spec.ports[port=81,protocol=TCP]"]);

    let stand_in = prepared.stand_in.as_ref().unwrap();
    assert_eq!(
        stand_in["spec"],
        json!({ "clusterIP": "10.0.0.1", "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] })
    );
    assert_eq!(stand_in["metadata"]["resourceVersion"], "7");

    let after = transferred(&case.managers, &prepared.transfers, OURS);
    let [only] = after.as_array().unwrap().as_slice() else {
        panic!("one manager is left: {after}")
    };
    assert_eq!(only["manager"], OURS);
    assert_eq!(only["operation"], "Apply");
    let ports = &only["fieldsV1"]["f:spec"]["f:ports"];
    assert!(ports["k:{\"port\":81,\"protocol\":\"TCP\"}"].get("f:name").is_some(), "{after}");
    assert!(only["fieldsV1"]["f:spec"].get("f:type").is_some());
}

#[test]
fn what_the_person_owns_beyond_the_entry_stays_with_the_person() {
    let mut edit = owns_port("kubectl-edit", "Update", 81);
    edit.fields["f:metadata"] = json!({ "f:labels": { "f:mine": {} } });
    let case =
        Case::new(service(json!([{ "name": "http", "port": 81, "protocol": "TCP" }])), vec![edit]);
    let prepared = case.prepare(&declared());
    let after = transferred(&case.managers, &prepared.transfers, OURS);
    assert_eq!(after[0]["manager"], "kubectl-edit");
    assert_eq!(after[0]["fieldsV1"], json!({ "f:metadata": { "f:labels": { "f:mine": {} } } }));
    assert_eq!(after[1]["manager"], OURS);
}

#[test]
fn entries_that_do_no_harm_stay() {
    let case = Case::new(
        service(json!([
            { "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 },
            { "name": "debug", "port": 6060, "protocol": "TCP" },
        ])),
        vec![owns_port("kubectl-edit", "Update", 6060)],
    );
    assert_eq!(case.prepare(&declared()).transfers, []);
}

#[test]
fn a_nameless_port_beside_ours_is_a_wedge_too() {
    let case = Case::new(
        service(json!([{ "port": 6060, "protocol": "TCP" }])),
        vec![owns_port("kubectl-edit", "Update", 6060)],
    );
    assert_eq!(case.prepare(&declared()).transfers.len(), 1);
}

#[test]
fn a_controllers_entry_in_the_way_is_a_conflict_with_its_name() {
    let mut case = Case::new(
        service(json!([{ "name": "http", "port": 81, "protocol": "TCP" }])),
        vec![owns_port("mesh", "Update", 81)],
    );
    let prepared = case.prepare(&declared());
    assert_eq!(prepared.transfers, []);
    let conflict =
        FieldConflict { manager: "mesh".into(), field: ".spec.ports[port=81,protocol=TCP]".into() };
    assert_eq!(prepared.conflicts, [conflict]);

    case.component.policy.take_over = vec![TakeOver {
        kind: "Service".into(),
        name: None,
        namespace: Some("n".into()),
        field: Some("spec.ports".into()),
        manager: "mesh".into(),
    }];
    assert_eq!(case.prepare(&declared()).transfers.len(), 1);
}

// === what was there before ===

/// A config map of ours, with what the site's own labels say.
fn labelled(site: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "c", "uid": "u1", "labels": { SITE_LABEL: site } }, "data": { "k": "canary" } })
}

fn is_marked(case: &Case) -> bool {
    let prepared = case.prepare(&desired(labelled("lab")));
    prepared.body["metadata"]["labels"].get(ADOPTED_LABEL).is_some()
}

#[test]
fn what_was_there_before_is_marked_and_what_we_made_is_not() {
    let ours = || manager(OURS, "Apply", json!({ "f:data": { "f:k": {} } }));
    let mut case = Case::new(labelled("lab"), vec![ours()]);
    assert!(!is_marked(&case), "a kill came between its create and its record");
    case.entry = None;
    assert!(!is_marked(&case), "the inventory was lost");
    case.live["metadata"]["labels"][ADOPTED_LABEL] = "true".into();
    assert!(is_marked(&case), "the inventory was lost, and the object says it");
    case.live = labelled("lab");
    case.managers.clear();
    assert!(is_marked(&case), "a label without the manager is somebody's copy");
    let state = EntryState::Applied {
        uid: Uid("u1".into()),
        rendered: crate::digest::Digest::of("r"),
        settled: crate::digest::Digest::of("s"),
    };
    case.entry = Some(Entry { state, ..entry() });
    assert!(!is_marked(&case), "the inventory has it by UID");
    case.entry.as_mut().unwrap().adopted = true;
    assert!(is_marked(&case));
}

#[test]
fn nothing_of_a_body_is_printed_by_debug() {
    let case = Case::new(labelled("lab"), vec![]);
    let fields = LiveFields { body: &case.live, managers: &case.managers };
    let text = format!("{fields:?} {:?}", case.prepare(&desired(labelled("lab"))));
    assert!(text.contains("ConfigMap c") && !text.contains("canary"), "{text}");
}
