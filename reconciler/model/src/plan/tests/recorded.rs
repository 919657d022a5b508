//! What was recorded of an object, and what cannot be looked at.

use serde_json::json;

use super::world::{World, config_map, id, object, plan_of};
use crate::{
    format::{
        blueprint::{Hazard, HazardOn, HazardRule},
        site::{Allows, Tombstone},
    },
    inventory::{DeletionHazard, Said},
    live::Observation,
    object::ObjectId,
    plan::{Action, Change, Consent, Gate, Judged, drift},
};

fn rule(on: HazardOn, is: Hazard, because: &str) -> HazardRule {
    HazardRule { kind: "Store".into(), name: None, on, is, because: because.into(), hits: None }
}

fn store() -> serde_json::Value {
    object("example.org/v1", "Store", "n", "s", json!({ "k": 1 }))
}

fn store_id() -> ObjectId {
    id("example.org", "Store", "n", "s")
}

/// A world that owns a `Store` beside something else; its blueprint says what its deletion does.
fn stored() -> World {
    let mut world = World::with([store()]);
    world.component("app").hazards = vec![
        rule(HazardOn::Delete, Hazard::RestartsPods, "it restarts"),
        rule(HazardOn::Delete, Hazard::DestroysData, "pages are stored in it"),
        rule(HazardOn::Create, Hazard::EvictsJobs, "never"),
    ];
    world.put("other", [config_map("c", json!({}))]);
    apply(&mut world);
    world
}

fn apply(world: &mut World) {
    let plan = world.plan();
    world.apply(&plan, Consent::Given);
}

fn change(world: &World, id: &ObjectId) -> Change {
    world.plan().change(id).unwrap().clone()
}

#[test]
fn what_leaves_with_its_blueprint_is_as_hazardous_as_that_said() {
    let mut world = stored();
    let uid = world.cluster[&store_id()].uid.clone();
    let gate = Gate::Tombstone { uid: uid.clone(), because: "pages are stored in it".to_owned() };
    world.component("app").hazards.clear();
    world.component("app").objects.clear();
    assert_eq!(
        change(&world, &store_id()).gates,
        std::slice::from_ref(&gate),
        "the blueprint dropped the rule"
    );
    world.remove("app");
    let gone = change(&world, &store_id());
    assert_eq!((gone.action, gone.hazard), (Action::Delete { uid }, Hazard::DestroysData));
    assert_eq!(gone.gates, std::slice::from_ref(&gate));
    world.put("renamed", []);
    assert_eq!(change(&world, &store_id()).gates, [gate]);
}

#[test]
fn a_new_rule_is_recorded_once_and_changes_nothing_else() {
    let mut world = stored();
    let digest = world.plan().digest;
    assert_eq!(change(&world, &store_id()).action, Action::None);
    world.component("app").hazards = vec![rule(HazardOn::Delete, Hazard::EvictsJobs, "jobs end")];
    let recorded = change(&world, &store_id());
    assert_eq!((&recorded.action, &recorded.judged), (&Action::Record, &Judged::Digest));
    assert_eq!(world.plan().digest, digest, "a record binds nothing");
    apply(&mut world);
    assert_eq!(change(&world, &store_id()).action, Action::None);
    world.remove("app");
    assert_eq!(change(&world, &store_id()).gates, [Gate::Approval { hazard: Hazard::EvictsJobs }]);
}

#[test]
fn an_entry_that_says_nothing_is_renewed_and_until_then_holds() {
    let mut world = stored();
    let forget = |world: &mut World| {
        world.inventory.entries.values_mut().for_each(|entry| entry.said = None);
    };
    forget(&mut world);
    assert_eq!(change(&world, &store_id()).action, Action::Record);
    world.remove("app");
    let held = change(&world, &store_id());
    assert!(matches!(held.gates.as_slice(), [Gate::MissingEvidence { .. }]), "{held:?}");
    world.tombstones = vec![Tombstone {
        kind: "Store".into(),
        name: "s".into(),
        namespace: Some("n".into()),
        uid: world.cluster[&store_id()].uid.clone(),
        allows: Allows::Delete,
        reason: "test".into(),
    }];
    assert_eq!(change(&world, &store_id()).gates, []);

    let mut world = stored();
    forget(&mut world);
    apply(&mut world);
    world.remove("app");
    assert!(matches!(change(&world, &store_id()).gates.as_slice(), [Gate::Tombstone { .. }]));
}

