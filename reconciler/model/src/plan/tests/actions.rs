//! Each action, and what leads to it.

use serde_json::json;

use super::world::{World, config_map, id, object};
use crate::{
    format::{
        blueprint::{Hazard, HazardOn, HazardRule},
        site::DriftPolicy,
    },
    inventory::EntryState,
    live::{Cause, Deferred, FieldConflict, Judgement, Refusal},
    object::{ObjectId, SITE_LABEL, Shown, Uid},
    plan::{Action, Change, ChangeCause, Consent, Drift, FieldChange, Gate, Judged, Mended, drift},
};

fn cm(name: &str) -> ObjectId {
    id("", "ConfigMap", "n", name)
}

fn settled(objects: impl IntoIterator<Item = serde_json::Value>) -> World {
    let mut world = World::with(objects);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world
}

fn one(world: &World, id: &ObjectId) -> Change {
    world.plan().change(id).unwrap().clone()
}

fn fields(change: &Change) -> Vec<String> {
    let (Action::Update { fields } | Action::Adopt { fields }) = &change.action else {
        panic!("{change:?}")
    };
    fields.iter().map(|field| field.field.clone()).collect()
}

#[test]
fn what_is_not_there_is_created_and_then_there_is_nothing_to_do() {
    let mut world = World::with([config_map("a", json!({ "k": 1 }))]);
    let change = one(&world, &cm("a"));
    assert_eq!((&change.action, change.cause), (&Action::Create, ChangeCause::Revision));
    assert_eq!(change.judged, Judged::Server);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    let change = one(&world, &cm("a"));
    assert_eq!((&change.action, &change.judged), (&Action::None, &Judged::Digest));
}

#[test]
fn a_new_revision_updates_field_by_field() {
    let mut world = settled([config_map("a", json!({ "k": 1, "gone": true }))]);
    world.put("app", [config_map("a", json!({ "k": 2 }))]);
    let change = one(&world, &cm("a"));
    assert_eq!(change.cause, ChangeCause::Revision);
    let Action::Update { fields } = &change.action else { panic!("{change:?}") };
    let field = |name: &str, before: Shown, after: Shown| FieldChange {
        field: name.into(),
        before,
        after,
        by: None,
    };
    assert_eq!(
        *fields,
        [
            field("spec.gone", Shown::Value(true.into()), Shown::Absent),
            field("spec.k", Shown::Value(1.into()), Shown::Value(2.into())),
        ]
    );
}

#[test]
fn drift_is_told_from_a_revision_and_names_who() {
    let mut world = settled([config_map("a", json!({ "k": 1, "l": 1 }))]);
    world.edit(&cm("a"), "kubectl-edit", "k", 7.into());
    let change = one(&world, &cm("a"));
    assert_eq!(change.cause, ChangeCause::Drift);
    let Action::Update { fields } = &change.action else { panic!("{change:?}") };
    assert_eq!(fields[0].by.as_ref().unwrap().manager, "kubectl-edit");

    world.put("app", [config_map("a", json!({ "k": 1, "l": 2 }))]);
    let change = one(&world, &cm("a"));
    assert_eq!(change.cause, ChangeCause::Both);
    let report = drift(&world.plan());
    let [found] = report.objects.as_slice() else { panic!("{report:?}") };
    let Drift::Changed { fields } = &found.drift else { panic!("{found:?}") };
    assert_eq!(fields.len(), 1, "the revision's own change is no drift");
    assert_eq!(fields[0].live, Shown::Value(7.into()));
    assert_eq!(found.mended, Mended::ByApply);
}

#[test]
fn a_removed_field_is_drift_of_nobody() {
    let mut world = settled([config_map("a", json!({ "k": 1, "l": 1 }))]);
    world.edit(&cm("a"), "kubectl-edit", "k", serde_json::Value::Null);
    let change = one(&world, &cm("a"));
    assert_eq!(change.cause, ChangeCause::Drift);
    assert_eq!(fields(&change), ["spec.k"]);
}

#[test]
fn what_others_write_beside_our_fields_only_renews_the_record() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.edit(&cm("a"), "operator", "other", 7.into());
    let change = one(&world, &cm("a"));
    assert_eq!((&change.action, change.cause), (&Action::Record, ChangeCause::None));
    assert_eq!(drift(&world.plan()).objects, []);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    assert_eq!(one(&world, &cm("a")).action, Action::None);
}

#[test]
fn a_deleted_object_is_drift_and_is_created_again() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.cluster.clear();
    let change = one(&world, &cm("a"));
    assert_eq!((&change.action, change.cause), (&Action::Create, ChangeCause::Drift));
    assert_eq!(drift(&world.plan()).objects[0].drift, Drift::Deleted);
}

