//! One apply of a site at a time: a Lease `sitewright-SITE` in `sitewright-system`, held while applying.
//!
//! The resource versions of the inventory are what keeps two applies from harm; the Lease tells the
//! second one so at once, and who the first is. A holder that was killed is noticed in two ways: at
//! once, where it ran on this machine and its process is gone; else by its silence for as long as the
//! Lease says, measured on our own clock, since clocks of two machines differ.

mod holder;

use std::time::Duration;

use serde_json::{Value, json};
use sitewright_model::{digest::canonical_json, name::SiteName};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::holder::Holder;
use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
    home::{self, NAMESPACE},
};

/// How long a silent holder is believed to live.
const DURATION: Duration = Duration::from_secs(15);

/// How often the holder shows that it lives.
const RENEWAL: Duration = Duration::from_secs(5);

/// How often someone who waits looks.
const LOOK: Duration = Duration::from_secs(1);

/// A held lock. Dropped without [`Lock::release`], it is silent from then on.
pub(crate) struct Lock {
    http: Http,
    site: SiteName,
    lost: CancellationToken,
    done: CancellationToken,
    renewer: Option<JoinHandle<Result<Lease, Error>>>,
}

/// The Lease as last read or written.
#[derive(Clone, Debug)]
struct Lease {
    version: String,
    holder: String,
    renewed: String,
    transitions: u64,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder where another apply lives.
    pub(crate) async fn acquire(http: &Http, site: &SiteName) -> Result<Self, Error> {
        let me = Holder::new().to_string();
        let lease = match read(http, site).await? {
            None => create(http, site, &me).await?,
            Some(lease) => {
                wait_for_silence(http, site, &lease).await?;
                take(http, site, lease, &me).await?
            }
        };
        let (lost, done) = (CancellationToken::new(), CancellationToken::new());
        let renewal = Renewal {
            http: http.until(&CancellationToken::new()),
            site: site.clone(),
            lost: lost.clone(),
            done: done.clone(),
        };
        let renewer = Some(tokio::spawn(renewal.run(lease)));
        Ok(Self {
            http: http.until(&CancellationToken::new()),
            site: site.clone(),
            lost,
            done,
            renewer,
        })
    }

    /// Returns the signal that the lock is lost: whoever holds it must stop.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the lock back; the next apply need not wait.
    ///
    /// # Errors
    /// [`Error::LockLost`] where it was not ours any more.
    pub(crate) async fn release(mut self) -> Result<(), Error> {
        self.done.cancel();
        let Some(renewer) = self.renewer.take() else { return Ok(()) };
        let lease = renewer.await.unwrap_or_else(|error| {
            Err(Error::LockLost { why: format!("its renewal ended: {error}") })
        })?;
        let free = Lease { holder: String::new(), ..lease };
        write(&self.http, &self.site, &free, Duration::from_secs(5)).await.map(drop)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(renewer) = &self.renewer {
            renewer.abort();
        }
    }
}

