//! Sees what runs on a cluster: workloads, pods, nodes and services, by watch, as whole objects.
//!
//! Comes in: the kinds that the record is about. Goes out: every [`Sighting`], each object with its owners. Never: keeps
//! an object, writes one, or asks again for what a watch has told.
//!
//! Whole objects, and not metadata alone: a Job that is cleaned up as soon as it ends (`ttlSecondsAfterFinished: 0`) is
//! gone before anybody could get it, but its last state is in the events.

mod kind;
mod owners;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use sitewright_model::{
    lineage::{self, Work},
    object::GroupKind,
};
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{kind::KindWatch, owners::Owners};
use crate::Cluster;

/// Sightings that wait for their reader; then watches wait, and the server holds what they have not read.
const QUEUE: usize = 64;

/// How soon it is asked again which kinds there are, where the server did not say or a definition has just come.
const AGAIN: Duration = Duration::from_secs(5);

/// Something that was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighting {
    /// An object is so now.
    Is(Box<Object>),
    /// An object is gone; this is how it was last.
    Gone(Box<Object>),
    /// All objects of a kind were listed: what was known of others is over.
    Listed {
        /// The kind.
        kind: GroupKind,
        /// The UIDs of those that there are.
        uids: BTreeSet<String>,
    },
    /// Objects of a kind may have come and gone unseen.
    Missed {
        /// The kind.
        kind: GroupKind,
        /// Since when.
        since: Timestamp,
        /// Why.
        why: String,
    },
    /// Every kind that the cluster serves has been listed, but for those that were missed.
    Complete,
}

/// An object that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: GroupKind,
    /// The object, as the server gave it.
    pub body: Value,
    /// Its controllers, from the nearest outwards.
    pub owners: Vec<Work>,
}

/// What is seen. Dropped, the watches end.
#[derive(Debug)]
pub struct Sightings {
    receiver: mpsc::Receiver<Sighting>,
    _watching: DropGuard,
}

impl Sightings {
    /// Waits for the next sighting; none once the watches have ended.
    pub async fn next(&mut self) -> Option<Sighting> {
        self.receiver.recv().await
    }

    /// Waits for the next sighting, and blocks the thread for it.
    pub fn blocking_next(&mut self) -> Option<Sighting> {
        self.receiver.blocking_recv()
    }
}

impl Cluster {
    /// Watches everything that the record is about. Kinds that come later are watched from then on.
    pub fn sightings(&self) -> Sightings {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let watching = Watching {
            cluster: self.until(&stop),
            owners: Arc::new(Owners::new(self.until(&stop))),
            sender,
            running: BTreeMap::new(),
            defined: Arc::default(),
        };
        let of_task = stop.clone();
        tokio::spawn(async move {
            of_task.run_until_cancelled(watching.run()).await;
        });
        Sightings { receiver, _watching: stop.drop_guard() }
    }
}

/// Keeps a watch for each kind that is served.
struct Watching {
    cluster: Cluster,
    owners: Arc<Owners>,
    sender: mpsc::Sender<Sighting>,
    running: BTreeMap<GroupKind, DropGuard>,
    /// Told when a definition of a kind has come or gone.
    defined: Arc<Notify>,
}

impl Watching {
    async fn run(mut self) {
        self.follow_definitions();
        loop {
            match self.begin().await {
                Ok(()) => self.defined.notified().await,
                Err(error) => tracing::debug!(%error, "which kinds are served is not known"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Begins to watch what is served and not watched.
    async fn begin(&mut self) -> Result<(), crate::Error> {
        let served = self.cluster.discover().await?;
        let first = self.running.is_empty();
        let mut listed = Vec::new();
        for kind in kinds() {
            let resource = served.preferred(&kind).filter(|_| served.is_listable(&kind));
            let Some(resource) = resource.filter(|_| !self.running.contains_key(&kind)) else {
                continue;
            };
            let stop = CancellationToken::new();
            let begun = Arc::new(Notify::new());
            let watch = KindWatch {
                http: self.cluster.http.until(&stop),
                resource: resource.clone(),
                kind: kind.clone(),
                owners: Arc::clone(&self.owners),
                sender: self.sender.clone(),
                begun: Arc::clone(&begun),
            };
            tokio::spawn(watch.run());
            listed.push(begun);
            self.running.insert(kind, stop.drop_guard());
        }
        self.running.retain(|kind, _| served.preferred(kind).is_some());
        if first {
            for begun in listed {
                begun.notified().await;
            }
            let _ = self.sender.send(Sighting::Complete).await;
        }
        Ok(())
    }

    /// Looks out for definitions of kinds, by their names alone.
    fn follow_definitions(&self) {
        let (cluster, defined) = (self.cluster.clone(), Arc::clone(&self.defined));
        tokio::spawn(async move { kind::definitions(&cluster, &defined).await });
    }
}

/// Returns the kinds that are watched: owners before what they own, so that their names are known.
fn kinds() -> impl Iterator<Item = GroupKind> {
    let core = ["Node", "Pod"].map(|kind| GroupKind::new("", kind));
    lineage::kinds().chain(core)
}
