//! What may not be lost.

use serde_json::json;

use super::world::{World, config_map, id, object};
use crate::{
    format::{
        blueprint::{Hazard, HazardOn, HazardRule},
        site::{Allows, ApproveFrom, Limit, Tombstone},
    },
    live::{Cause, Evidence, Judgement, LiveObject, Observation, Refusal},
    object::{GroupKind, ObjectId, Uid},
    plan::{
        Action, Change, Consent, Gate,
        guard::{NotPermitted, permits, telling},
    },
};

/// A world that owns `body` and no longer wants it; something else stays.
fn leaving(body: serde_json::Value) -> (World, ObjectId) {
    let stays = config_map("stays", json!({}));
    let mut world = World::with([stays.clone(), body.clone()]);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", [stays]);
    (world, crate::object::Object::new(body).unwrap().id().clone())
}

fn one(world: &World, id: &ObjectId) -> Change {
    world.plan().change(id).unwrap().clone()
}

fn tombstone(id: &ObjectId, uid: &Uid) -> Tombstone {
    Tombstone {
        kind: id.kind.to_string(),
        name: id.name.clone(),
        namespace: id.namespace.clone(),
        uid: uid.clone(),
        allows: Allows::Delete,
        reason: "test".into(),
    }
}

fn stake(change: &Change) -> &str {
    let [Gate::Tombstone { because, .. }] = change.gates.as_slice() else { panic!("{change:?}") };
    because
}

fn crd() -> serde_json::Value {
    let spec = json!({ "group": "x.io", "names": { "kind": "Widget", "plural": "widgets" } });
    object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.x.io", spec)
}

#[test]
fn data_goes_only_by_a_tombstone_of_this_very_object() {
    let cluster = object("ceph.rook.io/v1", "CephCluster", "rook", "ceph", json!({ "mons": 3 }));
    let (mut world, ceph) = leaving(cluster);
    let uid = world.cluster[&ceph].uid.clone();
    let change = one(&world, &ceph);
    assert_eq!(change.action, Action::Delete { uid: uid.clone() });
    assert_eq!(change.hazard, Hazard::DestroysData);
    assert!(stake(&change).contains("the Ceph cluster and everything stored in it"));
    assert_eq!(change.held_by(Consent::Given).count(), 1, "no digest opens it");

    let fitting = tombstone(&ceph, &uid);
    let wrong = [
        Tombstone { name: "other".into(), ..fitting.clone() },
        Tombstone { namespace: None, ..fitting.clone() },
        Tombstone { kind: "CephCluster.example.org".into(), ..fitting.clone() },
    ];
    for wrong in wrong {
        world.tombstones = vec![wrong];
        assert!(!stake(&one(&world, &ceph)).contains("another UID"));
    }
    world.tombstones = vec![Tombstone { uid: Uid("an earlier one".into()), ..fitting.clone() }];
    assert!(stake(&one(&world, &ceph)).contains("another UID"));
    world.tombstones = vec![fitting];
    let change = one(&world, &ceph);
    assert_eq!((change.gates, change.hazard), (vec![], Hazard::DestroysData));
}

#[test]
fn a_blueprint_may_name_further_data() {
    let (mut world, a) = leaving(object("x.io/v1", "Store", "n", "a", json!({})));
    assert_eq!(one(&world, &a).gates, []);
    world.component("app").hazards = vec![HazardRule {
        kind: "Store".into(),
        name: None,
        on: HazardOn::Delete,
        is: Hazard::DestroysData,
        because: "its buckets go".into(),
        hits: None,
    }];
    assert_eq!(stake(&one(&world, &a)), "its buckets go");
}

#[test]
fn an_update_that_destroys_data_needs_a_tombstone_too() {
    let host = |image: &str| {
        object("metal3.io/v1alpha1", "BareMetalHost", "n", "h", json!({ "image": image }))
    };
    let mut world = World::with([host("a")]);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", [host("b")]);
    assert!(stake(&one(&world, &id("metal3.io", "BareMetalHost", "n", "h"))).contains("disks"));
}

