//! What the agent measures, in OpenMetrics.
//!
//! Comes in: what happened, in the words of the agent. Goes out: one text. Never: a label that somebody outside
//! chooses: all but the site, the kind and the component are enums, and a site that is gone takes its series with it.

mod components;
mod labels;
mod measure;
mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use sitewright_model::{format::blueprint::Hazard, name::ComponentName};
use tokio::time::Instant;

use self::components::Components;
use self::labels::{
    ComponentOf, HazardOf, KindOf, NotificationOf, ResultOf, SiteOf, StageOf, VerbAndCode, WaveOf,
};
pub(crate) use self::{
    labels::{
        CodeClass, Fetched, Forge, Hooked, Looked, NotificationKind, Notified, Reconciled, Stage,
        WaveStage,
    },
    measure::Measure,
    record::RecordMeasure,
};

/// Upper ends of the durations, in seconds: from a site that is rendered from the cache to an apply that waits for
/// a storage cluster.
const SECONDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Every hazard.
const HAZARDS: [Hazard; 5] = [
    Hazard::Safe,
    Hazard::RestartsPods,
    Hazard::EvictsJobs,
    Hazard::RebootsNode,
    Hazard::DestroysData,
];

/// Returns when the watch of each kind last gave a sign of life; none where it never did.
pub(crate) type WatchSigns = Box<dyn Fn() -> BTreeMap<String, Option<Instant>> + Send>;

/// What the agent measures. Clones are the same.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

type Seconds = Gauge<f64, AtomicU64>;
type Bytes = Gauge<f64, AtomicU64>;

struct Inner {
    registry: Registry,
    durations: Family<StageOf, Histogram, fn() -> Histogram>,
    requests: Family<VerbAndCode, Counter>,
    objects: Family<SiteOf, Gauge>,
    drifted: Family<ComponentOf, Gauge>,
    held: Family<HazardOf, Gauge>,
    draining: Family<SiteOf, Gauge>,
    wave_nodes: Family<WaveOf, Gauge>,
    cache_bytes: Bytes,
    fights: Family<SiteOf, Gauge>,
    watch_age: Family<KindOf, Seconds>,
    ready: Family<SiteOf, Gauge>,
    last_success: Family<SiteOf, Gauge>,
    leader: Gauge,
    reconciles: Family<ResultOf, Counter>,
    mended: Family<ComponentOf, Counter>,
    /// The components of each site that have series of their own.
    components: Mutex<Components>,
    fetches: Family<ResultOf, Counter>,
    webhooks: Family<labels::ForgeAndResult, Counter>,
    notifications: Family<NotificationOf, Counter>,
    record: RecordMeasure,
    /// How the watches of each site do, and since when they are asked. Its lock is held while the text is written.
    watches: Mutex<BTreeMap<String, (Instant, WatchSigns)>>,
}

/// How a site is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    /// The objects that it declares, once they are known.
    pub(crate) objects: Option<usize>,
    /// Live objects that differ, and stay so: for each component of the site, also where there are none.
    pub(crate) drifted: BTreeMap<ComponentName, usize>,
    /// Changes that wait, by what they would do.
    pub(crate) held: BTreeMap<Hazard, usize>,
    /// Changes that wait for running jobs to finish.
    pub(crate) draining: usize,
    /// Nodes that waves have left, by where they stand.
    pub(crate) wave_nodes: BTreeMap<WaveStage, usize>,
    /// Objects that somebody fights over.
    pub(crate) fights: usize,
    /// Whether everything is applied and healthy.
    pub(crate) is_ready: bool,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Inner::new()))
    }
}

impl Metrics {
    /// Counts a request to an API server; `code` is what it answered, if it did.
    pub(crate) fn requested(&self, verb: &'static str, code: Option<u16>) {
        let labels = VerbAndCode { verb, code: CodeClass::of(code) };
        self.0.requests.get_or_create(&labels).inc();
    }

    /// Takes whether this agent works, or another one.
    pub(crate) fn leads(&self, leads: bool) {
        self.0.leader.set(leads.into());
    }

    /// Counts a message of a forge.
    pub(crate) fn hooked(&self, forge: Forge, result: Hooked) {
        self.0.webhooks.get_or_create(&labels::ForgeAndResult { forge, result }).inc();
    }

    /// Takes how large the cache is.
    pub(crate) fn caches(&self, bytes: u64) {
        #[allow(clippy::cast_precision_loss, reason = "it is exact to 9 PB")]
        self.0.cache_bytes.set(bytes as f64);
    }

