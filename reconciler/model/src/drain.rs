//! Draining: what is held back for a change, what is left to wait for, and what comes next.
//!
//! Comes in: the plan, what runs, the [`Ledger`] of what is held already, and the time. Goes out: the ledger to write
//! and the [`Deed`]s to do, in that order. Never: I/O or a clock.
//!
//! The ledger is written before anything is held and shortened after it is given back (law 2), so that a kill at any
//! point leaves nothing held that it does not name. Every deed may be done twice.

mod next;
mod steady;
mod unmatched;
mod waves;

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    next::{Next, Situation, next},
    steady::Steady,
    unmatched::{Unmatched, unmatched},
    waves::{NodeStage, WaveNode, WavePlan, key, plans},
};
use crate::{
    digest::Digest,
    format::drain::{AtDeadline, DrainRules},
    name::ComponentName,
    work::Running,
};

/// The name and version of the form in which a ledger is stored.
pub const FORMAT: &str = "sitewright.dev/drains/v1";

/// What is held back for changes of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// One for each component that waits, and one for each node of a wave.
    pub drains: Vec<Drain>,
}

/// What is held back for one change, or for one node of a wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// The component.
    pub component: ComponentName,
    /// The wave, and the node that it takes; none where it is for changes of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<(String, String)>,
    /// What it is for: another change is another drain.
    pub target: Digest,
    /// When it began.
    pub begun: Timestamp,
    /// Where it stands.
    pub stage: Stage,
    /// Since when it stands there.
    pub since: Timestamp,
    /// The nodes that take no new pods, with their UIDs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, String>,
    /// The ClusterQueues that admit nothing new.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queues: BTreeMap<String, HeldQueue>,
}

/// A ClusterQueue that admits nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldQueue {
    /// Its UID.
    pub uid: String,
    /// The API version to speak of it in.
    pub api_version: String,
}

/// Where a drain stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Stage {
    /// Running jobs are waited for.
    Waiting,
    /// The change is done, or under way, and is waited for.
    Changing,
    /// The deadline was over, and everything was given back.
    GaveUp,
    /// What was changed did not come back.
    Broken {
        /// What is wrong with it.
        why: String,
    },
}

/// Where the draining for a change stands, as its gate tells.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DrainStage {
    /// Nothing is held back yet: the agent begins once no other gate holds the change.
    NotBegun,
    /// Nothing new starts there, and running jobs are waited for.
    Waiting,
    /// The deadline was over: queues and nodes were given back.
    GaveUp,
}

/// One thing to do. Each may be done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Lets no new pod onto a node: name and UID.
    Cordon {
        /// The name.
        node: String,
        /// The UID.
        uid: String,
    },
    /// Lets a queue admit nothing new.
    Stop {
        /// The name.
        queue: String,
        /// Its UID and version.
        held: HeldQueue,
    },
    /// Takes our cordon off a node.
    Uncordon {
        /// The name.
        node: String,
        /// The UID.
        uid: String,
    },
    /// Takes our stop off a queue.
    Resume {
        /// The name.
        queue: String,
        /// Its UID and version.
        held: HeldQueue,
    },
    /// Asks for a pod to be evicted, as far as its disruption budget allows.
    Evict {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// Its UID: another pod of that name is not meant.
        uid: String,
    },
    /// Deletes a DaemonSet's outdated pod, for its controller to make a new one.
    Restart {
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
        /// Its UID: another pod of that name is not meant.
        uid: String,
    },
    /// Sets a label of a node.
    Label {
        /// The node.
        node: String,
        /// Its UID.
        uid: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

impl Ledger {
    /// Returns the drain for changes of a component's objects.
    pub fn of(&self, component: &ComponentName) -> Option<&Drain> {
        self.drains.iter().find(|drain| drain.wave.is_none() && drain.component == *component)
    }

    /// Returns the drain of a node for a wave.
    pub fn of_wave(&self, component: &ComponentName, wave: &str, node: &str) -> Option<&Drain> {
        self.drains.iter().find(|drain| {
            drain.component == *component
                && drain.wave.as_ref().is_some_and(|(name, on)| name == wave && on == node)
        })
    }

    /// Returns whether nothing is held, and nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.drains.is_empty()
    }

    /// Returns whether a node is cordoned for any drain but `other_than`.
    fn holds_node(&self, name: &str, other_than: &Drain) -> bool {
        self.drains.iter().any(|drain| drain != other_than && drain.nodes.contains_key(name))
    }

    /// Returns whether a queue is stopped for any drain but `other_than`.
    fn holds_queue(&self, name: &str, other_than: &Drain) -> bool {
        self.drains.iter().any(|drain| drain != other_than && drain.queues.contains_key(name))
    }
}

