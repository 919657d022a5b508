//! Sitewright, the program: the one place that joins the stages, and what people see of them.
//!
//! Comes in: a command line. Goes out: an exit code, a result on standard output, everything else
//! on standard error. Never: a decision about a cluster; those are the model's.

mod agent;
pub mod cli;
mod commands;
mod forge;
mod lineage;
pub mod output;
pub mod pipeline;
mod plans;
mod weigh;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
