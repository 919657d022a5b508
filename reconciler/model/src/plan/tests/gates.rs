//! What waits for a maintenance window, and what an approval in git opens.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{World, config_map, id, now, object};
use crate::{
    digest::Digest,
    format::{
        approval::ApprovalSpec,
        blueprint::Hazard,
        maintenance::{Day, MaintenanceWindow, WindowFrom},
        site::{ApproveFrom, Tombstone},
    },
    object::{ObjectId, Uid},
    plan::{ApprovalFile, Change, Consent, Gate, Plan, PlanDigest, Standing, plan},
};

/// A Tuesday, as [`now`] is; the window is open on Saturday from 06:00 to 10:00.
const OPEN: &str = "2026-02-07T07:00:00Z";

fn saturday() -> MaintenanceWindow {
    MaintenanceWindow {
        days: vec![Day::Sat],
        from: "06:00".parse().unwrap(),
        to: "10:00".parse().unwrap(),
        timezone: "UTC".into(),
    }
}

fn at(world: &World, time: &str) -> Plan {
    plan(&world.desired(), &world.live(), time.parse().unwrap())
}

fn deployment() -> ObjectId {
    id("apps", "Deployment", "n", "web")
}

fn job() -> ObjectId {
    id("batch", "Job", "n", "train")
}

fn pool() -> ObjectId {
    id("ceph.rook.io", "CephBlockPool", "n", "home")
}

/// A site with a window that restarts pods, evicts a job, drops data, and changes what nobody runs on.
fn world() -> World {
    let web = |image: &str| {
        object("apps/v1", "Deployment", "n", "web", json!({ "template": { "image": image } }))
    };
    let gone: [Value; 2] = [
        object("batch/v1", "Job", "n", "train", json!({})),
        object("ceph.rook.io/v1", "CephBlockPool", "n", "home", json!({})),
    ];
    let mut world =
        World::with(gone.into_iter().chain([web("a"), config_map("c", json!({ "k": 1 }))]));
    let plan = world.plan();
    world.apply(&plan, Consent::Given);
    world.put("app", [web("b"), config_map("c", json!({ "k": 2 }))]);
    world.policy.maintenance = vec![saturday()];
    world
}

fn change(plan: &Plan, id: &ObjectId) -> Change {
    plan.change(id).unwrap().clone()
}

fn waits(plan: &Plan, id: &ObjectId) -> bool {
    change(plan, id).gates.iter().any(|gate| matches!(gate, Gate::Window { .. }))
}

