//! Where Sitewright reads from: git repositories and working trees, charts, manifests, and a cache. Also the one
//! place that speaks HTTP to others than clusters, so that messages to them ([`outbound`]) go by the same rules.
//!
//! Comes in: a [`Location`] or a source of a blueprint, and [`Settings`]. Goes out: [`Snapshot`]
//! and [`Files`](sitewright_model::files::Files), each read within bounds, or numbered errors.
//! Never: renders or decides anything, knows a cluster, prints a credential. Everything here blocks;
//! an async caller runs it on a thread of its own.

pub mod artifact;
pub mod cache;
mod credentials;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod git;
pub mod helm;
pub mod history;
mod http;
pub mod location;
mod nearest;
pub mod outbound;
mod process;
mod registry;
pub mod resolve;
pub mod settings;
pub mod snapshot;
mod url;
pub mod worktree;

pub use artifact::Artifact;
pub use cache::Cache;
pub use location::{Location, Reference};
pub use settings::{Limits, Mirror, Settings};
pub use snapshot::Snapshot;
pub use url::{Secret, Url, public};
