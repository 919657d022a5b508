//! What comes next: which drains begin, go on, end, or give up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Deed, Drain, HeldQueue, Ledger, Stage, waves};
use crate::{
    desired::Desired,
    format::drain::AtDeadline,
    name::ComponentName,
    plan::{Draining, Gate, Plan, Wanted},
    work::{Node, Queue, Running},
};

/// What is known when the next step is decided.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// What is desired.
    pub desired: &'a Desired,
    /// The plan, with what runs laid in.
    pub plan: &'a Plan,
    /// What its changes want drained.
    pub draining: &'a Draining,
    /// What runs.
    pub running: &'a Running,
    /// Components whose health is not what it should be, or is not known.
    pub unhealthy: &'a BTreeSet<ComponentName>,
}

/// What comes next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Next {
    /// The ledger to write before the deeds: all that is held now, and all that will be.
    pub before: Ledger,
    /// What to do, in this order.
    pub deeds: Vec<Deed>,
    /// The ledger to write after them: without what was given back.
    pub after: Ledger,
    /// What is worth a sentence.
    pub news: Vec<String>,
}

/// Decides what comes next. Equal arguments give equal answers; done twice it does no more than once.
pub fn next(situation: Situation<'_>) -> Next {
    let now = situation.plan.made;
    let ledger = &situation.running.ledger;
    let mut step = Step::new(ledger.clone());
    for drain in ledger.drains.iter().filter(|drain| drain.wave.is_none()) {
        step.go_on(drain, situation, now);
    }
    for (component, wanted) in &situation.draining.components {
        let is_new = step.ledger.of(component).is_none();
        if is_new && wanted.unknown.is_none() && still_waits(situation.plan, component) {
            step.begin(component, wanted, situation.running, now);
        }
    }
    waves::go_on(&mut step, situation, now);
    step.finish(situation.running, situation.desired.site.as_str())
}

/// A step in the making.
pub(super) struct Step {
    /// The drains that there will be.
    pub(super) ledger: Ledger,
    /// Drains that end.
    gone: Vec<Drain>,
    pub(super) deeds: Vec<Deed>,
    pub(super) news: Vec<String>,
}

impl Step {
    fn new(ledger: Ledger) -> Self {
        Self { ledger, gone: Vec::new(), deeds: Vec::new(), news: Vec::new() }
    }

    fn begin(
        &mut self,
        component: &ComponentName,
        wanted: &Wanted,
        running: &Running,
        now: Timestamp,
    ) {
        let drain = Drain {
            component: component.clone(),
            wave: None,
            target: wanted.target,
            begun: now,
            stage: Stage::Waiting,
            since: now,
            nodes: wanted.nodes.clone(),
            queues: wanted.queues.clone(),
        };
        self.deeds.extend(drain.holding(running));
        self.news.push(format!(
            "{component} is being drained: {} cordoned, {} held, {} to wait for",
            count(drain.nodes.len(), "node"),
            count(drain.queues.len(), "queue"),
            count(wanted.left.len(), "job"),
        ));
        self.ledger.drains.push(drain);
    }

    fn go_on(&mut self, drain: &Drain, situation: Situation<'_>, now: Timestamp) {
        let wanted = situation.draining.components.get(&drain.component);
        let is_of_site =
            situation.desired.components.iter().any(|component| component.name == drain.component);
        match (wanted, &drain.stage) {
            (Some(wanted), Stage::GaveUp) if wanted.target == drain.target => {}
            (Some(wanted), Stage::GaveUp) => {
                self.forget(drain);
                self.begin(&drain.component, wanted, situation.running, now);
            }
            (None, Stage::GaveUp) => self.forget(drain),
            (Some(wanted), _) => self.wait(drain, wanted, situation.running, now),
            // nothing waits any more; what was changed is to be well before anything starts there again
            (None, _) if is_of_site && situation.unhealthy.contains(&drain.component) => {
                self.change(drain, Stage::Changing, now);
                self.deeds.extend(drain.holding(situation.running));
            }
            (None, _) => {
                let component = &drain.component;
                let news =
                    format!("{component} is changed and well: nodes and queues are given back");
                self.release(drain, news);
            }
        }
    }

