//! The walk over the graph, done: one loop that owns all state and starts bounded work.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
};

use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use sitewright_model::{
    code,
    health::{self, Health},
    name::ComponentName,
    object::ObjectId,
    plan::{
        Action,
        graph::{Outcome, Requirement, Step, Walk},
    },
};
use tokio::{sync::mpsc, time::sleep_until};
use tracing::Span;

use super::{
    Event, ObjectOutcome, Trouble,
    book::Book,
    change::{Changed, Note, change, failed},
    look::{Sight, by_place, look},
    replace::still_there,
    scene::{Part, Scene},
    waits::{Due, Seen, Wait, Waits},
};
use crate::{Error, inventory::Written};

/// What came of the walk so far.
#[derive(Default)]
pub(super) struct Results {
    pub(super) outcomes: BTreeMap<ObjectId, ObjectOutcome>,
    pub(super) health: BTreeMap<ObjectId, Health>,
    /// What the pods of unhealthy objects tell.
    pub(super) reasons: BTreeMap<ObjectId, Vec<String>>,
    pub(super) warnings: BTreeMap<ObjectId, Vec<String>>,
    /// What went wrong beside single objects.
    pub(super) troubles: Vec<Trouble>,
    pub(super) stopped: bool,
}

impl Results {
    /// Adds a trouble; one of its kind is enough.
    pub(super) fn add(&mut self, error: &Error) {
        let trouble = Trouble::from(error);
        let is_told = self.troubles.iter().any(|told| told.code == trouble.code);
        if !is_told && !matches!(error, Error::Stopped) {
            self.troubles.push(trouble);
        }
    }
}

/// Changes that have begun and not ended, most of them asleep: each holds an object or two in memory.
const BEGUN: usize = 1_000;

/// One apply under way.
pub(super) struct Run<'s, 'a> {
    scene: &'s Scene<'a>,
    walk: Walk<'s>,
    book: Book,
    events: mpsc::Sender<Event>,
    /// Changes that may begin, and wait for a free place.
    queue: VecDeque<ObjectId>,
    waits: Waits,
    tasks: FuturesUnordered<Task<'s>>,
    changing: usize,
    results: Results,
    /// By component, how many of its changes are not done and healthy yet.
    unsettled: BTreeMap<ComponentName, usize>,
    /// From the first delete on.
    pruning: Option<Span>,
    /// From the first wait for health on.
    healing: Option<Span>,
    /// Why the ground was lost: nothing new is begun.
    lost: Option<Error>,
}

type Task<'s> = Pin<Box<dyn Future<Output = Ended> + Send + 's>>;

/// A task that ended.
enum Ended {
    Change(ObjectId, Box<Result<Changed, Error>>),
    Look(Result<Vec<Sight>, Error>),
    Written(Written),
}

