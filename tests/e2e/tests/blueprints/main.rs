//! The blueprint library on upstream's own charts, CRDs and, where it runs out of a cluster, operators.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, also in its helpers"
)]

mod anything;
mod drain;
mod jupyterhub;
mod kueue;
mod lab_gpu;
mod library;
mod rook;
mod tenancy;

use sitewright_testbed::{ControlPlane, Nodes, Options};

/// Starts a control plane with GPU nodes on which pods become ready, and a scheduler. Each test has its
/// own: an operator that ends with its test leaves webhooks behind that nobody answers.
fn control_plane() -> &'static ControlPlane {
    let nodes = Nodes::named("gpu").count(2).capacity("nvidia.com/gpu", "8");
    let control_plane = ControlPlane::start(Options::new().scheduler().nodes(nodes));
    Box::leak(Box::new(control_plane.expect("the control plane starts")))
}