#[test]
fn what_hurts_running_work_waits_for_the_window_and_the_rest_does_not() {
    let world = world();
    let closed = world.plan();
    let change = change(&closed, &deployment());
    let [Gate::Window { opens: Some(opening) }] = change.gates.as_slice() else {
        panic!("{change:?}")
    };
    assert_eq!(opening.at, "2026-02-07T06:00:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(opening.timezone, "UTC");
    assert!(waits(&closed, &job()) && waits(&closed, &pool()));
    assert!(closed.change(&id("", "ConfigMap", "n", "c")).unwrap().gates.is_empty());
    let open = at(&world, OPEN);
    assert!([deployment(), job(), pool()].iter().all(|id| !waits(&open, id)));
}

#[test]
fn a_site_without_windows_has_none_to_wait_for() {
    let mut world = world();
    world.policy.maintenance.clear();
    assert!(!waits(&world.plan(), &deployment()));
}

#[test]
fn from_which_hazard_on_is_the_sites_choice_and_a_components_own() {
    let mut world = world();
    let waiting = |world: &World| {
        let plan = world.plan();
        [deployment(), job(), pool()].map(|id| waits(&plan, &id))
    };
    for (from, expected) in [
        (WindowFrom::RestartsPods, [true, true, true]),
        (WindowFrom::EvictsJobs, [false, true, true]),
        (WindowFrom::RebootsNode, [false, false, true]),
        (WindowFrom::Never, [false, false, false]),
    ] {
        world.policy.window = from;
        assert_eq!(waiting(&world), expected, "{from:?}");
        world.policy.window = WindowFrom::RestartsPods;
        world.component("app").policy.window = Some(from);
        assert_eq!(waiting(&world), expected, "{from:?} of the component");
        world.component("app").policy.window = None;
    }
}

#[test]
fn a_window_that_cannot_be_told_stays_closed() {
    let mut world = world();
    world.policy.maintenance[0].timezone = "Mars/Olympus".into();
    assert_eq!(change(&world.plan(), &deployment()).gates, [Gate::Window { opens: None }]);
}

#[test]
fn a_tombstone_lets_data_go_when_the_window_is_open() {
    let mut world = world();
    let uid = world.cluster[&pool()].uid.clone();
    world.tombstones = vec![Tombstone {
        kind: "CephBlockPool.ceph.rook.io".into(),
        name: "home".into(),
        namespace: Some("n".into()),
        uid,
        allows: crate::format::site::Allows::Delete,
        reason: "end of the test".into(),
    }];
    assert!(matches!(change(&world.plan(), &pool()).gates.as_slice(), [Gate::Window { .. }]));
    assert!(change(&at(&world, OPEN), &pool()).gates.is_empty());
}

#[test]
fn the_digest_is_the_same_whether_or_not_the_window_is_open() {
    let world = world();
    assert_eq!(world.plan().digest, at(&world, OPEN).digest);
    let mut moved = world.clone();
    moved.policy.maintenance[0].days = vec![Day::Sun];
    assert_ne!(moved.plan().digest, world.plan().digest, "other windows are another policy");
}

// === approvals in git ===

fn approving(plan: &Plan) -> ApprovalSpec {
    ApprovalSpec {
        plan: plan.digest.0,
        cluster: plan.cluster.uid.clone(),
        reason: "announced".into(),
        until: None,
        opens: vec![],
    }
}

fn file(name: &str, is_committed: bool, spec: ApprovalSpec) -> ApprovalFile {
    ApprovalFile { file: format!("sites/lab/approvals/{name}.yaml"), is_committed, spec }
}

fn approved(plan: Plan) -> Plan {
    let file = file("a", true, approving(&plan));
    plan.with_approvals(&[file])
}

#[test]
fn an_approved_plan_goes_ahead_when_its_window_opens() {
    let world = world();
    let friday = approved(world.plan());
    let held = change(&friday, &job());
    assert!(matches!(held.gates.as_slice(), [Gate::Window { .. }]), "{held:?}");
    assert_eq!(held.approved, [Gate::Approval { hazard: Hazard::EvictsJobs }]);
    assert_eq!(held.held_by(Consent::Given).count(), 0, "a person says when");
    let files = [file("a", true, approving(&world.plan()))];
    let saturday = at(&world, OPEN).with_approvals(&files);
    assert!(change(&saturday, &job()).gates.is_empty());
    assert_eq!(saturday.digest, world.plan().digest);
}

#[test]
fn an_approval_opens_no_tombstone() {
    let mut world = world();
    world.policy.maintenance.clear();
    let plan = approved(world.plan());
    let held = change(&plan, &pool());
    assert!(matches!(held.gates.as_slice(), [Gate::Tombstone { .. }]), "{held:?}");
    assert!(held.approved.is_empty());
}

#[test]
fn an_approval_of_another_plan_or_cluster_or_time_opens_nothing() {
    let mut world = world();
    world.policy.maintenance.clear();
    let plan = world.plan();
    let other_plan = ApprovalSpec { plan: Digest::of("other"), ..approving(&plan) };
    let other_cluster = ApprovalSpec { cluster: Uid("other".into()), ..approving(&plan) };
    let until = Some("2026-02-02".parse().unwrap());
    let expired = ApprovalSpec { until, ..approving(&plan) };
    let files =
        [file("a", true, other_plan), file("b", true, other_cluster), file("c", true, expired)];
    let seen = plan.clone().with_approvals(&files);
    assert_eq!(seen.approval(), None);
    assert_eq!(change(&seen, &job()), change(&plan, &job()));
    let standings: Vec<Standing> =
        seen.approvals.into_iter().map(|approval| approval.standing).collect();
    assert_eq!(
        standings,
        [
            Standing::OtherPlan { plan: PlanDigest(Digest::of("other")) },
            Standing::OtherCluster,
            Standing::Expired { until: "2026-02-02".into() },
        ]
    );
    let until = Some(now().to_string().parse().unwrap());
    let over = [file("d", true, ApprovalSpec { until, ..approving(&plan) })];
    assert_eq!(plan.clone().with_approvals(&over).approval(), None, "it ends when its time comes");
    let until = Some("2026-02-03".parse().unwrap());
    let today = [file("e", true, ApprovalSpec { until, ..approving(&plan) })];
    assert!(plan.with_approvals(&today).approval().is_some(), "the last day counts");
}

#[test]
fn of_two_approvals_the_committed_one_is_named() {
    let plan = world().plan();
    let files = [file("a", false, approving(&plan)), file("b", true, approving(&plan))];
    let seen = plan.with_approvals(&files);
    assert_eq!(seen.approval().unwrap().file, "sites/lab/approvals/b.yaml");
}

fn gate() -> impl Strategy<Value = Gate> {
    let causes = || vec!["no".to_owned()];
    prop_oneof![
        Just(Gate::Approval { hazard: Hazard::EvictsJobs }),
        Just(Gate::BlastRadius { wanted: 11, allowed: 10 }),
        Just(Gate::Window { opens: None }),
        Just(Gate::Tombstone { uid: Uid("u".into()), because: "data".into() }),
        Just(Gate::Conflict { fields: vec![("m".into(), "f".into())] }),
        Just(Gate::EmptyRendering { owned: 1 }),
        Just(Gate::Adoption),
        Just(Gate::OtherSite { site: "s".into() }),
        Just(Gate::Refused { causes: causes() }),
        Just(Gate::MissingEvidence { because: "no".into() }),
        Just(Gate::ReportOnly),
        Just(Gate::Terminating { finalizers: causes() }),
        Just(Gate::UnprovenReplacement { causes: causes() }),
    ]
}

proptest! {
    /// A file opens no more than a person who names the digest, and never the window.
    #[test]
    fn an_approval_opens_no_more_than_a_digest_does(gates in prop::collection::vec(gate(), 0..5)) {
        let mut plan = world().plan();
        for change in plan.components.iter_mut().flat_map(|component| &mut component.changes) {
            change.gates.clone_from(&gates);
        }
        let opened = approved(plan.clone());
        prop_assert_eq!(opened.digest, plan.digest);
        for (_, change) in opened.changes() {
            let keeps = |gate: &&Gate| {
                !matches!(gate, Gate::Approval { .. } | Gate::BlastRadius { .. })
            };
            let left: Vec<&Gate> = gates.iter().filter(keeps).collect();
            prop_assert_eq!(change.gates.iter().collect::<Vec<_>>(), left);
            prop_assert!(change.approved.iter().all(Gate::opens_by_consent));
            prop_assert_eq!(change.gates.len() + change.approved.len(), gates.len());
        }
    }

    /// Only the time passes: the digest stays, whatever windows open and close.
    #[test]
    fn the_digest_does_not_change_with_the_time(hours in 0..400_i32, approve in 0..4_usize) {
        let mut world = world();
        world.policy.approve = [
            ApproveFrom::RestartsPods,
            ApproveFrom::EvictsJobs,
            ApproveFrom::RebootsNode,
            ApproveFrom::Never,
        ][approve];
        let later = now() + jiff::SignedDuration::from_hours(hours.into());
        let again = plan(&world.desired(), &world.live(), later);
        prop_assert_eq!(again.digest, world.plan().digest);
    }
}
