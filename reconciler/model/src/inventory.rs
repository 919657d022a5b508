//! The write-ahead list of what a site owns on a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    name::{ComponentName, SiteName},
    object::{ObjectId, Uid},
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
    /// How far it got.
    pub state: EntryState,
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
}

impl Entry {
    /// Returns the UID, if the object was applied.
    pub fn uid(&self) -> Option<&Uid> {
        match &self.state {
            EntryState::Planned => None,
            EntryState::Applied { uid, .. } => Some(uid),
        }
    }
}
