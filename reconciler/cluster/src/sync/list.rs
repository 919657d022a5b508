//! The SiteSyncs of a cluster, followed by watch.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    core::ObjectList,
    runtime::{WatchStreamExt, watcher},
};

use sitewright_model::object::GroupKind;

use super::{SecretData, SiteSync, SyncKey};
use crate::{
    Cluster, Error,
    client::http::{Failure, Request, Verb},
};

/// What happened to a SiteSync.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is there, new or changed.
    Set(Box<SiteSync>),
    /// It is gone. What was applied stays as it is.
    Gone(SyncKey),
    /// All that are there were told since the last one of these; others are gone.
    All(Vec<SyncKey>),
}

/// The SiteSyncs of a cluster.
pub struct Syncs {
    changes: Pin<Box<dyn Stream<Item = Result<watcher::Event<SiteSync>, watcher::Error>> + Send>>,
    listed: Vec<SyncKey>,
}

impl Cluster {
    /// Returns whether the cluster knows the kind.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn serves_syncs(&self) -> Result<bool, Error> {
        let kind = GroupKind::new("sitewright.dev", "SiteSync");
        Ok(self.discover().await?.preferred(&kind).is_some())
    }

    /// Returns the SiteSyncs of all namespaces; none where the kind is not known.
    ///
    /// Costs one request.
    ///
    /// # Errors
    /// The server does not answer, or does not let them be listed.
    pub async fn all_syncs(&self) -> Result<Vec<SiteSync>, Error> {
        let what = "SiteSyncs of all namespaces";
        let url = "/apis/sitewright.dev/v1alpha1/sitesyncs";
        match self.http.send(Request::list(url, what)).await {
            Ok(answer) => Ok(answer.json::<ObjectList<SiteSync>>()?.items),
            Err(Failure::Refused(refused)) if refused.is_not_found() => Ok(Vec::new()),
            Err(failure) => Err(self.http.error(failure, Verb::List, what)),
        }
    }

    /// Follows the SiteSyncs of `namespace`, or of all.
    pub fn syncs(&self, namespace: Option<&str>) -> Syncs {
        let client = self.http.client();
        let api: Api<SiteSync> = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let changes = watcher(api, watcher::Config::default()).default_backoff().boxed();
        Syncs { changes, listed: Vec::new() }
    }
}

impl Cluster {
    /// Reads a Secret beside a SiteSync; none where there is none.
    ///
    /// # Errors
    /// The server does not answer, or does not let the agent read it.
    pub async fn secret(&self, key: &SyncKey, name: &str) -> Result<Option<SecretData>, Error> {
        let what = format!("Secret {}/{name}", key.namespace);
        let url = format!("/api/v1/namespaces/{}/secrets/{name}", key.namespace);
        match self.http.send(Request::get(url, what.clone())).await {
            Ok(answer) => Ok(Some(SecretData::of(answer.json::<Secret>()?))),
            Err(Failure::Refused(refused)) if refused.is_not_found() => Ok(None),
            Err(failure) => Err(self.http.error(failure, Verb::Get, &what)),
        }
    }
}

impl Syncs {
    /// Waits for the next change.
    ///
    /// # Errors
    /// The watch broke; it is taken up again by the next call.
    pub async fn next(&mut self) -> Result<Change, String> {
        loop {
            let Some(event) = self.changes.next().await else {
                return std::future::pending().await;
            };
            match event.map_err(|error| error.to_string())? {
                watcher::Event::Init => self.listed.clear(),
                watcher::Event::InitApply(sync) => {
                    self.listed.push(key(&sync));
                    return Ok(Change::Set(Box::new(sync)));
                }
                watcher::Event::InitDone => {
                    return Ok(Change::All(std::mem::take(&mut self.listed)));
                }
                watcher::Event::Apply(sync) => return Ok(Change::Set(Box::new(sync))),
                watcher::Event::Delete(sync) => return Ok(Change::Gone(key(&sync))),
            }
        }
    }
}

/// Returns how a SiteSync is found.
fn key(sync: &SiteSync) -> SyncKey {
    SyncKey { namespace: sync.namespace().unwrap_or_default(), name: sync.name_any() }
}

impl From<&SiteSync> for SyncKey {
    fn from(sync: &SiteSync) -> Self {
        key(sync)
    }
}
