//! Waves: what is taken node by node, within a budget, and stops where a node does not come back.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Deed, Drain, Ledger, Stage,
    next::{Situation, Step, count},
};
use crate::{
    desired::{Desired, DesiredComponent, DesiredWave},
    digest::Digest,
    format::{
        blueprint::Hazard,
        drain::{AtDeadline, DrainPolicy, DrainRules, fits},
    },
    name::ComponentName,
    plan::Calendar,
    work::{DaemonSet, Extent, Hit, Node, Pod, Running, Sort},
};

/// A wave that has nodes left to take, or that waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WavePlan {
    /// The component.
    pub component: ComponentName,
    /// The wave.
    pub wave: String,
    /// Nodes that need nothing.
    pub done: u64,
    /// Nodes that are to be taken, in the order in which they are.
    pub nodes: Vec<WaveNode>,
    /// Why it cannot go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A node that a wave takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveNode {
    /// The node.
    pub node: String,
    /// Where it stands.
    pub stage: NodeStage,
    /// Jobs and notebooks on it that have to be over first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<Hit>,
}

/// Where a node of a wave stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum NodeStage {
    /// Its turn has not come.
    Pending,
    /// It takes nothing new, and what runs on it is waited for.
    Waiting,
    /// It is being changed.
    Changing,
    /// Its deadline was over, and it was given back.
    GaveUp,
    /// It did not come back.
    Broken {
        /// What is wrong with it.
        why: String,
    },
}

/// Returns the waves that have nodes left, or that wait for one.
pub fn plans(desired: &Desired, running: &Running) -> Vec<WavePlan> {
    let views = desired.components.iter().flat_map(|component| {
        component.waves.iter().map(move |wave| View { component, wave, running })
    });
    views
        .map(|view| view.plan(&running.ledger))
        .filter(|plan| !plan.nodes.is_empty() || plan.stopped.is_some())
        .collect()
}

/// Decides about the nodes of all waves.
pub(super) fn go_on(step: &mut Step, situation: Situation<'_>, now: Timestamp) {
    let Situation { desired, running, .. } = situation;
    for component in &desired.components {
        for wave in &component.waves {
            View { component, wave, running }.go_on(step, situation, now);
        }
    }
    for drain in &running.ledger.drains {
        let Some((name, node)) = &drain.wave else { continue };
        let component = desired.components.iter().find(|one| one.name == drain.component);
        let is_known =
            component.is_some_and(|one| one.waves.iter().any(|wave| wave.rule.name == *name));
        if !is_known {
            step.release(drain, format!("the wave {name} is gone: {node} is given back"));
        }
    }
}

/// Returns the key of a wave among those of a node.
pub fn key(component: &ComponentName, wave: &str) -> String {
    format!("{component}/{wave}")
}

/// One wave over the cluster.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) component: &'a DesiredComponent,
    pub(super) wave: &'a DesiredWave,
    pub(super) running: &'a Running,
}

