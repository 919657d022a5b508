//! What stands between a site and its description: changes that are held, what is drained for them, waves, revisions that
//! made something ill, and the agents that follow it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sitewright_cluster::{Error, sync::SiteSync};
use sitewright_model::{
    drain::{Drain, Ledger, Stage},
    format::blueprint::Hazard,
    name::{ComponentName, SiteName},
    object::ObjectId,
    plan::{Consent, Gate, Plan},
    verdict::{Fate, Verdicts},
};

use crate::output::plan::{gate_title, why_it_waits};

/// What the cluster remembers of a site beside its objects, and what of it could not be read.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// The SiteSyncs that follow it.
    pub syncs: Vec<SiteSync>,
    /// What is held back for its changes.
    pub ledger: Ledger,
    /// What became of its components.
    pub verdicts: Verdicts,
    /// What could not be read, one sentence each.
    pub unread: Vec<String>,
}

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldChange {
    /// The component.
    pub component: ComponentName,
    /// The object.
    pub id: ObjectId,
    /// What the change would do to running work.
    pub hazard: Hazard,
    /// What it waits for.
    pub waits_for: Vec<WaitsFor>,
    /// Since when, as an agent that follows the site knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
}

/// One thing that a change waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitsFor {
    /// In a word or two.
    pub what: String,
    /// The number of its page; none where it is what the site asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// What is held back for a change, or for one node of a wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// The component.
    pub component: ComponentName,
    /// The wave; none where it is for changes of objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    /// The node that the wave takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where it stands.
    pub stage: Stage,
    /// When it began.
    #[schemars(with = "String")]
    pub begun: Timestamp,
    /// Since when it stands there.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The nodes that are cordoned for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The queues that admit nothing new because of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
}

/// A revision that made a healthy component unhealthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BadRevision {
    /// The component.
    pub component: ComponentName,
    /// The revision.
    pub revision: String,
    /// What was unhealthy.
    pub why: String,
    /// Since when that is known.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// What became of it.
    pub fate: Fate,
}

/// An agent's SiteSync that follows the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Follower {
    /// The SiteSync: namespace and name.
    pub sync: String,
    /// Its state, in one word.
    pub state: String,
    /// The revision that it applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What its condition Ready says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Remembered {
    /// Keeps what could be read of `site`, and a sentence about what could not.
    pub fn of(
        site: &SiteName,
        syncs: Result<Vec<SiteSync>, Error>,
        ledger: Result<Ledger, Error>,
        verdicts: Result<Verdicts, Error>,
    ) -> Self {
        fn read<T: Default>(what: &str, read: Result<T, Error>, unread: &mut Vec<String>) -> T {
            read.unwrap_or_else(|error| {
                unread.push(format!("{what}: {error}"));
                T::default()
            })
        }
        let mut unread = Vec::new();
        let mut syncs = read("who follows it, and since when it waits", syncs, &mut unread);
        syncs.retain(|sync| {
            let followed = sync.status.as_ref().and_then(|status| status.site.as_deref());
            followed == Some(site.as_str())
        });
        let ledger = read("what is drained", ledger, &mut unread);
        let verdicts = read("bad revisions", verdicts, &mut unread);
        Self { syncs, ledger, verdicts, unread }
    }

    /// Returns since when each object waits, as its followers tell; of two the earlier.
    fn waiting_since(&self) -> BTreeMap<&str, Timestamp> {
        let mut since = BTreeMap::new();
        for held in self.syncs.iter().filter_map(|sync| sync.status.as_ref()).flat_map(|s| &s.held)
        {
            let Ok(told) = held.since.parse::<Timestamp>() else { continue };
            let known = since.entry(held.object.as_str()).or_insert(told);
            *known = told.min(*known);
        }
        since
    }

    /// Returns the changes of `plan` that wait.
    pub(super) fn held(&self, plan: &Plan) -> Vec<HeldChange> {
        let since = self.waiting_since();
        let held = plan.changes().filter_map(|(component, change)| {
            // what a policy wants reported only waits for nothing
            let gates = change.held_by(Consent::None).filter(|gate| **gate != Gate::ReportOnly);
            let waits_for: Vec<WaitsFor> = gates
                .map(|gate| WaitsFor {
                    what: gate_title(gate).to_lowercase(),
                    code: gate.code().map(|code| code.to_string()),
                    why: why_it_waits(&component.name, change, gate, plan),
                })
                .collect();
            (!waits_for.is_empty()).then(|| HeldChange {
                component: component.name.clone(),
                id: change.id.clone(),
                hazard: change.hazard,
                waits_for,
                since: since.get(change.id.to_string().as_str()).copied(),
            })
        });
        held.collect()
    }

    pub(super) fn held_back(&self) -> Vec<HeldBack> {
        self.ledger.drains.iter().map(HeldBack::of).collect()
    }

    pub(super) fn bad_revisions(&self) -> Vec<BadRevision> {
        let bad = |(name, verdict): (&ComponentName, &sitewright_model::verdict::Verdict)| {
            let bad = verdict.bad.as_ref()?;
            Some(BadRevision {
                component: name.clone(),
                revision: bad.revision.clone(),
                why: bad.why.clone(),
                since: bad.since,
                fate: bad.fate.clone(),
            })
        };
        self.verdicts.components.iter().filter_map(bad).collect()
    }

    pub(super) fn followers(&self) -> Vec<Follower> {
        self.syncs.iter().map(Follower::of).collect()
    }
}

impl HeldBack {
    fn of(drain: &Drain) -> Self {
        let (wave, node) = drain.wave.clone().unzip();
        Self {
            component: drain.component.clone(),
            wave,
            node,
            stage: drain.stage.clone(),
            begun: drain.begun,
            since: drain.since,
            nodes: drain.nodes.keys().cloned().collect(),
            queues: drain.queues.keys().cloned().collect(),
        }
    }
}

impl Follower {
    fn of(sync: &SiteSync) -> Self {
        let status = sync.status.clone().unwrap_or_default();
        let metadata = &sync.metadata;
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let ready = status.conditions.into_iter().find(|condition| condition.kind == "Ready");
        Self {
            sync: format!("{}/{}", part(&metadata.namespace), part(&metadata.name)),
            state: status.state,
            revision: status.applied.map(|applied| applied.short),
            message: ready.map(|ready| ready.message),
        }
    }
}
