//! The lineage log: what was recorded, in an order that nobody can change unnoticed, and questions to it.
//!
//! Comes in: [`Record`](sitewright_model::lineage::Record)s. Goes out: [`Graph`](sitewright_model::lineage::Graph)s, and
//! proofs. Never: a cluster or a network; a record that is changed once it is acknowledged.
//!
//! The log is a Merkle tree in the form of [C2SP tlog-tiles](https://c2sp.org/tlog-tiles) (RFC 6962 hashing) with
//! checkpoints that are [signed notes](https://c2sp.org/signed-note). A leaf is a small header; the body that it names by
//! digest lies beside it and can be erased. Everything else is an index that is folded from the log again at will.
//!
//! All calls block.

mod archive;
mod ask;
mod erase;
mod error;
mod held;
mod index;
mod merkle;
mod note;
mod sent;
mod store;
mod verify;
pub mod witness;
mod writer;

pub use self::{
    archive::{Resources, copy, export, import},
    ask::{Ask, Question, Reader},
    erase::{Erasure, Forget},
    error::Error,
    held::{End, Held},
    index::Index,
    merkle::{
        Hash, consistency, inclusion, leaf_hash, proves_consistency, proves_inclusion, root_of,
    },
    note::{Checkpoint, Cosigned, Note, PublicKey, SecretKey},
    sent::{Mark, Sent},
    store::{Appended, Log, Reading},
    verify::{Fault, Verified, verify},
    writer::{Lost, Writer},
};
