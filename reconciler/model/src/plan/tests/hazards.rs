//! What a change does to running work and to data.

use serde_json::{Value, json};

use super::world::{World, id, object};
use crate::{
    format::{
        blueprint::{Hazard, HazardOn, HazardRule},
        site::{Allows, Tombstone},
    },
    live::{Judgement, Refusal},
    object::{Object, ObjectId},
    plan::{Action, Change, Consent, Gate},
};

/// A world that owns `before` and wants `after`, and what the plan says of it.
fn updated(before: Value, after: Value) -> (World, Change) {
    let id = Object::new(before.clone()).unwrap().id().clone();
    let mut world = World::with([before]);
    let plan = world.plan();
    world.apply(&plan, Consent::Given);
    world.put("app", [after]);
    let change = one(&world, &id);
    (world, change)
}

fn one(world: &World, id: &ObjectId) -> Change {
    world.plan().change(id).unwrap().clone()
}

fn is_held_by_tombstone(change: &Change) -> bool {
    change.gates.iter().any(|gate| matches!(gate, Gate::Tombstone { .. }))
}

#[test]
fn fewer_replicas_of_a_stateful_set_that_drops_claims_destroy_data() {
    let set = |replicas: u64, when_scaled: &str, templates: Value| {
        let spec = json!({
            "replicas": replicas,
            "volumeClaimTemplates": templates,
            "persistentVolumeClaimRetentionPolicy": { "whenScaled": when_scaled },
        });
        object("apps/v1", "StatefulSet", "n", "db", spec)
    };
    let claims = json!([{ "metadata": { "name": "data" } }]);
    let hazard = |when_scaled: &str, templates: &Value| {
        let (before, after) =
            (set(3, when_scaled, templates.clone()), set(1, when_scaled, templates.clone()));
        updated(before, after).1
    };
    let change = hazard("Delete", &claims);
    assert_eq!(change.hazard, Hazard::DestroysData);
    assert!(is_held_by_tombstone(&change));
    assert_eq!(hazard("Retain", &claims).hazard, Hazard::RestartsPods);
    assert_eq!(hazard("Delete", &json!([])).hazard, Hazard::RestartsPods);
    // The policy comes with the same change that drops the pods.
    let change = updated(set(3, "Retain", claims.clone()), set(1, "Delete", claims)).1;
    assert_eq!(change.hazard, Hazard::DestroysData);
}

#[test]
fn machines_that_go_or_are_replaced_take_their_disks_with_them() {
    let pool = |replicas: u64, version: &str| {
        let spec = json!({ "replicas": replicas, "template": { "version": version } });
        object("cluster.x-k8s.io/v1beta1", "MachineDeployment", "n", "workers", spec)
    };
    assert_eq!(updated(pool(10, "a"), pool(2, "a")).1.hazard, Hazard::DestroysData);
    assert_eq!(updated(pool(2, "a"), pool(2, "b")).1.hazard, Hazard::DestroysData);
    assert_eq!(updated(pool(2, "a"), pool(10, "a")).1.hazard, Hazard::Safe);
}

#[test]
fn what_a_changed_field_does_it_does_in_a_replacement_too() {
    let rule = HazardRule {
        kind: "Deployment.apps".into(),
        name: None,
        on: HazardOn::Field { field: "spec.template".into() },
        is: Hazard::EvictsJobs,
        because: "it serves licences".into(),
        hits: None,
    };
    let server = |selector: &str, image: &str| {
        let spec = json!({ "selector": selector, "template": image });
        object("apps/v1", "Deployment", "n", "licences", spec)
    };
    let (mut world, _) = updated(server("a", "1"), server("b", "2"));
    world.component("app").hazards = vec![rule];
    let id = id("apps", "Deployment", "n", "licences");
    let refusal = Refusal::Immutable { causes: vec![], replacement: Ok(()) };
    world.judgements.insert(id.clone(), Judgement::Refused(refusal));
    let change = one(&world, &id);
    assert!(matches!(change.action, Action::Replace { .. }), "{change:?}");
    assert_eq!(change.hazard, Hazard::EvictsJobs);
}

#[test]
fn leave_to_change_an_object_is_no_leave_to_delete_it() {
    let pool = |domain: &str| {
        object("ceph.rook.io/v1", "CephBlockPool", "n", "home", json!({ "failureDomain": domain }))
    };
    let (mut world, _) = updated(pool("host"), pool("rack"));
    world.component("app").hazards = vec![HazardRule {
        kind: "CephBlockPool.ceph.rook.io".into(),
        name: None,
        on: HazardOn::Field { field: "spec.failureDomain".into() },
        is: Hazard::DestroysData,
        because: "Ceph moves every copy".into(),
        hits: None,
    }];
    let id = id("ceph.rook.io", "CephBlockPool", "n", "home");
    let tombstone = |allows: Allows| Tombstone {
        kind: "CephBlockPool.ceph.rook.io".into(),
        name: "home".into(),
        namespace: Some("n".into()),
        uid: world.cluster[&id].uid.clone(),
        allows,
        reason: "the racks are wired".into(),
    };
    let (update, delete) = (tombstone(Allows::Update), tombstone(Allows::Delete));
    assert!(is_held_by_tombstone(&one(&world, &id)));
    world.tombstones = vec![delete];
    assert!(is_held_by_tombstone(&one(&world, &id)));
    world.tombstones = vec![update];
    assert_eq!(one(&world, &id).gates, []);

    world.put("app", [object("v1", "ConfigMap", "n", "stays", json!({}))]);
    let change = one(&world, &id);
    assert!(matches!(change.action, Action::Delete { .. }) && is_held_by_tombstone(&change));
}
