//! The write-ahead list of what a site owns on a cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    desired::DesiredComponent,
    digest::Digest,
    format::blueprint::{Hazard, HazardOn},
    name::{ComponentName, SiteName},
    object::{Object, ObjectId, Uid},
};

/// What a site owns on a cluster, as read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The site.
    pub site: SiteName,
    /// The entries.
    pub entries: BTreeMap<ObjectId, Entry>,
}

/// One owned object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The API version it was last applied with.
    pub api_version: String,
    /// The component that owns it.
    pub component: ComponentName,
    /// Whether it was there before Sitewright: such an object is released, not deleted, unless a tombstone names it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// Whether it was not yet seen healthy since its last apply: nothing is pruned in its stead before (law 3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
    /// What was said of it when it was last applied; none in entries that are older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
    /// How far it got.
    pub state: EntryState,
}

/// What a blueprint and values say of an object. The inventory keeps it: once the object, or its whole
/// component, has left the site, nothing there says it any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// What its deletion does, by the worst rule; none where no rule is about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionHazard>,
    /// Where it holds secrets: JSON pointers, beyond those that the kind makes secret.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secret: BTreeSet<String>,
}

/// What a deletion does to running work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionHazard {
    /// What it does.
    pub is: Hazard,
    /// Why, in words for the plan.
    pub because: String,
}

/// How far an owned object got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryState {
    /// Named before its first apply; whether it exists is unknown (law 2).
    Planned,
    /// Applied.
    Applied {
        /// The UID that the server gave it.
        uid: Uid,
        /// The digest of the rendered object that was applied.
        rendered: Digest,
        /// The settled digest of the live object after the apply ([`crate::live::settled_digest`]).
        settled: Digest,
    },
}

impl Inventory {
    /// Makes an empty inventory.
    pub fn empty(site: SiteName) -> Self {
        Self { site, entries: BTreeMap::new() }
    }

    /// Returns the entries of the objects in `ids`.
    #[must_use]
    pub fn only(&self, ids: &BTreeSet<ObjectId>) -> Self {
        let entry = |id: &ObjectId| Some((id.clone(), self.entries.get(id)?.clone()));
        Self { site: self.site.clone(), entries: ids.iter().filter_map(entry).collect() }
    }
}

impl Entry {
    /// Returns the UID, if the object was applied.
    pub fn uid(&self) -> Option<&Uid> {
        match &self.state {
            EntryState::Planned => None,
            EntryState::Applied { uid, .. } => Some(uid),
        }
    }

    /// Returns whether the entry has what `component` says of `object` now.
    pub fn has_said(&self, component: &DesiredComponent, object: &Object) -> bool {
        let now = Said::after(self.said.as_ref(), component, object);
        self.said.as_ref() == Some(&now)
    }
}

impl Said {
    /// Returns what to record of `object`, of which `before` was recorded.
    ///
    /// A field that was secret and that the site no longer sets may still be live, owned by someone else
    /// as well: it stays secret until the site sets it to something that is not.
    pub fn after(before: Option<&Self>, component: &DesiredComponent, object: &Object) -> Self {
        let mut secret = object.sensitive().clone();
        let earlier = before.into_iter().flat_map(|before| &before.secret);
        let is_unset = |pointer: &&String| object.expose().pointer(pointer).is_none();
        let left = earlier.filter(|pointer| !object.sensitive().contains(*pointer));
        secret.extend(left.filter(is_unset).cloned());
        Self { deletion: DeletionHazard::of(component, object.id()), secret }
    }
}

impl DeletionHazard {
    fn of(component: &DesiredComponent, id: &ObjectId) -> Option<Self> {
        let rules = component.hazards.iter().filter(|rule| rule.on == HazardOn::Delete);
        let fitting = rules.filter(|rule| id.fits(&rule.kind, rule.name.as_deref()));
        let worst = fitting.max_by_key(|rule| rule.is)?;
        Some(Self { is: worst.is, because: worst.because.clone() })
    }
}
