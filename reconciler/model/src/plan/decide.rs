//! The decision: object by object, then what only the whole plan can tell.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Action, Change, ChangeCause, ComponentPlan, FORMAT, FieldChange, Gate, Judged, Plan,
    PlanDigest, PlannedCluster,
    diff::Difference,
    digest, drain,
    guard::{self, Buried, Doomed, Finding, Question},
    hazard::{self, Danger, Deed},
    unwanted::Unwanted,
    wanted::Wanted,
    window::Calendar,
};
use crate::{
    desired::Desired,
    digest::Digest,
    format::{
        blueprint::{Hazard, HazardRule},
        maintenance::WindowFrom,
        site::{Allows, ApproveFrom},
    },
    inventory::DeletionHazard,
    live::{Live, LiveObject},
    name::ComponentName,
    object::{ObjectId, Uid},
};

/// Returns what has to be done to make the cluster what the site says, and what holds it.
///
/// Pure: equal arguments give equal plans, and the order of maps and lists does not matter. `now` is
/// told, and opens and closes maintenance windows; the digest binds neither. Cost: O(n log n) in the number of objects.
pub fn plan(desired: &Desired, live: &Live, now: Timestamp) -> Plan {
    let frame = Frame { desired, live, now };
    let mut drafts = frame.drafts();
    frame.judge_hazards(&mut drafts);
    frame.gate_empty_rendering(&mut drafts);
    frame.gate_radius(&mut drafts);
    frame.gate_approval(&mut drafts);
    frame.gate_window(&mut drafts);
    let mut plan = Plan {
        format: FORMAT.to_owned(),
        site: desired.site.clone(),
        revision: desired.revision.clone(),
        cluster: PlannedCluster {
            uid: live.cluster.uid.clone(),
            version: live.cluster.version.clone(),
            name: live.cluster.name.clone(),
        },
        made: now,
        approvals: Vec::new(),
        digest: PlanDigest(Digest::of("")),
        components: frame.components(drafts),
        waves: Vec::new(),
        unmatched: Vec::new(),
    };
    plan.digest = digest::of(&plan, desired.digest);
    plan
}

/// What all decisions look at.
pub(super) struct Frame<'a> {
    pub(super) desired: &'a Desired,
    pub(super) live: &'a Live,
    now: Timestamp,
}

/// A change in the making.
pub(super) struct Draft<'a> {
    pub(super) id: &'a ObjectId,
    pub(super) api_version: String,
    pub(super) action: Action,
    pub(super) cause: ChangeCause,
    pub(super) judged: Judged,
    pub(super) gates: Vec<Gate>,
    pub(super) because: Vec<String>,
    pub(super) differences: Vec<Difference>,
    pub(super) fields: Vec<FieldChange>,
    pub(super) origin: Option<String>,
    pub(super) live: Option<&'a LiveObject>,
    pub(super) rules: &'a [HazardRule],
    /// What its deletion does, as recorded when it was last applied.
    pub(super) deletion: Option<&'a DeletionHazard>,
}

/// A draft with its component and its danger.
struct Weighed<'a> {
    component: &'a ComponentName,
    draft: Draft<'a>,
    danger: Danger,
}

/// What becomes of the objects that others hold.
#[derive(Default)]
struct Company<'a> {
    going: BTreeSet<&'a ObjectId>,
    staying: BTreeSet<&'a ObjectId>,
}

impl<'a> Company<'a> {
    fn of(all: &[Weighed<'a>]) -> Self {
        let held = all.iter().map(|weighed| &weighed.draft);
        let held = held.filter(|draft| !holds_others(draft.id) && draft.action != Action::Forget);
        let (going, staying): (Vec<_>, Vec<_>) = held.partition(|draft| {
            let deletes = matches!(draft.action, Action::Delete { .. });
            deletes && (draft.gates.is_empty() || draft.is_going_anyway())
        });
        let ids = |drafts: Vec<&Draft<'a>>| drafts.into_iter().map(|draft| draft.id).collect();
        Self { going: ids(going), staying: ids(staying) }
    }
}

// === impl Draft ===

impl Draft<'_> {
    /// Returns whether nothing is done on the cluster.
    pub(super) fn is_idle(&self) -> bool {
        matches!(
            self.action,
            Action::None
                | Action::Record
                | Action::Forget
                | Action::Release { .. }
                | Action::Unknown
        )
    }

