//! From a graph to the formats of others: OpenLineage, SLSA provenance, RO-Crate, W3C PROV.
//!
//! Comes in: a [`Graph`], and what only the caller knows: whether a model is hashed, who signs. Goes out: values that are
//! written as JSON. Never: I/O, a clock or a key; a grade that is lost on the way, or made better.
//!
//! All of them call a thing by the same [`names`], which never change.

pub mod names;
pub mod openlineage;
pub mod prov;
pub mod provenance;
pub mod rocrate;
mod story;

use self::story::{Outcome, Run, Tie};
use super::{Edge, EntityId, EntityKind, Gap, Grade, Graph, Node, Relation};

/// The property of a directory that holds its root by OpenSSF model signing.
const OMS: &str = "oms";
