//! One look at git for all sites of a repository.
//!
//! A repository of 1,000 sites is asked once for each interval, and not by each of its sites: whoever comes takes
//! what another was told a moment ago, if that is fresh enough for it, and all are woken where it is something new.
//! What is shared is the state of the repository; each site looks for itself what that means for it.
//!
//! Who has other credentials asks for itself: what one may read is no reason for another to see it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use sitewright_model::diagnostic::Diagnostics;
use sitewright_source::{Location, Settings, Snapshot, Url, location::Repository};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::reconcile::blocking;
use crate::pipeline::{self, Footprint};

/// Sites of one agent that look into repositories at once: each look is a thread, and a push to a repository of
/// 1,000 sites wakes them all.
const AT_ONCE: usize = 4;

/// The repositories that an agent follows. Clones share them.
#[derive(Clone)]
pub(crate) struct Polls {
    slots: Arc<Mutex<BTreeMap<Key, Weak<Slot>>>>,
    places: Arc<Semaphore>,
}

/// The address, with its login, and the reference.
type Key = (Url, Option<String>);

/// A site's own way to its repository.
pub(crate) struct Poll {
    location: Location,
    /// None for what is on this machine.
    slot: Option<Arc<Slot>>,
    places: Arc<Semaphore>,
}

/// One reference of one repository.
#[derive(Default)]
struct Slot {
    last: Mutex<Option<Last>>,
    news: Notify,
}

/// The last time that it was asked.
struct Last {
    begun: Instant,
    state: Shared<BoxFuture<'static, Opened>>,
}

type Opened = Result<Arc<Snapshot>, Diagnostics>;

/// What a look at git found.
pub(crate) enum Looked {
    /// The site is read from the same as before; the commit may be another one.
    Same {
        /// Where it is, where that is to be told: with one follower. Of 1,000, one push would be 1,000 writes.
        commit: Option<String>,
    },
    /// The site as it is now.
    Loaded(Box<pipeline::Loaded>),
}

impl Default for Polls {
    fn default() -> Self {
        Self { slots: Arc::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Polls {
    /// Joins those who follow the repository of `location`.
    pub(crate) fn join(&self, location: Location) -> Poll {
        let key = match &location {
            Location::Git { repository: Repository::Remote(url), reference, .. } => {
                Some((url.clone(), reference.text().map(str::to_owned)))
            }
            Location::Git { repository: Repository::Local(_), .. } | Location::WorkingTree(_) => {
                None
            }
        };
        let slot = key.map(|key| {
            let mut slots = locked(&self.slots);
            slots.retain(|_, slot| slot.strong_count() > 0);
            let known = slots.get(&key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let slot = Arc::new(Slot::default());
                slots.insert(key, Arc::downgrade(&slot));
                slot
            })
        });
        Poll { location, slot, places: Arc::clone(&self.places) }
    }
}

impl Poll {
    /// Returns where the site is.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Waits until another site of the repository has found something new.
    pub(crate) async fn news(&self) {
        match &self.slot {
            Some(slot) => slot.news.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Looks whether the site is read from what `known` says, and reads it where it is not. What was asked of the
    /// server before `not_before` is asked again.
    pub(crate) async fn look(
        &self,
        settings: &Settings,
        known: Option<Footprint>,
        not_before: Instant,
    ) -> Result<Looked, Diagnostics> {
        let shared = self.slot.as_ref().filter(|slot| Arc::strong_count(slot) > 1);
        let state = match shared {
            Some(slot) => Some(slot.opened(&self.location, settings, not_before).await?),
            None => None,
        };
        if let (None, Some(slot)) = (&state, &self.slot) {
            // an open state keeps the mirror on disk from being made anew
            locked(&slot.last).take();
        }
        let _place = self.places.acquire().await;
        let (location, settings) = (self.location.clone(), settings.clone());
        blocking(move || {
            let is_shared = state.is_some();
            let snapshot = match state.as_deref().and_then(|state| state.at(path(&location))) {
                Some(snapshot) => snapshot,
                None => Snapshot::open(&location, &settings)?,
            };
            if let Some(known) = &known
                && known.fits(&snapshot, &settings)?
            {
                let commit = if is_shared { None } else { snapshot.origin().commit };
                return Ok(Looked::Same { commit });
            }
            Ok(Looked::Loaded(Box::new(pipeline::load_from(snapshot, &settings)?)))
        })
        .await
    }
}

impl Slot {
    /// Returns the state of the repository, asked for at `not_before` or later. Who comes while it is asked for
    /// waits for the same answer; also where that is an error.
    async fn opened(
        self: &Arc<Self>,
        location: &Location,
        settings: &Settings,
        not_before: Instant,
    ) -> Opened {
        let state = {
            let mut last = locked(&self.last);
            match last.as_ref().filter(|last| last.begun >= not_before) {
                Some(last) => last.state.clone(),
                None => {
                    let before = last.take().and_then(|last| commit(last.state.peek()));
                    let (location, settings) = (location.clone(), settings.clone());
                    let slot = Arc::downgrade(self);
                    let state = async move {
                        let opened = blocking(move || Snapshot::open(&location, &settings)).await;
                        let opened = opened.map(Arc::new);
                        if commit(Some(&opened)) != before
                            && let Some(slot) = slot.upgrade()
                        {
                            slot.news.notify_waiters();
                        }
                        opened
                    };
                    let state = state.boxed().shared();
                    *last = Some(Last { begun: Instant::now(), state: state.clone() });
                    state
                }
            }
        };
        state.await
    }
}

fn commit(opened: Option<&Opened>) -> Option<String> {
    opened?.as_ref().ok()?.origin().commit
}

fn path(location: &Location) -> &str {
    match location {
        Location::Git { path, .. } => path,
        Location::WorkingTree(_) => "",
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // maps and options are whole after every call, so a panic elsewhere left nothing half done
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
