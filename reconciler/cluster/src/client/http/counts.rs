//! How many requests were sent, by verb.

use std::sync::atomic::{AtomicU64, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verb;

/// How many requests were sent, every attempt counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Reads of one object.
    pub get: u64,
    /// Pages of lists.
    pub list: u64,
    /// Dry runs.
    pub dry_run: u64,
    /// Server-side applies.
    pub apply: u64,
    /// Creations.
    pub create: u64,
    /// Updates.
    pub update: u64,
    /// Deletions.
    pub delete: u64,
    /// How many of all these were second and later attempts.
    pub retries: u64,
}

impl Requests {
    /// Returns the number of all requests.
    pub fn total(&self) -> u64 {
        self.get + self.list + self.dry_run + self.apply + self.create + self.update + self.delete
    }

    /// Returns what came on top of `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            get: self.get - earlier.get,
            list: self.list - earlier.list,
            dry_run: self.dry_run - earlier.dry_run,
            apply: self.apply - earlier.apply,
            create: self.create - earlier.create,
            update: self.update - earlier.update,
            delete: self.delete - earlier.delete,
            retries: self.retries - earlier.retries,
        }
    }
}

#[derive(Default)]
pub(super) struct Counters {
    get: AtomicU64,
    list: AtomicU64,
    dry_run: AtomicU64,
    apply: AtomicU64,
    create: AtomicU64,
    update: AtomicU64,
    delete: AtomicU64,
    retries: AtomicU64,
}

impl Counters {
    pub(super) fn sent(&self, verb: Verb) {
        let counter = match verb {
            Verb::Get => &self.get,
            Verb::List => &self.list,
            Verb::DryRun => &self.dry_run,
            Verb::Apply => &self.apply,
            Verb::Create => &self.create,
            Verb::Update => &self.update,
            Verb::Delete => &self.delete,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Requests {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            get: load(&self.get),
            list: load(&self.list),
            dry_run: load(&self.dry_run),
            apply: load(&self.apply),
            create: load(&self.create),
            update: load(&self.update),
            delete: load(&self.delete),
            retries: load(&self.retries),
        }
    }
}
