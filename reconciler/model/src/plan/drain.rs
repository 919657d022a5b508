//! What a plan hits now, and its gate for draining.
//!
//! Comes in: a [`Plan`] and what runs. Goes out: the same plan, with the running work that each change hits, and with
//! the gate opened where nothing is left to wait for. The digest stays: what runs comes and goes, and an approval binds
//! what is done.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Action, Change, Gate, Plan, digest};
use crate::{
    desired::{Desired, DesiredComponent},
    digest::Digest,
    drain::{self, DrainStage, HeldQueue, Stage},
    format::{blueprint::Hazard, drain::DrainRules},
    live::{Live, Observation},
    name::ComponentName,
    work::{self, Hit, Hits, Running},
};

/// What the changes of a plan want drained, by component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draining {
    /// By component; those of which no change waits for draining alone are left out.
    pub components: BTreeMap<ComponentName, Wanted>,
}

/// What the changes of one component want drained.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What it is for: the changes, by what they do.
    pub target: Digest,
    /// The component's rules.
    pub rules: DrainRules,
    /// The nodes that may take nothing new, with their UIDs.
    pub nodes: BTreeMap<String, String>,
    /// The queues that may admit nothing new.
    pub queues: BTreeMap<String, HeldQueue>,
    /// Jobs and notebooks that have to be over.
    pub left: Vec<Hit>,
    /// Why what they hit cannot be told.
    pub unknown: Option<String>,
}

/// Returns whether draining can make room for a change of `hazard`: what evicts jobs or reboots nodes.
pub(super) fn is_drained(hazard: Hazard) -> bool {
    matches!(hazard, Hazard::EvictsJobs | Hazard::RebootsNode)
}

/// The gate before anything is known of what runs.
pub(super) fn closed() -> Gate {
    Gate::Drain {
        stage: DrainStage::NotBegun,
        left: None,
        since: None,
        deadline: None,
        unknown: None,
    }
}

impl Plan {
    /// Returns whether what runs has to be known to judge it: some change hurts running work, or some wave may be due.
    pub fn needs_work(&self, desired: &Desired) -> bool {
        let has_waves = desired.components.iter().any(|component| !component.waves.is_empty());
        has_waves || self.changes().any(|(_, change)| hurts(change))
    }

    /// Returns what its changes want drained.
    pub fn draining(&self, desired: &Desired, live: &Live, running: &Running) -> Draining {
        let mut draining = Draining::default();
        for component in &self.components {
            let Some(rendered) = desired.components.iter().find(|one| one.name == component.name)
            else {
                continue;
            };
            let Some(policy) = &rendered.policy.drain else { continue };
            let rules = policy.rules();
            let waits: Vec<&Change> = component
                .changes
                .iter()
                .filter(|change| waits_for_draining(change, &rules, self.made))
                .collect();
            if !waits.is_empty() {
                let wanted = wanted(rendered, rules, &waits, live, running);
                draining.components.insert(component.name.clone(), wanted);
            }
        }
        draining
    }

    /// Returns the plan with what each change hits, the gates opened for which all is drained, and the waves.
    #[must_use]
    pub fn with_work(
        mut self,
        desired: &Desired,
        live: &Live,
        running: &Running,
        draining: &Draining,
    ) -> Self {
        let now = self.made;
        for component in &mut self.components {
            let rendered = desired.components.iter().find(|one| one.name == component.name);
            let gate = draining
                .components
                .get(&component.name)
                .map(|wanted| gate(wanted, running.ledger.of(&component.name), running, now));
            for change in component.changes.iter_mut().filter(|change| hurts(change)) {
                change.hits = Some(hits(change, rendered, live, running));
                let Some(gate) = &gate else { continue };
                let rules = rendered.and_then(|one| one.policy.drain.as_ref()).map(|p| p.rules());
                let waits = rules.is_some_and(|rules| waits_for_draining(change, &rules, now));
                if waits {
                    change.gates.retain(|gate| !matches!(gate, Gate::Drain { .. }));
                    change.gates.extend(gate.clone());
                    change.gates.sort();
                }
            }
        }
        self.waves = drain::plans(desired, running);
        self.unmatched = drain::unmatched(desired, running);
        self
    }
}

fn hurts(change: &Change) -> bool {
    let idle = matches!(
        change.action,
        Action::None | Action::Record | Action::Forget | Action::Release { .. } | Action::Unknown
    );
    change.hazard > Hazard::Safe && !idle
}

