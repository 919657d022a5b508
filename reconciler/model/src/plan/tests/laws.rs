//! What holds of every plan, whatever the site and the cluster.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::world::{Row, World, config_map, object, owned};
use crate::{
    inventory::{EntryState, Said},
    live::{Cause, Judgement, Refusal},
    managed::field_manager,
    object::{Object, ObjectId, Uid},
    plan::{Action, Consent, Plan, plan},
};

/// One thing that happens to a site or its cluster.
#[derive(Clone, Debug)]
enum Event {
    /// The site's component `0..3` gets these objects.
    Put(usize, BTreeMap<u8, u8>),
    /// The component leaves the site.
    Remove(usize),
    /// The component may take over what is there, or not.
    Adopt(usize, bool),
    /// Somebody edits, deletes, or makes the object anew.
    Edit(u8, u8),
    /// A controller takes a field that we set.
    Seize(u8, u8),
    /// The server refuses the object from now on, or no longer.
    Refuse(u8, bool),
    Delete(u8),
    MakeAnew(u8),
    /// A crash loses the record of a write.
    Crash(u8),
    /// The inventory is lost.
    Forget(u8),
    Apply,
}

fn event() -> impl Strategy<Value = Event> {
    let objects = prop::collection::btree_map(0..8u8, 0..3u8, 0..6);
    prop_oneof![
        4 => (0..3usize, objects).prop_map(|(component, objects)| Event::Put(component, objects)),
        1 => (0..3usize).prop_map(Event::Remove),
        1 => (0..3usize, any::<bool>()).prop_map(|(component, yes)| Event::Adopt(component, yes)),
        2 => (0..8u8, 0..3u8).prop_map(|(name, value)| Event::Edit(name, value)),
        1 => (0..8u8, 0..3u8).prop_map(|(name, value)| Event::Seize(name, value)),
        1 => (0..8u8, any::<bool>()).prop_map(|(name, yes)| Event::Refuse(name, yes)),
        1 => (0..8u8).prop_map(Event::Delete),
        1 => (0..8u8).prop_map(Event::MakeAnew),
        1 => (0..8u8).prop_map(Event::Crash),
        1 => (0..8u8).prop_map(Event::Forget),
        3 => Just(Event::Apply),
    ]
}

const COMPONENTS: [&str; 3] = ["one", "two", "three"];

fn body(name: u8, value: u8) -> Value {
    let name_text = format!("o{name}");
    // Odd objects have a field that cannot change.
    let fixed = if name % 2 == 1 { value / 2 } else { 0 };
    let spec = json!({ "value": value, format!("k{value}"): true, "fixed": fixed });
    match name {
        0..6 => config_map(&name_text, spec),
        6 => object("batch/v1", "Job", "n", &name_text, spec),
        _ => object("ceph.rook.io/v1", "CephBlockPool", "n", &name_text, spec),
    }
}

fn run(events: &[Event]) -> World {
    let mut world = World::new();
    world.controllers = vec!["operator"];
    world.immutable = vec!["fixed"];
    for event in events {
        step(&mut world, event);
    }
    world
}