#[test]
fn an_entry_reads_as_it_was_written_and_an_older_one_reads_too() {
    let entry = stored().inventory.entries[&store_id()].clone();
    let text = serde_json::to_value(&entry).unwrap();
    assert_eq!(
        text["said"],
        json!({ "deletion": { "is": "destroys-data", "because": "pages are stored in it" } })
    );
    assert_eq!(serde_json::from_value::<crate::inventory::Entry>(text.clone()).unwrap(), entry);
    let mut older = text;
    older.as_object_mut().unwrap().remove("said");
    assert_eq!(serde_json::from_value::<crate::inventory::Entry>(older).unwrap().said, None);
}

// === secrets ===

fn cm() -> ObjectId {
    id("", "ConfigMap", "n", "a")
}

/// A world that owns an object whose field `password` was secret when it was applied.
fn with_password() -> World {
    let mut world = World::with([config_map("a", json!({ "password": "canary", "k": 1 }))]);
    for object in &mut world.component("app").objects {
        object.object = object.object.clone().with_sensitive(["/spec/password".to_owned()]);
    }
    apply(&mut world);
    world
}

fn text(world: &World) -> String {
    let plan = world.plan();
    format!("{plan:?} {} {:?}", serde_json::to_string(&plan).unwrap(), drift(&plan))
}

#[test]
fn a_secret_that_is_no_longer_desired_is_not_shown_from_the_live_object() {
    let mut world = with_password();
    for spec in [json!({ "k": 2 }), json!({ "password": "public", "k": 1 })] {
        world.put("app", [config_map("a", spec)]);
        let text = text(&world);
        assert!(text.contains("spec.password") && !text.contains("canary"), "{text}");
    }
    world.edit(&cm(), "kubectl-edit", "password", "canary-too".into());
    assert!(!text(&world).contains("canary"));
}

#[test]
fn a_secret_stays_one_as_long_as_it_may_be_live() {
    let mut world = with_password();
    let secret = |world: &World| {
        let said = world.inventory.entries[&cm()].said.clone().unwrap();
        said.secret.into_iter().collect::<Vec<String>>()
    };
    world.put("app", [config_map("a", json!({ "k": 2 }))]);
    apply(&mut world);
    assert_eq!(secret(&world), ["/spec/password"], "somebody else may still have it there");
    assert_eq!(change(&world, &cm()).action, Action::None);
    world.put("app", [config_map("a", json!({ "k": 2, "password": "public" }))]);
    apply(&mut world);
    assert_eq!(secret(&world), [""; 0]);
}

#[test]
fn what_is_said_of_an_object_that_no_rule_is_about_is_nothing() {
    let said = with_password().inventory.entries[&cm()].said.clone().unwrap();
    let secret = std::collections::BTreeSet::from(["/spec/password".to_owned()]);
    assert_eq!(said, Said { deletion: None::<DeletionHazard>, secret });
}

// === what cannot be looked at ===

#[test]
fn what_cannot_be_looked_at_is_neither_there_nor_gone() {
    let mut world = stored();
    world.put("app", []);
    for id in [store_id(), id("", "ConfigMap", "n", "c")] {
        let mut live = world.live();
        live.objects.insert(id.clone(), Observation::Unseen("no right to get it".into()));
        let plan = plan_of(&world, &live);
        let change = plan.change(&id).unwrap();
        assert_eq!(change.action, Action::Unknown);
        assert!(change.because.is_empty(), "nobody is blamed");
        let because = "no right to get it".to_owned();
        assert_eq!(change.gates, [Gate::MissingEvidence { because }]);
        assert_eq!(drift(&plan).objects, []);
    }
}
