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

use std::{collections::BTreeSet, time::Duration};

use sitewright_model::{
    desired::Desired,
    live::{Live, Reach},
    plan::{
        Action, Plan, PlanDigest,
        graph::{Graph, Walk},
    },
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::{
    event::Event,
    report::{ComponentReport, End, FORMAT, ObjectOutcome, ObjectReport, Report, Trouble},
};
use self::{
    run::{Results, Run},
    scene::Scene,
};
use crate::{
    Cluster, Error,
    client::{http::Http, places::Places},
    discovery::Kinds,
    health::{compile, late_binding},
    inventory::{Memory, Store},
    lock::Lock,
};

/// How long the inventory is tried to be written once the ground was lost.
const CLOSING: Duration = Duration::from_secs(5);

/// How a plan is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The digest that a person named, to have that plan done now; it opens what such consent opens, and any
    /// other plan is an error. What an approval in git opens is open in the plan.
    pub approval: Option<PlanDigest>,
    /// The longest wait for any one object to become ready or to be gone; default the deadlines of the
    /// health rules, and five minutes.
    pub longest_wait: Option<Duration>,
    /// How old a record of what was done may get before it is written; default 20 seconds. What a kill
    /// finds unwritten is looked at again by the next run.
    pub record_every: Option<Duration>,
}

impl Cluster {
    /// Does `plan`, and returns what came of every object.
    ///
    /// Events are dropped where the receiver is slow or gone.
    /// Once `cancel` is cancelled nothing new is begun; what was done is recorded, the lock is released,
    /// and the report says where it stands. Where the plan has nothing to do, nothing is sent at all.
    ///
    /// # Errors
    /// Only where nothing could be begun. Whatever goes wrong later is in the report: with single objects,
    /// or as a trouble of the whole, which ends the apply.
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
        let http = self.http.until(&cancel);
        let graph = Graph::of(desired, live, plan).map_err(Error::Circle)?;
        let consent = plan.approved_by(options.approval.as_ref());
        let walk = Walk::new(&graph, plan, consent);
        let has_work = plan.changes().any(|(_, change)| {
            !matches!(change.action, Action::None | Action::Unknown)
                && change.held_by(consent).next().is_none()
        });
        let places = Places::default();
        let made_of = (plan, live);
        if !has_work {
            let kinds = Kinds::default();
            let rules = compile(desired, &BTreeSet::new())?;
            let scene = Scene::new((&http, &kinds), desired, made_of, options, rules, places);
            return Ok(conclude::report(&scene, &walk, &Results::default()));
        }
        let kinds = match &live.reach {
            Reach::Whole => self.until(&cancel).discover().await?,
            Reach::Only(ids) => self.kinds(ids.iter().map(|id| &id.kind)).await?,
        };
        let rules = compile(desired, &late_binding(&http, desired).await?)?;
        let lock = Lock::acquire(&http, &desired.site).await?;
        let fenced = http.within_fence(lock.fence());
        let http = fenced.counted(Some(&places));
        let to_the_end = fenced.until(&CancellationToken::new());
        let scene = Scene::new((&http, &kinds), desired, made_of, options, rules, places);
        let done = locked(&scene, walk, events, (&to_the_end, &self.inventories)).await;
        let released = lock.release().await;
        let mut report = done?;
        if let Err(error) = released {
            report.add((&error).into());
        }
        report.requests = self.requests().since(&before);
        Ok(report)
    }
}

/// What is done while the lock is held; `to_the_end` sends also after the signal to stop.
async fn locked<'s>(
    scene: &'s Scene<'_>,
    walk: Walk<'s>,
    events: mpsc::Sender<Event>,
    (to_the_end, memory): (&Http, &Memory),
) -> Result<Report, Error> {
    let site = &scene.desired.site;
    let (store, inventory) = match &scene.live.reach {
        Reach::Whole => {
            let store = Store::load(scene.http, site, memory).await?;
            let inventory = store.inventory();
            (store, inventory)
        }
        Reach::Only(ids) => {
            let store = Store::load_part(scene.http, site, memory, ids).await?;
            let inventory = store.only(ids);
            (store, inventory)
        }
    };
    if !scene.live.is_of(&inventory) {
        return Err(Error::InventoryRace { object: "since the plan was made".into() });
    }
    let book = book::write_ahead(scene, store, to_the_end).await?;
    let _ = events.try_send(begun(scene));
    let (mut results, walk, mut book, lost) = Run::new(scene, walk, book, events).go().await;
    let mut settled = Ok(());
    if lost.is_none() && !results.stopped {
        let applied = settle::applied(&results.outcomes);
        settled = settle::settle(scene, applied.iter(), &mut book).await;
    }
    let closed = match lost {
        // what is not recorded is found again; a server that is gone is not waited for twice
        Some(_) => timeout(CLOSING, book.close()).await.unwrap_or(Ok(())),
        None => book.close().await,
    };
    for error in [lost, settled.err(), closed.err()].into_iter().flatten() {
        results.add(&error);
    }
    Ok(conclude::report(scene, &walk, &results))
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