impl<'s, 'a> Run<'s, 'a> {
    pub(super) fn new(
        scene: &'s Scene<'a>,
        walk: Walk<'s>,
        book: Book,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            scene,
            walk,
            book,
            events,
            queue: VecDeque::new(),
            waits: Waits::new(),
            tasks: FuturesUnordered::new(),
            changing: 0,
            results: Results::default(),
            unsettled: unsettled(scene),
            pruning: None,
            healing: None,
            lost: None,
        }
    }

    /// Walks until nothing is left to do, or the signal to stop came, or the ground was lost.
    ///
    /// The book is handed back in any case: what was done is to be recorded.
    pub(super) async fn go(mut self) -> (Results, Walk<'s>, Book, Option<Error>) {
        loop {
            if !self.is_ending() {
                self.take_steps();
                self.start_changes();
            }
            if self.tasks.is_empty() && (self.waits.is_empty() || self.is_ending()) {
                break;
            }
            self.turn().await;
        }
        self.results.stopped = self.scene.http.stop().is_cancelled();
        (self.results, self.walk, self.book, self.lost)
    }

    fn is_ending(&self) -> bool {
        self.lost.is_some() || self.scene.http.stop().is_cancelled()
    }

    /// Waits for the next thing to happen.
    async fn turn(&mut self) {
        let ending = self.is_ending();
        let round = self.waits.next_round().filter(|_| !ending);
        let scene = self.scene;
        tokio::select! {
            Some(ended) = self.tasks.next(), if !self.tasks.is_empty() => self.ended(ended),
            () = sleep_until(round.unwrap_or_else(tokio::time::Instant::now)), if round.is_some() => {
                self.start_round();
            }
            error = scene.http.halted(), if !ending => {
                self.waits.clear();
                self.lose(error);
            }
            () = scene.places.freed(), if !ending => {}
        }
    }

    // === beginning ===

    fn take_steps(&mut self) {
        while let Some(step) = self.walk.next() {
            match step {
                Step::Change(id) => self.queue.push_back(id),
                Step::Await(id, requirement) => self.wait(id, requirement),
            }
        }
    }

    fn start_changes(&mut self) {
        let scene = self.scene;
        while self.has_place()
            && let Some(id) = self.queue.pop_front()
        {
            let Some(part) = scene.part(&id) else { continue };
            if deletes(&part) && self.pruning.is_none() {
                self.pruning =
                    Some(begun(tracing::info_span!(target: "sitewright::trace", "prune")));
                let going =
                    scene.parts().filter(|part| deletes(part) && !part.is_held(scene.consent));
                self.tell(Event::Pruning { objects: going.count() as u64 });
            }
            self.changing += 1;
            self.tasks.push(Box::pin(async move {
                let changed = change(scene, part).await;
                Ended::Change(id, Box::new(changed))
            }));
        }
        if let Some(batch) = self.book.due() {
            self.tasks.push(Box::pin(async move { Ended::Written(batch.write().await) }));
        }
    }

    /// As many as may be in flight, and some that prepare the next; those asleep do not count.
    fn has_place(&self) -> bool {
        let awake = self.changing.saturating_sub(self.scene.places.asleep());
        awake < self.scene.http.concurrency() * 2 && self.changing < BEGUN
    }

    /// Waits for an object, unless its change has shown it as required already.
    fn wait(&mut self, id: ObjectId, requirement: Requirement) {
        let healthy = self.results.health.get(&id).is_some_and(Health::is_current)
            || self.scene.part(&id).is_some_and(|part| self.scene.is_inert(&part));
        if requirement == Requirement::Healthy && healthy {
            self.reached(&id, requirement);
            return;
        }
        let patience = match (requirement, self.scene.part(&id)) {
            (Requirement::Healthy, Some(part)) => self.scene.health_deadline(&part),
            _ => self.scene.patience(),
        };
        if requirement == Requirement::Healthy && self.healing.is_none() {
            let span = tracing::info_span!(target: "sitewright::trace", "health");
            self.healing = Some(begun(span));
        }
        self.waits.add(id, requirement, patience);
    }

    fn start_round(&mut self) {
        let scene = self.scene;
        for (place, due) in by_place(scene, self.waits.begin_round()) {
            self.tasks.push(Box::pin(async move { Ended::Look(look(scene, place, due).await) }));
        }
    }

    // === ending ===

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Change(id, changed) => {
                self.changing -= 1;
                match *changed {
                    Ok(changed) => self.changed(&id, changed),
                    Err(error) if error.loses_ground() => self.lose(error),
                    // the object's own trouble (law 8)
                    Err(error) => self.changed(&id, Changed::only(Trouble::from(&error).into())),
                }
            }
            Ended::Look(Ok(sights)) => {
                for sight in sights {
                    let due = self.seen(sight);
                    self.waits.looked(&due);
                }
                self.give_up();
            }
            Ended::Look(Err(error)) => self.lose(error),
            Ended::Written(written) => {
                if let Err(error) = self.book.written(written) {
                    self.lose(error);
                }
            }
        }
    }

    fn lose(&mut self, error: Error) {
        if !matches!(error, Error::Stopped) && self.lost.is_none() {
            self.lost = Some(error);
        }
    }

    fn changed(&mut self, id: &ObjectId, changed: Changed) {
        let Some(part) = self.scene.part(id) else { return };
        self.book.note(id, changed.note);
        if let Some(body) = changed.body.as_ref().filter(|body| health::is_telling(id, body)) {
            let health = self.scene.assess(part.component, body);
            self.results.health.insert(id.clone(), health);
        }
        for text in &changed.warnings {
            let (component, id, text) = (part.component.clone(), id.clone(), text.clone());
            self.tell(Event::Warning { component, id, text });
        }
        if !changed.warnings.is_empty() {
            self.results.warnings.insert(id.clone(), changed.warnings);
        }
        let worked = is_success(&changed.outcome);
        // a delete has its outcome once the object is gone
        if changed.outcome != ObjectOutcome::Deleted {
            self.conclude(&part, changed.outcome);
        }
        let outcome = if worked { Outcome::Done } else { Outcome::Failed };
        self.walk.done(&Step::Change(id.clone()), outcome);
    }

    fn conclude(&mut self, part: &Part<'_>, outcome: ObjectOutcome) {
        let (component, id) = (part.component.clone(), part.change.id.clone());
        self.tell(Event::Done { component, id: id.clone(), outcome: outcome.clone() });
        self.results.outcomes.insert(id, outcome);
    }

    fn reached(&mut self, id: &ObjectId, requirement: Requirement) {
        self.waits.remove(id, requirement);
        if let Some(part) = self.scene.part(id).filter(|_| requirement == Requirement::Gone) {
            self.book.note(id, Note::Forget);
            self.conclude(&part, ObjectOutcome::Deleted);
        }
        if requirement == Requirement::Healthy {
            self.book.prove(id);
            self.count_healthy(id);
        }
        self.walk.done(&Step::Await(id.clone(), requirement), Outcome::Done);
    }

    fn count_healthy(&mut self, id: &ObjectId) {
        let Some(part) = self.scene.part(id).filter(|part| brings(part)) else { return };
        let Some(left) = self.unsettled.get_mut(part.component) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.tell(Event::Healthy { component: part.component.clone() });
        }
    }

    /// Takes note of what was seen of an object; returns what was looked at.
    fn seen(&mut self, sight: Sight) -> Due {
        let Sight { due, seen, reasons } = sight;
        let (id, requirement) = (due.id.clone(), due.requirement);
        let Some(part) = self.scene.part(&id) else { return due };
        if self.waits.get_mut(&id, requirement).is_none() {
            return due;
        }
        let verdict = match (&seen, requirement) {
            (Seen::Endpoint(Ok(())), _) | (Seen::Gone, Requirement::Gone) => Verdict::Reached,
            (Seen::Endpoint(Err(why)) | Seen::Unseen(why), _) => Verdict::Waits(why.clone()),
            (Seen::Gone, _) => {
                self.results.health.insert(id.clone(), Health::Missing);
                Verdict::Waits("it is not there".into())
            }
            (Seen::Body(body), Requirement::Gone) => self.is_gone(&part, body),
            (Seen::Body(body), Requirement::Healthy | Requirement::Converged) => {
                let health = self.scene.assess(part.component, body);
                self.results.health.insert(id.clone(), health.clone());
                self.results.reasons.insert(id.clone(), reasons.clone());
                Verdict::of(&health)
            }
            (Seen::Body(body), Requirement::Established) => {
                Verdict::of(&self.scene.assess(part.component, body))
            }
            (Seen::Body(_), Requirement::Applied | Requirement::EndpointReady) => Verdict::Reached,
        };
        match verdict {
            Verdict::Reached => self.reached(&id, requirement),
            Verdict::Waits(why) => self.still(&part, requirement, why, &reasons),
            Verdict::Never(why) => {
                self.still(&part, requirement, why, &reasons);
                if let Some(wait) = self.waits.get_mut(&id, requirement) {
                    wait.deadline = tokio::time::Instant::now();
                }
            }
        }
        due
    }

    /// The name may be another object's by now: then ours is gone.
    fn is_gone(&self, part: &Part<'_>, body: &Value) -> Verdict {
        let uid = body.pointer("/metadata/uid").and_then(Value::as_str);
        let old = match &part.change.action {
            Action::Delete { uid } => Some(uid.0.as_str()),
            _ => None,
        };
        if old.is_some() && uid != old {
            return Verdict::Reached;
        }
        let health = health::assess(body, &health::Rules::default());
        Verdict::Waits(health.why().unwrap_or("it is still there").to_owned())
    }

    fn still(
        &mut self,
        part: &Part<'_>,
        requirement: Requirement,
        why: String,
        reasons: &[String],
    ) {
        let id = &part.change.id;
        let why = match reasons.first() {
            Some(reason) => format!("{why} ({reason})"),
            None => why,
        };
        let Some(wait) = self.waits.get_mut(id, requirement) else { return };
        if wait.why != why {
            wait.why.clone_from(&why);
            let (component, id) = (part.component.clone(), id.clone());
            self.tell(Event::Waiting { component, id, why });
        }
    }

    /// Ends the waits whose deadline is over; only their branches stop.
    fn give_up(&mut self) {
        for (id, requirement, wait) in self.waits.overdue() {
            if let Some(part) = self.scene.part(&id) {
                self.overdue(&part, requirement, &wait);
            }
            self.walk.done(&Step::Await(id, requirement), Outcome::Failed);
        }
    }

    fn overdue(&mut self, part: &Part<'_>, requirement: Requirement, wait: &Wait) {
        let id = &part.change.id;
        let waited = wait.since.elapsed().as_secs();
        match requirement {
            Requirement::Gone => {
                let held = wait.why.split_once("held by ").map(|(_, held)| held);
                self.conclude(part, still_there(held));
            }
            Requirement::Healthy | Requirement::Converged => {
                let entry = self.results.health.entry(id.clone());
                let health = entry.or_insert(Health::Unknown { why: wait.why.clone() });
                if let Health::InProgress { why } = health {
                    *why = format!("{why}, after {waited} s");
                }
            }
            Requirement::Established | Requirement::EndpointReady | Requirement::Applied => {
                let outcome = failed(
                    code::apply::NOT_READY,
                    format!("not {requirement} after {waited} s: {}", wait.why),
                    None,
                );
                self.conclude(part, outcome);
            }
        }
    }

    /// Progress is worth no wait: where nobody takes it, it is dropped.
    fn tell(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}

