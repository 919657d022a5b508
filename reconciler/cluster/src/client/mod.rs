//! The connection to one cluster: how it is found, what every request obeys.

mod config;
pub(crate) mod fence;
pub(crate) mod http;
pub(crate) mod path;
pub(crate) mod places;
pub(crate) mod retry;
pub(crate) mod status;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use sitewright_model::{
    live::ClusterFacts,
    object::{GroupKind, Uid},
};
use tokio_util::sync::CancellationToken;

use self::http::{Http, Request};
pub use self::{http::Requests, retry::Deadlines};
use crate::{Error, discovery::Kinds, inventory::Memory};

/// Requests in flight at once, unless a [`Connection`] says otherwise. More than this gained nothing
/// against an API server on the same machine; API Priority and Fairness guards the server in any case.
pub const CONCURRENCY: usize = 8;

/// How long a cluster may take to answer the first request at all.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// The oldest server that works: aggregated discovery and field validation are stable from here on.
const OLDEST: (u32, u32) = (1, 30);

/// How to reach a cluster.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The kubeconfig file; default `KUBECONFIG`, then `~/.kube/config`, then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The text of a kubeconfig, in place of a file: what somebody else wrote, so that the programs that it
    /// names are not run, and files that it names are not read.
    pub given: Option<GivenKubeconfig>,
    /// The context; default the kubeconfig's current one.
    pub context: Option<String>,
    /// The user to act as, for example `system:serviceaccount:lab:site`.
    pub act_as: Option<String>,
    /// Requests in flight at once; default 8.
    pub concurrency: Option<NonZeroUsize>,
    /// How long requests may take.
    pub deadlines: Deadlines,
    /// Who is told of every answer, if anybody.
    pub listener: Listener,
}

/// Is told of every answer of a server: the verb, and the code unless there was no answer.
///
/// It is called in the midst of requests, so it must neither block nor wait.
#[derive(Clone, Default)]
pub struct Listener(Option<Arc<Listening>>);

type Listening = dyn Fn(&'static str, Option<u16>) + Send + Sync;

impl Listener {
    /// Makes one of a function.
    pub fn new(listen: impl Fn(&'static str, Option<u16>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listen)))
    }

    pub(crate) fn answered(&self, verb: &'static str, code: Option<u16>) {
        if let Some(listen) = &self.0 {
            listen(verb, code);
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// The text of a kubeconfig, which holds credentials: no Display, no Debug, no Serialize (law 10).
#[derive(Clone)]
pub struct GivenKubeconfig(pub String);

impl std::fmt::Debug for GivenKubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenKubeconfig")
    }
}

/// A cluster that answered.
///
/// Cheap to clone; clones share the connections, the bound on requests in flight and the counters.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) http: Http,
    facts: ClusterFacts,
    connection: Arc<Connection>,
    /// The kinds that were served when it was last asked.
    served: Arc<Mutex<Arc<Kinds>>>,
    pub(crate) inventories: Memory,
}

impl Cluster {
    /// Connects, and asks which cluster it is.
    ///
    /// Costs two requests. Fails within 10 seconds where nothing answers.
    pub async fn connect(connection: &Connection) -> Result<Self, Error> {
        let (http, name) = sender(connection).await?;
        let version = version(&http).await?;
        let uid = cluster_uid(&http).await?;
        let facts = ClusterFacts { uid, version, name };
        let connection = Arc::new(connection.clone());
        Ok(Self { http, facts, connection, served: Arc::default(), inventories: Memory::default() })
    }

    /// Returns how it was reached.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns which cluster it is.
    pub fn facts(&self) -> &ClusterFacts {
        &self.facts
    }

    /// Returns the same cluster, of whose answers `listener` is told too.
    #[must_use]
    pub fn telling(&self, listener: Listener) -> Self {
        let http = self.http.told_to(listener.clone());
        let connection = Arc::new(Connection { listener, ..(*self.connection).clone() });
        Self { http, connection, ..self.clone() }
    }

    /// Returns the same cluster, whose requests stop between two of them once `token` is cancelled.
    #[must_use]
    pub fn until(&self, token: &CancellationToken) -> Self {
        Self { http: self.http.until(token), ..self.clone() }
    }

    /// Returns the same cluster with `concurrency` places of its own for requests in flight, and deadlines of its own: what
    /// is asked there waits for nothing here, and the other way.
    #[must_use]
    pub fn apart(&self, concurrency: usize, deadlines: Deadlines) -> Self {
        let server = self.http.server().to_owned();
        let http = Http::new(self.http.client(), server, concurrency, deadlines);
        let http = http.told_to(self.connection.listener.clone()).until(self.http.stop());
        Self { http, ..self.clone() }
    }

    /// Returns the same cluster, to which nothing is sent once `fence` is closed.
    pub(crate) fn within(&self, fence: &fence::Fence) -> Self {
        Self { http: self.http.within_fence(fence), ..self.clone() }
    }

    /// Asks which kinds are served, and remembers it.
    pub(crate) async fn discover(&self) -> Result<Arc<Kinds>, Error> {
        let kinds = Arc::new(Kinds::discover(&self.http).await?);
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&kinds);
        Ok(kinds)
    }

    /// Returns which kinds are served; asks only where `wanted` has one that was not served the last time.
    pub(crate) async fn kinds<'k>(
        &self,
        wanted: impl Iterator<Item = &'k GroupKind>,
    ) -> Result<Arc<Kinds>, Error> {
        let known = Arc::clone(&self.served.lock().unwrap_or_else(PoisonError::into_inner));
        let mut wanted = wanted;
        if wanted.all(|kind| known.preferred(kind).is_some()) {
            return Ok(known);
        }
        self.discover().await
    }

    /// Returns how many requests were sent since [`Cluster::connect`].
    pub fn requests(&self) -> Requests {
        self.http.requests()
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.facts.name)
    }
}

