//! The measures of one site.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use sitewright_cluster::{Error, apply::End, watch::Watches};
use sitewright_model::{drain::NodeStage, name::ComponentName, plan::Gate};
use tokio::time::Instant;

use super::{
    Fetched, Levels, Metrics, NotificationKind, Notified, Reconciled, Stage, WatchSigns, WaveStage,
};
use crate::agent::{
    news::{News, Reason},
    state::State,
    status,
    trace::LastTrace,
};

/// Measures one site; by default, into nothing.
#[derive(Clone, Default)]
pub(crate) struct Measure {
    known: Option<Arc<(Metrics, String)>>,
    /// The trace of its last reconcile.
    pub(crate) trace: LastTrace,
}

impl Measure {
    /// Measures what is called `site`.
    pub(crate) fn of(metrics: &Metrics, site: String) -> Self {
        Self { known: Some(Arc::new((metrics.clone(), site))), trace: LastTrace::default() }
    }

    /// Takes how long a stage took that began at `begun`.
    pub(crate) fn took(&self, stage: Stage, begun: Instant) {
        self.with(|metrics, site| metrics.took(site, stage, begun.elapsed()));
    }

    /// Counts a look at the whole.
    pub(crate) fn reconciled(&self, result: Reconciled) {
        self.with(|metrics, site| metrics.reconciled(site, result, Timestamp::now()));
    }

    /// Counts a look at git.
    pub(crate) fn fetched(&self, result: Fetched) {
        self.with(|metrics, site| metrics.fetched(site, result));
    }

    /// Counts a message to somebody who is told of the site.
    pub(crate) fn notified(&self, kind: NotificationKind, result: Notified) {
        self.with(|metrics, site| metrics.notified(site, kind, result));
    }

    /// Counts what a piece of news tells.
    pub(crate) fn told(&self, news: &News) {
        if let (Reason::Mended, Some(component)) = (news.reason, &news.component) {
            self.with(|metrics, site| metrics.mended(site, component, 1));
        }
    }

    /// Takes how the site is now.
    pub(crate) fn is_at(&self, state: &State) {
        self.with(|metrics, site| metrics.is_at(site, &levels(state)));
    }

    /// Takes what to ask after.
    pub(crate) fn watches(&self, watches: &Watches) {
        let pulses = watches.pulse_reader();
        let signs: WatchSigns = Box::new(move || {
            pulses().into_iter().map(|(kind, pulse)| (kind.to_string(), pulse.last_sign)).collect()
        });
        self.with(|metrics, site| metrics.watches(site, Instant::now(), signs));
    }

    fn with(&self, measure: impl FnOnce(&Metrics, &str)) {
        if let Some(known) = &self.known {
            measure(&known.0, &known.1);
        }
    }
}

fn levels(state: &State) -> Levels {
    let mut held = BTreeMap::new();
    for change in state.held.values() {
        *held.entry(change.hazard).or_default() += 1;
    }
    let is_drain = |gate: &Gate| matches!(gate, Gate::Drain { .. });
    let mut wave_nodes = BTreeMap::new();
    for node in state.waves.iter().flat_map(|wave| &wave.nodes) {
        let stage = match &node.stage {
            NodeStage::Pending => WaveStage::Pending,
            NodeStage::Waiting => WaveStage::Waiting,
            NodeStage::Changing => WaveStage::Changing,
            NodeStage::GaveUp => WaveStage::GaveUp,
            NodeStage::Broken { .. } => WaveStage::Broken,
        };
        *wave_nodes.entry(stage).or_default() += 1;
    }
    Levels {
        draining: state.held.values().filter(|held| held.gates.iter().any(is_drain)).count(),
        wave_nodes,
        objects: state.objects,
        drifted: drifted(state),
        held,
        fights: state.fights.len(),
        is_ready: status::is_ready(state),
    }
}

fn drifted(state: &State) -> BTreeMap<ComponentName, usize> {
    let mut drifted: BTreeMap<ComponentName, usize> =
        state.components.iter().map(|component| (component.clone(), 0)).collect();
    for (_, object) in status::lasting(state) {
        *drifted.entry(object.object.component.clone()).or_default() += 1;
    }
    drifted
}

impl Reconciled {
    /// Returns what came of an apply.
    pub(crate) fn of(end: End) -> Self {
        match end {
            End::Converged => Self::Converged,
            End::Held => Self::Held,
            End::Failed => Self::Failed,
            End::Stopped => Self::Stopped,
        }
    }

    /// Returns what came of a look that did not get to its end.
    pub(crate) fn of_error(error: &Error) -> Self {
        if matches!(error, Error::Stopped) { Self::Stopped } else { Self::Failed }
    }
}
