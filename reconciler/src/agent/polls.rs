//! One look at git for all sites of a repository.
//!
//! A repository of 1,000 sites is asked once for each interval, and not by each of its sites: whoever comes takes
//! what another was told a moment ago, if that is fresh enough for it, and all are woken where it is something new.
//! What is shared is the state of the repository; each site looks for itself what that means for it.
//!
//! Who has other credentials asks for itself: what one may read is no reason for another to see it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use sitewright_model::diagnostic::Diagnostics;
use sitewright_source::{
    Location, Settings, Snapshot, Url, location::Repository, snapshot::Origin,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::reconcile::blocking;
use crate::pipeline::{self, Footprint};

/// Sites of one agent that look into repositories at once: each look is a thread, and a change of a blueprint touches
/// all of 1,000 sites.
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
    /// Which of its followers this is.
    id: u64,
    news: Arc<Notify>,
    places: Arc<Semaphore>,
}

/// One reference of one repository.
#[derive(Default)]
struct Slot {
    last: Mutex<Option<Last>>,
    followers: Mutex<BTreeMap<u64, Follower>>,
}

/// A site that follows.
struct Follower {
    path: String,
    /// What it was read from last, where that can be told.
    known: Option<Arc<Footprint>>,
    news: Arc<Notify>,
}

/// The last time that a repository was asked.
struct Last {
    begun: Instant,
    state: Shared<BoxFuture<'static, Opened>>,
}

/// Why a site cannot be read, and at which commit: somebody wants to be told where it stands.
pub(crate) struct Unreadable {
    /// The state of the repository; none where that could not be had.
    pub(crate) origin: Option<Origin>,
    /// All mistakes at once.
    pub(crate) diagnostics: Diagnostics,
}

type Opened = Result<Arc<Found>, Diagnostics>;

/// A state of a repository.
struct Found {
    snapshot: Snapshot,
    /// The followers that are read from the same as before, and from what.
    same: BTreeMap<u64, Arc<Footprint>>,
}

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

impl From<Diagnostics> for Unreadable {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { origin: None, diagnostics }
    }
}

impl Default for Polls {
    fn default() -> Self {
        Self { slots: Arc::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Polls {
    /// Joins those who follow the repository of `location`.
    pub(crate) fn join(&self, location: Location) -> Poll {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let (id, news) = (IDS.fetch_add(1, Ordering::Relaxed), Arc::new(Notify::new()));
        let key = match &location {
            Location::Git { repository: Repository::Remote(url), reference, .. } => {
                Some((url.clone(), reference.text().map(str::to_owned)))
            }
            Location::Git { repository: Repository::Local(_), .. } | Location::WorkingTree(_) => {
                None
            }
        };
        let slot = key.map(|key| self.slot(key));
        if let Some(slot) = &slot {
            let path = path(&location).to_owned();
            let follower = Follower { path, known: None, news: Arc::clone(&news) };
            locked(&slot.followers).insert(id, follower);
        }
        Poll { location, slot, id, news, places: Arc::clone(&self.places) }
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = locked(&self.slots);
        slots.retain(|_, slot| slot.strong_count() > 0);
        let known = slots.get(&key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let slot = Arc::new(Slot::default());
            slots.insert(key, Arc::downgrade(&slot));
            slot
        })
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            locked(&slot.followers).remove(&self.id);
        }
    }
}

impl Poll {
    /// Returns where the site is.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Waits until another site of the repository has found something new.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Looks whether the site is read from what `known` says, and reads it where it is not. What was asked of the
    /// server before `not_before` is asked again.
    pub(crate) async fn look(
        &self,
        settings: &Settings,
        known: Option<Arc<Footprint>>,
        not_before: Instant,
    ) -> Result<Looked, Unreadable> {
        let found = match &self.slot {
            Some(slot) if slot.is_shared(self.id, known.as_ref()) => {
                Some(slot.opened(&self.location, settings, not_before).await?)
            }
            _ => None,
        };
        if let Some(known) = &known
            && let Some(same) = found.as_ref().and_then(|found| found.same.get(&self.id))
            && Arc::ptr_eq(same, known)
        {
            return Ok(Looked::Same { commit: None });
        }
        let _place = self.places.acquire().await;
        let (location, settings) = (self.location.clone(), settings.clone());
        let look = move || {
            let shared = found.as_ref().and_then(|found| found.snapshot.at(path(&location)));
            let is_shared = shared.is_some();
            let snapshot = match shared {
                Some(snapshot) => snapshot,
                None => Snapshot::open(&location, &settings)?,
            };
            if let Some(known) = &known
                && known.fits(&snapshot, &settings)?
            {
                let commit = if is_shared { None } else { snapshot.origin().commit };
                return Ok(Looked::Same { commit });
            }
            let origin = snapshot.origin();
            let unreadable = |diagnostics| Unreadable { origin: Some(origin), diagnostics };
            let loaded = pipeline::load_from(snapshot, &settings).map_err(unreadable)?;
            Ok(Looked::Loaded(Box::new(loaded)))
        };
        blocking(move || Ok(look())).await?
    }
}

impl Slot {
    /// Takes note of what one of the followers was read from last; returns whether there are others.
    fn is_shared(&self, id: u64, known: Option<&Arc<Footprint>>) -> bool {
        let mut followers = locked(&self.followers);
        if let Some(follower) = followers.get_mut(&id) {
            follower.known = known.cloned();
        }
        let is_shared = followers.len() > 1;
        drop(followers);
        if !is_shared {
            // an open state keeps the mirror on disk from being made anew
            locked(&self.last).take();
        }
        is_shared
    }

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
                    // dropped before it is asked anew: nobody reads the mirror then, and it can be made anew
                    let before = last.take().and_then(|last| commit(last.state.peek()));
                    let (location, settings) = (location.clone(), settings.clone());
                    let slot = Arc::downgrade(self);
                    let open = move || {
                        let snapshot = Snapshot::open(&location, &settings)?;
                        let slot = slot.upgrade();
                        let is_new = snapshot.origin().commit != before;
                        let same = slot.map(|slot| slot.compare(&snapshot, &settings, is_new));
                        Ok(Arc::new(Found { snapshot, same: same.unwrap_or_default() }))
                    };
                    let state = async move { blocking(open).await }.boxed().shared();
                    *last = Some(Last { begun: Instant::now(), state: state.clone() });
                    state
                }
            }
        };
        state.await
    }

    /// Returns the followers that are read from the same as before; wakes the others where there is something new.
    fn compare(
        &self,
        snapshot: &Snapshot,
        settings: &Settings,
        is_new: bool,
    ) -> BTreeMap<u64, Arc<Footprint>> {
        let known = |(id, follower): (&u64, &Follower)| {
            (*id, follower.path.clone(), follower.known.clone(), Arc::clone(&follower.news))
        };
        let followers: Vec<_> = locked(&self.followers).iter().map(known).collect();
        let mut same = BTreeMap::new();
        for (id, path, known, news) in followers {
            let is_same = |known: &Arc<Footprint>| {
                let at = snapshot.at(&path);
                at.is_some_and(|snapshot| known.fits(&snapshot, settings).unwrap_or_default())
            };
            match known.filter(is_same) {
                Some(known) => {
                    same.insert(id, known);
                }
                None if is_new => news.notify_one(),
                None => {}
            }
        }
        same
    }
}

fn commit(opened: Option<&Opened>) -> Option<String> {
    opened?.as_ref().ok()?.snapshot.origin().commit
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
