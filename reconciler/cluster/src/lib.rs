//! The only place that knows a Kubernetes client.
//!
//! Comes in: [`Desired`](sitewright_model::desired::Desired) and
//! [`Plan`](sitewright_model::plan::Plan). Goes out: [`Live`](sitewright_model::live::Live), and an
//! [`apply::Report`]. Never: decides what changes (the model does), reads a file other than the
//! kubeconfig, prints.
//!
//! ```no_run
//! # async fn example(desired: sitewright_model::desired::Desired) -> Result<(), sitewright_cluster::Error> {
//! use sitewright_cluster::{Cluster, Connection, observe::Depth};
//! let cluster = Cluster::connect(&Connection::default()).await?;
//! let live = cluster.observe(&desired, Depth::Full).await?;
//! # let _ = live; Ok(())
//! # }
//! ```

pub mod access;
pub mod apply;
pub mod client;
mod create;
mod discovery;
pub mod doctor;
mod error;
pub mod health;
mod home;
mod inventory;
mod kinds;
mod lock;
pub mod observe;
mod record;
pub mod rights;
mod scopes;
pub mod sightings;
pub mod sync;
mod verdicts;
pub mod watch;
pub mod work;

pub use client::{Cluster, Connection, Deadlines, GivenKubeconfig, Listener, Requests};
pub use create::{Creator, namespace};
pub use error::Error;
pub use lock::Leadership;
pub use tokio_util::sync::CancellationToken;
