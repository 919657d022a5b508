//! What the resolvers say, beside what the tools themselves say: git, DVC, git-annex, DataLad, OpenSSF model signing,
//! an OCI registry and an S3 server; and what `lineage submit` makes of a working tree.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod bench;
mod data;
mod git;
mod model;
mod oci;
mod stores;
mod submit;
