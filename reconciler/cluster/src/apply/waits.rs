//! What is waited for: state, never a held worker (law 8).
//!
//! All waits are looked after in rounds, each kind by itself: one list where many of its objects are waited
//! for, else one read each. A round begins soon after something new is waited for, then ever more slowly.

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
pub(super) enum Seen {
    /// Its live body.
    Body(Box<Value>),
    /// It is not on the cluster.
    Gone,
    /// Its Service has a ready endpoint, or why not.
    Endpoint(Result<(), String>),
    /// It could not be looked at, and why.
    Unseen(String),
}

type Key = (ObjectId, Requirement);

/// All that is waited for.
#[derive(Debug)]
pub(super) struct Waits {
    /// What waits for the next round.
    idle: BTreeMap<Key, Wait>,
    /// What is being looked at. One kind that answers slowly does not hold up the rounds of the others.
    looked_at: BTreeMap<Key, Wait>,
    next_round: Instant,
    pause: Duration,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self {
            idle: BTreeMap::new(),
            looked_at: BTreeMap::new(),
            next_round: Instant::now(),
            pause: SOON,
        }
    }

    pub(super) fn add(&mut self, id: ObjectId, requirement: Requirement, patience: Duration) {
        let since = Instant::now();
        let wait = Wait { since, deadline: since + patience, why: String::new() };
        self.pause = SOON;
        self.idle((id, requirement), wait);
    }

    fn idle(&mut self, key: Key, wait: Wait) {
        let soon = Instant::now() + self.pause;
        self.next_round = if self.idle.is_empty() { soon } else { self.next_round.min(soon) };
        self.idle.insert(key, wait);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.looked_at.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.idle.clear();
        self.looked_at.clear();
    }

    /// Returns when to look next; none where all is being looked at.
    pub(super) fn next_round(&self) -> Option<Instant> {
        (!self.idle.is_empty()).then_some(self.next_round)
    }

    /// Begins a round: returns what to look at, with how long it is waited for already.
    pub(super) fn begin_round(&mut self) -> Vec<Due> {
        self.pause = self.pause.mul_f64(1.5).min(SELDOM);
        let due = |((id, requirement), wait): (&Key, &Wait)| Due {
            id: id.clone(),
            requirement: *requirement,
            waited: wait.since.elapsed(),
        };
        let due = self.idle.iter().map(due).collect();
        self.looked_at.append(&mut self.idle);
        due
    }

    /// Ends the look at one thing, which waits for the next round if it is still waited for.
    pub(super) fn looked(&mut self, due: &Due) {
        let key = (due.id.clone(), due.requirement);
        if let Some(wait) = self.looked_at.remove(&key) {
            self.idle(key, wait);
        }
    }

    pub(super) fn get_mut(&mut self, id: &ObjectId, requirement: Requirement) -> Option<&mut Wait> {
        let key = (id.clone(), requirement);
        self.looked_at.get_mut(&key).or_else(|| self.idle.get_mut(&key))
    }

    pub(super) fn remove(&mut self, id: &ObjectId, requirement: Requirement) {
        let key = (id.clone(), requirement);
        self.looked_at.remove(&key);
        self.idle.remove(&key);
    }

    /// Takes out what has waited too long.
    pub(super) fn overdue(&mut self) -> Vec<(ObjectId, Requirement, Wait)> {
        let now = Instant::now();
        let late = self.idle.extract_if(.., |_, wait| wait.deadline <= now);
        late.map(|((id, requirement), wait)| (id, requirement, wait)).collect()
    }
}
