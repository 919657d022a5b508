//! Where questions are answered: some at a time, on threads that may block, each within its time.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use sitewright_ledger::{Error, Reader};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    Problem,
    access::{Bucket, Caller, Rate, lock},
};

/// Questions that are answered at a time. Each holds a thread, and memory for its graph.
const PLACES: usize = 4;

/// Questions of one caller at a time: one must leave room for others.
const OF_ONE: usize = 2;

/// How often one caller may ask.
const ASKS: Rate = Rate { a_second: 10.0, at_once: 60.0 };

/// Callers that are counted.
const CALLERS: usize = 1_024;

/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// How long an answer may take.
const TIME: Duration = Duration::from_secs(10);

/// How long a reader is kept while nobody asks: it holds a cache, and the files that were there when it was opened.
const KEPT: Duration = Duration::from_secs(60);

/// Answers questions to the log in a folder.
pub(super) struct Questions {
    dir: PathBuf,
    /// Whether this program writes that log.
    is_beside: bool,
    idle: Mutex<Vec<(Instant, Reader)>>,
    places: Arc<Semaphore>,
    callers: Arc<Mutex<HashMap<String, Counted>>>,
}

/// What one caller does.
struct Counted {
    bucket: Bucket,
    busy: usize,
}

/// A question of a caller that is being answered.
pub(super) struct Turn {
    callers: Arc<Mutex<HashMap<String, Counted>>>,
    caller: String,
    _place: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(counted) = lock(&self.callers).get_mut(&self.caller) {
            counted.busy = counted.busy.saturating_sub(1);
        }
    }
}

impl Questions {
    pub(super) fn new(dir: PathBuf, is_beside: bool) -> Self {
        Self {
            dir,
            is_beside,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            callers: Arc::default(),
        }
    }

    /// Counts a question of `caller`; it may be one too many.
    pub(super) fn count(&self, caller: &Caller) -> Result<(), Problem> {
        let now = Instant::now();
        let mut callers = lock(&self.callers);
        if callers.len() >= CALLERS {
            callers.retain(|_, counted| counted.busy > 0 || !counted.bucket.is_full(now));
        }
        if callers.len() >= CALLERS && !callers.contains_key(caller.name()) {
            return Err(Problem::crowded());
        }
        let fresh = || Counted { bucket: Bucket::new(ASKS, now), busy: 0 };
        let counted = callers.entry(caller.name().to_owned()).or_insert_with(fresh);
        if counted.bucket.take(now) { Ok(()) } else { Err(Problem::too_many(6)) }
    }

    /// Waits until a question of `caller` may be answered.
    pub(super) async fn turn(&self, caller: &Caller) -> Result<Turn, Problem> {
        let place = timeout(TURN, Arc::clone(&self.places).acquire_owned());
        let place = place.await.map_err(|_| Problem::crowded())?;
        let place = place.expect("this semaphore is never closed");
        let mut callers = lock(&self.callers);
        let now = Instant::now();
        let fresh = || Counted { bucket: Bucket::new(ASKS, now), busy: 0 };
        let counted = callers.entry(caller.name().to_owned()).or_insert_with(fresh);
        if counted.busy >= OF_ONE {
            return Err(Problem::too_many(1));
        }
        counted.busy += 1;
        let (callers, caller) = (Arc::clone(&self.callers), caller.name().to_owned());
        Ok(Turn { callers, caller, _place: place })
    }

    /// Answers within the time that there is. The place is given back once the work has really ended.
    pub(super) async fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        work: impl FnOnce(&Reader, std::time::Instant) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (this, until) = (Arc::clone(self), std::time::Instant::now() + TIME);
        let worked = spawn_blocking(move || {
            let _turn = turn;
            let mut reader = this.reader().map_err(|error| Problem::of(&error))?;
            reader.refresh().map_err(|error| Problem::of(&error))?;
            let answer = work(&reader, until);
            if !matches!(&answer, Err(problem) if problem.is_of_the_record()) {
                lock(&this.idle).push((Instant::now(), reader));
            }
            answer
        });
        match timeout(TIME + TURN, worked).await {
            Ok(Ok(answer)) => answer,
            // a panic there is a bug, and tells the asker nothing
            Ok(Err(_)) => Err(Problem::broken()),
            Err(_) => Err(Problem::of(&Error::Slow)),
        }
    }

    fn reader(&self) -> Result<Reader, Error> {
        let now = Instant::now();
        let mut idle = lock(&self.idle);
        idle.retain(|(since, _)| now.saturating_duration_since(*since) < KEPT);
        if let Some((_, reader)) = idle.pop() {
            return Ok(reader);
        }
        drop(idle);
        if self.is_beside { Reader::beside(&self.dir) } else { Reader::open(&self.dir) }
    }
}