/// Makes a sender of requests, and asks nothing.
pub(crate) async fn reach(connection: &Connection) -> Result<Http, Error> {
    sender(connection).await.map(|(http, _)| http)
}

/// Returns the namespace of the kubeconfig's context, and asks nothing.
pub(crate) async fn namespace(connection: &Connection) -> Result<String, Error> {
    config::namespace(connection).await
}

async fn sender(connection: &Connection) -> Result<(Http, String), Error> {
    let (client, name, server) = config::connect(connection).await?;
    let concurrency = connection.concurrency.map_or(CONCURRENCY, NonZeroUsize::get);
    let http = Http::new(client, server, concurrency, connection.deadlines);
    Ok((http.told_to(connection.listener.clone()), name))
}

async fn version(http: &Http) -> Result<String, Error> {
    let request = Request::get("/version", "the server's version").within(FIRST_ANSWER);
    let info: Value = http.ask(request).await?.json()?;
    let version = info.get("gitVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    let numbers = parse_version(&version).ok_or_else(|| Error::BadAnswer {
        verb: "get".into(),
        resource: "the server's version".into(),
        why: format!("`{version}` is not a version"),
    })?;
    if numbers < OLDEST {
        let oldest = format!("v{}.{}", OLDEST.0, OLDEST.1);
        return Err(Error::TooOld { version, oldest });
    }
    Ok(version)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v')?.split('.');
    let number = |part: Option<&str>| part?.parse::<u32>().ok();
    Some((number(parts.next())?, number(parts.next())?))
}

async fn cluster_uid(http: &Http) -> Result<Uid, Error> {
    let request = Request::get("/api/v1/namespaces/kube-system", "namespace kube-system");
    let namespace: Value = http.ask(request).await?.json()?;
    let uid = namespace.pointer("/metadata/uid").and_then(Value::as_str);
    uid.map(|uid| Uid(uid.to_owned())).ok_or_else(|| Error::BadAnswer {
        verb: "get".into(),
        resource: "namespace kube-system".into(),
        why: "it has no UID".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_vendors_are_read() {
        assert_eq!(parse_version("v1.37.2"), Some((1, 37)));
        assert_eq!(parse_version("v1.31.4-gke.1183000"), Some((1, 31)));
        assert_eq!(parse_version("v1.32.1+k3s1"), Some((1, 32)));
        assert_eq!(parse_version("1.30"), None);
    }
}
