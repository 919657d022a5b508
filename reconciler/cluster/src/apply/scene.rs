//! All that an apply looks at and does not change: the plan, what it was made of, the rules.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use sitewright_model::{
    desired::{Desired, DesiredComponent, DesiredObject},
    health::{self, Health},
    inventory::Entry,
    live::{Live, LiveObject, Observation},
    name::ComponentName,
    object::ObjectId,
    plan::{Action, Change, Consent, Plan},
};

use super::Options;
use crate::{
    client::{http::Http, path::Resource, places::Places},
    discovery::Kinds,
    health::RulesOf,
    kinds,
    observe::judge::{Judge, Subject},
};

/// How long to wait where no rule says: for a deletion, an endpoint, a definition, a webhook.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub(super) struct Scene<'a> {
    pub(super) http: &'a Http,
    pub(super) kinds: &'a Kinds,
    pub(super) judge: Judge<'a>,
    pub(super) desired: &'a Desired,
    pub(super) plan: &'a Plan,
    pub(super) live: &'a Live,
    pub(super) consent: Consent,
    /// The places of changes under way.
    pub(super) places: Places,
    options: Options,
    rules: RulesOf<'a>,
    parts: BTreeMap<&'a ObjectId, Part<'a>>,
}

/// One object of the plan, with all that is known of it.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) change: &'a Change,
    pub(super) component: &'a ComponentName,
    pub(super) desired: Option<(&'a DesiredComponent, &'a DesiredObject)>,
    pub(super) entry: Option<&'a Entry>,
    pub(super) live: Option<&'a LiveObject>,
}

impl<'a> Part<'a> {
    pub(super) fn subject(&self) -> Option<Subject<'a>> {
        let (component, desired) = self.desired?;
        Some(Subject { component, desired, entry: self.entry })
    }

    /// Returns whether gates hold the change.
    pub(super) fn is_held(&self, consent: Consent) -> bool {
        self.change.held_by(consent).next().is_some()
    }
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        (http, kinds): (&'a Http, &'a Kinds),
        desired: &'a Desired,
        (plan, live): (&'a Plan, &'a Live),
        options: Options,
        rules: RulesOf<'a>,
        places: Places,
    ) -> Self {
        let by_id = desired.by_id();
        let mut parts = BTreeMap::new();
        for (component, change) in plan.changes() {
            let live_object = match live.objects.get(&change.id) {
                Some(Observation::Present(live)) => Some(&**live),
                Some(Observation::Absent(_) | Observation::Settled | Observation::Unseen(_))
                | None => None,
            };
            let part = Part {
                change,
                component: &component.name,
                desired: by_id.get(&change.id).copied(),
                entry: live.inventory.entries.get(&change.id),
                live: live_object,
            };
            parts.insert(&change.id, part);
        }
        Self {
            http,
            kinds,
            judge: Judge::new(http, kinds, desired),
            desired,
            plan,
            live,
            consent: plan.approved_by(options.approval.as_ref()),
            places,
            options,
            rules,
            parts,
        }
    }

    pub(super) fn part(&self, id: &ObjectId) -> Option<Part<'a>> {
        self.parts.get(id).copied()
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.parts.values()
    }

    /// Returns where an object is found, in the version that the plan speaks to it with.
    pub(super) fn resource(&self, change: &Change) -> Option<Resource> {
        let version = change.api_version.as_str();
        let version = version.rsplit_once('/').map_or(version, |(_, version)| version);
        let exactly = self.judge.resource(&change.id.kind, version);
        exactly.or_else(|| self.kinds.any(&change.id.kind, version).cloned())
    }

    /// Returns the health of a live body of the component.
    pub(super) fn assess(&self, component: &ComponentName, body: &Value) -> Health {
        let none = health::Rules::default();
        health::assess(body, self.rules.get(component).unwrap_or(&none))
    }

    /// Returns whether the object is healthy by being there.
    pub(super) fn is_inert(&self, part: &Part<'_>) -> bool {
        let kind = &part.change.id.kind;
        let has_rule = part.desired.is_some_and(|(component, _)| {
            component.health.iter().any(|rule| kind.fits(&rule.kind))
        });
        kinds::is_inert(kind) && !has_rule && part.change.action == Action::None
    }

    /// Returns how long to wait for the object to become healthy.
    pub(super) fn health_deadline(&self, part: &Part<'_>) -> Duration {
        let body = part.desired.map(|(_, desired)| desired.object.expose());
        let rules = part.desired.map(|(component, _)| component.health.as_slice());
        let deadline = match (body, rules) {
            (Some(body), Some(rules)) => health::deadline(body, rules),
            _ => PATIENCE,
        };
        self.capped(deadline)
    }

    /// Returns how old a record may get before it is written, where the options say so.
    pub(super) fn record_every(&self) -> Option<Duration> {
        self.options.record_every
    }

    /// Returns how long to wait for anything else.
    pub(super) fn patience(&self) -> Duration {
        self.capped(PATIENCE)
    }

    fn capped(&self, deadline: Duration) -> Duration {
        self.options.longest_wait.map_or(deadline, |longest| deadline.min(longest))
    }
}