/// Begins the span of a stage of a trace, which lasts until it is dropped.
fn begun(span: Span) -> Span {
    // its time begins when it is entered
    span.in_scope(|| {});
    span
}

/// What was seen of what is waited for.
enum Verdict {
    Reached,
    Waits(String),
    /// Waiting longer does not help.
    Never(String),
}

impl Verdict {
    fn of(health: &Health) -> Self {
        let why = || health.why().unwrap_or("it is not there").to_owned();
        match health {
            Health::Current => Self::Reached,
            Health::Failed { .. } => Self::Never(why()),
            Health::InProgress { .. }
            | Health::Terminating { .. }
            | Health::Missing
            | Health::Unknown { .. } => Self::Waits(why()),
        }
    }
}

fn deletes(part: &Part<'_>) -> bool {
    matches!(part.change.action, Action::Delete { .. })
}

/// Returns whether the change is one whose object is waited for until it is healthy.
fn brings(part: &Part<'_>) -> bool {
    matches!(
        part.change.action,
        Action::Create | Action::Update { .. } | Action::Adopt { .. } | Action::Replace { .. }
    )
}

fn unsettled(scene: &Scene<'_>) -> BTreeMap<ComponentName, usize> {
    let mut counts = BTreeMap::new();
    for part in scene.parts().filter(|part| brings(part)) {
        *counts.entry(part.component.clone()).or_default() += 1;
    }
    counts
}

fn is_success(outcome: &ObjectOutcome) -> bool {
    match outcome {
        ObjectOutcome::Unchanged
        | ObjectOutcome::Created
        | ObjectOutcome::Updated
        | ObjectOutcome::Adopted
        | ObjectOutcome::Replaced
        | ObjectOutcome::Deleted
        | ObjectOutcome::Released
        | ObjectOutcome::Forgotten
        | ObjectOutcome::Recorded => true,
        ObjectOutcome::Held { .. }
        | ObjectOutcome::Blocked { .. }
        | ObjectOutcome::Failed { .. }
        | ObjectOutcome::NotReached => false,
    }
}