fn step(world: &mut World, event: &Event) {
    let known = |world: &World, name: u8| {
        world.cluster.keys().find(|id| id.name == format!("o{name}")).cloned()
    };
    match event {
        Event::Put(component, objects) => {
            let others: Vec<String> = world
                .components
                .iter()
                .filter(|known| known.name.as_str() != COMPONENTS[*component])
                .flat_map(|known| known.objects.iter().map(|o| o.object.id().name.clone()))
                .collect();
            let free = objects.iter().filter(|(name, _)| !others.contains(&format!("o{name}")));
            let bodies: Vec<Value> = free.map(|(name, value)| body(*name, *value)).collect();
            world.put(COMPONENTS[*component], bodies);
        }
        Event::Remove(component) => {
            world.remove(COMPONENTS[*component]);
        }
        Event::Adopt(component, yes) => {
            let name = COMPONENTS[*component];
            if let Some(found) = world.components.iter_mut().find(|c| c.name.as_str() == name) {
                found.policy.adopt = *yes;
            }
        }
        Event::Seize(name, value) => {
            if let Some(id) = known(world, *name) {
                world.edit(&id, "operator", "value", (*value).into());
            }
        }
        Event::Refuse(name, yes) => {
            let id = Object::new(body(*name, 0)).unwrap().id().clone();
            world.judgements.remove(&id);
            if *yes {
                let cause = Cause {
                    field: "spec".into(),
                    reason: "FieldValueInvalid".into(),
                    message: "no".into(),
                };
                let refused = Judgement::Refused(Refusal::Invalid(vec![cause]));
                world.judgements.insert(id, refused);
            }
        }
        Event::Edit(name, value) => {
            if let Some(id) = known(world, *name) {
                world.edit(&id, "kubectl-edit", "value", (*value).into());
            }
        }
        Event::Delete(name) => {
            if let Some(id) = known(world, *name) {
                world.cluster.remove(&id);
            }
        }
        Event::MakeAnew(name) => {
            world.make("kubectl-create", body(*name, 9));
        }
        Event::Crash(name) => {
            if let Some(id) = known(world, *name)
                && let Some(entry) = world.inventory.entries.get_mut(&id)
            {
                entry.state = EntryState::Planned;
            }
        }
        Event::Forget(name) => {
            if let Some(id) = known(world, *name) {
                world.inventory.entries.remove(&id);
            }
        }
        Event::Apply => {
            let plan = world.plan();
            world.apply(&plan, Consent::None);
        }
    }
}

fn actions(plan: &Plan) -> BTreeMap<String, String> {
    plan.changes()
        .map(|(_, c)| (c.id.to_string(), format!("{:?} {:?}", c.action, c.gates)))
        .collect()
}

/// Returns whether the live object is the desired one: all that is desired is there, and nothing else is ours.
fn is_as_desired(world: &World, row: &Row, desired: &Value) -> bool {
    let ours = field_manager(&world.site);
    let entries = row.managers.iter().filter(|entry| entry.manager == ours);
    let mine: BTreeSet<String> = entries.flat_map(owned).collect();
    let wanted: BTreeSet<String> =
        desired["spec"].as_object().unwrap().keys().map(ToOwned::to_owned).collect();
    mine.is_subset(&wanted)
        && wanted.iter().all(|key| row.body["spec"][key] == desired["spec"][key])
        && row.body["metadata"]["labels"] == desired["metadata"]["labels"]
}

/// Holds an applied plan to its word, object by object.
fn check_applied(before: &World, plan: &Plan, after: &World) -> Result<(), TestCaseError> {
    let desired = after.desired();
    let wanted = desired.by_id();
    let planned: BTreeSet<&ObjectId> = plan.changes().map(|(_, change)| &change.id).collect();
    let known: BTreeSet<&ObjectId> =
        wanted.keys().copied().chain(before.inventory.entries.keys()).collect();
    prop_assert_eq!(planned, known);
    for (_, change) in plan.changes() {
        let body = |world: &World| world.cluster.get(&change.id).map(|row| row.body.clone());
        let row = after.cluster.get(&change.id);
        let is_held = change.held_by(Consent::Given).next().is_some();
        match (wanted.get(&change.id), &change.action) {
            _ if is_held => prop_assert_eq!(body(before), body(after), "{:?}", change),
            (Some((_, object)), _) => {
                let desired = object.object.expose();
                let there = row.is_some_and(|row| is_as_desired(after, row, desired));
                prop_assert!(there, "{:?} {:?}", change, row.map(|row| &row.body));
            }
            (None, Action::Delete { .. }) => prop_assert!(row.is_none(), "{change:?}"),
            (None, Action::Release { uid }) => {
                prop_assert_eq!(row.map(|row| &row.uid), Some(uid));
            }
            (None, Action::Forget) => prop_assert_eq!(body(before), body(after)),
            (None, action) => prop_assert!(false, "{action:?} of what is not wanted"),
        }
    }
    Ok(())
}

