//! How messages leave: so many at once, on threads of their own, to whom they may.

use std::{sync::Arc, thread};

use sitewright_source::outbound::Reach;
use tokio::sync::{Semaphore, oneshot};

/// Messages that are sent at once, of all sites together. Each is a thread, for as long as a receiver takes to answer.
const AT_ONCE: usize = 16;

/// How messages leave. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outbox {
    places: Arc<Semaphore>,
    /// To whom.
    pub(crate) reach: Reach,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::to(Reach::default())
    }
}

impl Outbox {
    /// Makes one that speaks to these.
    pub(crate) fn to(reach: Reach) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), reach }
    }

    /// Does blocking work when there is a place for it; none where it broke.
    ///
    /// Not on the threads for blocking work of the runtime: those are git's, and a receiver that hangs takes none of
    /// them. Nor does the end of the program wait for it.
    pub(super) async fn send<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let (sender, result) = oneshot::channel();
        let send = move || {
            let _ = sender.send(work());
            drop(place);
        };
        thread::Builder::new().name("notification".to_owned()).spawn(send).ok()?;
        result.await.ok()
    }
}
