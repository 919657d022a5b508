//! What the recorder of lineage measures.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::labels::{Looked, LookedUp};

/// What the recorder measures. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordMeasure {
    records: Counter,
    lost: Counter,
    sees: Gauge,
    lookups: Family<LookedUp, Counter>,
    waiting: Gauge,
    hashed: Counter,
    unmet: Gauge,
}

impl RecordMeasure {
    /// Counts a record that is given to the log.
    pub(crate) fn recorded(&self) {
        self.records.inc();
    }

    /// Counts doings of the agent that found no room.
    pub(crate) fn lost(&self, count: u64) {
        self.lost.inc_by(count);
    }

    /// Takes whether everything is seen.
    pub(crate) fn sees(&self, sees: bool) {
        self.sees.set(sees.into());
    }

    /// Counts a look at something that a run named, and what came of it; `waiting` others wait.
    pub(crate) fn looked_up(&self, result: Looked, waiting: usize) {
        self.lookups.get_or_create(&LookedUp { result }).inc();
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts bytes of models that were read.
    pub(crate) fn hashed(&self, bytes: usize) {
        self.hashed.inc_by(bytes as u64);
    }

    /// Takes how many live services do not meet what is demanded.
    pub(crate) fn unmet(&self, services: usize) {
        self.unmet.set(i64::try_from(services).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "lineage_records",
            "Records that were given to the log of lineage",
            self.records.clone(),
        );
        registry.register(
            "lineage_lost",
            "Doings of the agent that found no room in the recorder's queue",
            self.lost.clone(),
        );
        registry.register(
            "lineage_sees",
            "Whether the recorder sees everything that runs",
            self.sees.clone(),
        );
        registry.register(
            "lineage_lookups",
            "Looks at what runs name by what came of them",
            self.lookups.clone(),
        );
        registry.register(
            "lineage_lookups_waiting",
            "Looks at what runs name that wait",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "lineage_hashed",
            "Models that were read",
            Unit::Bytes,
            self.hashed.clone(),
        );
        registry.register(
            "lineage_policy_unmet",
            "Live services whose models do not meet what is demanded",
            self.unmet.clone(),
        );
    }
}
