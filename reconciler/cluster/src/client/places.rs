//! Places for work under way: who sleeps gives the place to another (law 8).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// Counts who sleeps. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Default)]
struct Inner {
    asleep: AtomicUsize,
    freed: Notify,
}

/// Someone asleep, until dropped.
pub(super) struct Asleep(Places);

impl Places {
    /// Gives a place back until the answer is dropped.
    pub(super) fn lie_down(&self) -> Asleep {
        self.0.asleep.fetch_add(1, Ordering::Relaxed);
        self.0.freed.notify_one();
        Asleep(self.clone())
    }

    /// Returns how many sleep.
    pub(crate) fn asleep(&self) -> usize {
        self.0.asleep.load(Ordering::Relaxed)
    }

    /// Waits until someone lies down.
    pub(crate) async fn freed(&self) {
        self.0.freed.notified().await;
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.0.0.asleep.fetch_sub(1, Ordering::Relaxed);
    }
}
