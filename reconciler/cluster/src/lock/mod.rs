//! One apply of a site at a time: a Lease `sitewright-SITE` in `sitewright-system`, held while applying. And, where
//! several agents stand by for one another, one of them at work: a Lease `sitewright.agent`.
//!
//! A Lease binds only those who look at the clock. Its holder gives up well before anyone may take over: it
//! sends nothing more once its last renewal, counted from when that was sent, is [`HOLD`] old; see
//! [`Fence`]. Who waits takes over when the Lease did not change for all of the time that it names,
//! on their own clock, since clocks of two machines differ; or at once, where the holder ran on this machine and its
//! process is gone. (client-go keeps the same distance: `renewDeadline` < `leaseDuration`.)

mod holder;
mod leader;
mod lease;

use std::time::Duration;

use sitewright_model::name::SiteName;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::leader::Leadership;
use self::{
    holder::Holder,
    lease::{Lease, Wire},
};
use crate::{
    Error,
    client::{fence::Fence, http::Http},
    home,
};

/// How long a silent holder is believed to live.
const DURATION: Duration = Duration::from_secs(15);

/// How long the holder believes a renewal. The rest is for what it sent just before, and for clocks that
/// do not run alike.
const HOLD: Duration = Duration::from_secs(10);
const _: () = assert!(HOLD.as_secs() < DURATION.as_secs(), "two would hold the lock");

/// How often the holder shows that it lives.
const RENEWAL: Duration = Duration::from_secs(3);

/// How long the server may take to renew it.
const RENEWED: Duration = Duration::from_secs(2);

/// How soon a failed attempt to renew is followed by another; and what finding out why it failed may take.
const AGAIN: Duration = Duration::from_secs(1);

/// How often someone who waits looks.
const LOOK: Duration = Duration::from_secs(1);

/// How long giving the lock back may take.
const RELEASE: Duration = Duration::from_secs(5);

/// A held lock. Dropped without [`Lock::release`], it is silent from then on.
pub(crate) struct Lock {
    wire: Wire,
    fence: Fence,
    done: CancellationToken,
    renewer: Option<JoinHandle<Result<Lease, Error>>>,
}

impl Lock {
    /// Takes the lock of a site.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder where another apply lives.
    pub(crate) async fn acquire(http: &Http, site: &SiteName) -> Result<Self, Error> {
        Self::take(http, format!("sitewright-{site}")).await
    }

    /// Takes the lock that is the Lease `name`.
    async fn take(http: &Http, name: String) -> Result<Self, Error> {
        let me = Holder::new().to_string();
        let mut wire = Wire { http: http.clone(), name, me: me.clone() };
        let wanted = match wire.read().await? {
            Some(lease) => match silent(&wire, lease).await? {
                Some(free) => {
                    Lease { holder: me.clone(), transitions: free.transitions + 1, ..free }
                }
                None => Lease::new(me),
            },
            None => Lease::new(me),
        };
        if wanted.version.is_empty() {
            home::make(http).await?;
        }
        let sent = Instant::now();
        let lease = wire.write(&wanted, HOLD).await?;
        let fence = Fence::until(sent + HOLD);
        // it is renewed and given back also after the signal to stop
        wire.http = http.until(&CancellationToken::new());
        let done = CancellationToken::new();
        let renewal = Renewal { wire: wire.clone(), fence: fence.clone(), done: done.clone() };
        let renewer = Some(tokio::spawn(renewal.run(lease)));
        Ok(Self { wire, fence, done, renewer })
    }

    /// Returns what lets requests through while the lock is surely held.
    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
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
        self.wire.write(&free, RELEASE).await.map(drop).map_err(taken)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(renewer) = &self.renewer {
            renewer.abort();
        }
    }
}

/// Waits until nobody holds the lease any more; returns it as it is then, none where it is gone.
///
/// What is taken is bound to that version: a holder that shows itself in the last moment wins.
async fn silent(wire: &Wire, first: Lease) -> Result<Option<Lease>, Error> {
    let until = Instant::now() + first.duration;
    let version = first.version.clone();
    let mut seen = first;
    while !seen.is_free() && Instant::now() < until {
        wire.http.pause(LOOK.min(until.saturating_duration_since(Instant::now()))).await?;
        seen = match wire.read().await? {
            None => return Ok(None),
            Some(lease) if lease.version != version && !lease.is_free() => {
                return Err(lease.locked());
            }
            Some(lease) => lease,
        };
    }
    Ok(Some(seen))
}

/// What it means that another holds what was ours.
fn taken(error: Error) -> Error {
    match error {
        Error::Locked { holder } => Error::LockLost { why: format!("{holder} has it now") },
        other => other,
    }
}

/// What it means that a renewal failed: of a server that is gone, the lock is the least trouble.
fn unrenewed(error: Error) -> Error {
    match error {
        Error::Unreachable { .. } | Error::Unauthorised { .. } | Error::Certificate { .. } => error,
        other => Error::LockLost { why: format!("it could not be renewed: {other}") },
    }
}

// === the renewal ===

struct Renewal {
    wire: Wire,
    fence: Fence,
    done: CancellationToken,
}

impl Renewal {
    /// Renews the lease until it is to be given back, or lost.
    async fn run(self, mut lease: Lease) -> Result<Lease, Error> {
        let mut pause = RENEWAL;
        loop {
            tokio::select! {
                () = self.done.cancelled() => return Ok(lease),
                () = sleep(pause.min(self.left())) => {}
            }
            self.fence.check()?;
            let sent = Instant::now();
            let renewal = self.wire.write(&lease, RENEWED);
            let renewed = timeout(self.left().min(RENEWED + AGAIN), renewal).await;
            pause = match renewed.map(|renewed| renewed.map_err(taken)) {
                Ok(Ok(renewed)) => {
                    lease = renewed;
                    self.fence.extend(sent + HOLD);
                    RENEWAL
                }
                Ok(Err(error @ Error::LockLost { .. })) => {
                    self.fence.close(error.clone());
                    return Err(error);
                }
                Ok(Err(error)) => {
                    self.fence.doubt(unrenewed(error));
                    AGAIN
                }
                Err(_) => AGAIN,
            };
        }
    }

    fn left(&self) -> Duration {
        self.fence.end().saturating_duration_since(Instant::now())
    }
}