#[test]
fn report_only_holds_drift_and_no_revision() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.policy.drift = DriftPolicy::Report;
    world.edit(&cm("a"), "kubectl-edit", "k", 7.into());
    assert_eq!(one(&world, &cm("a")).gates, [Gate::ReportOnly]);
    assert_eq!(drift(&world.plan()).objects[0].mended, Mended::ReportOnly);
    world.put("app", [config_map("a", json!({ "k": 2 }))]);
    assert_eq!(one(&world, &cm("a")).gates, []);
    world.component("app").policy.drift = Some(DriftPolicy::Enforce);
    world.put("app", [config_map("a", json!({ "k": 1 }))]);
    assert_eq!(one(&world, &cm("a")).gates, [], "the component's policy wins");
}

#[test]
fn what_was_there_before_waits_for_adoption_and_is_released_later() {
    let mut world = World::with([config_map("a", json!({ "k": 1 }))]);
    let a = world.make("kubectl-create", config_map("a", json!({ "k": 2, "mine": 3 })));
    let change = one(&world, &a);
    assert_eq!(change.gates, [Gate::Adoption]);
    assert!(fields(&change).contains(&"spec.k".to_owned()));
    world.component("app").policy.adopt = true;
    assert_eq!(one(&world, &a).gates, []);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    assert_eq!(world.cluster[&a].body["spec"], json!({ "k": 1, "mine": 3 }));

    world.put("app", [config_map("other", json!({}))]);
    let uid = world.cluster[&a].uid.clone();
    assert_eq!(one(&world, &a).action, Action::Release { uid });
}

#[test]
fn an_object_of_another_site_is_shown_and_held_whatever_the_policy() {
    let mut world = World::with([config_map("a", json!({ "k": 1 }))]);
    let mut body = config_map("a", json!({ "k": 2 }));
    body["metadata"]["labels"] = json!({ SITE_LABEL: "elsewhere" });
    let a = world.make("sitewright-elsewhere", body);
    world.component("app").policy.adopt = true;
    assert_eq!(one(&world, &a).gates, [Gate::OtherSite { site: "elsewhere".into() }]);
}

#[test]
fn an_object_made_anew_by_someone_else_is_not_ours() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.make("kubectl-create", config_map("a", json!({ "k": 1 })));
    let change = one(&world, &cm("a"));
    assert_eq!(change.gates, [Gate::Adoption]);
    assert!(change.because[0].contains("made anew"), "{:?}", change.because);
}

#[test]
fn a_crash_between_write_and_record_is_taken_up() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.inventory.entries.get_mut(&cm("a")).unwrap().state = EntryState::Planned;
    assert_eq!(one(&world, &cm("a")).action, Action::Record);
    world.put("app", [config_map("other", json!({}))]);
    let uid = world.cluster[&cm("a")].uid.clone();
    assert_eq!(one(&world, &cm("a")).action, Action::Delete { uid });
}

#[test]
fn a_lost_inventory_is_found_again_by_label_and_manager_but_never_leads_to_a_delete() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.inventory.entries.clear();
    let change = one(&world, &cm("a"));
    assert_eq!((change.action, change.gates), (Action::Adopt { fields: vec![] }, vec![]));
    world.remove("app");
    assert_eq!(world.plan().changes().count(), 0);
}

#[test]
fn what_is_planned_and_never_came_is_forgotten() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.inventory.entries.get_mut(&cm("a")).unwrap().state = EntryState::Planned;
    world.cluster.clear();
    world.put("app", [config_map("other", json!({}))]);
    assert_eq!(one(&world, &cm("a")).action, Action::Forget);

    // Somebody else's object of that name is no business of ours.
    world.make("kubectl-create", config_map("a", json!({})));
    let change = one(&world, &cm("a"));
    assert_eq!(change.action, Action::Forget);
    assert!(change.because[0].contains("stays"));
}

#[test]
fn a_stranger_with_our_name_is_never_deleted() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.cluster.get_mut(&cm("a")).unwrap().uid = Uid("another".into());
    world.put("app", [config_map("other", json!({}))]);
    let change = one(&world, &cm("a"));
    assert_eq!(change.action, Action::Forget);
    assert_eq!(change.because.len(), 1);
}

#[test]
fn a_renamed_component_deletes_nothing() {
    let objects = || [config_map("a", json!({ "k": 1 })), config_map("b", json!({ "k": 1 }))];
    let mut world = settled(objects());
    world.remove("app").put("renamed", objects());
    for (component, change) in world.plan().changes() {
        assert_eq!((component.name.as_str(), &change.action), ("renamed", &Action::Record));
        assert_eq!(change.hazard, Hazard::Safe);
    }
}

