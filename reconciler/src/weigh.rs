//! A plan with what runs laid in: which work it would hit, and what is drained for it.
//!
//! Comes in: a [`Plan`]. Goes out: the same plan, weighed. Never: asks anything where no change hurts running work and
//! the site has no waves (law 6).

use std::time::Instant;

use sitewright_cluster::{Cluster, Error};
use sitewright_model::{
    desired::Desired,
    drain::{Ledger, Steady},
    live::Live,
    plan::{Draining, Plan},
    work::Running,
};

/// A plan, and what it was weighed with.
pub(crate) struct Weighed {
    /// The plan.
    pub(crate) plan: Plan,
    /// What runs; none where nobody had to look.
    pub(crate) running: Option<Running>,
    /// What is held back, as the cluster has it: the one in `running` has its times by the clock as it stands.
    pub(crate) ledger: Ledger,
    /// What its changes want drained.
    pub(crate) draining: Draining,
}

/// Lays what runs into `plan`, where something in it depends on that, or where something `may_be_held` back. The plan was
/// made when the steady clock stood at `made`.
///
/// # Errors
/// The cluster does not answer.
pub(crate) async fn weigh(
    cluster: &Cluster,
    desired: &Desired,
    live: &Live,
    plan: Plan,
    may_be_held: bool,
    (steady, made): (&mut Steady, Instant),
) -> Result<Weighed, Error> {
    let is_needed =
        plan.needs_work(desired) || may_be_held && !cluster.ledger(&desired.site).await?.is_empty();
    if !is_needed {
        return Ok(Weighed {
            plan,
            running: None,
            ledger: Ledger::default(),
            draining: Draining::default(),
        });
    }
    let mut running = cluster.running(desired).await?;
    let ledger = running.ledger.clone();
    running.ledger = steady.times(running.ledger, plan.made, made);
    let draining = plan.draining(desired, live, &running);
    let plan = plan.with_work(desired, live, &running, &draining);
    Ok(Weighed { plan, running: Some(running), ledger, draining })
}
