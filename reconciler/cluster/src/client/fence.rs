//! How long requests may be sent under a lock: only while it is surely ours (law 4).
//!
//! The API server does not know who holds the lock and would take a late write. So it is the sender that
//! looks, before every request, at the clock; and drops what is under way once the lock is lost.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Lets requests through until a time that is put off again and again. Clones are the same fence.
#[derive(Clone)]
pub(crate) struct Fence {
    state: Arc<Mutex<State>>,
    closed: CancellationToken,
}

struct State {
    until: Instant,
    /// The same by the wall clock: the other one stands still while the machine sleeps.
    until_wall: SystemTime,
    /// Why it was not put off, where that is known.
    doubt: Option<Error>,
    /// Why it is closed; it never opens again.
    closed: Option<Error>,
}

impl Fence {
    /// Makes a fence that is open until then.
    pub(crate) fn until(until: Instant) -> Self {
        let state = State { until, until_wall: by_wall_clock(until), doubt: None, closed: None };
        Self { state: Arc::new(Mutex::new(state)), closed: CancellationToken::new() }
    }

    /// Puts the time off.
    pub(crate) fn extend(&self, until: Instant) {
        let mut state = self.state();
        state.until = until;
        state.until_wall = by_wall_clock(until);
        state.doubt = None;
    }

    /// Notes why the time could not be put off: what to say if it runs out.
    pub(crate) fn doubt(&self, error: Error) {
        self.state().doubt = Some(error);
    }

    /// Returns until when it is open.
    pub(crate) fn end(&self) -> Instant {
        self.state().until
    }

    /// Closes it for good; the first reason is kept.
    pub(crate) fn close(&self, why: Error) {
        self.state().closed.get_or_insert(why);
        self.closed.cancel();
    }

    /// Returns why it is closed, which it is once its time is over.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.state().is_over(Instant::now(), SystemTime::now()) {
            let doubt = self.state().doubt.clone();
            self.close(doubt.unwrap_or_else(lost));
        }
        self.state().closed.clone().map_or(Ok(()), Err)
    }

    /// Waits until it is closed, and returns why.
    pub(crate) async fn closed(&self) -> Error {
        self.closed.cancelled().await;
        self.state().closed.clone().unwrap_or_else(lost)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_over(&self, now: Instant, now_wall: SystemTime) -> bool {
        now >= self.until || now_wall >= self.until_wall
    }
}

fn by_wall_clock(until: Instant) -> SystemTime {
    SystemTime::now() + until.saturating_duration_since(Instant::now())
}

fn lost() -> Error {
    Error::LockLost { why: "it could not be renewed in time".into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_machine_that_slept_has_lost_its_time() {
        let hour = Duration::from_secs(3600);
        let (now, now_wall) = (Instant::now(), SystemTime::now());
        let fence = Fence::until(now + hour);
        assert!(!fence.state().is_over(now, now_wall));
        assert!(fence.state().is_over(now, now_wall + 2 * hour));
        assert!(fence.state().is_over(now + 2 * hour, now_wall));
    }

    #[tokio::test]
    async fn a_fence_that_is_not_put_off_closes_for_good() {
        let hour = Duration::from_secs(3600);
        let fence = Fence::until(Instant::now() + hour);
        assert!(fence.check().is_ok());
        fence.extend(Instant::now());
        assert!(matches!(fence.check(), Err(Error::LockLost { .. })));
        fence.extend(Instant::now() + hour);
        assert!(matches!(fence.check(), Err(Error::LockLost { .. })));
        assert!(matches!(fence.closed().await, Error::LockLost { .. }));
    }
}
