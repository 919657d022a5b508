//! Lineage where it meets the rest: what the agent and the cluster show becomes records; questions become answers.
//!
//! Comes in: sightings of workloads, and what the agent did. Goes out: records in the ledger. Never: a write to an object
//! of somebody, a wait of the agent for the record, or a failure of it because of one of the record.

mod admission;
mod api;
mod chronicle;
mod courier;
mod forms;
mod queue;
mod recorder;
mod remote;
mod resolver;
mod settings;
mod wire;
mod witnesses;

pub(crate) use self::{
    admission::Admission,
    api::{Access, Api, Stand},
    chronicle::Chronicle,
    courier::{Destination, Round, Rounds},
    forms::{Form, explained},
    recorder::{Recorder, Setup},
    remote::{Ledger, Server},
    settings::{Lookups, Witnessing, read_policy},
    wire::Wire,
    witnesses::Witnesses,
};

use std::path::Path;

use sitewright_ledger::{Error, SecretKey};

/// Reads the key that signs a log.
///
/// # Errors
/// There is none, or it is none.
pub(crate) fn read_key(path: &Path) -> Result<SecretKey, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::File { path: path.to_owned(), why: error.to_string() })?;
    SecretKey::parse(&text)
}
