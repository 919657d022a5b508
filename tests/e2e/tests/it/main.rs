//! What Sitewright does to a real API server, one behaviour a module.
//!
//! One binary, so that all share one control plane ([`sitewright_e2e::control_plane`]).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

mod adoption;
mod agent;
mod attest;
mod bad_input;
mod cache;
mod converge;
mod credentials;
mod dead_server;
mod drift;
mod gates;
mod graph;
mod guards;
mod install;
mod lineage;
mod lost_inventory;
mod notifications;
mod openlineage;
mod ownership;
mod replacement;
mod restart;
mod rollback;
mod secrets;
mod signals;
mod soak;
mod submit;
mod syncs;
mod traces;
