//! The whole site: looked at, planned, applied, and when it is looked at again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use sitewright_cluster::{
    Error,
    apply::{End, Event, Options, Report},
    observe::Depth,
};
use sitewright_model::{
    desired::Desired,
    live::{Live, Reach},
    object::GroupKind,
    plan::{self, Action, Consent, Plan},
};
use tokio::{sync::mpsc, time::Instant};
use tracing::Instrument;

use super::{
    memory,
    pauses::Rest,
    reconcile::{Reconciler, diagnosed},
    state::{Activity, Problem, Side},
    web::{Reconciled, Stage},
};
use crate::{
    pipeline,
    weigh::{Weighed, weigh},
};

/// How long after an apply it is looked for nodes that a wave has to take.
const WAVES: Duration = Duration::from_secs(10 * 60);

/// What comes after a look at the whole.
pub(super) enum Next {
    /// Rest.
    Rest,
    /// A newer revision was found meanwhile.
    Newer(Box<pipeline::Loaded>),
}

impl Reconciler {
    pub(super) async fn again(&mut self) {
        if let Next::Newer(loaded) = self.reconcile().await {
            self.take(*loaded).await;
        }
    }

    /// Makes the cluster what is desired, as far as nothing holds it.
    pub(super) async fn reconcile(&mut self) -> Next {
        self.due.whole = None;
        self.rested = false;
        self.state.activity = Activity::Looking;
        self.report();
        let next = match self.whole().await {
            Ok(next) => next,
            Err(error) => {
                self.following.measure.reconciled(Reconciled::of_error(&error));
                self.broken(Side::Cluster, &diagnosed(error));
                self.retry();
                Next::Rest
            }
        };
        self.state.activity = Activity::Resting;
        next
    }

    async fn whole(&mut self) -> Result<Next, Error> {
        self.put_in_force().await?;
        let Some(current) = &mut self.current else { return Ok(Next::Rest) };
        let desired = Arc::clone(&current.desired);
        self.reports.in_force(&desired, &desired.revision);
        let approvals = current.approvals.clone();
        current.watches.follow(&kinds(&desired)).await?;
        // what was noticed until here is seen by the look that follows
        current.watches.take();
        // An approval binds the plan as a person saw it, with what the server says of each create.
        let depth = if approvals.is_empty() { Depth::SkipCreates } else { Depth::Full };
        let begun = Instant::now();
        let live = self.following.cluster.observe(&desired, depth).await?;
        let (now, made) = (Timestamp::now(), Instant::now().into_std());
        let planning = tracing::info_span!(target: "sitewright::trace", "plan");
        let plan = planning.in_scope(|| plan::plan(&desired, &live, now));
        let cluster = self.following.cluster.clone();
        let may_hold = self.drains.may_hold();
        let clock = (&mut self.drains.steady, made);
        let weighing = weigh(&cluster, &desired, &live, plan, may_hold, clock);
        let mut weighed = weighing.instrument(planning).await?;
        weighed.plan = weighed.plan.with_approvals(&approvals);
        self.following.measure.took(Stage::Plan, begun);
        let plan = &weighed.plan;
        if !self.may_go_back(plan).await? {
            self.due.whole = Some(Instant::now());
            return Ok(Next::Rest);
        }
        let news = self.state.planned(plan, &live.reach, now);
        self.reports.tell(news);
        if has_work(plan) {
            self.state.activity = Activity::Reconciling;
        }
        self.report();
        if !has_work(plan) {
            let health = cluster.status(&desired, &live).await?;
            let now = Timestamp::now();
            let news = self.state.assessed(&health, &Reach::Whole, now);
            self.reports.tell(news);
            self.state.applied = Some(plan.revision.clone());
            self.note_health(plan).await?;
            let news = self.drains.step(&cluster, &desired, &weighed, &self.state).await?;
            self.reports.tell(news);
            self.rest(&weighed);
            return Ok(Next::Rest);
        }
        let news = self.drains.step(&cluster, &desired, &weighed, &self.state).await?;
        self.reports.tell(news);
        let begun = Instant::now();
        let (report, next) = self.apply(&desired, plan, &live).await?;
        self.following.measure.took(Stage::Apply, begun);
        self.following.measure.reconciled(Reconciled::of(report.end));
        self.conclude(&report, &live.reach);
        self.judge(&report).await?;
        self.watch_waves(&desired);
        Ok(next)
    }