impl<'a> View<'a> {
    fn name(&self) -> &'a str {
        &self.wave.rule.name
    }

    fn rules(&self) -> DrainRules {
        self.component.policy.drain.as_ref().map(DrainPolicy::rules).unwrap_or_default()
    }

    /// The work on a node that the wave is about.
    fn extent(&self, node: &Node) -> Extent {
        Extent::Node { name: node.name.clone(), uses: self.wave.rule.hits.uses.clone() }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &'a Node> {
        let rule = &self.wave.rule.hits;
        self.running.nodes.iter().filter(|node| rule.is_on(&node.labels))
    }

    pub(super) fn daemon_sets(&self) -> impl Iterator<Item = &'a DaemonSet> {
        let restart = self.wave.rule.restart.as_ref();
        self.running.daemon_sets.iter().filter(move |set| {
            restart.is_some_and(|restart| {
                set.id.namespace.as_deref() == Some(restart.namespace.as_str())
                    && fits(&restart.daemon_sets, &set.labels)
            })
        })
    }

    /// Returns the pods on `node` that it restarts, with whether each is outdated.
    pub(super) fn pods(&self, node: &Node) -> Vec<(&'a Pod, bool)> {
        let pods = self.running.pods.iter().filter(|pod| pod.node.as_ref() == Some(&node.name));
        pods.filter_map(|pod| {
            let set = self.daemon_sets().find(|set| pod.owners.contains(&set.id))?;
            Some((pod, set.revision.is_some() && pod.revision != set.revision))
        })
        .collect()
    }

    /// Returns whether the node is as it was before.
    fn is_due(&self, node: &Node) -> bool {
        match (&self.wave.rule.label, &self.wave.label) {
            (Some(label), Some(value)) => node.labels.get(&label.key) != Some(value),
            (Some(_), None) => false,
            (None, _) => self.pods(node).iter().any(|(_, is_outdated)| *is_outdated),
        }
    }

    /// Returns why the node has not come back; none where it has.
    fn missing(&self, node: &Node) -> Option<String> {
        if self.is_due(node) {
            return Some("it is not changed yet".to_owned());
        }
        if !node.ready {
            return Some("the node is not Ready".to_owned());
        }
        if self.wave.rule.restart.is_some() {
            let pods = self.pods(node);
            if pods.is_empty() {
                return Some("its new pod is not there".to_owned());
            }
            if let Some((pod, _)) = pods.iter().find(|(pod, _)| !pod.ready) {
                return Some(format!("the pod {} is not Ready", pod.name));
            }
        }
        let condition = self.wave.rule.ready.as_ref()?;
        match node.waves.get(&key(&self.component.name, self.name())) {
            Some(Ok(true)) => None,
            Some(Ok(false)) | None => Some(format!("`{condition}` is not true")),
            Some(Err(why)) => Some(why.clone()),
        }
    }

    fn left(&self, node: &Node) -> Vec<Hit> {
        self.running.hits(&self.extent(node)).finite().cloned().collect()
    }

    /// Returns the nodes that are due and whose turn has not come, idle ones first.
    fn pending(&self, ledger: &Ledger) -> Vec<(&'a Node, Vec<Hit>)> {
        let is_taken = |node: &Node| {
            let drain = ledger.of_wave(&self.component.name, self.name(), &node.name);
            drain.is_some_and(|drain| drain.stage != Stage::GaveUp)
        };
        let due = self.nodes().filter(|node| self.is_due(node) && !is_taken(node));
        let mut due: Vec<_> = due.map(|node| (node, self.left(node))).collect();
        due.sort_by(|(one, left), (other, others)| {
            (left.len(), &one.name).cmp(&(others.len(), &other.name))
        });
        due
    }

    fn drains<'l>(&self, ledger: &'l Ledger) -> Vec<(&'l Drain, &'l str)> {
        let of_wave = |drain: &'l Drain| {
            let (name, node) = drain.wave.as_ref()?;
            let is_mine = drain.component == self.component.name && name == self.name();
            is_mine.then_some((drain, node.as_str()))
        };
        ledger.drains.iter().filter_map(of_wave).collect()
    }

    fn stopped(&self, ledger: &Ledger) -> Option<String> {
        let broken = self.drains(ledger).into_iter().find_map(|(drain, node)| match &drain.stage {
            Stage::Broken { why } => Some(format!("{node} did not come back: {why}")),
            _ => None,
        });
        broken.or_else(|| {
            let rolling = self.daemon_sets().find(|set| !set.on_delete)?;
            Some(format!(
                "{} restarts its pods by itself: its updateStrategy is not OnDelete",
                rolling.id
            ))
        })
    }

    fn plan(&self, ledger: &Ledger) -> WavePlan {
        let mut nodes = Vec::new();
        for (drain, name) in self.drains(ledger) {
            let stage = match &drain.stage {
                Stage::Waiting => NodeStage::Waiting,
                Stage::Changing => NodeStage::Changing,
                Stage::Broken { why } => NodeStage::Broken { why: why.clone() },
                Stage::GaveUp => NodeStage::GaveUp,
            };
            let node = self.running.nodes.iter().find(|node| node.name == name);
            let work = node.map(|node| self.left(node)).unwrap_or_default();
            nodes.push(WaveNode { node: name.to_owned(), stage, work });
        }
        let pending = self.pending(ledger).into_iter();
        let pending = pending.filter(|(node, _)| !nodes.iter().any(|one| one.node == node.name));
        let pending: Vec<WaveNode> = pending
            .map(|(node, work)| WaveNode {
                node: node.name.clone(),
                stage: NodeStage::Pending,
                work,
            })
            .collect();
        nodes.extend(pending);
        let done = self.nodes().count().saturating_sub(nodes.len()) as u64;
        let (component, wave) = (self.component.name.clone(), self.name().to_owned());
        WavePlan { component, wave, done, nodes, stopped: self.stopped(ledger) }
    }

    fn go_on(&self, step: &mut Step, situation: Situation<'_>, now: Timestamp) {
        for (drain, name) in self.drains(&self.running.ledger) {
            match self.running.nodes.iter().find(|node| node.name == name) {
                Some(node) => self.take(step, drain, node, now),
                None => step.release(drain, format!("{name} is gone")),
            }
        }
        if self.may_begin(step, situation) {
            self.begin_some(step, now);
        }
    }

    /// Nodes are begun once what the component changes is in place, and while a window is open.
    fn may_begin(&self, step: &Step, situation: Situation<'_>) -> bool {
        let plan = situation.plan.components.iter().find(|one| one.name == self.component.name);
        let is_held = plan.is_some_and(|plan| {
            let held = |change: &crate::plan::Change| {
                !change.gates.is_empty() && change.hazard > Hazard::Safe
            };
            plan.changes.iter().any(held)
        });
        !is_held
            && self.running.missing.is_empty()
            && self.stopped(&step.ledger).is_none()
            && !is_closed(situation, self.component)
    }

    fn begin_some(&self, step: &mut Step, now: Timestamp) {
        let taken = self.drains(&step.ledger);
        let taken = taken.iter().filter(|(drain, _)| drain.stage != Stage::GaveUp).count();
        let mut places = self.rules().at_once().saturating_sub(taken);
        for (node, left) in self.pending(&step.ledger) {
            if places == 0 {
                return;
            }
            let before =
                step.ledger.of_wave(&self.component.name, self.name(), &node.name).cloned();
            if let Some(gave_up) = before {
                // once more where its work is over by itself, or where it is for something else
                if !left.is_empty() && gave_up.target == self.target() {
                    continue;
                }
                step.forget(&gave_up);
            }
            self.begin(step, node, &left, now);
            places -= 1;
        }
    }

    fn begin(&self, step: &mut Step, node: &Node, left: &[Hit], now: Timestamp) {
        let drain = Drain {
            component: self.component.name.clone(),
            wave: Some((self.name().to_owned(), node.name.clone())),
            target: self.target(),
            begun: now,
            stage: Stage::Waiting,
            since: now,
            nodes: [(node.name.clone(), node.uid.clone())].into(),
            queues: BTreeMap::new(),
        };
        step.deeds.extend(drain.holding(self.running));
        let label = self.label(node);
        let left = count(left.len(), "job");
        step.news.push(format!("{label} takes nothing new, {left} to wait for"));
        step.ledger.drains.push(drain);
    }

    fn label(&self, node: &Node) -> String {
        format!("{} {}: {}", self.component.name, self.name(), node.name)
    }

    /// What the wave brings: the revisions of its DaemonSets, or the value of its label.
    fn target(&self) -> Digest {
        let sets = self.daemon_sets().map(|set| format!("{} {:?}", set.id, set.revision));
        Digest::of_parts(sets.chain([format!("{:?}", self.wave.label)]))
    }

    fn take(&self, step: &mut Step, drain: &Drain, node: &Node, now: Timestamp) {
        let label = self.label(node);
        match &drain.stage {
            Stage::GaveUp if !self.is_due(node) => step.forget(drain),
            Stage::GaveUp => {}
            Stage::Waiting if !self.is_due(node) => {
                step.release(drain, format!("{label} needs nothing any more, and is given back"));
            }
            Stage::Waiting => self.wait(step, drain, node, now),
            Stage::Changing | Stage::Broken { .. } => match self.missing(node) {
                None => {
                    step.release(drain, format!("{label} is changed and well, and is given back"));
                }
                Some(why) => self.come_back(step, drain, node, why, now),
            },
        }
    }

    fn wait(&self, step: &mut Step, drain: &Drain, node: &Node, now: Timestamp) {
        let (rules, label) = (self.rules(), self.label(node));
        step.deeds.extend(drain.holding(self.running));
        if !drain.is_in_force(self.running) || !self.running.missing.is_empty() {
            return;
        }
        let left = self.left(node);
        if !left.is_empty() && !drain.goes_ahead(&rules, now) {
            if drain.is_overdue(&rules, now) && rules.then == AtDeadline::Hold {
                let left = count(left.len(), "job");
                let news = format!("{label}: {left} still ran at the deadline; it is given back");
                step.give_up(drain, news, now);
            }
            return;
        }
        // what a controller starts again elsewhere is asked to go, as far as its disruption budget allows
        let extent = self.extent(node);
        let on_it: Vec<&Pod> = self
            .running
            .pods
            .iter()
            .filter(|pod| pod.sort != Sort::Daemon && !pod.is_slurm())
            .filter(|pod| extent.has(self.running, pod))
            .collect();
        for pod in &on_it {
            let (namespace, name, uid) = (pod.namespace.clone(), pod.name.clone(), pod.uid.clone());
            step.deeds.push(Deed::Evict { namespace, name, uid });
        }
        if on_it.is_empty() {
            step.news.push(format!("{label} is free, and is being changed"));
            step.change(drain, Stage::Changing, now);
            self.act(step, node);
        }
    }

    fn act(&self, step: &mut Step, node: &Node) {
        if let (Some(label), Some(value)) = (&self.wave.rule.label, &self.wave.label)
            && node.labels.get(&label.key) != Some(value)
        {
            step.deeds.push(Deed::Label {
                node: node.name.clone(),
                uid: node.uid.clone(),
                key: label.key.clone(),
                value: value.clone(),
            });
        }
        for (pod, _) in self.pods(node).into_iter().filter(|(_, is_outdated)| *is_outdated) {
            let (namespace, name, uid) = (pod.namespace.clone(), pod.name.clone(), pod.uid.clone());
            step.deeds.push(Deed::Restart { namespace, name, uid });
        }
    }

    fn come_back(&self, step: &mut Step, drain: &Drain, node: &Node, why: String, now: Timestamp) {
        step.deeds.extend(drain.holding(self.running));
        // A kill may have come between the ledger and the deed, and the agent may have been gone for long. Where somebody
        // gave the node back meanwhile, a job may run on it.
        if drain.is_in_force(self.running)
            && self.running.missing.is_empty()
            && self.left(node).is_empty()
        {
            self.act(step, node);
        }
        if drain.stage != Stage::Changing {
            return;
        }
        let deadline = SignedDuration::try_from(self.wave.rule.deadline()).unwrap_or_default();
        if now.duration_since(drain.since) >= deadline {
            let label = self.label(node);
            step.news.push(format!("{label} did not come back: {why}; the wave stops there"));
            step.change(drain, Stage::Broken { why }, now);
        }
    }
}

/// Returns whether a maintenance window that such changes wait for is closed.
fn is_closed(situation: Situation<'_>, component: &DesiredComponent) -> bool {
    let policy = &situation.desired.policy;
    let from = component.policy.window.unwrap_or(policy.window).hazard();
    from.is_some_and(|from| Hazard::EvictsJobs >= from)
        && !policy.maintenance.is_empty()
        && !Calendar::new(&policy.maintenance).is_open(situation.plan.made)
}
