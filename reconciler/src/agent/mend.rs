//! What was noticed on the cluster: drift is mended object by object, and what changed else is asked how it is.
//!
//! A plan of some objects can create and update, and never deletes: what is pruned is the business of the whole.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sitewright_cluster::{
    Error,
    apply::{End, Event, Options},
    watch::Noticed,
};
use sitewright_model::{
    desired::Desired,
    live::{Live, Reach},
    object::ObjectId,
    plan::{self, Drift, Gate, Mended, Plan},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    fight::Turn,
    news::{News, Reason},
    reconcile::{Reconciler, diagnosed},
    state::{Side, described},
    whole::has_work,
};

/// So many suspects are looked at one by one; more are found by a look at the whole, which lists each kind once.
const ONE_BY_ONE: usize = 50;

impl Reconciler {
    /// Looks at what was noticed: at some objects, or at the whole where too much was, or something may have been missed.
    pub(super) async fn look(&mut self) {
        let Some(current) = &self.current else { return };
        let Noticed { suspects, touched, gaps } = current.watches.take();
        if !gaps.is_empty() || suspects.len() > ONE_BY_ONE {
            let trace = self.trace("watch", Instant::now());
            trace.with(self.again()).await;
            return trace.end(&self.state);
        }
        if !suspects.is_empty() {
            let trace = self.trace("drift", Instant::now());
            trace.with(self.look_at(suspects)).await;
            trace.end(&self.state);
        }
        self.health_of(touched).await;
    }

    /// Looks at some objects, and mends what drifted.
    pub(super) async fn look_at(&mut self, ids: BTreeSet<ObjectId>) {
        let Some(current) = &self.current else { return };
        let part = current.desired.only(&ids);
        let ids: BTreeSet<ObjectId> =
            part.objects().map(|(_, object)| object.object.id().clone()).collect();
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.mend(&part, ids).await {
            // the look at the whole that follows finds it again
            self.broken(Side::Cluster, &diagnosed(error));
            self.retry();
        }
    }

    async fn mend(&mut self, part: &Desired, ids: BTreeSet<ObjectId>) -> Result<(), Error> {
        let live = self.following.cluster.observe_only(part, &ids).await?;
        let now = Timestamp::now();
        let plan = plan::plan(part, &live, now);
        let news = self.state.planned(&plan, &live.reach, now);
        self.reports.tell(news);
        self.report();
        let waits_for_draining =
            |gates: &[Gate]| gates.iter().any(|gate| matches!(gate, Gate::Drain { .. }));
        if plan.changes().any(|(_, change)| waits_for_draining(&change.gates)) {
            self.look_at_the_whole();
        }
        let paused = self.paused(&plan);
        self.reports.tell(mending(&plan, &paused));
        if paused.is_empty() {
            return self.mend_now(part, &plan, &live).await;
        }
        let rest: BTreeSet<ObjectId> = ids.difference(&paused).cloned().collect();
        if rest.is_empty() {
            return Ok(());
        }
        let part = part.only(&rest);
        let live = self.following.cluster.observe_only(&part, &rest).await?;
        let plan = plan::plan(&part, &live, now);
        self.mend_now(&part, &plan, &live).await
    }

    async fn mend_now(&mut self, part: &Desired, plan: &Plan, live: &Live) -> Result<(), Error> {
        if !has_work(plan) {
            return Ok(());
        }
        let (events, receiver) = mpsc::channel::<Event>(1);
        drop(receiver);
        let cancel = self.stop.child_token();
        let options = Options::default();
        let report =
            self.following.cluster.apply(part, plan, live, options, events, cancel).await?;
        let news = self.state.applied(&report, &live.reach, Timestamp::now());
        self.reports.tell(news);
        if report.end == End::Failed {
            self.retry();
        }
        Ok(())
    }

    /// Returns the objects that are fought over, and left alone for now.
    fn paused(&mut self, plan: &Plan) -> BTreeSet<ObjectId> {
        let mut paused = BTreeSet::new();
        for drifted in plan::drift(plan).objects {
            if drifted.mended != Mended::ByApply {
                continue;
            }
            let whole = [String::new()];
            let fields: Vec<String> = match &drifted.drift {
                Drift::Changed { fields } if !fields.is_empty() => {
                    fields.iter().map(|field| field.field.clone()).collect()
                }
                _ => whole.to_vec(),
            };
            let turn =
                self.fights.turn(&drifted.id, fields.iter().map(String::as_str), Instant::now());
            match turn {
                Turn::Mend => {
                    self.state.fights.remove(&drifted.id);
                    continue;
                }
                Turn::Begins(_) => {
                    let news = self.state.fights(&drifted);
                    self.reports.tell(Some(news));
                }
                Turn::Paused(_) => {}
            }
            paused.insert(drifted.id);
        }
        paused
    }

    /// Asks how objects are whose status changed.
    async fn health_of(&mut self, ids: BTreeSet<ObjectId>) {
        let Some(current) = &self.current else { return };
        let part = current.desired.only(&ids);
        match self.following.cluster.health_of(&part).await {
            Ok(health) => {
                let news = self.state.assessed(&health, &Reach::Only(ids), Timestamp::now());
                self.reports.tell(news);
            }
            Err(error) => tracing::debug!(%error, "health is not known"),
        }
    }
}

/// What is about to be put right: told before it is, since a server may take its time.
fn mending(plan: &Plan, paused: &BTreeSet<ObjectId>) -> Vec<News> {
    let drifted = plan::drift(plan).objects.into_iter();
    drifted
        .filter(|drifted| drifted.mended == Mended::ByApply && !paused.contains(&drifted.id))
        .map(|drifted| {
            let message = format!("{}, and is about to be put right", described(&drifted));
            News::new(Reason::Mending, message).about(&drifted.id)
        })
        .collect()
}
