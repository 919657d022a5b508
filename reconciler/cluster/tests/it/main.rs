//! The cluster stage against a real API server.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod apply;
mod doctor;
mod faults;
mod guards;
mod health;
mod inventory;
mod lock;
mod observe;
mod races;
mod recorded;
mod site;
mod sync;
mod watch;