    /// Takes how long a stage took.
    pub(crate) fn took(&self, site: &str, stage: Stage, time: Duration) {
        let labels = StageOf { site: site.to_owned(), stage };
        self.0.durations.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// Counts a look at the whole site, and what came of it.
    pub(crate) fn reconciled(&self, site: &str, result: Reconciled, now: Timestamp) {
        self.0.reconciles.get_or_create(&ResultOf::new(site, result.name())).inc();
        if matches!(result, Reconciled::Converged | Reconciled::Held) {
            self.0.last_success.get_or_create(&SiteOf::new(site)).set(now.as_second());
        }
    }

    /// Counts a look at git, and what came of it.
    pub(crate) fn fetched(&self, site: &str, result: Fetched) {
        self.0.fetches.get_or_create(&ResultOf::new(site, result.name())).inc();
    }

    /// Counts a message to somebody who is told of a site, and what came of it.
    pub(crate) fn notified(&self, site: &str, kind: NotificationKind, result: Notified) {
        let labels = NotificationOf { site: site.to_owned(), kind, result };
        self.0.notifications.get_or_create(&labels).inc();
    }

    /// Counts objects of a component whose drift was mended.
    pub(crate) fn mended(&self, site: &str, component: &ComponentName, objects: u64) {
        let labels = self.components().label(site, component);
        self.0.mended.get_or_create(&labels).inc_by(objects);
    }

    /// Takes how a site is now.
    pub(crate) fn is_at(&self, site: &str, levels: &Levels) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let labels = SiteOf::new(site);
        if let Some(objects) = levels.objects {
            self.0.objects.get_or_create(&labels).set(number(objects));
        }
        self.drifted(site, &levels.drifted);
        self.0.fights.get_or_create(&labels).set(number(levels.fights));
        self.0.draining.get_or_create(&labels).set(number(levels.draining));
        for &stage in WaveStage::ALL {
            let nodes = levels.wave_nodes.get(&stage).copied().unwrap_or_default();
            let labels = WaveOf { site: site.to_owned(), stage };
            self.0.wave_nodes.get_or_create(&labels).set(number(nodes));
        }
        self.0.ready.get_or_create(&labels).set(levels.is_ready.into());
        for hazard in HAZARDS {
            let held = levels.held.get(&hazard).copied().unwrap_or_default();
            let labels = HazardOf { site: site.to_owned(), hazard: labels::HazardName(hazard) };
            self.0.held.get_or_create(&labels).set(number(held));
        }
    }

