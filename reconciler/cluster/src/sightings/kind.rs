//! The watch of one kind, as whole objects.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde_json::Value;
use sitewright_model::object::GroupKind;
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

use super::{Object, Sighting, owners::Owners};
use crate::{
    Cluster, Error,
    client::{
        http::{Http, Request},
        path::{Resource, query},
        retry::back_off,
    },
};

/// How long one watch lives before it is renewed.
const RENEWAL: Duration = Duration::from_secs(25 * 60);

/// How long a watch that has had a bookmark may be silent: three of them.
const SILENCE: Duration = Duration::from_secs(190);

/// Beyond so many failures in a row the pause grows no longer.
const FAILURES: u32 = 8;

/// Objects of a page: pods are large, and only one page is in memory.
const PAGE: &str = "100";

/// The watch of one kind.
pub(super) struct KindWatch {
    pub(super) http: Http,
    pub(super) resource: Resource,
    pub(super) kind: GroupKind,
    pub(super) owners: Arc<Owners>,
    pub(super) sender: mpsc::Sender<Sighting>,
    /// Told once all objects were listed, or could not be.
    pub(super) begun: Arc<Notify>,
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

#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
    /// `null` where an answer of metadata only has no object in it.
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(rename = "continue", default)]
    token: String,
}

impl KindWatch {
    /// Watches until it is stopped.
    pub(super) async fn run(self) {
        let stop = self.http.stop().clone();
        stop.run_until_cancelled(self.keep_going()).await;
    }

    async fn keep_going(&self) {
        let (mut version, mut failures) = (None, 0);
        // the last time at which everything was known to be seen
        let mut saw = Timestamp::now();
        loop {
            let mut at = match version.take() {
                Some(version) => version,
                None => match self.list().await {
                    Ok(version) => {
                        self.begun.notify_one();
                        version
                    }
                    Err(error) => {
                        if failures == 0 {
                            let (kind, since) = (self.kind.clone(), saw);
                            let why = error.to_string();
                            let _ = self.sender.send(Sighting::Missed { kind, since, why }).await;
                        }
                        self.begun.notify_one();
                        self.failed(&error.to_string(), &mut failures).await;
                        continue;
                    }
                },
            };
            match self.watch(&mut at, &mut saw, &mut failures).await {
                End::Renewal => version = Some(at),
                End::Gone => {
                    let why = "the server no longer knows what happened since".to_owned();
                    let (kind, since) = (self.kind.clone(), saw);
                    let _ = self.sender.send(Sighting::Missed { kind, since, why }).await;
                    self.failed("the version is too old", &mut failures).await;
                }
                End::Broken(why) => {
                    version = Some(at);
                    self.failed(&why, &mut failures).await;
                }
            }
        }
    }

    async fn failed(&self, why: &str, failures: &mut u32) {
        *failures = (*failures + 1).min(FAILURES);
        tracing::debug!(kind = %self.kind, why, "a watch of workloads broke");
        sleep(back_off(*failures, None)).await;
    }

    /// Lists all objects, all as of one version; returns it.
    async fn list(&self) -> Result<String, Error> {
        let (mut token, mut version, mut uids) = (String::new(), None, BTreeSet::new());
        loop {
            let mut pairs = vec![("limit", PAGE)];
            if !token.is_empty() {
                pairs.push(("continue", token.as_str()));
            }
            let url = query(&self.resource.collection(None), pairs);
            let request = Request::list(url, self.resource.display());
            let list: List = self.http.ask(request).await?.json()?;
            // the pages of one list are all of the version of the first
            let of_first = version.get_or_insert(list.metadata.resource_version).clone();
            for body in list.items.unwrap_or_default() {
                let uid = body.pointer("/metadata/uid").and_then(Value::as_str);
                uids.extend(uid.map(str::to_owned));
                self.is(body).await;
            }
            token = list.metadata.token;
            if token.is_empty() {
                let kind = self.kind.clone();
                let _ = self.sender.send(Sighting::Listed { kind, uids }).await;
                return Ok(of_first);
            }
        }
    }

