//! The writer: a thread of its own that appends what it is given, many records at a time.
//!
//! Nothing ever waits for it: a full queue, or a disk that is full, loses records, and the loss is itself recorded as
//! soon as something can be written again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use jiff::Timestamp;
use sitewright_model::lineage::{EntityId, Grade, Record, RecordKind, Source, Statement};

use crate::{Error, Index, Log};

/// Records that wait to be written; each is some kilobytes.
const QUEUE: usize = 8_192;

/// Records of one write to the disk.
const BATCH: usize = 1_024;

/// How often it is written that the recorder is alive, and how soon a failed write is tried again.
const BEAT: Duration = Duration::from_secs(10);

/// Records, and where it is told that they are on the disk.
struct Work {
    records: Vec<Record>,
    done: Option<SyncSender<Result<(), String>>>,
}

/// What could not be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Since when.
    pub since: Timestamp,
    /// How many records.
    pub count: u64,
    /// Why.
    pub why: String,
}

/// Writes a log.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Work>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    lost: Mutex<Option<Lost>>,
    sees: Mutex<bool>,
}

impl Shared {
    fn lose(&self, count: usize, why: &str, at: Timestamp) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = lost.get_or_insert_with(|| Lost { since: at, count: 0, why: why.to_owned() });
        lost.count += count as u64;
    }
}

impl Writer {
    /// Takes a log, and writes to it until it is dropped. `subject` is what losses are recorded of.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(log: Log, index: Index, subject: EntityId) -> Result<Self, Error> {
        let (queue, work) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let run = move || Loop { log, index, subject, shared: of_thread }.run(&work);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(run)
            .map_err(|error| Error::Database { place: "thread".into(), why: error.to_string() })?;
        Ok(Self { queue: Some(queue), shared, thread: Some(thread) })
    }

    /// Gives records to be written. Never waits: what finds no room is lost, and that is recorded.
    pub fn record(&self, records: Vec<Record>, now: Timestamp) {
        self.send(Work { records, done: None }, now);
    }

    /// Gives records, and returns once they are on the disk, or are lost.
    ///
    /// # Errors
    /// Why they are lost.
    pub fn record_and_wait(&self, records: Vec<Record>, now: Timestamp) -> Result<(), String> {
        let (done, told) = sync_channel(1);
        self.send(Work { records, done: Some(done) }, now);
        told.recv().unwrap_or_else(|_| Err("there was no room".to_owned()))
    }

    fn send(&self, work: Work, now: Timestamp) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(work) {
            Ok(()) => {}
            Err(TrySendError::Full(work)) => {
                self.shared.lose(work.records.len(), "the queue of the recorder was full", now);
            }
            Err(TrySendError::Disconnected(work)) => {
                self.shared.lose(work.records.len(), "the recorder has ended", now);
            }
        }
    }

    /// Says whether everything is seen now: only then the log's sign of life goes on.
    pub fn sees(&self, sees: bool) {
        *self.shared.sees.lock().unwrap_or_else(PoisonError::into_inner) = sees;
    }

    /// Returns what could not be recorded so far, and is not yet recorded as lost.
    pub fn lost(&self) -> Option<Lost> {
        self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None; // ends the thread once it has written what waits
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Loop {
    log: Log,
    index: Index,
    subject: EntityId,
    shared: Arc<Shared>,
}

impl Loop {
    fn run(mut self, work: &Receiver<Work>) {
        loop {
            match work.recv_timeout(BEAT) {
                Ok(first) => {
                    let mut batch = vec![first];
                    let mut count = 0;
                    while count < BATCH {
                        let Ok(next) = work.try_recv() else { break };
                        count += next.records.len();
                        batch.push(next);
                    }
                    self.write(batch);
                }
                Err(RecvTimeoutError::Timeout) => self.beat(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.beat();
                    return;
                }
            }
        }
    }

    fn write(&mut self, batch: Vec<Work>) {
        self.record_loss();
        let mut records = Vec::new();
        let mut told = Vec::new();
        for work in batch {
            records.extend(work.records);
            told.extend(work.done);
        }
        let done = match self.log.append(&records) {
            Ok(_) => Ok(()),
            Err(error) => {
                let now = records.first().map_or_else(Timestamp::now, |record| record.at);
                self.shared.lose(records.len(), &error.to_string(), now);
                tracing::warn!(code = %error.code(), "lineage: {error}");
                Err(error.to_string())
            }
        };
        for one in told {
            let _ = one.try_send(done.clone());
        }
        if let Err(error) = self.index.fold(self.log.reading()) {
            // it is folded again before it is asked
            tracing::debug!("lineage: the index lags behind: {error}");
        }
    }

    /// Records what was lost, before anything that came after it.
    fn record_loss(&mut self) {
        let lost = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(lost) = lost else { return };
        let (now, source) = (Timestamp::now(), Source::rule("recorder"));
        let fact = |field: &str, value: String| {
            Statement::fact(&self.subject, field, value, Grade::Observed, &source)
        };
        let said = vec![
            fact("since", lost.since.to_string()),
            fact("until", now.to_string()),
            fact("why", format!("{} records were lost: {}", lost.count, lost.why)),
        ];
        let record = Record::new(RecordKind::Blind, now, self.subject.clone(), said);
        if self.log.append(&[record]).is_err() {
            let mut kept = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
            let more = kept.take().map_or(0, |more| more.count);
            *kept = Some(Lost { count: lost.count + more, ..lost });
        }
    }

    fn beat(&mut self) {
        self.record_loss();
        let sees = *self.shared.sees.lock().unwrap_or_else(PoisonError::into_inner);
        if sees && let Err(error) = self.log.alive(Timestamp::now()) {
            tracing::debug!("lineage: {error}");
        }
    }
}
