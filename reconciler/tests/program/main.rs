//! The program as it is called: exit codes, messages, files. No cluster is needed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

mod approve;
mod connection;
mod desk;
mod doctor;
mod general;
mod init;
mod lock;
mod server;
mod validate;