/// What a site does by itself, of objects that nothing is special about.
fn quiet_event() -> impl Strategy<Value = Event> {
    let objects = prop::collection::btree_map(0..6u8, 0..2u8, 1..6);
    prop_oneof![
        3 => (0..3usize, objects).prop_map(|(component, objects)| Event::Put(component, objects)),
        1 => (0..6u8, 0..2u8).prop_map(|(name, value)| Event::Edit(name, value)),
        1 => (0..6u8).prop_map(Event::Delete),
        2 => Just(Event::Apply),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// After an apply the cluster is what the site says; what is held is as it was.
    #[test]
    fn an_applied_plan_makes_the_cluster_what_the_site_says(
        events in prop::collection::vec(event(), 0..24)
    ) {
        let mut world = run(&events);
        let before = world.clone();
        let plan = world.plan();
        world.apply(&plan, Consent::Given);
        check_applied(&before, &plan, &world)?;
    }

    /// Where nothing is in the way nothing is held, and one apply is enough.
    #[test]
    fn a_site_that_nothing_stands_in_the_way_of_converges(
        events in prop::collection::vec(quiet_event(), 0..24)
    ) {
        let mut world = run(&events);
        prop_assume!(world.desired().objects().next().is_some());
        let before = world.clone();
        let plan = world.plan();
        for (_, change) in plan.changes() {
            prop_assert!(change.gates.is_empty(), "{change:?}");
        }
        world.apply(&plan, Consent::None);
        check_applied(&before, &plan, &world)?;
        let left = world.plan();
        prop_assert!(left.changes().all(|(_, change)| change.action == Action::None), "{left:?}");
    }

    /// After an apply, what is left is held: a second apply does nothing.
    #[test]
    fn an_applied_plan_leaves_only_what_is_held(events in prop::collection::vec(event(), 0..24)) {
        let mut world = run(&events);
        let plan = world.plan();
        world.apply(&plan, Consent::Given);
        for (_, change) in world.plan().changes() {
            let idle = change.action == Action::None;
            let held = change.held_by(Consent::Given).next().is_some();
            prop_assert!(idle || held, "{change:?}");
        }
    }

    /// A delete is of what the inventory has, with the UID that it has; a replacement too.
    #[test]
    fn nothing_is_deleted_but_what_is_owned(events in prop::collection::vec(event(), 0..24)) {
        let world = run(&events);
        for (_, change) in world.plan().changes() {
            let (Action::Delete { uid } | Action::Replace { uid, .. }) = &change.action else { continue };
            let entry = world.inventory.entries.get(&change.id);
            prop_assert!(entry.is_some(), "{change:?}");
            let recorded = entry.and_then(|entry| entry.uid());
            prop_assert!(recorded.is_none_or(|recorded| recorded == uid), "{change:?}");
            prop_assert_eq!(&world.cluster[&change.id].uid, uid);
        }
    }

    /// Whatever happens, an object that we did not make and did not adopt is still there.
    #[test]
    fn a_stranger_survives(events in prop::collection::vec(event(), 0..24), name in 0..8u8) {
        let mut world = run(&events);
        let id = world.make("somebody", body(name, 9));
        let uid = world.cluster[&id].uid.clone();
        for _ in 0..2 {
            let plan = world.plan();
            world.apply(&plan, Consent::Given);
        }
        prop_assert_eq!(&world.cluster[&id].uid, &uid);
    }

    /// Data is still there without a tombstone.
    #[test]
    fn data_survives(events in prop::collection::vec(event(), 0..24)) {
        let mut world = run(&events);
        let data = |world: &World| -> Vec<Uid> {
            let pools = world.cluster.iter().filter(|(id, _)| id.kind.kind == "CephBlockPool");
            pools.map(|(_, row)| row.uid.clone()).collect()
        };
        let before = data(&world);
        let plan = world.plan();
        world.apply(&plan, Consent::Given);
        let after = data(&world);
        prop_assert!(before.iter().all(|uid| after.contains(uid)));
    }

    /// Equal inputs give equal plans, and the order of components' objects does not matter.
    #[test]
    fn plans_are_deterministic(events in prop::collection::vec(event(), 0..24)) {
        let world = run(&events);
        let first = world.plan();
        prop_assert_eq!(&first, &world.plan());
        let mut desired = world.desired();
        desired.components.iter_mut().for_each(|component| component.objects.reverse());
        let second = plan(&desired, &world.live(), super::world::now());
        prop_assert_eq!(&first, &second);
        desired.components.reverse();
        let third = plan(&desired, &world.live(), super::world::now());
        prop_assert_eq!(actions(&first), actions(&third));
        prop_assert_eq!(first.digest, third.digest);
    }

    /// What changes by itself does not change the digest.
    #[test]
    fn the_digest_ignores_what_binds_nothing(events in prop::collection::vec(event(), 0..24)) {
        let mut world = run(&events);
        // Of what changed the server is asked anew, and what it then refuses is another plan.
        world.judgements.clear();
        let digest = world.plan().digest;
        let mut later = world.clone();
        for row in later.cluster.values_mut() {
            row.version += 1000;
            row.body["status"] = json!({ "seen": 1 });
            row.body["metadata"]["annotations"] = json!({ "note": "of an operator" });
            row.managers.iter_mut().for_each(|entry| entry.time = Some("2027-01-01T00:00:00Z".into()));
        }
        let mut desired = later.desired();
        desired.revision.commit = Some("another".into());
        desired.revision.dirty = true;
        let again = plan(&desired, &later.live(), "2030-01-01T00:00:00Z".parse().unwrap());
        prop_assert_eq!(digest, again.digest);
    }

    /// What is done, and to what, changes the digest.
    #[test]
    fn the_digest_binds_what_is_done(events in prop::collection::vec(event(), 0..24)) {
        let mut world = run(&events);
        let plan = world.plan();
        let effects = actions(&plan);
        let mut other = world.clone();
        other.site = "other".parse().unwrap();
        prop_assert_ne!(plan.digest, other.plan().digest);
        world.apply(&plan, Consent::None);
        let next = world.plan();
        let is_quiet = |effects: &BTreeMap<String, String>| -> Map<String, Value> {
            effects.iter().filter(|(_, what)| *what != "None []" && *what != "Record []").map(|(k, v)| (k.clone(), v.clone().into())).collect()
        };
        prop_assert_eq!(is_quiet(&effects) == is_quiet(&actions(&next)), plan.digest == next.digest);
    }
}

#[test]
fn ten_thousand_settled_objects_need_nothing() {
    let objects: Vec<Value> =
        (0..10_000).map(|index| config_map(&format!("c{index:05}"), json!({ "k": 1 }))).collect();
    let mut world = World::with(objects);
    let live = world.live();
    let entries = world.desired();
    let plan_of_new = plan(&entries, &live, super::world::now());
    assert_eq!(plan_of_new.changes().count(), 10_000);
    // Settled: made by hand, since the world applies one object at a time.
    for (_, object) in entries.objects() {
        let state = EntryState::Applied {
            uid: Uid("u".into()),
            rendered: object.digest,
            settled: object.digest,
        };
        world.inventory.entries.insert(
            object.object.id().clone(),
            crate::inventory::Entry {
                api_version: "v1".into(),
                component: "app".parse().unwrap(),
                adopted: false,
                unproven: false,
                said: Some(Said::default()),
                state,
            },
        );
    }
    let mut live = live;
    live.inventory = world.inventory.clone();
    live.objects.values_mut().for_each(|seen| *seen = crate::live::Observation::Settled);
    let quiet = plan(&entries, &live, super::world::now());
    assert!(quiet.changes().all(|(_, change)| change.action == Action::None));
}
