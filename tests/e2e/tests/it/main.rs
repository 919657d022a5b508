//! What Sitewright does to a real API server, one behaviour a module.
//!
//! One binary, so that all share one control plane ([`sitewright_e2e::control_plane`]).

mod adoption;
mod converge;
mod drift;
mod graph;
mod guards;
mod ownership;
mod replacement;
mod secrets;
