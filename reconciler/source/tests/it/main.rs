//! Tests of what is read from, against real repositories on disk and servers on the loopback interface.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod artifacts;
mod cache;
mod helm;
mod history;
mod remote;
mod repo;
mod resolve;
mod scale;
mod server;
mod snapshot;
mod support;
mod working_tree;
