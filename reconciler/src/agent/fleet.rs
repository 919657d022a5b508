//! The agent in a cluster: follows what its SiteSyncs name, each in a loop of its own.
//!
//! Comes in: SiteSyncs, as they change. Goes out: their status and Events. Never: what one site does is another's
//! trouble; each has its own loop, its own back-off, its own status.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use sitewright_cluster::{
    CancellationToken, Cluster,
    sync::{Change, SiteSync, SiteSyncStatus, SyncKey, Syncs},
};
use sitewright_source::Settings;
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::LocalPoolHandle;

use super::{
    claim::Claims,
    polls::Polls,
    shard::Shard,
    status,
    tend::{Tended, tend},
    web::{BEAT, Web},
};

/// How long a broken watch of SiteSyncs is told at most once.
const TOLD: Duration = Duration::from_secs(60);

/// The sites of one cluster's SiteSyncs.
pub(crate) struct Fleet {
    cluster: Cluster,
    settings: Settings,
    syncs: Syncs,
    pool: LocalPoolHandle,
    claims: Claims,
    polls: Polls,
    running: BTreeMap<SyncKey, Running>,
    shard: Option<Shard>,
    web: Web,
    stop: CancellationToken,
}

/// A SiteSync that is followed, or left alone.
struct Running {
    /// What it says: another text, another loop.
    spec: String,
    stop: CancellationToken,
    loop_: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Makes a fleet of the SiteSyncs in `namespace`, or in all; `threads` share the work.
    pub(crate) fn new(
        cluster: Cluster,
        settings: Settings,
        namespace: Option<&str>,
        threads: usize,
        web: Web,
        stop: CancellationToken,
    ) -> Self {
        let syncs = cluster.syncs(namespace);
        Self {
            cluster,
            settings,
            syncs,
            pool: LocalPoolHandle::new(threads.max(1)),
            claims: Claims::default(),
            polls: Polls::default(),
            running: BTreeMap::new(),
            shard: None,
            web,
            stop,
        }
    }

    /// Follows a share of them alone.
    #[must_use]
    pub(crate) fn sharded(self, shard: Option<Shard>) -> Self {
        Self { shard, ..self }
    }

    /// Runs until it is stopped; then every loop ends between two requests.
    pub(crate) async fn run(mut self) {
        let mut told: Option<Instant> = None;
        self.web.vitals.begin(Instant::now());
        loop {
            self.web.vitals.beat(Instant::now());
            let change = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                change = self.syncs.next() => change,
                () = sleep(BEAT) => continue,
            };
            match change {
                Ok(Change::Set(sync)) if !self.is_ours(&sync) => self.claims.is_elsewhere(&sync),
                Ok(Change::Set(sync)) => self.set(*sync).await,
                Ok(Change::Gone(key)) => {
                    self.claims.is_gone(&key);
                    self.end(&key).await;
                }
                Ok(Change::All(keys)) => {
                    self.claims.keep_to(&keys);
                    let gone: Vec<SyncKey> =
                        self.running.keys().filter(|key| !keys.contains(key)).cloned().collect();
                    for key in gone {
                        self.end(&key).await;
                    }
                    self.web.vitals.listed();
                }
                Err(why) => {
                    if told.is_none_or(|told| told.elapsed() > TOLD) {
                        tracing::warn!(why, "SiteSyncs cannot be followed; it is tried on");
                        told = Some(Instant::now());
                    }
                }
            }
        }
        for key in self.running.keys().cloned().collect::<Vec<_>>() {
            self.end(&key).await;
        }
    }

    fn is_ours(&self, sync: &SiteSync) -> bool {
        self.shard.is_none_or(|shard| shard.has(&SyncKey::from(sync)))
    }

    /// Follows a SiteSync as it is now.
    async fn set(&mut self, sync: SiteSync) {
        let key = SyncKey::from(&sync);
        let spec = serde_json::to_string(&sync.spec).unwrap_or_default();
        if self.running.get(&key).is_some_and(|running| running.spec == spec) {
            return; // a change of its status, which is our own
        }
        self.end(&key).await;
        let stop = self.stop.child_token();
        let loop_ = if sync.spec.suspend {
            self.suspend(&key, &sync).await;
            None
        } else {
            let tended = Tended {
                key: key.clone(),
                sync,
                home: self.cluster.clone(),
                settings: self.settings.clone(),
                claims: self.claims.clone(),
                polls: self.polls.clone(),
                web: self.web.clone(),
                stop: stop.clone(),
            };
            Some(self.pool.spawn_pinned(move || tend(tended)))
        };
        self.running.insert(key, Running { spec, stop, loop_ });
    }

    async fn suspend(&self, key: &SyncKey, sync: &SiteSync) {
        let before = sync.status.clone().unwrap_or_default();
        let status = status::suspended(sync.metadata.generation, &before, Timestamp::now());
        write(&self.cluster, key, &status, &before).await;
    }

    /// Ends the loop of a SiteSync, and waits until it has.
    async fn end(&mut self, key: &SyncKey) {
        let Some(running) = self.running.remove(key) else { return };
        running.stop.cancel();
        if let Some(loop_) = running.loop_
            && let Err(error) = self.ended(loop_).await
        {
            tracing::error!(%key, %error, "the loop of a SiteSync broke: a bug in Sitewright");
        }
        self.web.metrics.forget(&key.to_string());
    }

    /// Waits for the end of a loop, which may be in the midst of a request, and lives on meanwhile.
    async fn ended(&self, mut loop_: JoinHandle<()>) -> Result<(), JoinError> {
        loop {
            tokio::select! {
                ended = &mut loop_ => return ended,
                () = sleep(BEAT) => self.web.vitals.beat(Instant::now()),
            }
        }
    }
}

/// Writes a status where it is another one; returns whether it is on the cluster.
pub(super) async fn write(
    cluster: &Cluster,
    key: &SyncKey,
    status: &SiteSyncStatus,
    before: &SiteSyncStatus,
) -> bool {
    if status == before {
        return true;
    }
    match cluster.write_status(key, status).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%key, %error, "the status cannot be written");
            false
        }
    }
}

/// Sleeps until `time`; for ever where there is none.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
