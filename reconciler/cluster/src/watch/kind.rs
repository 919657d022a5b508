//! The watch of one kind, kept going.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::core::WatchEvent;
use serde::Deserialize;
use sitewright_model::{
    digest::Digest,
    object::{GroupKind, ObjectId},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    Scope, Shared,
    sign::{Metadata, Partial},
};
use crate::{
    Error,
    client::{
        http::{Http, Request},
        path::{Resource, query},
        retry::back_off,
    },
    observe::listing::{Key, METADATA_ONLY},
};

/// How long one watch lives before it is renewed. The server sends a bookmark about every minute, which tells
/// a dead connection much sooner, so that this need not be short.
const RENEWAL: Duration = Duration::from_secs(25 * 60);

/// How long a watch that has had a bookmark may be silent: three of them.
const SILENCE: Duration = Duration::from_secs(190);

/// Beyond so many failures in a row the pause grows no longer.
const FAILURES: u32 = 8;

/// The watch of one kind.
pub(super) struct KindWatch {
    pub(super) http: Http,
    pub(super) resource: Resource,
    pub(super) kind: GroupKind,
    pub(super) scope: Arc<Scope>,
    pub(super) shared: Arc<Shared>,
    /// Told once the watch runs, or has failed for the first time.
    pub(super) begun: Arc<Notify>,
    /// What was last seen of objects that have had an event.
    pub(super) seen: BTreeMap<Key, Digest>,
    /// Whether nothing is known of what was before the version that is watched from.
    pub(super) is_new: bool,
}

/// How a watch ended.
enum End {
    /// As it should: the server closes it after some time.
    Renewal,
    /// What happened since is no longer known (HTTP 410).
    Gone,
    /// It broke; what happened since is told by the next one.
    Broken(String),
}

impl KindWatch {
    /// Watches until it is stopped.
    pub(super) async fn run(mut self) {
        let stop = self.http.stop().clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_going() => {}
        }
    }

    async fn keep_going(&mut self) {
        let mut version = None;
        let mut failures = 0;
        loop {
            let from = match version.take() {
                Some(version) => version,
                None => match self.newest().await {
                    Ok(newest) => newest,
                    Err(error) => {
                        self.failed(error.to_string(), &mut failures).await;
                        continue;
                    }
                },
            };
            let mut at = from;
            match self.watch(&mut at, &mut failures).await {
                End::Renewal => version = Some(at),
                // a server that says so again and again must not be asked without a pause
                End::Gone => self.failed("the version is too old".to_owned(), &mut failures).await,
                End::Broken(why) => {
                    version = Some(at);
                    self.failed(why, &mut failures).await;
                }
            }
        }
    }

    async fn failed(&self, why: String, failures: &mut u32) {
        *failures = (*failures + 1).min(FAILURES);
        tracing::debug!(kind = %self.kind, why, "a watch broke");
        self.shared.trouble(&self.kind, why);
        self.begun.notify_one();
        sleep(back_off(*failures, None)).await;
    }

    /// Returns the version to watch from; nothing is known of what was before.
    async fn newest(&mut self) -> Result<String, Error> {
        let pairs = [("limit", "1"), ("labelSelector", self.scope.selector.as_str())];
        let url = query(&self.resource.collection(None), pairs);
        let request = Request::list(url, self.resource.display()).accept(METADATA_ONLY);
        let list: List = self.http.ask(request).await?.json()?;
        self.is_new = true;
        Ok(list.metadata.resource_version)
    }

    /// Watches once, from `version`, which it moves on.
    async fn watch(&mut self, version: &mut String, failures: &mut u32) -> End {
        let jitter = rand::random_range(0..RENEWAL.as_secs() / 10);
        let seconds = (RENEWAL.as_secs() + jitter).to_string();
        let pairs = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("labelSelector", self.scope.selector.as_str()),
            ("resourceVersion", version.as_str()),
            ("timeoutSeconds", seconds.as_str()),
        ];
        let url = query(&self.resource.collection(None), pairs);
        let request = Request::list(url, self.resource.display()).accept(METADATA_ONE);
        let events = match self.http.watch::<Partial>(request).await {
            Ok(events) => events,
            Err(error) => return ended(&error),
        };
        let mut events = std::pin::pin!(events);
        if std::mem::take(&mut self.is_new) {
            // only now: where a kind can be listed and not watched, there is nothing to catch up with
            self.shared.notice(|noticed| {
                noticed.gaps.insert(self.kind.clone());
            });
        }
        self.shared.sign(&self.kind);
        self.begun.notify_one();
        let mut patience = RENEWAL + RENEWAL / 10 + SILENCE;
        loop {
            let event = match timeout(patience, events.next()).await {
                Err(_) => return End::Broken(format!("silent for {} s", patience.as_secs())),
                Ok(None) => return End::Renewal,
                Ok(Some(Err(error))) => return ended(&error),
                Ok(Some(Ok(event))) => event,
            };
            *failures = 0;
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version.clone_from(&object.metadata.resource_version);
                    self.changed(&object.metadata);
                }
                WatchEvent::Deleted(object) => {
                    version.clone_from(&object.metadata.resource_version);
                    self.gone(&object.metadata);
                }
                WatchEvent::Bookmark(bookmark) => {
                    version.clone_from(&bookmark.metadata.resource_version);
                    patience = SILENCE;
                }
                WatchEvent::Error(status) if status.code == 410 => return End::Gone,
                WatchEvent::Error(status) => return End::Broken(status.message),
            }
            self.shared.sign(&self.kind);
        }
    }

    fn changed(&mut self, metadata: &Metadata) {
        let sign = metadata.sign(&self.scope.manager);
        let id = self.id(metadata);
        let before = self.seen.insert((metadata.namespace.clone(), metadata.name.clone()), sign);
        self.shared.notice(|noticed| {
            let is_as_it_was = before == Some(sign);
            let set = if is_as_it_was { &mut noticed.touched } else { &mut noticed.suspects };
            set.insert(id);
        });
    }

    /// It is deleted, or no longer carries the site's label.
    fn gone(&mut self, metadata: &Metadata) {
        self.seen.remove(&(metadata.namespace.clone(), metadata.name.clone()));
        let id = self.id(metadata);
        self.shared.notice(|noticed| {
            noticed.suspects.insert(id);
        });
    }

    fn id(&self, metadata: &Metadata) -> ObjectId {
        let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
        ObjectId { kind: self.kind.clone(), namespace, name }
    }
}

/// Asks for the metadata of objects one by one.
const METADATA_ONE: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
}

fn ended(error: &kube::Error) -> End {
    match error {
        kube::Error::Api(status) if status.code == 410 => End::Gone,
        other => End::Broken(other.to_string()),
    }
}
