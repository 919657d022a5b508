//! The stages that several verbs walk: read and render, look at the cluster, plan.

use std::time::Instant;

use jiff::Timestamp;
use sitewright_cluster::{Cluster, observe::Depth};
use sitewright_model::{
    desired::Desired,
    drain::Steady,
    live::Live,
    plan::{self, ApprovalFile, Plan},
    render,
};

use super::site::SiteArgument;
use crate::{
    cli::{Context, Failure},
    output::{Detail, plan as output},
    pipeline,
    weigh::weigh,
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
    Ok(read(context, site)?.0)
}

/// Reads and renders a site, and the approvals beside it.
fn read(context: &Context, site: &SiteArgument) -> Result<(Desired, Vec<ApprovalFile>), Failure> {
    let location = site.location()?;
    let settings = context.settings()?;
    context.doing("reading the site");
    let loaded = pipeline::load(&location, &settings)?;
    let approvals = loaded.approvals().files.clone();
    context.doing("rendering");
    let rendered = pipeline::render(loaded, &settings)?;
    context.warn(&rendered.warnings);
    Ok((rendered.desired, approvals))
}

/// Renders a site and compares it with the cluster; what an approval beside the site opens is open in the plan.
///
/// An approval binds the whole plan, so where there is one the server judges what is created too, whatever `depth` says.
pub(super) fn planned(
    context: &Context,
    site: &SiteArgument,
    depth: Depth,
) -> Result<Planned, Failure> {
    let (desired, approvals) = read(context, site)?;
    let depth = if approvals.is_empty() { depth } else { Depth::Full };
    let cluster = context.connect()?;
    let outside = context.wait(cluster.outside_namespaces(&render::open_kinds(&desired)))?;
    let desired = render::in_served_scopes(desired, &outside)?;
    let (live, plan) = compared(context, &cluster, &desired, depth)?;
    let plan = plan.with_approvals(&approvals);
    Ok(Planned { desired, live, plan, cluster })
}

/// Shows a plan on standard error, in brief: before something is done that it binds.
pub(super) fn show(context: &Context, plan: &Plan, site: &SiteArgument) {
    if context.global.quiet {
        return;
    }
    let look = context.error_look();
    let look = if look.detail == Detail::Full { look } else { look.with_detail(Detail::Brief) };
    context.screen.clear();
    context.screen.write(&output::text(plan, &look, &site.invocation()));
    context.screen.line("");
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
    let made = Instant::now();
    let plan = plan::plan(desired, &live, Timestamp::now());
    let mut steady = Steady::default();
    let weighing = weigh(cluster, desired, &live, plan, false, (&mut steady, made));
    let weighed = context.wait(weighing)?;
    Ok((live, weighed.plan))
}