#[test]
fn a_migrated_api_version_is_the_same_object() {
    let cron = |version: &str| object(version, "CronJob", "n", "c", json!({ "k": 1 }));
    let mut world = settled([cron("batch/v1beta1")]);
    world.put("app", [cron("batch/v1")]);
    let plan = world.plan();
    let changes: Vec<&Change> = plan.changes().map(|(_, change)| change).collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (&changes[0].action, changes[0].api_version.as_str()),
        (&Action::Record, "batch/v1")
    );
}

#[test]
fn a_moved_namespace_is_a_create_and_a_delete() {
    let at = |namespace: &str| object("v1", "ConfigMap", namespace, "a", json!({ "k": 1 }));
    let mut world = settled([at("old")]);
    world.put("app", [at("new")]);
    assert_eq!(one(&world, &id("", "ConfigMap", "new", "a")).action, Action::Create);
    let uid = world.cluster.values().next().unwrap().uid.clone();
    assert_eq!(one(&world, &id("", "ConfigMap", "old", "a")).action, Action::Delete { uid });
}

#[test]
fn what_is_terminating_waits_and_says_for_whom() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    let row = world.cluster.get_mut(&cm("a")).unwrap();
    row.deleting_since = Some("2026-02-03T02:05:06Z".into());
    row.body["spec"]["k"] = 2.into();
    let change = one(&world, &cm("a"));
    assert_eq!(change.action, Action::Unknown);
    assert_eq!(change.gates, [Gate::Terminating { finalizers: vec!["f".into()] }]);
    assert_eq!(change.because, ["its deletion was asked for 2 hours ago"]);
}

