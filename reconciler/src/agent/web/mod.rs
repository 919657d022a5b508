//! The HTTP side of the agent: whether it lives, what it measures, and what forges tell it.
//!
//! Comes in: requests of Kubernetes, Prometheus and forges. Goes out: answers, and a pull at a
//! [`Trigger`](super::Trigger). Never: anything from a request into the agent but *that* somebody pushed.

mod hooks;
mod identity;
mod metrics;
mod server;
mod vitals;

pub(crate) use self::{
    hooks::{HookSecret, HookTarget, Hooks},
    identity::Identity,
    metrics::{
        Fetched, Looked, Measure, Metrics, NotificationKind, Notified, Reconciled, RecordMeasure,
        Stage,
    },
    server::{hook_routes, serve, status_routes},
    vitals::{BEAT, Vitals},
};

use std::path::PathBuf;

use super::notifications::Outbox;
use crate::lineage::Chronicle;

/// What is behind the listeners, and how messages leave. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Web {
    /// What is measured.
    pub(crate) metrics: Metrics,
    /// Whose size is measured.
    pub(crate) cache: Option<PathBuf>,
    /// Where forges tell of a push.
    pub(crate) hooks: Hooks,
    /// Whether the agent lives, and works.
    pub(crate) vitals: Vitals,
    /// How others are told.
    pub(crate) outbox: Outbox,
    /// Where it is recorded what the agent does.
    pub(crate) chronicle: Chronicle,
}