#[test]
fn a_claim_is_guarded_while_it_is_bound() {
    let claim = |volume: serde_json::Value| object("v1", "PersistentVolumeClaim", "n", "c", volume);
    let (world, c) = leaving(claim(json!({ "volumeName": "pv-1" })));
    assert!(stake(&one(&world, &c)).contains("pv-1"));
    let (mut world, c) = leaving(claim(json!({})));
    assert_eq!(one(&world, &c).gates, []);
    world.evidence.bound_claims.insert(c.clone(), "pv-2".into());
    assert!(stake(&one(&world, &c)).contains("pv-2"));
    world.evidence.missing.insert(c.clone(), "forbidden".into());
    assert_eq!(one(&world, &c).gates, [Gate::MissingEvidence { because: "forbidden".into() }]);
}

#[test]
fn a_storage_class_is_guarded_while_it_is_used_and_while_nobody_looked() {
    let (mut world, class) =
        leaving(object("storage.k8s.io/v1", "StorageClass", "", "fast", json!({})));
    assert!(matches!(one(&world, &class).gates.as_slice(), [Gate::MissingEvidence { .. }]));
    world.evidence.class_users.insert(class.clone(), vec!["claim n/a".into(), "claim n/b".into()]);
    assert_eq!(stake(&one(&world, &class)), "claim n/a and 1 more are of this class");
    world.evidence.class_users.insert(class.clone(), vec![]);
    assert_eq!(one(&world, &class).gates, []);
}

#[test]
fn a_definition_is_guarded_by_the_instances_that_do_not_go_before_it() {
    let widget = |name: &str| object("x.io/v1", "Widget", "n", name, json!({}));
    let stays = config_map("stays", json!({}));
    let mut world = World::with([stays.clone(), crd(), widget("a"), widget("b")]);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", [stays]);
    let definition = id("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.x.io");
    assert!(matches!(one(&world, &definition).gates.as_slice(), [Gate::MissingEvidence { .. }]));
    world.evidence.instances.insert(definition.clone(), 2);
    assert_eq!(one(&world, &definition).gates, [], "both go before it");
    world.evidence.instances.insert(definition.clone(), 3);
    assert!(stake(&one(&world, &definition)).starts_with("1 object of this kind"));
}

#[test]
fn a_namespace_is_guarded_by_what_is_in_it_and_not_of_this_plan() {
    let stays = config_map("stays", json!({}));
    let space = object("v1", "Namespace", "", "n2", json!({}));
    let inside = object("v1", "Secret", "n2", "ours", json!({}));
    let mut world = World::with([stays.clone(), space, inside]);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", [stays]);
    let n2 = id("", "Namespace", "", "n2");
    let hold = |world: &mut World, contents: &[&str]| {
        let contents = contents.iter().map(|content| (*content).to_owned()).collect();
        world.evidence.namespace_contents.insert(id("", "Namespace", "", "n2"), contents);
    };
    assert!(matches!(one(&world, &n2).gates.as_slice(), [Gate::MissingEvidence { .. }]));
    hold(&mut world, &["Secret ours", "ConfigMap kube-root-ca.crt", "ServiceAccount default"]);
    assert_eq!(one(&world, &n2).gates, []);
    hold(&mut world, &["Secret ours", "Secret theirs", "Pod p", "PersistentVolumeClaim data"]);
    let change = one(&world, &n2);
    assert_eq!(
        stake(&change),
        "PersistentVolumeClaim data and 2 more would be deleted with the namespace"
    );
}

#[test]
fn a_namespace_is_held_by_what_the_site_keeps_in_it() {
    let space = object("v1", "Namespace", "", "n2", json!({}));
    let inside = object("v1", "Secret", "n2", "ours", json!({}));
    let mut world = World::with([space, inside.clone()]);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", [inside]);
    let n2 = id("", "Namespace", "", "n2");
    world.evidence.namespace_contents.insert(n2.clone(), vec![]);
    assert_eq!(stake(&one(&world, &n2)), "Secret ours would be deleted with the namespace");
}