    async fn watch(&self, version: &mut String, saw: &mut Timestamp, failures: &mut u32) -> End {
        let jitter = rand::random_range(0..RENEWAL.as_secs() / 10);
        let seconds = (RENEWAL.as_secs() + jitter).to_string();
        let pairs = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version.as_str()),
            ("timeoutSeconds", seconds.as_str()),
        ];
        let url = query(&self.resource.collection(None), pairs);
        let events =
            match self.http.watch::<Value>(Request::list(url, self.resource.display())).await {
                Ok(events) => events,
                Err(error) => return ended(&error),
            };
        let mut events = std::pin::pin!(events);
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
                WatchEvent::Added(body) | WatchEvent::Modified(body) => {
                    note_version(&body, version);
                    self.is(body).await;
                }
                WatchEvent::Deleted(body) => {
                    note_version(&body, version);
                    let object = self.object(body).await;
                    let _ = self.sender.send(Sighting::Gone(Box::new(object))).await;
                }
                WatchEvent::Bookmark(bookmark) => {
                    version.clone_from(&bookmark.metadata.resource_version);
                    patience = SILENCE;
                }
                WatchEvent::Error(status) if status.code == 410 => return End::Gone,
                WatchEvent::Error(status) => return End::Broken(status.message),
            }
            *saw = Timestamp::now();
        }
    }

    async fn is(&self, body: Value) {
        let object = self.object(body).await;
        let _ = self.sender.send(Sighting::Is(Box::new(object))).await;
    }

    async fn object(&self, body: Value) -> Object {
        self.owners.learn(&body);
        let owners = self.owners.above(&body).await;
        Object { kind: self.kind.clone(), body, owners }
    }
}

fn note_version(body: &Value, version: &mut String) {
    if let Some(newer) = body.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
        newer.clone_into(version);
    }
}

fn ended(error: &kube::Error) -> End {
    match error {
        kube::Error::Api(status) if status.code == 410 => End::Gone,
        error => End::Broken(error.to_string()),
    }
}

/// Tells `defined` of every definition of a kind that comes or goes, by their metadata alone.
pub(super) async fn definitions(cluster: &Cluster, defined: &Notify) {
    let kind = GroupKind::new("apiextensions.k8s.io", "CustomResourceDefinition");
    let mut failures = 0;
    loop {
        if let Err(why) = watch_definitions(cluster, &kind, defined, &mut failures).await {
            tracing::debug!(why, "the watch of definitions broke");
        }
        failures = (failures + 1).min(FAILURES);
        sleep(back_off(failures, None)).await;
        // one may have come meanwhile
        defined.notify_one();
    }
}

async fn watch_definitions(
    cluster: &Cluster,
    kind: &GroupKind,
    defined: &Notify,
    failures: &mut u32,
) -> Result<(), String> {
    const ONE: &str =
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
    let served = cluster.kinds([kind].into_iter()).await.map_err(|error| error.to_string())?;
    let resource = served.preferred(kind).ok_or("it is not served")?.clone();
    let seconds = RENEWAL.as_secs().to_string();
    let list = Request::list(query(&resource.collection(None), [("limit", "1")]), "definitions");
    let list = cluster.http.ask(list.accept(crate::observe::listing::METADATA_ONLY)).await;
    let list: List = list.and_then(|list| list.json()).map_err(|error| error.to_string())?;
    let pairs = [
        ("watch", "1"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", list.metadata.resource_version.as_str()),
        ("timeoutSeconds", seconds.as_str()),
    ];
    let url = query(&resource.collection(None), pairs);
    let events = cluster.http.watch::<Value>(Request::list(url, "definitions").accept(ONE)).await;
    let mut events = std::pin::pin!(events.map_err(|error| error.to_string())?);
    while let Some(event) = events.next().await {
        *failures = 0;
        match event.map_err(|error| error.to_string())? {
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {
                defined.notify_one();
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(status.message),
        }
    }
    Ok(())
}
