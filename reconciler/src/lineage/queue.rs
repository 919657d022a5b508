//! What waits to be looked up: by turns of namespaces, so that nobody's list keeps others waiting.
//!
//! Comes in: tasks, and the time. Goes out: the next one that is due. Never: a clock of its own; more than its bounds.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use sitewright_model::lineage::EntityId;

/// Tasks of one namespace that wait. Of further ones the log knows, and they are found again.
const MOST: usize = 2_000;

/// How long something that cannot be reached is left alone, at first and at most; each time twice as long.
const FIRST: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_secs(4 * 3600);

/// How often it is tried: over about a day.
const TRIES: u32 = 14;

/// How long a server that does not answer is left alone.
const REST: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Look up what it is, or where it leads.
    Look,
    /// Read its bytes: it is a model that this run has made, or this service serves.
    Read(EntityId),
    /// See whether it changed while this run used it.
    Compare(EntityId),
}

/// Something to look up.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) id: EntityId,
    pub(super) what: What,
    /// Whose run named it first.
    pub(super) namespace: Option<String>,
    /// Who is asked, where that is known.
    pub(super) host: Option<String>,
    tries: u32,
    not_before: Option<Instant>,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: VecDeque<Option<String>>,
    waiting: HashMap<Option<String>, VecDeque<Task>>,
    there: HashSet<(EntityId, What)>,
    resting: HashMap<String, Instant>,
}

impl Task {
    pub(super) fn new(id: EntityId, what: What, namespace: Option<String>) -> Self {
        Self { id, what, namespace, host: None, tries: 0, not_before: None }
    }
}

impl Queue {
    /// Adds a task, unless it waits already or its namespace has enough of them.
    pub(super) fn add(&mut self, task: Task) {
        let waiting = self.waiting.entry(task.namespace.clone()).or_default();
        if waiting.len() >= MOST || !self.there.insert((task.id.clone(), task.what.clone())) {
            return;
        }
        if waiting.is_empty() {
            self.turns.push_back(task.namespace.clone());
        }
        waiting.push_back(task);
    }

    /// Takes the next task that is due, from the namespace whose turn it is.
    pub(super) fn next(&mut self, now: Instant) -> Option<Task> {
        self.resting.retain(|_, until| *until > now);
        for _ in 0..self.turns.len() {
            let turn = self.turns.pop_front()?;
            let waiting = self.waiting.get_mut(&turn)?;
            let is_due = |task: &Task| {
                task.not_before.is_none_or(|at| at <= now)
                    && task.host.as_ref().is_none_or(|host| !self.resting.contains_key(host))
            };
            let found = waiting.iter().position(is_due).and_then(|at| waiting.remove(at));
            if waiting.is_empty() {
                self.waiting.remove(&turn);
            } else {
                self.turns.push_back(turn);
            }
            if let Some(task) = found {
                self.there.remove(&(task.id.clone(), task.what.clone()));
                return Some(task);
            }
        }
        None
    }

    /// Takes back a task that could not be done now; returns whether it is tried again.
    pub(super) fn again(&mut self, mut task: Task, now: Instant) -> bool {
        task.tries += 1;
        if task.tries >= TRIES {
            return false;
        }
        let pause = FIRST.saturating_mul(1 << (task.tries - 1).min(16)).min(LAST);
        task.not_before = Some(now + pause);
        if let Some(host) = &task.host {
            self.resting.insert(host.clone(), now + REST.min(pause));
        }
        self.add(task);
        true
    }

    /// Returns how many tasks wait.
    pub(super) fn len(&self) -> usize {
        self.there.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(namespace: &str, name: &str) -> Task {
        let id = EntityId::reference(&format!("s3://bucket/{name}")).unwrap();
        Task::new(id, What::Look, Some(namespace.to_owned()))
    }

    fn names(queue: &mut Queue, now: Instant) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(task) = queue.next(now) {
            names.push(task.id.rest().trim_start_matches("s3://bucket/").to_owned());
        }
        names
    }

    #[test]
    fn namespaces_take_turns_and_nothing_waits_twice() {
        let mut queue = Queue::default();
        for name in ["a", "b", "c", "a"] {
            queue.add(task("many", name));
        }
        queue.add(task("one", "x"));
        assert_eq!(queue.len(), 4);
        assert_eq!(names(&mut queue, Instant::now()), ["a", "x", "b", "c"]);
        queue.add(task("many", "a"));
        assert_eq!(names(&mut queue, Instant::now()), ["a"]);
    }

    #[test]
    fn a_namespace_with_too_many_keeps_nobody_else_out() {
        let mut queue = Queue::default();
        for number in 0..MOST + 10 {
            queue.add(task("many", &number.to_string()));
        }
        queue.add(task("one", "x"));
        assert_eq!(queue.len(), MOST + 1);
    }

    #[test]
    fn what_cannot_be_reached_is_left_alone_longer_each_time_and_given_up_in_the_end() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(task("one", "x"));
        let (mut tries, began) = (0, now);
        while let Some(task) = queue.next(now) {
            tries += 1;
            if !queue.again(task, now) {
                break;
            }
            assert!(queue.next(now).is_none());
            now += LAST;
        }
        assert_eq!(tries, TRIES);
        assert!(now - began >= Duration::from_secs(3600));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_server_that_does_not_answer_is_left_alone_for_all_that_it_has() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let of_host = |name: &str, host: &str| Task { host: Some(host.into()), ..task("n", name) };
        queue.add(of_host("a", "slow"));
        queue.add(of_host("b", "slow"));
        queue.add(of_host("c", "quick"));
        let first = queue.next(now).unwrap();
        assert!(queue.again(first, now));
        assert_eq!(names(&mut queue, now), ["c"]);
        assert_eq!(names(&mut queue, now + REST), ["b", "a"]);
    }
}
