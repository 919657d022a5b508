//! Draining in the loop of one site: what is held back goes on, ends, or begins, one step for each look.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use sitewright_cluster::{Cluster, Error};
use sitewright_model::{
    desired::Desired,
    drain::{self, Ledger, Situation, Stage, Steady},
    name::ComponentName,
    plan::Action,
};

use super::{
    news::{News, Reason},
    state::State,
};
use crate::{output::words, weigh::Weighed};

/// Draining as one loop knows it.
#[derive(Debug, Default)]
pub(super) struct Drains {
    /// What is held back, as it was left; none before the first look: a life before this one may have left something.
    ledger: Option<Ledger>,
    /// What was told last, and what deeds were refused with: each is told once, however often the step is tried.
    told: Vec<String>,
    /// How the wall clock jumped.
    pub(super) steady: Steady,
}

impl Drains {
    /// Returns whether something may be held back.
    pub(super) fn may_hold(&self) -> bool {
        self.ledger.as_ref().is_none_or(|ledger| !ledger.is_empty())
    }

    /// Returns for how long what is waited for, or being changed, has stood where it does; none where nothing is. What
    /// broke or was given up waits for a person, or for git.
    pub(super) fn waits(&self, now: Timestamp) -> Option<Duration> {
        let Some(ledger) = &self.ledger else { return Some(Duration::ZERO) };
        let moving = ledger
            .drains
            .iter()
            .filter(|one| matches!(one.stage, Stage::Waiting | Stage::Changing));
        let newest = moving.map(|drain| drain.since).max()?;
        Some(Duration::try_from(now.duration_since(newest)).unwrap_or_default())
    }

    /// Takes the next step, if there is one.
    pub(super) async fn step(
        &mut self,
        cluster: &Cluster,
        desired: &Desired,
        weighed: &Weighed,
        state: &State,
    ) -> Result<Vec<News>, Error> {
        let Some(running) = &weighed.running else {
            self.ledger = Some(Ledger::default());
            return Ok(Vec::new());
        };
        let unhealthy = unhealthy(desired, weighed, state);
        let situation = Situation {
            desired,
            plan: &weighed.plan,
            draining: &weighed.draining,
            running,
            unhealthy: &unhealthy,
        };
        let next = drain::next(situation);
        let is_idle =
            next.deeds.is_empty() && next.before == running.ledger && next.after == running.ledger;
        if is_idle {
            self.ledger = Some(next.after);
            return Ok(Vec::new());
        }
        // until it is known how it went, something may be held
        self.ledger = None;
        let refused = cluster.drain(&desired.site, &weighed.ledger, &next).await?;
        if refused.is_empty() {
            self.ledger = Some(next.after);
        }
        let said: Vec<String> =
            next.news.iter().chain(&refused).map(|said| words::clean(said)).collect();
        let new = said.iter().filter(|said| !self.told.contains(said));
        let news = new.map(|said| News::new(Reason::Draining, said.as_str())).collect();
        self.told = said;
        Ok(news)
    }
}

/// Returns the components of which it is not known that they are well: nothing of theirs is given back yet.
fn unhealthy(desired: &Desired, weighed: &Weighed, state: &State) -> BTreeSet<ComponentName> {
    if !state.health_is_known {
        return desired.components.iter().map(|component| component.name.clone()).collect();
    }
    let sick = state.sick.values().map(|sick| sick.component.clone());
    let changing = weighed.plan.components.iter().filter(|component| {
        component.changes.iter().any(|change| {
            !matches!(change.action, Action::None | Action::Record | Action::Unknown)
                && change.gates.is_empty()
        })
    });
    sick.chain(changing.map(|component| component.name.clone())).collect()
}
