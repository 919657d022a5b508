//! The stages that several verbs walk: read and render, look at the cluster, plan.

use jiff::Timestamp;
use sitewright_cluster::{Cluster, observe::Depth};
use sitewright_model::{
    desired::Desired,
    live::Live,
    plan::{self, Plan},
    render,
};

use super::site::SiteArgument;
use crate::{
    cli::{Context, Failure},
    pipeline,
};

/// A site, the cluster, and what lies between them.
pub(super) struct Planned {
    /// What the cluster should hold.
    pub(super) desired: Desired,
    /// What it holds.
    pub(super) live: Live,
    /// The difference.
    pub(super) plan: Plan,
    /// The cluster.
    pub(super) cluster: Cluster,
}

/// Reads and renders a site; warnings are shown.
pub(super) fn rendered(context: &Context, site: &SiteArgument) -> Result<Desired, Failure> {
    let location = site.location()?;
    let settings = context.settings()?;
    context.doing("reading the site");
    let loaded = pipeline::load(&location, &settings)?;
    context.doing("rendering");
    let rendered = pipeline::render(loaded, &settings)?;
    context.warn(&rendered.warnings);
    Ok(rendered.desired)
}

/// Renders a site and compares it with the cluster.
pub(super) fn planned(
    context: &Context,
    site: &SiteArgument,
    depth: Depth,
) -> Result<Planned, Failure> {
    let desired = rendered(context, site)?;
    let cluster = context.connect()?;
    let outside = context.wait(cluster.outside_namespaces(&render::open_kinds(&desired)))?;
    let desired = render::in_served_scopes(desired, &outside)?;
    let (live, plan) = compared(context, &cluster, &desired, depth)?;
    Ok(Planned { desired, live, plan, cluster })
}

/// Looks at the cluster, and plans.
pub(super) fn compared(
    context: &Context,
    cluster: &Cluster,
    desired: &Desired,
    depth: Depth,
) -> Result<(Live, Plan), Failure> {
    context.doing("looking at the cluster");
    let live = context.wait(cluster.observe(desired, depth))?;
    context.doing("planning");
    let plan = plan::plan(desired, &live, Timestamp::now());
    Ok((live, plan))
}
