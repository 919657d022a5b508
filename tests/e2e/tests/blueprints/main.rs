//! The blueprint library on upstream's own charts, CRDs and, where it runs out of a cluster, operators.

mod rook;

use std::sync::OnceLock;

use sitewright_testbed::{ControlPlane, Nodes, Options};

/// A control plane with nodes on which pods become ready, and a scheduler.
fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| {
        let nodes = Nodes::named("gpu").count(2).capacity("nvidia.com/gpu", "8");
        ControlPlane::start(Options::new().scheduler().nodes(nodes))
            .expect("the control plane starts")
    })
}