/// Returns whether nothing but draining holds it, or a window besides that opens soon enough.
fn waits_for_draining(change: &Change, rules: &DrainRules, now: Timestamp) -> bool {
    let drains = change.gates.iter().any(|gate| matches!(gate, Gate::Drain { .. }));
    let others = change.gates.iter().filter(|gate| !matches!(gate, Gate::Drain { .. }));
    let is_soon = |gate: &Gate| match gate {
        Gate::Window { opens: Some(opens) } => jiff::SignedDuration::try_from(rules.ahead())
            .is_ok_and(|ahead| opens.at.duration_since(now) <= ahead),
        _ => false,
    };
    drains && others.into_iter().all(is_soon)
}

fn extent(
    change: &Change,
    component: Option<&DesiredComponent>,
    live: &Live,
    running: &Running,
) -> work::Extent {
    let body = match live.objects.get(&change.id) {
        Some(Observation::Present(live)) => Some(live.object.expose()),
        _ => None,
    };
    let rules = component.into_iter().flat_map(|component| &component.hazards).filter(|rule| {
        change.id.fits(&rule.kind, rule.name.as_deref()) && rule.is <= change.hazard
    });
    work::extent(&change.id, body, running, rules)
}

fn hits(
    change: &Change,
    component: Option<&DesiredComponent>,
    live: &Live,
    running: &Running,
) -> Hits {
    running.hits(&extent(change, component, live, running))
}

fn wanted(
    component: &DesiredComponent,
    rules: DrainRules,
    changes: &[&Change],
    live: &Live,
    running: &Running,
) -> Wanted {
    let mut nodes = BTreeSet::new();
    let mut queues = BTreeSet::new();
    let mut left: BTreeMap<_, Hit> = BTreeMap::new();
    let mut unknown = Vec::new();
    for change in changes {
        let extent = extent(change, Some(component), live, running);
        let hits = running.hits(&extent);
        left.extend(hits.finite().map(|hit| (hit.work.clone(), hit.clone())));
        unknown.extend(hits.unknown);
        let hit = running.nodes_of(&extent);
        queues.extend(running.queues_of(&extent, &hit));
        nodes.extend(hit);
    }
    // queues that starve only by all of the changes together
    queues.extend(running.queues_of(&work::Extent::Nothing, &nodes));
    let parts = changes.iter().map(|change| digest::part(change).to_string());
    Wanted {
        target: Digest::of_parts(parts),
        rules,
        nodes: running
            .nodes
            .iter()
            .filter(|node| nodes.contains(&node.name))
            .map(|node| (node.name.clone(), node.uid.clone()))
            .collect(),
        queues: running
            .queues
            .iter()
            .filter(|queue| queues.contains(&queue.name))
            .map(|queue| {
                let (uid, api_version) = (queue.uid.clone(), queue.api_version.clone());
                (queue.name.clone(), HeldQueue { uid, api_version })
            })
            .collect(),
        left: left.into_values().collect(),
        unknown: unknown.into_iter().next(),
    }
}

/// Returns what still holds the changes; none where everything is drained.
fn gate(
    wanted: &Wanted,
    drain: Option<&drain::Drain>,
    running: &Running,
    now: Timestamp,
) -> Option<Gate> {
    let left = wanted.left.len() as u64;
    let drain = drain.filter(|drain| drain.target == wanted.target);
    let tell = |stage, since, deadline| {
        let unknown = wanted.unknown.clone();
        Some(Gate::Drain { stage, left: Some(left), since, deadline, unknown })
    };
    let Some(drain) = drain else { return tell(DrainStage::NotBegun, None, None) };
    let deadline = drain.deadline(&wanted.rules);
    if drain.stage == Stage::GaveUp {
        return tell(DrainStage::GaveUp, Some(drain.begun), deadline);
    }
    let is_held = drain.is_in_force(running)
        && wanted.nodes.keys().all(|name| drain.nodes.contains_key(name))
        && wanted.queues.keys().all(|name| drain.queues.contains_key(name));
    let is_over = left == 0 || drain.goes_ahead(&wanted.rules, now);
    if is_held && is_over && wanted.unknown.is_none() {
        return None;
    }
    tell(DrainStage::Waiting, Some(drain.begun), deadline)
}
