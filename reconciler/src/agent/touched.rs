//! The short way of a commit that touches a few objects of a site at rest: these are looked at and applied first.
//!
//! A look at the whole lists every object, which takes an API server a second where there are 10,000. Where the site
//! was as it should be, and a commit changes some objects of one component and nothing else, a plan of these alone is
//! what the plan of the whole would say of them. Anything that the whole decides (what is pruned, what waits for another
//! component, hazards, gates, limits, approvals) takes the long way; and the look at the whole follows in any case, at once.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use sitewright_cluster::Error;
use sitewright_model::{
    desired::Desired,
    format::blueprint::Hazard,
    live::Reach,
    object::ObjectId,
    plan::{self, Action, Plan},
};
use tokio::time::Instant;

use super::{
    reconcile::Reconciler,
    state::{Activity, Side},
    web::{Reconciled, Stage},
    whole::Next,
};

/// More are found by a look at the whole, which lists each kind once.
const FEW: usize = 50;

impl Reconciler {
    /// Applies what differs from `before`, where that is little and harmless; returns what is next. None where the whole
    /// is to be looked at.
    pub(super) async fn apply_touched(&mut self, before: Option<Arc<Desired>>) -> Option<Next> {
        let (part, ids) = self.touched(before)?;
        self.state.activity = Activity::Reconciling;
        self.report();
        let next = match self.apply_part(part, ids).await {
            Ok(next) => next,
            Err(error) => {
                tracing::debug!(%error, "the short way failed, the long one follows");
                None
            }
        };
        self.state.activity = Activity::Resting;
        next
    }

    /// Returns what differs from `before`, where nothing but that need be looked at.
    fn touched(&self, before: Option<Arc<Desired>>) -> Option<(Arc<Desired>, BTreeSet<ObjectId>)> {
        let (current, before) = (self.current.as_ref()?, before?);
        if !self.is_at_rest() || !current.approvals.is_empty() {
            return None;
        }
        let ids = current.desired.touched_since(&before)?;
        if ids.is_empty() || ids.len() > FEW {
            return None;
        }
        let part = current.desired.only(&ids);
        (part.components.len() == 1).then(|| (Arc::new(part), ids))
    }

    /// Whether the last look at the whole found everything as it should be, and nothing has happened since.
    fn is_at_rest(&self) -> bool {
        let state = &self.state;
        let is_clean = state.held.is_empty()
            && state.drift.is_empty()
            && state.sick.is_empty()
            && state.fights.is_empty()
            && state.bad.is_empty()
            && state.waves.is_empty()
            && !state.problems.contains_key(&Side::Cluster);
        is_clean && self.rested
    }

    async fn apply_part(
        &mut self,
        part: Arc<Desired>,
        ids: BTreeSet<ObjectId>,
    ) -> Result<Option<Next>, Error> {
        self.rested = false;
        self.put_in_force().await?;
        let begun = Instant::now();
        let live = self.following.cluster.observe_only(&part, &ids).await?;
        let now = Timestamp::now();
        let plan = plan::plan(&part, &live, now);
        self.following.measure.took(Stage::Plan, begun);
        if !is_harmless(&plan) {
            return Ok(None);
        }
        if let Some(current) = &self.current {
            self.reports.in_force(&current.desired, &current.desired.revision);
        }
        let begun = Instant::now();
        let (report, next) = self.apply(&part, &plan, &live).await?;
        self.following.measure.took(Stage::Apply, begun);
        self.following.measure.reconciled(Reconciled::of(report.end));
        // it is the whole revision that is applied with it: nothing else differs from the one before
        self.conclude(&report, &Reach::Whole);
        self.judge(&report).await?;
        self.watch_waves(&part);
        Ok(Some(next))
    }
}

/// Whether the plan only brings objects and changes fields, nothing of it hurts running work, and nothing waits.
fn is_harmless(plan: &Plan) -> bool {
    plan.changes().all(|(_, change)| {
        let is_plain = matches!(
            change.action,
            Action::None | Action::Create | Action::Update { .. } | Action::Record
        );
        is_plain && change.hazard == Hazard::Safe && change.gates.is_empty()
    })
}