#[test]
fn no_secret_value_is_in_a_plan_or_a_drift_report() {
    let body = |value: &str| {
        let entries = json!([{ "key": format!("canary-key-{value}"), "n": 1 }]);
        config_map(
            "a",
            json!({ "password": format!("canary-{value}"), "list": entries, "k": value }),
        )
    };
    let secret = |world: &mut World| {
        for object in &mut world.component("app").objects {
            let pointers = ["/spec/password", "/spec/list/0/key"].map(str::to_owned);
            object.object = object.object.clone().with_sensitive(pointers);
        }
    };
    let mut world = World::with([body("old")]);
    secret(&mut world);
    let plan = world.plan();
    world.apply(&plan, Consent::None);
    world.edit(&cm("a"), "kubectl-edit", "password", "canary-by-hand".into());
    world.put("app", [body("new")]);
    secret(&mut world);
    let plan = world.plan();
    let text = format!("{plan:?} {} {:?}", serde_json::to_string(&plan).unwrap(), drift(&plan));
    assert!(text.contains("spec.password"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

// === what the judge says ===

fn cause(field: &str) -> Cause {
    Cause { field: field.into(), reason: "FieldValueInvalid".into(), message: "no".into() }
}

#[test]
fn each_refusal_becomes_its_gate() {
    let refused =
        |causes: &[&str]| Gate::Refused { causes: causes.iter().map(|c| (*c).into()).collect() };
    let conflict = FieldConflict { manager: "hpa".into(), field: ".spec.k".into() };
    let cases = [
        (Refusal::Invalid(vec![cause("spec.k"), cause("")]), refused(&["spec.k: no", "no"])),
        (Refusal::Denied("policy".into()), refused(&["denied: policy"])),
        (Refusal::Forbidden("rights".into()), refused(&["forbidden: rights"])),
        (
            Refusal::Conflict(vec![conflict]),
            Gate::Conflict { fields: vec![("hpa".into(), ".spec.k".into())] },
        ),
        (
            Refusal::Unavailable("timeout".into()),
            Gate::MissingEvidence { because: "timeout".into() },
        ),
    ];
    for (refusal, gate) in cases {
        let mut world = settled([config_map("a", json!({ "k": 1 }))]);
        world.put("app", [config_map("a", json!({ "k": 2 }))]);
        world.judgements.insert(cm("a"), Judgement::Refused(refusal));
        let change = one(&world, &cm("a"));
        assert_eq!(change.gates, [gate]);
        assert!(fields(&change).contains(&"spec.k".to_owned()), "what was wanted is shown");
        // None of them opens by consent.
        assert_eq!(change.held_by(Consent::Given).count(), 1);
    }
}

#[test]
fn an_immutable_field_replaces_and_an_unproven_replacement_waits() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.put("app", [config_map("a", json!({ "k": 2 }))]);
    let refusal = |replacement| {
        Judgement::Refused(Refusal::Immutable { causes: vec![cause("spec.k")], replacement })
    };
    world.judgements.insert(cm("a"), refusal(Ok(())));
    let uid = world.cluster[&cm("a")].uid.clone();
    let change = one(&world, &cm("a"));
    assert_eq!(change.action, Action::Replace { uid, immutable: vec!["spec.k".into()] });
    assert_eq!(change.gates, []);
    world.judgements.insert(cm("a"), refusal(Err(vec![cause("spec.l")])));
    let gates = one(&world, &cm("a")).gates;
    assert_eq!(gates, [Gate::UnprovenReplacement { causes: vec!["spec.l: no".into()] }]);
}

#[test]
fn nothing_that_is_not_ours_is_ever_replaced() {
    let mut world = World::with([config_map("a", json!({ "k": 1 }))]);
    let a = world.make("kubectl-create", config_map("a", json!({ "k": 2 })));
    world.component("app").policy.adopt = true;
    let refusal = Refusal::Immutable { causes: vec![cause("spec.k")], replacement: Ok(()) };
    world.judgements.insert(a.clone(), Judgement::Refused(refusal));
    let change = one(&world, &a);
    assert!(matches!(change.action, Action::Adopt { .. }), "{change:?}");
    assert!(matches!(change.gates.as_slice(), [Gate::Refused { .. }]), "{change:?}");
}

#[test]
fn what_was_there_before_us_is_replaced_only_by_a_tombstone() {
    let mut world = settled([config_map("a", json!({ "k": 1 }))]);
    world.inventory.entries.get_mut(&cm("a")).unwrap().adopted = true;
    world.put("app", [config_map("a", json!({ "k": 2 }))]);
    let refusal = Refusal::Immutable { causes: vec![cause("spec.k")], replacement: Ok(()) };
    world.judgements.insert(cm("a"), Judgement::Refused(refusal));
    let change = one(&world, &cm("a"));
    assert!(matches!(change.gates.as_slice(), [Gate::Tombstone { .. }]), "{change:?}");
    world.tombstones = vec![crate::format::site::Tombstone {
        kind: "ConfigMap".into(),
        name: "a".into(),
        namespace: Some("n".into()),
        uid: world.cluster[&cm("a")].uid.clone(),
        allows: crate::format::site::Allows::Delete,
        reason: "test".into(),
    }];
    assert_eq!(one(&world, &cm("a")).gates, []);
}

#[test]
fn what_cannot_be_judged_yet_says_so_and_goes_ahead() {
    let cases = [
        (Deferred::KindIsComing, Judged::Schema),
        (
            Deferred::NamespaceIsComing,
            Judged::NotYet { why: "its namespace comes with this plan".into() },
        ),
        (
            Deferred::WebhookNotReady("w".into(), "m".into()),
            Judged::NotYet { why: "the webhook w does not answer: m".into() },
        ),
    ];
    for (deferred, judged) in cases {
        let mut world = World::with([config_map("a", json!({}))]);
        world.judgements.insert(cm("a"), Judgement::Deferred(deferred));
        let change = one(&world, &cm("a"));
        assert_eq!((change.action, change.judged, change.gates), (Action::Create, judged, vec![]));
    }
}

// === hazards ===

#[test]
fn hazards_come_from_the_kind_and_from_the_blueprint() {
    let deployment = |image: &str, replicas: u64| {
        object(
            "apps/v1",
            "Deployment",
            "n",
            "d",
            json!({ "template": { "image": image }, "replicas": replicas }),
        )
    };
    let d = id("apps", "Deployment", "n", "d");
    let mut world = settled([deployment("a", 3)]);
    world.put("app", [deployment("b", 3)]);
    let change = one(&world, &d);
    assert_eq!(change.hazard, Hazard::RestartsPods);
    assert_eq!(change.because, ["its pods restart: the pod template changes"]);
    assert_eq!(change.gates, []);

    world.put("app", [deployment("a", 1)]);
    assert_eq!(one(&world, &d).because, ["2 of 3 pods stop"]);
    world.put("app", [deployment("a", 5)]);
    assert_eq!(one(&world, &d).hazard, Hazard::Safe);

    let rule = |on: HazardOn, is: Hazard| HazardRule {
        kind: "Deployment.apps".into(),
        name: None,
        on,
        is,
        because: "the queue drains".into(),
        hits: None,
    };
    let field = |field: &str| HazardOn::Field { field: field.into() };
    for (on, hazard) in [
        (field("spec.replicas"), Hazard::EvictsJobs),
        (field("spec"), Hazard::EvictsJobs),
        (field("spec.template"), Hazard::Safe),
        (HazardOn::Update, Hazard::EvictsJobs),
        (HazardOn::Delete, Hazard::Safe),
        (HazardOn::Create, Hazard::Safe),
    ] {
        world.component("app").hazards = vec![rule(on.clone(), Hazard::EvictsJobs)];
        let change = one(&world, &d);
        assert_eq!(change.hazard, hazard, "{on:?}");
        let gates = if hazard == Hazard::Safe { vec![] } else { vec![Gate::Approval { hazard }] };
        assert_eq!(change.gates, gates);
    }
}