/// Returns once nobody holds the lease any more.
async fn wait_for_silence(http: &Http, site: &SiteName, first: &Lease) -> Result<(), Error> {
    let is_free = |lease: &Lease| {
        lease.holder.is_empty()
            || Holder::parse(&lease.holder).is_some_and(|holder| holder.is_dead())
    };
    let until = Instant::now() + DURATION;
    while !is_free(first) && Instant::now() < until {
        sleep(LOOK).await;
        if http.stop().is_cancelled() {
            return Err(Error::Stopped);
        }
        match read(http, site).await? {
            None => return Ok(()),
            Some(lease) if is_free(&lease) => return Ok(()),
            Some(lease) if lease.renewed != first.renewed || lease.holder != first.holder => {
                return Err(locked(&lease));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn locked(lease: &Lease) -> Error {
    let holder = Holder::parse(&lease.holder).map(|holder| holder.for_people());
    Error::Locked { holder: holder.unwrap_or_else(|| lease.holder.clone()) }
}

async fn take(http: &Http, site: &SiteName, seen: Lease, me: &str) -> Result<Lease, Error> {
    let Some(now) = read(http, site).await? else { return create(http, site, me).await };
    let is_same = now.holder == seen.holder && now.renewed == seen.renewed;
    if !is_same && !now.holder.is_empty() {
        return Err(locked(&now));
    }
    let transitions = now.transitions + 1;
    let mine = Lease { holder: me.to_owned(), transitions, ..now };
    write(http, site, &mine, DURATION).await
}

async fn create(http: &Http, site: &SiteName, me: &str) -> Result<Lease, Error> {
    home::make(http).await?;
    let lease = Lease {
        version: String::new(),
        holder: me.to_owned(),
        renewed: String::new(),
        transitions: 0,
    };
    write(http, site, &lease, DURATION).await
}

// === the renewal ===

struct Renewal {
    http: Http,
    site: SiteName,
    lost: CancellationToken,
    done: CancellationToken,
}

impl Renewal {
    async fn run(self, mut lease: Lease) -> Result<Lease, Error> {
        let mut alive = Instant::now();
        loop {
            tokio::select! {
                () = self.done.cancelled() => return Ok(lease),
                () = sleep(RENEWAL) => {}
            }
            let renewed = timeout(RENEWAL, write(&self.http, &self.site, &lease, RENEWAL)).await;
            match renewed {
                Ok(Ok(renewed)) => {
                    lease = renewed;
                    alive = Instant::now();
                }
                Ok(Err(error @ (Error::Locked { .. } | Error::LockLost { .. }))) => {
                    return Err(self.lose(error.to_string()));
                }
                Ok(Err(_)) | Err(_) if alive.elapsed() < DURATION => {}
                // the server is the trouble, not the lock
                Ok(Err(error @ (Error::Unreachable { .. } | Error::Unavailable { .. }))) => {
                    self.lost.cancel();
                    return Err(error);
                }
                Ok(Err(error)) => return Err(self.lose(error.to_string())),
                Err(_) => return Err(self.lose("the server did not answer in time".into())),
            }
        }
    }

    fn lose(&self, why: String) -> Error {
        self.lost.cancel();
        Error::LockLost { why }
    }
}

// === the wire ===

fn url(site: &SiteName) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/sitewright-{site}")
}

fn what(site: &SiteName) -> String {
    format!("Lease {NAMESPACE}/sitewright-{site}")
}

async fn read(http: &Http, site: &SiteName) -> Result<Option<Lease>, Error> {
    match http.send(Request::get(url(site), what(site))).await {
        Ok(answer) => Ok(Some(Lease::read(&answer.json()?))),
        Err(Failure::Refused(refused)) if refused.is_not_found() => Ok(None),
        Err(failure) => Err(http.error(failure, Verb::Get, &what(site))),
    }
}

/// Writes the lease with the time of now; a race that another won is [`Error::Locked`].
async fn write(
    http: &Http,
    site: &SiteName,
    lease: &Lease,
    within: Duration,
) -> Result<Lease, Error> {
    let body = canonical_json(&lease.body(site));
    let request = if lease.version.is_empty() {
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
        Request::post(Verb::Create, collection, what(site), body)
    } else {
        Request::put(url(site), what(site), body)
    };
    let verb = if lease.version.is_empty() { Verb::Create } else { Verb::Update };
    match http.send(request.within(within)).await {
        Ok(answer) => Ok(Lease::read(&answer.json()?)),
        Err(Failure::Refused(refused)) if refused.code == 409 => {
            match read(http, site).await? {
                // our own write, whose answer was lost
                Some(now) if now.holder == lease.holder => Ok(now),
                Some(now) => Err(locked(&now)),
                None => Err(Error::LockLost { why: "the Lease was deleted".into() }),
            }
        }
        Err(failure) => Err(http.error(failure, verb, &what(site))),
    }
}

impl Lease {
    fn read(body: &Value) -> Self {
        let text = |pointer: &str| {
            body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Self {
            version: text("/metadata/resourceVersion"),
            holder: text("/spec/holderIdentity"),
            renewed: text("/spec/renewTime"),
            transitions: body
                .pointer("/spec/leaseTransitions")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        }
    }

    fn body(&self, site: &SiteName) -> Value {
        let now = format!("{:.6}", jiff::Timestamp::now());
        let mut metadata = json!({ "name": format!("sitewright-{site}"), "namespace": NAMESPACE,
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