#[test]
fn what_was_there_before_is_not_lost_with_its_namespace() {
    let stays = config_map("stays", json!({}));
    let space = object("v1", "Namespace", "", "n2", json!({}));
    let mut world = World::with([stays.clone(), space.clone()]);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    let theirs = object("v1", "ConfigMap", "n2", "theirs", json!({ "k": 1 }));
    world.make("kubectl-create", theirs.clone());
    world.put("app", [stays.clone(), space, theirs]);
    world.component("app").policy.adopt = true;
    let plan = world.plan();
    world.apply(&plan, Consent::None);

    world.put("app", [stays]);
    let (n2, theirs) = (id("", "Namespace", "", "n2"), id("", "ConfigMap", "n2", "theirs"));
    world.evidence.namespace_contents.insert(n2.clone(), vec![]);
    // released now, it would be nobody's, and gone with the namespace by the next plan
    assert!(matches!(one(&world, &theirs).action, Action::Release { .. }));
    assert_eq!(stake(&one(&world, &theirs)), "it was there before Sitewright, and n2 goes");
    assert!(stake(&one(&world, &n2)).starts_with("ConfigMap theirs would be deleted"));
    let uid = |world: &World, id: &ObjectId| world.cluster[id].uid.clone();
    world.tombstones = vec![tombstone(&theirs, &uid(&world, &theirs))];
    assert!(matches!(one(&world, &theirs).action, Action::Delete { .. }));
    assert_eq!(one(&world, &n2).gates, []);
    world.tombstones = vec![tombstone(&n2, &uid(&world, &n2))];
    assert!(matches!(one(&world, &theirs).action, Action::Release { .. }));
    assert_eq!((one(&world, &theirs).gates, one(&world, &n2).gates), (vec![], vec![]));
}

#[test]
fn all_that_the_guards_and_hazards_know_is_looked_for_in_a_namespace() {
    let telling = telling();
    for (group, kind) in [
        ("", "PersistentVolumeClaim"),
        ("snapshot.storage.k8s.io", "VolumeSnapshot"),
        ("cluster.x-k8s.io", "MachineDeployment"),
        ("argoproj.io", "Workflow"),
        ("", "Pod"),
    ] {
        assert!(telling.contains(&GroupKind::new(group, kind)), "{kind}");
    }
}

#[test]
fn a_stateful_set_that_takes_its_claims_is_data() {
    let spec = json!({
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete" },
        "volumeClaimTemplates": [{}],
    });
    let (world, set) = leaving(object("apps/v1", "StatefulSet", "n", "s", spec));
    assert!(stake(&one(&world, &set)).contains("whenDeleted"));
    let (world, set) =
        leaving(object("apps/v1", "StatefulSet", "n", "s", json!({ "replicas": 1 })));
    assert_eq!(one(&world, &set).gates, []);
}

