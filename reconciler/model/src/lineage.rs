//! Lineage: which code, data, image, hardware and cluster configuration made a model.
//!
//! Comes in: what the recorder saw of workloads, nodes and applies, and what was claimed of them. Goes out: [`Record`]s
//! of [`Statement`]s for the log, and [`Graph`]s that questions are answered with. Never: I/O or a clock; a claim that
//! is turned into an observation.
//!
//! Everything that is recorded is a statement with a [`Grade`] and a [`Source`]. Nothing is ever edited: a later
//! statement stands beside the earlier one, and what differs is shown as a conflict.

pub mod claim;
pub mod compare;
pub mod epoch;
pub mod export;
mod grade;
mod graph;
mod id;
pub mod node;
pub mod picture;
pub mod policy;
mod record;
mod relation;
#[cfg(test)]
mod sample;
pub mod submit;
pub mod touch;
mod workload;

pub use self::{
    grade::Grade,
    graph::{Edge, FORMAT as GRAPH_FORMAT, Fact, Gap, Graph, Known, Node},
    id::{ClusterId, EntityId, EntityKind, NotAnEntity},
    record::{FORMAT as RECORD_FORMAT, LEAF as LEAF_FORMAT},
    record::{Header, Record, RecordKind, Source, Statement},
    relation::Relation,
    workload::{Seen, Work, attempt, image_of, is_run, kinds, ran_on, serving, work},
};

/// The domain of annotations and of names that are ours.
pub const DOMAIN: &str = "lineage.sitewright.dev";
