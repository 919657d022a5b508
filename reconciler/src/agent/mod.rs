//! The agent: follows git and the cluster for years, mends drift, and says what it does.
//!
//! Comes in: where sites are, clusters, triggers. Goes out: converged clusters, a [`State`] for each site,
//! and [`News`] for people. Never: a decision about an object; those are the model's.
//!
//! One [`Reconciler`] per site owns all that is known of it. What wakes it says only *that* something may have
//! changed, never what to do: a lost or repeated trigger costs a look, and nothing else.

mod claim;
mod credentials;
mod drain;
mod fight;
mod files;
mod fleet;
mod history;
mod memory;
mod mend;
mod news;
mod notifications;
mod pace;
mod pauses;
mod polls;
mod reconcile;
mod revisions;
mod rollback;
mod shard;
mod state;
mod status;
mod tend;
mod touched;
mod trace;
mod web;
mod whole;

pub(crate) use self::{
    claim::Claims,
    files::FileEvents,
    fleet::Fleet,
    history::History,
    news::{News, Reason},
    notifications::{Notifier, Outbox, Scope, Secrets},
    pace::Pace,
    polls::Polls,
    reconcile::{Following, Reconciler, Told, Trigger},
    shard::Shard,
    web::{Identity, Looked, Measure, RecordMeasure, Web, hook_routes, serve, status_routes},
};