#[test]
fn running_jobs_wait_for_approval_and_finished_ones_do_not() {
    let job = |spec| object("batch/v1", "Job", "n", "j", spec);
    let (mut world, j) = leaving(job(json!({})));
    assert_eq!(one(&world, &j).gates, [Gate::Approval { hazard: Hazard::EvictsJobs }]);
    assert_eq!(one(&world, &j).held_by(Consent::Given).count(), 0);
    world.policy.approve = ApproveFrom::RebootsNode;
    assert_eq!(one(&world, &j).gates, []);
    world.policy.approve = ApproveFrom::default();
    let row = world.cluster.get_mut(&j).unwrap();
    row.body["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    assert_eq!(one(&world, &j).gates, []);
}

// === how much ===

fn many(count: usize) -> Vec<serde_json::Value> {
    (0..count).map(|index| config_map(&format!("c{index:02}"), json!({}))).collect()
}

#[test]
fn more_deletes_than_the_limit_hold_all_of_them() {
    let mut world = World::with(many(20));
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", many(9));
    let plan = world.plan();
    let held: Vec<&Change> =
        plan.changes().map(|(_, c)| c).filter(|c| !c.gates.is_empty()).collect();
    assert_eq!(held.len(), 11);
    for change in held {
        assert_eq!(change.gates, [Gate::BlastRadius { wanted: 11, allowed: 10 }]);
    }
    world.put("app", many(10));
    assert!(world.plan().changes().all(|(_, change)| change.gates.is_empty()));
    for (limit, held) in [("49%", true), ("50%", false), ("100%", false), ("many", true)] {
        world.policy.limits.deletes = Limit::Share(limit.into());
        let is_held = world.plan().changes().any(|(_, change)| !change.gates.is_empty());
        assert_eq!(is_held, held, "{limit}");
    }
}

#[test]
fn more_replaces_than_their_own_limit_hold_all_of_them_and_the_deletes() {
    let mut world = World::with(many(5));
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", (0..4).map(|index| config_map(&format!("c{index:02}"), json!({ "k": 2 }))));
    let cause = |field: &str| Cause {
        field: field.into(),
        reason: "FieldValueForbidden".into(),
        message: "field is immutable".into(),
    };
    let immutable = Refusal::Immutable { causes: vec![cause("spec.k")], replacement: Ok(()) };
    for index in 0..4 {
        let id = id("", "ConfigMap", "n", &format!("c{index:02}"));
        world.judgements.insert(id, Judgement::Refused(immutable.clone()));
    }
    let gates = |world: &World| -> Vec<Vec<Gate>> {
        world.plan().changes().map(|(_, change)| change.gates.clone()).collect()
    };
    assert_eq!(gates(&world), vec![vec![]; 5], "ten are allowed");
    for (limit, allowed) in [(Limit::Count(3), 3), (Limit::Share("79%".into()), 3)] {
        world.policy.limits.replaces = limit;
        assert_eq!(gates(&world), vec![vec![Gate::BlastRadius { wanted: 4, allowed }]; 5]);
    }
    world.policy.limits.replaces = Limit::Share("80%".into());
    assert_eq!(gates(&world), vec![vec![]; 5]);
}

#[test]
fn an_empty_rendering_deletes_nothing_unless_the_site_says_all() {
    let mut world = World::with(many(2));
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.put("app", []);
    for emptied in [world.clone(), world.remove("app").clone()] {
        let plan = emptied.plan();
        for (_, change) in plan.changes() {
            assert_eq!(change.gates, [Gate::EmptyRendering { owned: 2 }]);
            assert_eq!(change.held_by(Consent::Given).count(), 1, "no digest opens it");
        }
    }
    world.policy.limits.deletes = Limit::Count(1000);
    assert!(world.plan().changes().all(|(_, change)| !change.gates.is_empty()));
    world.policy.limits.deletes = Limit::Share("100%".into());
    assert!(world.plan().changes().all(|(_, change)| change.gates.is_empty()));
}

// === the permit ===

fn fresh(world: &World, id: &ObjectId) -> LiveObject {
    match world.live().objects.remove(id) {
        Some(Observation::Present(live)) => *live,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_permit_needs_a_plan_that_deletes_and_a_fresh_read_that_agrees() {
    let (world, a) = leaving(config_map("a", json!({})));
    let plan = world.plan();
    let nothing = Evidence::default();
    let live = fresh(&world, &a);
    let permit = permits(&plan, &a, &live, &nothing, Consent::None).unwrap();
    assert_eq!(permit.uid(), &world.cluster[&a].uid);
    assert_eq!(permit.resource_version(), live.resource_version);

    let other = LiveObject { uid: Uid("another".into()), ..live.clone() };
    let error = permits(&plan, &a, &other, &nothing, Consent::None).unwrap_err();
    assert!(matches!(*error, NotPermitted::OtherUid { .. }), "{error}");

    let stays = id("", "ConfigMap", "n", "stays");
    let error = permits(&plan, &stays, &live, &nothing, Consent::Given).unwrap_err();
    assert!(matches!(*error, NotPermitted::NotPlanned(_)), "{error}");
}

#[test]
fn a_permit_is_refused_where_something_came_to_be_at_stake_since_the_plan() {
    let (mut world, definition) = leaving(crd());
    world.evidence.instances.insert(definition.clone(), 0);
    let plan = world.plan();
    let live = fresh(&world, &definition);
    assert!(permits(&plan, &definition, &live, &world.evidence, Consent::None).is_ok());
    let mut later = world.evidence.clone();
    later.instances.insert(definition.clone(), 1);
    for evidence in [later, Evidence::default()] {
        let error = permits(&plan, &definition, &live, &evidence, Consent::Given).unwrap_err();
        assert!(matches!(*error, NotPermitted::AtStake { .. }), "{error}");
    }
}

#[test]
fn a_permit_is_refused_while_a_gate_holds() {
    let (mut world, j) = leaving(object("batch/v1", "Job", "n", "j", json!({})));
    let plan = world.plan();
    let live = fresh(&world, &j);
    let nothing = Evidence::default();
    let error = permits(&plan, &j, &live, &nothing, Consent::None).unwrap_err();
    assert!(matches!(*error, NotPermitted::Held { .. }), "{error}");
    assert!(permits(&plan, &j, &live, &nothing, plan.approved_by(Some(&plan.digest))).is_ok());

    let stranger = world.plan().digest;
    world.put("app", [config_map("stays", json!({ "k": 1 }))]);
    assert_eq!(world.plan().approved_by(Some(&stranger)), Consent::None);
}
