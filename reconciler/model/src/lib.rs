//! The pure core of Sitewright: every decision, no effect.
//!
//! Comes in: text of a site and its blueprints, what was read from sources, what was seen on the
//! cluster, the time. Goes out: [`desired::Desired`], [`plan::Plan`], [`health::Health`].
//! Never: reads a file, a clock, the environment, the network or a cluster.

pub mod code;
pub mod crd;
pub mod desired;
pub mod diagnostic;
pub mod digest;
pub mod drain;
pub mod field;
pub mod files;
pub mod format;
pub mod health;
pub mod inventory;
pub mod lineage;
pub mod live;
pub mod managed;
pub mod name;
pub mod object;
pub mod plan;
pub mod render;
pub mod report;
pub mod revision;
pub mod suggest;
pub mod terminal;
pub mod values;
pub mod verdict;
pub mod work;
pub mod yaml;
pub mod zone;
