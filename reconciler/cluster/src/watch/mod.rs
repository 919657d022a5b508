//! Follows the objects of a site by watch: of each kind the metadata alone, and of that only what tells
//! whether a field of ours changed.
//!
//! Comes in: the kinds that the site owns. Goes out: [`Noticed`], what is worth a look. Never: reads or
//! judges an object; that is [`crate::observe`]'s.
//!
//! Whoever changes a field that we applied takes it out of our entry in `managedFields` (KEP-555), or out of
//! the object altogether. So an event whose entry of ours is as it was changes nothing that we declared, and
//! costs no request, whatever else it changes. The entry is remembered as a digest, from the first event on;
//! of an object that has had no event yet, nothing is in memory.

mod kind;
mod sign;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sitewright_model::{
    managed::field_manager,
    name::SiteName,
    object::{GroupKind, ObjectId, SITE_LABEL},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::kind::KindWatch;
use crate::{Cluster, Error};

/// How long the first answer of all watches together is waited for. A kind that cannot be watched by then is
/// tried on, and told as silent.
const BEGUN: Duration = Duration::from_secs(10);

/// What was noticed since it was last asked. Bounded by the number of objects, however many events there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Objects of which a declared field may have changed, or that may be gone.
    pub suspects: BTreeSet<ObjectId>,
    /// Objects of which something else changed: their health may be another one.
    pub touched: BTreeSet<ObjectId>,
    /// Kinds of which some events may have been missed.
    pub gaps: BTreeSet<GroupKind>,
}

impl Noticed {
    /// Returns whether nothing was noticed.
    pub fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.touched.is_empty() && self.gaps.is_empty()
    }
}

/// How the watch of one kind does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// When it last gave a sign of life: an event, a bookmark, or its beginning; none before the first.
    pub last_sign: Option<Instant>,
    /// Why it does not run, where it does not.
    pub trouble: Option<String>,
}

/// The watches of one site on one cluster. Dropped, they end.
pub struct Watches {
    cluster: Cluster,
    site: SiteName,
    scope: Arc<Scope>,
    shared: Arc<Shared>,
    running: BTreeMap<GroupKind, DropGuard>,
}

/// Which objects are watched, and which of their managers is us.
struct Scope {
    selector: String,
    manager: String,
}

/// What watches and their reader share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    noticed: Noticed,
    pulses: BTreeMap<GroupKind, Pulse>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // sets and maps are whole after every call, so a panic elsewhere left nothing half done
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notice(&self, note: impl FnOnce(&mut Noticed)) {
        note(&mut self.lock().noticed);
        self.news.notify_one();
    }

    fn sign(&self, kind: &GroupKind) {
        let pulse = Pulse { last_sign: Some(Instant::now()), trouble: None };
        self.lock().pulses.insert(kind.clone(), pulse);
    }

    fn trouble(&self, kind: &GroupKind, why: String) {
        let mut state = self.lock();
        let pulse = state.pulses.entry(kind.clone());
        pulse.or_insert(Pulse { last_sign: None, trouble: None }).trouble = Some(why);
    }
}

impl Cluster {
    /// Makes the watches of `site`; [`Watches::follow`] starts them.
    pub fn watches(&self, site: &SiteName) -> Watches {
        let scope =
            Scope { selector: format!("{SITE_LABEL}={site}"), manager: field_manager(site) };
        let (scope, shared) = (Arc::new(scope), Arc::default());
        let site = site.clone();
        Watches { cluster: self.clone(), site, scope, shared, running: BTreeMap::new() }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.cluster.inventories.forget(&self.site); // nobody follows it here any more
    }
}

impl Watches {
    /// Watches exactly `kinds`: starts what is missing, ends what is not among them. A kind that the server
    /// does not serve is left out. Returns once the new ones run, or some seconds later.
    ///
    /// A watch that begins notes a gap. Who takes the notes, and only then looks at the whole site, has missed nothing.
    ///
    /// # Errors
    /// The server does not say which kinds it serves.
    pub async fn follow(&mut self, kinds: &BTreeSet<GroupKind>) -> Result<(), Error> {
        self.running.retain(|kind, _| kinds.contains(kind));
        self.shared.lock().pulses.retain(|kind, _| kinds.contains(kind));
        let missing: Vec<&GroupKind> =
            kinds.iter().filter(|kind| !self.running.contains_key(*kind)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let served = self.cluster.kinds(missing.iter().copied()).await?;
        let mut begun = Vec::new();
        for kind in missing {
            let resource = served.preferred(kind).filter(|_| served.is_listable(kind));
            let Some(resource) = resource.cloned() else { continue };
            let stop = CancellationToken::new();
            let first = Arc::new(Notify::new());
            let watch = KindWatch {
                http: self.cluster.http.until(&stop),
                resource,
                kind: kind.clone(),
                scope: Arc::clone(&self.scope),
                shared: Arc::clone(&self.shared),
                begun: Arc::clone(&first),
                seen: BTreeMap::new(),
                is_new: true,
            };
            tokio::spawn(watch.run());
            begun.push(first);
            self.running.insert(kind.clone(), stop.drop_guard());
        }
        let all = async {
            for first in &begun {
                first.notified().await;
            }
        };
        let _ = timeout(BEGUN, all).await;
        Ok(())
    }

    /// Waits until something was noticed.
    pub async fn noticed(&self) {
        while self.shared.lock().noticed.is_empty() {
            self.shared.news.notified().await;
        }
    }

    /// Takes what was noticed.
    pub fn take(&self) -> Noticed {
        std::mem::take(&mut self.shared.lock().noticed)
    }

    /// Returns how each watch does.
    pub fn pulses(&self) -> BTreeMap<GroupKind, Pulse> {
        self.shared.lock().pulses.clone()
    }

    /// Returns what tells how each watch does, for others; nothing once the watches are dropped.
    pub fn pulse_reader(&self) -> impl Fn() -> BTreeMap<GroupKind, Pulse> + Send + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| shared.lock().pulses.clone()).unwrap_or_default()
    }
}
