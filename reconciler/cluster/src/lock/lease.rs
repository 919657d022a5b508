//! The Lease on the wire.

use std::time::Duration;

use serde_json::{Value, json};
use sitewright_model::digest::canonical_json;

use super::{DURATION, holder::Holder};
use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
    home::{self, NAMESPACE},
};

/// A write that meets our own earlier one is made again, so often.
const WRITES: usize = 3;

/// The Lease as last read or written.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) version: String,
    pub(super) holder: String,
    /// How long its holder may be silent before it is another's.
    pub(super) duration: Duration,
    pub(super) transitions: u64,
}

/// Where a Lease is read and written, and in whose name. Its requests wait for no place.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) http: Http,
    /// The name of the Lease.
    pub(super) name: String,
    pub(super) me: String,
}

impl Wire {
    pub(super) async fn read(&self) -> Result<Option<Lease>, Error> {
        match self.http.send(Request::get(self.url(), self.what()).at_once()).await {
            Ok(answer) => Ok(Some(Lease::read(&answer.json()?))),
            Err(Failure::Refused(refused)) if refused.is_not_found() => Ok(None),
            Err(failure) => Err(self.http.error(failure, Verb::Get, &self.what())),
        }
    }

    /// Writes the Lease with the time of now, bound to the version that was read.
    ///
    /// # Errors
    /// [`Error::Locked`] where another was quicker; [`Error::LockLost`] where it is gone.
    pub(super) async fn write(&self, lease: &Lease, within: Duration) -> Result<Lease, Error> {
        let mut version = lease.version.clone();
        for _ in 0..WRITES {
            match self.put(&Lease { version, ..lease.clone() }, within).await? {
                Ok(written) => return Ok(written),
                // our own write, whose answer was lost: it counts from its own time, not from now
                Err(now) if now.holder == self.me => version = now.version,
                Err(now) => return Err(now.locked()),
            }
        }
        Err(Error::LockLost { why: "its Lease changes faster than it can be written".into() })
    }

    /// Makes one write; where it meets another, returns what is there instead.
    async fn put(&self, lease: &Lease, within: Duration) -> Result<Result<Lease, Lease>, Error> {
        let gone = || Error::LockLost { why: "its Lease was deleted".into() };
        let body = canonical_json(&lease.body(&self.name));
        let (verb, request) = if lease.version.is_empty() {
            let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
            (Verb::Create, Request::post(Verb::Create, collection, self.what(), body))
        } else {
            (Verb::Update, Request::put(self.url(), self.what(), body))
        };
        match self.http.send(request.within(within).at_once()).await {
            Ok(answer) => Ok(Ok(Lease::read(&answer.json()?))),
            Err(Failure::Refused(refused)) if refused.code == 409 => {
                Ok(Err(self.read().await?.ok_or_else(gone)?))
            }
            Err(Failure::Refused(refused)) if refused.is_not_found() && verb == Verb::Update => {
                Err(gone())
            }
            Err(failure) => Err(self.http.error(failure, verb, &self.what())),
        }
    }

    fn url(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{}", self.name)
    }

    fn what(&self) -> String {
        format!("Lease {NAMESPACE}/{}", self.name)
    }
}

impl Lease {
    /// A Lease that is not on the cluster yet.
    pub(super) fn new(holder: String) -> Self {
        Self { version: String::new(), holder, duration: DURATION, transitions: 0 }
    }

    /// Returns whether nobody holds it, or its holder is known to be gone.
    pub(super) fn is_free(&self) -> bool {
        self.holder.is_empty() || Holder::parse(&self.holder).is_some_and(|holder| holder.is_dead())
    }

    /// Returns the error that names its holder.
    pub(super) fn locked(&self) -> Error {
        let holder = Holder::parse(&self.holder).map(|holder| holder.for_people());
        Error::Locked { holder: holder.unwrap_or_else(|| self.holder.clone()) }
    }

    fn read(body: &Value) -> Self {
        let text = |pointer: &str| {
            body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
        let seconds = number("/spec/leaseDurationSeconds").filter(|&seconds| seconds > 0);
        Self {
            version: text("/metadata/resourceVersion"),
            holder: text("/spec/holderIdentity"),
            duration: seconds.map_or(DURATION, Duration::from_secs),
            transitions: number("/spec/leaseTransitions").unwrap_or_default(),
        }
    }

    fn body(&self, name: &str) -> Value {
        let now = format!("{:.6}", jiff::Timestamp::now());
        let mut metadata = json!({ "name": name, "namespace": NAMESPACE,
            "labels": { "app.kubernetes.io/managed-by": "sitewright" } });
        home::bind(&mut metadata, &self.version);
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": DURATION.as_secs(),
                "renewTime": now,
                "leaseTransitions": self.transitions,
            },
        })
    }
}
