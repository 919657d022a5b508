//! The planner against a cluster in memory.

pub(crate) mod world;

mod actions;
mod drain;
mod gates;
mod guards;
mod hazards;
mod laws;
mod recorded;