    fn wait(&mut self, drain: &Drain, wanted: &Wanted, running: &Running, now: Timestamp) {
        let gives_up = drain.target == wanted.target
            && wanted.rules.then == AtDeadline::Hold
            && drain.is_overdue(&wanted.rules, now)
            && !wanted.left.is_empty();
        if gives_up {
            let news = format!(
                "{}: {} still ran at the deadline; nodes and queues are given back, and the change is held",
                drain.component,
                count(wanted.left.len(), "job"),
            );
            self.give_up(drain, news, now);
            return;
        }
        let mut grown = drain.clone();
        grown.target = wanted.target;
        if grown.stage != Stage::Waiting {
            (grown.stage, grown.since) = (Stage::Waiting, now);
        }
        // what is held stays held until the end: another commit may want less of it, and the next one more
        grown.nodes.extend(wanted.nodes.clone());
        grown.queues.extend(wanted.queues.clone());
        self.deeds.extend(grown.holding(running));
        self.replace(drain, grown);
    }

    /// Gives everything back, and remembers that the change is not to be tried again.
    pub(super) fn give_up(&mut self, drain: &Drain, news: String, now: Timestamp) {
        self.release(drain, news);
        self.ledger.drains.push(Drain {
            stage: Stage::GaveUp,
            since: now,
            nodes: BTreeMap::new(),
            queues: BTreeMap::new(),
            ..drain.clone()
        });
    }

    pub(super) fn change(&mut self, drain: &Drain, stage: Stage, now: Timestamp) {
        if drain.stage != stage {
            self.replace(drain, Drain { stage, since: now, ..drain.clone() });
        }
    }

    fn replace(&mut self, drain: &Drain, by: Drain) {
        if let Some(slot) = self.ledger.drains.iter_mut().find(|one| *one == drain) {
            *slot = by;
        }
    }

    /// Forgets a drain that holds nothing.
    pub(super) fn forget(&mut self, drain: &Drain) {
        self.ledger.drains.retain(|one| one != drain);
    }

    pub(super) fn release(&mut self, drain: &Drain, news: String) {
        self.forget(drain);
        self.gone.push(drain.clone());
        self.news.push(news);
    }

    fn finish(self, running: &Running, site: &str) -> Next {
        let Self { ledger: after, gone, mut deeds, mut news } = self;
        for drain in &gone {
            deeds.extend(drain.releasing(&after, running));
        }
        for deed in unaccounted(&after, running, site)
            .filter(|deed| !gone.iter().any(|drain| drain.is_about(deed)))
        {
            news.push(format!("nothing accounts for it any more: {deed}"));
            deeds.push(deed);
        }
        let mut before = after.clone();
        before.drains.extend(gone);
        Next { before, deeds, after, news }
    }
}

/// Returns whether a change of the component waits for draining: what a person approved does not.
fn still_waits(plan: &Plan, component: &ComponentName) -> bool {
    let changes = plan.components.iter().filter(|one| one.name == *component);
    let mut gates = changes.flat_map(|one| &one.changes).flat_map(|change| &change.gates);
    gates.any(|gate| matches!(gate, Gate::Drain { .. }))
}

/// Returns what gives back nodes and queues that say that the site holds them, while the ledger does not: it was lost.
fn unaccounted<'a>(
    ledger: &'a Ledger,
    running: &'a Running,
    site: &'a str,
) -> impl Iterator<Item = Deed> + 'a {
    let is_ours = move |by: &Option<String>| by.as_deref() == Some(site);
    let nodes = running.nodes.iter().filter(move |node| {
        is_ours(&node.held_by)
            && !ledger.drains.iter().any(|drain| drain.nodes.contains_key(&node.name))
    });
    let queues = running.queues.iter().filter(move |queue| {
        is_ours(&queue.held_by)
            && !ledger.drains.iter().any(|drain| drain.queues.contains_key(&queue.name))
    });
    let uncordon = |node: &Node| Deed::Uncordon { node: node.name.clone(), uid: node.uid.clone() };
    let resume = |queue: &Queue| Deed::Resume {
        queue: queue.name.clone(),
        held: HeldQueue { uid: queue.uid.clone(), api_version: queue.api_version.clone() },
    };
    nodes.map(uncordon).chain(queues.map(resume))
}

/// Returns `1 job` or `3 jobs`.
pub(super) fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
