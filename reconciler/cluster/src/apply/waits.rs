//! What is waited for: state, never a held worker (law 8).
//!
//! All waits are looked after in rounds: one list of a kind where many of its objects are waited for,
//! else one read each. A round begins soon after something new is waited for, then ever more slowly.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use sitewright_model::{object::ObjectId, plan::graph::Requirement};
use tokio::time::Instant;

/// The time to the first round after something new is waited for.
const SOON: Duration = Duration::from_millis(100);

/// The longest time between two rounds.
const SELDOM: Duration = Duration::from_secs(2);

/// One thing that is waited for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    /// Why it is not there yet, as last seen.
    pub(super) why: String,
}

/// What to look at.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) id: ObjectId,
    pub(super) requirement: Requirement,
    pub(super) waited: Duration,
}

/// What was seen of an object that is waited for.
#[derive(Debug)]
pub(super) enum Seen {
    /// Its live body.
    Body(Box<Value>),
    /// It is not on the cluster.
    Gone,
    /// Its Service has a ready endpoint, or why not.
    Endpoint(Result<(), String>),
}

/// All that is waited for.
#[derive(Debug)]
pub(super) struct Waits {
    all: BTreeMap<(ObjectId, Requirement), Wait>,
    next_round: Instant,
    pause: Duration,
    /// A round is under way.
    looking: bool,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self { all: BTreeMap::new(), next_round: Instant::now(), pause: SOON, looking: false }
    }

    pub(super) fn add(&mut self, id: ObjectId, requirement: Requirement, patience: Duration) {
        let since = Instant::now();
        let wait = Wait { since, deadline: since + patience, why: String::new() };
        self.all.insert((id, requirement), wait);
        self.pause = SOON;
        if !self.looking {
            self.next_round = self.next_round.min(since + SOON);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Returns when to look next; none while a round is under way.
    pub(super) fn next_round(&self) -> Option<Instant> {
        (!self.looking && !self.all.is_empty()).then_some(self.next_round)
    }

    /// Begins a round: returns what to look at, with how long it is waited for already.
    pub(super) fn begin_round(&mut self) -> Vec<Due> {
        self.looking = true;
        let due = |((id, requirement), wait): (&(ObjectId, Requirement), &Wait)| Due {
            id: id.clone(),
            requirement: *requirement,
            waited: wait.since.elapsed(),
        };
        self.all.iter().map(due).collect()
    }

    /// Ends a round.
    pub(super) fn end_round(&mut self) {
        self.looking = false;
        self.next_round = Instant::now() + self.pause;
        self.pause = self.pause.mul_f64(1.5).min(SELDOM);
    }

    pub(super) fn get_mut(&mut self, id: &ObjectId, requirement: Requirement) -> Option<&mut Wait> {
        self.all.get_mut(&(id.clone(), requirement))
    }

    pub(super) fn remove(&mut self, id: &ObjectId, requirement: Requirement) {
        self.all.remove(&(id.clone(), requirement));
    }

    /// Takes out what has waited too long.
    pub(super) fn overdue(&mut self) -> Vec<(ObjectId, Requirement, Wait)> {
        let now = Instant::now();
        let late = self.all.extract_if(.., |_, wait| wait.deadline <= now);
        late.map(|((id, requirement), wait)| (id, requirement, wait)).collect()
    }
}
