//! Shards as last read or written: one that did not change is not unpacked again.
//!
//! It is a memory of what bytes say, never of what is there: a shard is asked for each time, and what is
//! remembered of it counts only where the resource version and the digest are those of then. So the laws hold as
//! if there were no memory, and it saves what a large inventory costs: unpacking some thousand entries.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sitewright_model::{inventory::Entry, name::SiteName, object::ObjectId};

use super::shard::{Place, Shard};

/// The entries of one shard, shared.
pub(super) type Entries = Arc<BTreeMap<ObjectId, Entry>>;

/// What is remembered of the inventories of one cluster. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<BTreeMap<SiteName, BTreeMap<Place, Shard>>>>);

impl Memory {
    /// Returns the shards of a site; all of them are of one generation.
    pub(super) fn of(&self, site: &SiteName) -> BTreeMap<Place, Shard> {
        self.lock().get(site).cloned().unwrap_or_default()
    }

    /// Remembers a shard as it is on the cluster.
    pub(super) fn keep(&self, site: &SiteName, shard: &Shard) {
        let mut memory = self.lock();
        let shards = memory.entry(site.clone()).or_default();
        shards.retain(|place, _| place.generation == shard.place.generation);
        shards.insert(shard.place, Shard { changed: false, ..shard.clone() });
    }

    /// Forgets a site that nobody follows any more.
    pub(crate) fn forget(&self, site: &SiteName) {
        self.lock().remove(site);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteName, BTreeMap<Place, Shard>>> {
        // maps are whole after every call, so a panic elsewhere left nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