    fn drifted(&self, site: &str, drifted: &BTreeMap<ComponentName, usize>) {
        let mut components = self.components();
        // a site that could not be read has components all the same
        if !drifted.is_empty() {
            for gone in components.keep_to(site, drifted.keys()) {
                self.0.drifted.remove(&gone);
                self.0.mended.remove(&gone);
            }
        }
        let mut by_label: BTreeMap<String, (ComponentOf, usize)> = BTreeMap::new();
        for (component, count) in drifted {
            let labels = components.label(site, component);
            let of_label = by_label.entry(labels.component.clone()).or_insert((labels, 0));
            of_label.1 += count;
        }
        for (labels, count) in by_label.into_values() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.0.drifted.get_or_create(&labels).set(count);
        }
    }

    /// Takes how to ask after the watches of a site. They are asked when somebody reads the text: a watch that
    /// hangs tells nobody by itself.
    pub(crate) fn watches(&self, site: &str, now: Instant, signs: WatchSigns) {
        self.watching().insert(site.to_owned(), (now, signs));
    }

    /// Forgets a site.
    pub(crate) fn forget(&self, site: &str) {
        self.watching().remove(site);
        let inner = &*self.0;
        let labels = SiteOf::new(site);
        let families = [&inner.objects, &inner.fights, &inner.ready, &inner.draining];
        for family in families {
            family.remove(&labels);
        }
        inner.last_success.remove(&labels);
        for gone in self.components().forget(site) {
            inner.drifted.remove(&gone);
            inner.mended.remove(&gone);
        }
        for hazard in HAZARDS.map(labels::HazardName) {
            inner.held.remove(&HazardOf { site: site.to_owned(), hazard });
        }
        for &stage in WaveStage::ALL {
            inner.wave_nodes.remove(&WaveOf { site: site.to_owned(), stage });
        }
        for &stage in Stage::ALL {
            inner.durations.remove(&StageOf { site: site.to_owned(), stage });
        }
        for &result in Reconciled::ALL {
            inner.reconciles.remove(&ResultOf::new(site, result.name()));
        }
        for &kind in NotificationKind::ALL {
            for &result in Notified::ALL {
                let site = site.to_owned();
                inner.notifications.remove(&NotificationOf { site, kind, result });
            }
        }
        for &result in Fetched::ALL {
            inner.fetches.remove(&ResultOf::new(site, result.name()));
        }
    }

    /// Returns what the recorder measures with.
    pub(crate) fn record(&self) -> RecordMeasure {
        self.0.record.clone()
    }

    /// Returns everything as OpenMetrics text.
    pub(crate) fn text(&self, now: Instant) -> String {
        let watching = self.watching();
        self.0.watch_age.clear();
        for (site, (since, signs)) in watching.iter() {
            for (kind, sign) in signs() {
                let age = now.saturating_duration_since(sign.unwrap_or(*since));
                let labels = KindOf { site: site.clone(), kind };
                self.0.watch_age.get_or_create(&labels).set(age.as_secs_f64());
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.0.registry).expect("writing to a String cannot fail");
        text
    }

    fn components(&self) -> MutexGuard<'_, Components> {
        // sets are whole after every call, so a panic elsewhere left nothing half done
        self.0.components.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watching(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, WatchSigns)>> {
        // a map is whole after every call, so a panic elsewhere left nothing half done
        self.0.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Registers everything. Longer than a screen, since it is the list of all metrics.
    fn new() -> Self {
        let mut inner = Self {
            registry: Registry::with_prefix("sitewright"),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            requests: Family::default(),
            objects: Family::default(),
            drifted: Family::default(),
            held: Family::default(),
            draining: Family::default(),
            wave_nodes: Family::default(),
            cache_bytes: Bytes::default(),
            fights: Family::default(),
            watch_age: Family::default(),
            ready: Family::default(),
            last_success: Family::default(),
            leader: Gauge::default(),
            reconciles: Family::default(),
            mended: Family::default(),
            components: Mutex::default(),
            fetches: Family::default(),
            webhooks: Family::default(),
            notifications: Family::default(),
            record: RecordMeasure::default(),
            watches: Mutex::default(),
        };
        let registry = &mut inner.registry;
        registry.register_with_unit(
            "reconcile_duration",
            "How long a stage of a reconcile took",
            Unit::Seconds,
            inner.durations.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to API servers by what they answered",
            inner.requests.clone(),
        );
        registry.register("objects", "Objects that the site declares", inner.objects.clone());
        registry.register(
            "drifted_objects",
            "Live objects of a component that differ and stay so",
            inner.drifted.clone(),
        );
        registry.register(
            "held_changes",
            "Changes that wait by what they would do to running work",
            inner.held.clone(),
        );
        registry.register(
            "draining_changes",
            "Changes that wait for running jobs to finish",
            inner.draining.clone(),
        );
        registry.register(
            "wave_nodes",
            "Nodes that waves have left by where they stand",
            inner.wave_nodes.clone(),
        );
        registry.register_with_unit(
            "cache",
            "Files in the cache: mirrors of repositories, charts, renderings",
            Unit::Bytes,
            inner.cache_bytes.clone(),
        );
        registry.register(
            "fights",
            "Objects that somebody else rewrites again and again",
            inner.fights.clone(),
        );
        registry.register_with_unit(
            "watch_age",
            "Time since the watch of a kind gave a sign of life",
            Unit::Seconds,
            inner.watch_age.clone(),
        );
        registry.register(
            "ready",
            "Whether everything is applied and healthy",
            inner.ready.clone(),
        );
        registry.register_with_unit(
            "last_success_timestamp",
            "When the whole site was last looked at or applied without a failure",
            Unit::Seconds,
            inner.last_success.clone(),
        );
        registry.register(
            "leader",
            "Whether this agent works rather than stands by",
            inner.leader.clone(),
        );
        registry.register(
            "reconciles",
            "Looks at the whole site by what came of them",
            inner.reconciles.clone(),
        );
        registry.register(
            "drift_mended",
            "Objects of a component whose drift was put right",
            inner.mended.clone(),
        );
        registry.register("fetches", "Looks at git by what came of them", inner.fetches.clone());
        registry.register(
            "webhooks",
            "Messages of forges by what came of them",
            inner.webhooks.clone(),
        );
        registry.register(
            "notifications",
            "Messages to forges, programs and chats by what came of them",
            inner.notifications.clone(),
        );
        inner.record.register(registry);
        inner
    }
}