    /// Returns the UID of what goes, whether or not something comes in its place.
    fn goes(&self) -> Option<&Uid> {
        match &self.action {
            Action::Delete { uid } | Action::Replace { uid, .. } => Some(uid),
            _ => None,
        }
    }

    /// Returns whether its deletion was asked for already, by whomever.
    fn is_going_anyway(&self) -> bool {
        self.live.is_some_and(|live| live.deleting_since.is_some())
    }
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// Returns how long ago the deletion of `live` was asked for.
    pub(super) fn deletion_age(&self, live: &LiveObject) -> Option<String> {
        let since: Timestamp = live.deleting_since.as_ref()?.parse().ok()?;
        let minutes = self.now.duration_since(since).as_mins().max(0);
        let age = match minutes {
            0 => "less than a minute".to_owned(),
            1..120 => format!("{minutes} minutes"),
            120..2880 => format!("{} hours", minutes / 60),
            _ => format!("{} days", minutes / 1440),
        };
        Some(format!("its deletion was asked for {age} ago"))
    }

    /// Decides about each object by itself.
    fn drafts(&'a self) -> Vec<Weighed<'a>> {
        let entries = &self.live.inventory.entries;
        let mut wanted: BTreeSet<&ObjectId> = BTreeSet::new();
        let mut all = Vec::new();
        for (component, desired) in self.desired.objects() {
            let id = desired.object.id();
            wanted.insert(id);
            let entry = entries.get(id);
            let draft = Wanted { frame: self, component, desired, entry }.decide();
            all.push(Weighed { component: &component.name, draft, danger: Danger::default() });
        }
        let rules: BTreeMap<&ComponentName, &[HazardRule]> =
            self.desired.components.iter().map(|c| (&c.name, c.hazards.as_slice())).collect();
        for (id, entry) in entries.iter().filter(|(id, _)| !wanted.contains(id)) {
            let rules = rules.get(&entry.component).copied();
            let draft = Unwanted { frame: self, id, entry, rules }.decide();
            all.push(Weighed { component: &entry.component, draft, danger: Danger::default() });
        }
        all
    }

    /// Weighs what each change does, and asks the guards. Those of definitions and namespaces come
    /// last: what goes before them is no loss of theirs.
    fn judge_hazards(&self, all: &mut [Weighed<'a>]) {
        for weighed in all.iter_mut() {
            weighed.danger = hazard::of(&Deed {
                id: weighed.draft.id,
                action: &weighed.draft.action,
                differences: &weighed.draft.differences,
                live: weighed.draft.live.map(|live| live.object.expose()),
                rules: weighed.draft.rules,
                deletion: weighed.draft.deletion,
            });
        }
        let nothing = Company::default();
        for weighed in all.iter_mut().filter(|weighed| !holds_others(weighed.draft.id)) {
            self.guard(weighed, &nothing);
        }
        let company = Company::of(all);
        for weighed in all.iter_mut().filter(|weighed| holds_others(weighed.draft.id)) {
            self.guard(weighed, &company);
        }
        self.gate_releases(all);
    }

    /// What was there before us stays, and that is not in our power where its namespace goes. It is ours
    /// until that is settled: else the namespace would look empty to the next plan.
    fn gate_releases(&self, all: &mut [Weighed<'a>]) {
        let namespaces: BTreeSet<&str> = all
            .iter()
            .filter(|weighed| matches!(weighed.draft.action, Action::Delete { .. }))
            .filter(|weighed| guard::question(&weighed.draft.id.kind) == Some(Question::Contents))
            .filter(|weighed| !weighed.draft.gates.is_empty() && !weighed.draft.is_going_anyway())
            .map(|weighed| weighed.draft.id.name.as_str())
            .collect();
        for Weighed { draft, .. } in all.iter_mut() {
            let namespace = draft.id.namespace.as_deref();
            if let Action::Release { uid } = &draft.action
                && let Some(namespace) = namespace.filter(|name| namespaces.contains(name))
            {
                let because = format!("it was there before Sitewright, and {namespace} goes");
                draft.gates.push(Gate::Tombstone { uid: uid.clone(), because });
            }
        }
    }

    fn guard(&self, weighed: &mut Weighed<'a>, company: &Company<'a>) {
        let draft = &mut weighed.draft;
        let (uid, is_update) = match (&draft.action, draft.live) {
            _ if draft.is_going_anyway() => return,
            (Action::Delete { uid } | Action::Replace { uid, .. }, _) => (uid.clone(), false),
            (Action::Update { .. } | Action::Adopt { .. }, Some(live)) => (live.uid.clone(), true),
            _ => return,
        };
        if !is_update {
            let body = draft.live.map(|live| live.object.expose());
            let (going, staying) = (&company.going, &company.staying);
            let evidence = &self.live.evidence;
            let doomed = Doomed { id: draft.id, body, evidence, going, staying };
            for finding in guard::look(&doomed) {
                match finding {
                    Finding::Stake(because) => weighed.danger.raise(Hazard::DestroysData, because),
                    Finding::Blind(because) => draft.gates.push(Gate::MissingEvidence { because }),
                }
            }
        }
        if weighed.danger.hazard < Hazard::DestroysData {
            return;
        }
        let mut because = weighed.danger.because.join("; ");
        let deed = if is_update { Allows::Update } else { Allows::Delete };
        match guard::buried(&self.desired.tombstones, draft.id, &uid, deed) {
            Buried::Yes => return,
            Buried::OtherUid => because.push_str("; a tombstone names it with another UID"),
            Buried::OtherDeed if is_update => {
                because.push_str("; a tombstone allows its deletion and not this change");
            }
            Buried::OtherDeed => {
                because.push_str("; a tombstone allows it to change and not to go");
            }
            Buried::No => {}
        }
        draft.gates.push(Gate::Tombstone { uid, because });
    }

    fn gate_empty_rendering(&self, all: &mut [Weighed<'a>]) {
        let desired = self.desired.objects().count() as u64;
        let owned = self.owned();
        if guard::is_empty_rendering(&self.desired.policy.limits, desired, owned) {
            for weighed in all.iter_mut().filter(|weighed| takes_away(&weighed.draft)) {
                weighed.draft.gates.push(Gate::EmptyRendering { owned });
            }
        }
    }

    fn gate_radius(&self, all: &mut [Weighed<'a>]) {
        let count = |is: fn(&Action) -> bool| {
            let counted = |weighed: &&Weighed<'_>| {
                is(&weighed.draft.action) && !weighed.draft.is_going_anyway()
            };
            all.iter().filter(counted).count() as u64
        };
        let deletes = count(|action| matches!(action, Action::Delete { .. }));
        let replaces = count(|action| matches!(action, Action::Replace { .. }));
        let limits = &self.desired.policy.limits;
        let Some(guard::Reach { wanted, allowed }) =
            guard::reach(limits, self.owned(), deletes, replaces)
        else {
            return;
        };
        let going = |weighed: &&mut Weighed<'_>| {
            weighed.draft.goes().is_some() && !weighed.draft.is_going_anyway()
        };
        for weighed in all.iter_mut().filter(going) {
            weighed.draft.gates.push(Gate::BlastRadius { wanted, allowed });
        }
    }

    /// A tombstone that names the object is the consent to its loss, and needs no second one.
    fn gate_approval(&self, all: &mut [Weighed<'a>]) {
        let from = approve_from(self.desired.policy.approve);
        let drained: BTreeSet<&ComponentName> = self
            .desired
            .components
            .iter()
            .filter(|component| component.policy.drain.is_some())
            .map(|component| &component.name)
            .collect();
        for weighed in all.iter_mut() {
            let hazard = weighed.danger.hazard;
            if drained.contains(weighed.component) && drain::is_drained(hazard) {
                // what finished first is not hit: consent is for who cannot wait
                if !weighed.draft.is_going_anyway() {
                    weighed.draft.gates.push(drain::closed());
                }
                continue;
            }
            let asks = match (&weighed.draft.action, hazard) {
                (Action::Create, Hazard::DestroysData) => true,
                (_, Hazard::DestroysData) => false,
                (_, hazard) => from.is_some_and(|from| hazard >= from),
            };
            if asks && !weighed.draft.is_going_anyway() {
                weighed.draft.gates.push(Gate::Approval { hazard });
            }
        }
    }

    /// What hurts running work waits for a maintenance window, approved or not; a site without any does not wait.
    fn gate_window(&self, all: &mut [Weighed<'a>]) {
        let policy = &self.desired.policy;
        let calendar = Calendar::new(&policy.maintenance);
        if policy.maintenance.is_empty() || calendar.is_open(self.now) {
            return;
        }
        let opens = calendar.next_opening(self.now);
        let of_components: BTreeMap<&ComponentName, WindowFrom> = self
            .desired
            .components
            .iter()
            .filter_map(|component| Some((&component.name, component.policy.window?)))
            .collect();
        for weighed in all.iter_mut() {
            let from = of_components.get(weighed.component).unwrap_or(&policy.window).hazard();
            let waits = from.is_some_and(|from| weighed.danger.hazard >= from);
            if waits && !weighed.draft.is_going_anyway() {
                weighed.draft.gates.push(Gate::Window { opens: opens.clone() });
            }
        }
    }

    fn owned(&self) -> u64 {
        self.live.inventory.entries.len() as u64
    }

    fn components(&self, all: Vec<Weighed<'a>>) -> Vec<ComponentPlan> {
        let mut by_name: BTreeMap<&ComponentName, Vec<Change>> = BTreeMap::new();
        for weighed in all {
            by_name
                .entry(weighed.component)
                .or_default()
                .push(change(weighed.draft, weighed.danger));
        }
        let mut plans = Vec::new();
        for component in &self.desired.components {
            plans.push(ComponentPlan {
                name: component.name.clone(),
                blueprint: Some((component.blueprint.clone(), component.version.to_string())),
                depends_on: component.depends_on.clone(),
                changes: sorted(by_name.remove(&component.name).unwrap_or_default()),
            });
        }
        for (name, changes) in by_name {
            plans.push(ComponentPlan {
                name: name.clone(),
                blueprint: None,
                depends_on: Vec::new(),
                changes: sorted(changes),
            });
        }
        plans
    }
}

/// Returns whether other objects go with this one.
fn holds_others(id: &ObjectId) -> bool {
    use Question::{BoundVolume, ClassUsers, Contents, Instances};
    match guard::question(&id.kind) {
        Some(Instances | Contents) => true,
        Some(ClassUsers | BoundVolume) | None => false,
    }
}

/// Returns whether the object is deleted or let go.
fn takes_away(draft: &Draft<'_>) -> bool {
    matches!(draft.action, Action::Delete { .. } | Action::Release { .. })
        && !draft.is_going_anyway()
}

fn approve_from(approve: ApproveFrom) -> Option<Hazard> {
    match approve {
        ApproveFrom::RestartsPods => Some(Hazard::RestartsPods),
        ApproveFrom::EvictsJobs => Some(Hazard::EvictsJobs),
        ApproveFrom::RebootsNode => Some(Hazard::RebootsNode),
        ApproveFrom::Never => None,
    }
}

fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|one, other| one.id.cmp(&other.id));
    changes
}

fn change(draft: Draft<'_>, danger: Danger) -> Change {
    let mut because = draft.because;
    because.extend(danger.because);
    let mut gates = draft.gates;
    gates.sort();
    gates.dedup();
    Change {
        id: draft.id.clone(),
        api_version: draft.api_version,
        action: draft.action,
        cause: draft.cause,
        hazard: danger.hazard,
        because,
        hits: None,
        gates,
        approved: Vec::new(),
        judged: draft.judged,
        origin: draft.origin,
    }
}