impl Drain {
    /// Returns whether everything that it names is held now; what is gone needs no holding.
    pub fn is_in_force(&self, running: &Running) -> bool {
        let node = |name: &String| running.nodes.iter().find(|node| node.name == *name);
        let queue = |name: &String| running.queues.iter().find(|queue| queue.name == *name);
        self.nodes.keys().all(|name| node(name).is_none_or(|node| node.cordoned))
            && self.queues.keys().all(|name| queue(name).is_none_or(|queue| queue.stopped))
    }

    /// Returns when its deadline is over.
    pub fn deadline(&self, rules: &DrainRules) -> Option<Timestamp> {
        let deadline = SignedDuration::try_from(rules.deadline()?).ok()?;
        self.begun.checked_add(deadline).ok()
    }

    /// Returns whether its deadline is over, and the change is to go ahead all the same.
    pub fn goes_ahead(&self, rules: &DrainRules, now: Timestamp) -> bool {
        rules.then == AtDeadline::GoAhead && self.is_overdue(rules, now)
    }

    fn is_about(&self, deed: &Deed) -> bool {
        match deed {
            Deed::Uncordon { node, .. } | Deed::Cordon { node, .. } => {
                self.nodes.contains_key(node)
            }
            Deed::Resume { queue, .. } | Deed::Stop { queue, .. } => {
                self.queues.contains_key(queue)
            }
            Deed::Evict { .. } | Deed::Restart { .. } | Deed::Label { .. } => false,
        }
    }

    fn is_overdue(&self, rules: &DrainRules, now: Timestamp) -> bool {
        self.deadline(rules).is_some_and(|deadline| deadline <= now)
    }

    /// The deeds that put it into force, as far as it is not.
    fn holding(&self, running: &Running) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for (name, uid) in &self.nodes {
            let is_open = running
                .nodes
                .iter()
                .any(|node| node.name == *name && node.uid == *uid && !node.cordoned);
            if is_open {
                deeds.push(Deed::Cordon { node: name.clone(), uid: uid.clone() });
            }
        }
        for (name, held) in &self.queues {
            let is_open = running
                .queues
                .iter()
                .any(|queue| queue.name == *name && queue.uid == held.uid && !queue.stopped);
            if is_open {
                deeds.push(Deed::Stop { queue: name.clone(), held: held.clone() });
            }
        }
        deeds
    }

    /// The deeds that give back what no other drain of `ledger` holds, and that is still there.
    fn releasing(&self, ledger: &Ledger, running: &Running) -> Vec<Deed> {
        let nodes = self
            .nodes
            .iter()
            .filter(|(name, uid)| {
                running.nodes.iter().any(|node| node.name == **name && node.uid == **uid)
            })
            .filter(|(name, _)| !ledger.holds_node(name, self))
            .map(|(node, uid)| Deed::Uncordon { node: node.clone(), uid: uid.clone() });
        let queues = self
            .queues
            .iter()
            .filter(|(name, held)| {
                running.queues.iter().any(|queue| queue.name == **name && queue.uid == held.uid)
            })
            .filter(|(name, _)| !ledger.holds_queue(name, self))
            .map(|(queue, held)| Deed::Resume { queue: queue.clone(), held: held.clone() });
        nodes.chain(queues).collect()
    }
}

impl Deed {
    /// Returns whether it gives something back; such deeds come before the ledger forgets what they are about.
    pub fn gives_back(&self) -> bool {
        matches!(self, Self::Uncordon { .. } | Self::Resume { .. })
    }
}

/// What is done, for people.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cordon { node, .. } => write!(f, "cordon the node {node}"),
            Self::Stop { queue, .. } => write!(f, "hold the queue {queue}"),
            Self::Uncordon { node, .. } => write!(f, "give back the node {node}"),
            Self::Resume { queue, .. } => write!(f, "give back the queue {queue}"),
            Self::Evict { namespace, name, .. } => write!(f, "evict the pod {namespace}/{name}"),
            Self::Restart { namespace, name, .. } => {
                write!(f, "restart the pod {namespace}/{name}")
            }
            Self::Label { node, key, value, .. } => {
                write!(f, "label the node {node} {key}={value}")
            }
        }
    }
}