    /// Applies, and looks out for a newer revision, which comes first (law 8).
    #[tracing::instrument(target = "sitewright::trace", name = "apply", skip_all)]
    pub(super) async fn apply(
        &mut self,
        desired: &Arc<Desired>,
        plan: &Plan,
        live: &Live,
    ) -> Result<(Report, Next), Error> {
        let cancel = self.stop.child_token();
        let (events, receiver) = mpsc::channel::<Event>(1);
        drop(receiver);
        let (cluster, options) = (self.following.cluster.clone(), Options::default());
        let apply = cluster.apply(desired, plan, live, options, events, cancel.clone());
        let mut apply = std::pin::pin!(apply);
        let mut next = Next::Rest;
        loop {
            tokio::select! {
                report = &mut apply => return Ok((report?, next)),
                loaded = self.newer(), if matches!(next, Next::Rest) => {
                    next = Next::Newer(Box::new(loaded));
                    cancel.cancel();
                }
            }
        }
    }

    /// Waits until git has something newer.
    async fn newer(&mut self) -> pipeline::Loaded {
        loop {
            let not_before = self.git().await;
            let found = self.fetch(not_before).await;
            let is_refused =
                |loaded: &pipeline::Loaded| Some(loaded.revision().inputs) == self.refused;
            if let Some(loaded) = found.filter(|loaded| !is_refused(loaded)) {
                return loaded;
            }
        }
    }

    pub(super) fn conclude(&mut self, report: &Report, reach: &Reach) {
        self.reports.applied(report);
        let news = self.state.applied(report, reach, Timestamp::now());
        self.reports.tell(news);
        match report.end {
            End::Stopped => {}
            End::Converged | End::Held if report.troubles.is_empty() => {
                let news = self.state.works(Side::Cluster);
                self.reports.tell(news);
                let pause = self.pauses.worked(&self.following.pace);
                self.due.whole = Some(Instant::now() + pause);
            }
            _ => {
                if let Some(trouble) = report.troubles.first() {
                    let (code, message) = (trouble.code.clone(), trouble.message.clone());
                    let since = Timestamp::now();
                    let problem = Problem { code, message, passes: true, since };
                    let news = self.state.failed(Side::Cluster, problem);
                    self.reports.tell(news);
                }
                self.retry();
            }
        }
    }

    /// Nothing is to be done.
    fn rest(&mut self, weighed: &Weighed) {
        let plan = &weighed.plan;
        if let Some(current) = &mut self.current {
            current.fold();
        }
        memory::give_back_soon();
        let news = self.state.works(Side::Cluster);
        self.reports.tell(news);
        let is_held = plan.changes().any(|(_, change)| !change.gates.is_empty());
        let end = if is_held { Reconciled::Held } else { Reconciled::Converged };
        self.following.measure.reconciled(end);
        let is_watching = self.waves_until.is_some_and(|until| Instant::now() < until);
        // whatever could begin has begun, and is in the ledger
        let waits = self.drains.waits(Timestamp::now()).or(is_watching.then_some(Duration::ZERO));
        let is_held = is_held || !plan.waves.is_empty();
        let rest = match waits {
            Some(waited) => Rest::Draining(waited),
            None if is_held => Rest::Held,
            None => Rest::Quiet,
        };
        let pause = self.pauses.rested(&self.following.pace, rest);
        self.rested = !is_held;
        self.due.whole = Some(Instant::now() + pause);
    }

    /// What an apply makes outdated shows only once an operator has acted on it, and is no event of ours.
    pub(super) fn watch_waves(&mut self, desired: &Desired) {
        if desired.components.iter().any(|component| !component.waves.is_empty()) {
            self.waves_until = Some(Instant::now() + WAVES);
        }
    }

    /// Asks for a look at the whole, at once.
    pub(super) fn look_at_the_whole(&mut self) {
        self.due.whole = Some(Instant::now());
    }

    pub(super) fn retry(&mut self) {
        self.rested = false;
        self.due.whole = Some(Instant::now() + self.pauses.failed(&self.following.pace));
    }
}

fn kinds(desired: &Desired) -> BTreeSet<GroupKind> {
    desired.objects().map(|(_, object)| object.object.id().kind.clone()).collect()
}

pub(super) fn has_work(plan: &Plan) -> bool {
    plan.changes().any(|(_, change)| {
        !matches!(change.action, Action::None | Action::Unknown)
            && change.held_by(Consent::None).next().is_none()
    })
}
