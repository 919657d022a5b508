//! Does a plan: writes ahead, applies in order of the graph, waits for health, prunes last.
//!
//! Comes in: [`Desired`], the [`Plan`] of it and the [`Live`] that it was made of. Goes out: a
//! [`Report`]. Never: decides what changes, or deletes without a permit of the guards.

mod book;
mod change;
mod conclude;
mod event;
mod look;
mod remove;
mod replace;
mod report;
mod run;
mod scene;
mod settle;
mod transfer;
mod waits;

use std::time::Duration;

use sitewright_model::{
    desired::Desired,
    live::Live,
    plan::{
        Action, Plan, PlanDigest,
        graph::{Graph, Walk},
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::{
    event::Event,
    report::{ComponentReport, End, FORMAT, ObjectOutcome, ObjectReport, Report},
};
use self::{
    run::{Results, Run},
    scene::Scene,
};
use crate::{Cluster, Error, client::http::Http, discovery::Kinds, inventory::Store, lock::Lock};

/// How long the inventory is tried to be written once the ground was lost.
const CLOSING: Duration = Duration::from_secs(5);

/// How a plan is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The digest that a person approved; it opens the approval gates of the plan with that digest,
    /// and any other plan is an error.
    pub approval: Option<PlanDigest>,
    /// The longest wait for any one object to become ready or to be gone; default the deadlines of the
    /// health rules, and five minutes.
    pub longest_wait: Option<Duration>,
}

impl Cluster {
    /// Does `plan`, and returns what came of every object.
    ///
    /// Events are dropped where the receiver is slow or gone.
    /// Once `cancel` is cancelled nothing new is begun; what was done is recorded, the lock is released,
    /// and the report says where it stands. Where the plan has nothing to do, nothing is sent at all.
    ///
    /// # Errors
    /// Only where nothing could be begun or the ground was lost: the lock, the inventory, the connection.
    /// What befalls single objects is in the report.
    pub async fn apply(
        &self,
        desired: &Desired,
        plan: &Plan,
        live: &Live,
        options: Options,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Result<Report, Error> {
        if let Some(approved) = options.approval.filter(|approved| *approved != plan.digest) {
            return Err(Error::PlanChanged { approved, actual: plan.digest });
        }
        let before = self.requests();
        let http = self.http.until(&cancel.child_token());
        let graph = Graph::of(desired, live, plan).map_err(Error::Circle)?;
        let consent = plan.approved_by(options.approval.as_ref());
        let walk = Walk::new(&graph, plan, consent);
        let has_work = plan.changes().any(|(_, change)| {
            !matches!(change.action, Action::None | Action::Unknown)
                && change.held_by(consent).next().is_none()
        });
        if !has_work {
            let kinds = Kinds::default();
            let scene = Scene::new((&http, &kinds), desired, (plan, live), options)?;
            let requests = self.requests().since(&before);
            return Ok(conclude::report(&scene, &walk, &Results::default(), requests));
        }
        let kinds = Kinds::discover(&http).await?;
        let scene = Scene::new((&http, &kinds), desired, (plan, live), options)?;
        let lock = Lock::acquire(&http, &desired.site).await?;
        let done =
            locked(&scene, walk, &lock, events, &self.http.until(&CancellationToken::new())).await;
        let released = lock.release().await;
        let (results, walk) = match (done, &released) {
            // the renewal knows why
            (Err(Error::LockLost { .. }), Err(why)) => return Err(why.clone()),
            (done, _) => done?,
        };
        released?;
        let requests = self.requests().since(&before);
        Ok(conclude::report(&scene, &walk, &results, requests))
    }
}

/// What is done while the lock is held; `to_the_end` sends also after the signal to stop.
async fn locked<'s>(
    scene: &'s Scene<'_>,
    walk: Walk<'s>,
    lock: &Lock,
    events: mpsc::Sender<Event>,
    to_the_end: &Http,
) -> Result<(Results, Walk<'s>), Error> {
    let store = Store::load(scene.http, &scene.desired.site).await?;
    if store.inventory() != scene.live.inventory {
        return Err(Error::InventoryRace { object: "since the plan was made".into() });
    }
    let book = book::write_ahead(scene, store).await?;
    let _ = events.try_send(begun(scene));
    let (results, walk, mut book, lost) = Run::new(scene, walk, book, events).go(lock).await;
    let mut settled = Ok(());
    if lost.is_none() && !results.stopped {
        let applied = settle::applied(&results.outcomes);
        settled = settle::settle(scene, applied.iter(), &mut book).await;
    }
    let closing = book.close(to_the_end);
    let closed = match &lost {
        // what is not recorded is found again; a server that is gone is not waited for twice
        Some(_) => timeout(CLOSING, closing).await.unwrap_or(Ok(())),
        None => closing.await,
    };
    match (lost, closed, settled) {
        (Some(error), ..) | (None, Err(error), _) => Err(error),
        (None, Ok(()), Ok(()) | Err(Error::Stopped)) => Ok((results, walk)),
        (None, Ok(()), Err(error)) => Err(error),
    }
}

fn begun(scene: &Scene<'_>) -> Event {
    let is_active = |change: &&sitewright_model::plan::Change| {
        !matches!(change.action, Action::None | Action::Unknown)
            && change.held_by(scene.consent).next().is_none()
    };
    let count = |component: &sitewright_model::plan::ComponentPlan| {
        (component.name.clone(), component.changes.iter().filter(is_active).count() as u64)
    };
    Event::Begun { components: scene.plan.components.iter().map(count).collect() }
}
