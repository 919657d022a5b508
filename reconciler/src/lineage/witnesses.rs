//! Asks the witnesses of the log to sign that it only grew (C2SP tlog-witness).
//!
//! Comes in: the last checkpoint. Goes out: the same one with their signatures, beside it. Never: a wait of the recorder.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sitewright_ledger::{
    Checkpoint, Error, Note, PublicKey, Reading,
    witness::{add_signature, keep, request},
};
use sitewright_source::{
    Url,
    outbound::{Method, Outgoing, Reach, send},
};

use super::Witnessing;

/// How often witnesses are asked at most, and only where the log has grown.
const EVERY: Duration = Duration::from_secs(60);

/// How long a witness may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of its answer: some lines.
const ANSWER: u64 = 64 * 1024;

/// How soon it is seen that the agent ends.
const BLINK: Duration = Duration::from_millis(500);

/// Asks witnesses, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Witnesses {
    is_over: Arc<AtomicBool>,
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Witnesses {
    /// Begins to ask the witnesses of the log in the folder `dir`, on a thread that nobody waits for; none where there are
    /// no witnesses.
    pub(crate) fn ask(dir: PathBuf, witnessing: Witnessing) -> Option<Self> {
        if witnessing.witnesses.is_empty() {
            return None;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let mut round = Round::new(dir, witnessing.witnesses);
        let run = move || {
            while !over.load(Ordering::Relaxed) {
                round.go();
                let until = Instant::now() + EVERY;
                while Instant::now() < until && !over.load(Ordering::Relaxed) {
                    std::thread::sleep(BLINK);
                }
            }
        };
        let thread = std::thread::Builder::new().name("witnesses".into()).spawn(run);
        drop(thread.inspect_err(|error| tracing::warn!(%error, "lineage: no thread")));
        Some(Self { is_over })
    }
}

/// What is known of each witness.
pub(crate) struct Round {
    dir: PathBuf,
    witnesses: Vec<Asked>,
    /// The last checkpoint that all of them signed.
    done: Option<String>,
}

struct Asked {
    url: Url,
    key: PublicKey,
    /// How many leaves it has seen, as far as it is known.
    seen: u64,
    /// Why it did not sign the last time: it is told once.
    trouble: String,
}

impl Round {
    pub(crate) fn new(dir: PathBuf, witnesses: Vec<(Url, PublicKey)>) -> Self {
        let asked = |(url, key)| Asked { url, key, seen: 0, trouble: String::new() };
        Self { dir, witnesses: witnesses.into_iter().map(asked).collect(), done: None }
    }

    /// Asks each witness once about the last checkpoint; returns how many have signed it.
    pub(crate) fn go(&mut self) -> usize {
        match self.all() {
            Ok(signed) => signed,
            // the log is not there yet, or not for now
            Err(error) => {
                tracing::debug!("lineage: no witness is asked: {error}");
                0
            }
        }
    }

    fn all(&mut self) -> Result<usize, Error> {
        let log = Reading::open(&self.dir)?;
        let (Some(note), Some(key)) = (log.checkpoint()?, log.key()?) else { return Ok(0) };
        if self.done.as_ref() == Some(&note.text) {
            return Ok(self.witnesses.len());
        }
        let mut signed = note.clone();
        let count = self
            .witnesses
            .iter_mut()
            .filter_map(|one| one.sign(&log, &note, &mut signed).then_some(()))
            .count();
        if count > 0 {
            keep(&self.dir, &PublicKey::parse(&key)?, &signed)?;
        }
        if count == self.witnesses.len() {
            self.done = Some(note.text);
        }
        Ok(count)
    }
}

impl Asked {
    /// Asks it to sign, and adds its signature.
    fn sign(&mut self, log: &Reading, note: &Note, signed: &mut Note) -> bool {
        match self.ask(log, note, signed) {
            Ok(()) => {
                self.trouble.clear();
                true
            }
            Err(trouble) => {
                if self.trouble != trouble {
                    tracing::warn!("lineage: {} does not witness: {trouble}", self.key.name());
                    self.trouble = trouble;
                }
                false
            }
        }
    }

    fn ask(&mut self, log: &Reading, note: &Note, signed: &mut Note) -> Result<(), String> {
        let size = Checkpoint::parse(&note.text).map_err(|error| error.to_string())?.size;
        // who was asked by somebody else meanwhile says from where it wants the proof
        for _ in 0..2 {
            let body = request(log, self.seen, note).map_err(|error| error.to_string())?;
            let url = format!("{}/add-checkpoint", address(&self.url));
            let url = Url::parse(&url).map_err(|error| error.to_string())?;
            let outgoing = Outgoing::new(Method::Post, url, DEADLINE)
                .body("text/plain; charset=utf-8", body)
                .answer_of(ANSWER);
            // who runs the program chose the address
            let reply = send(&outgoing, &Reach::Anybody).map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&reply.body);
            match reply.status {
                200 if add_signature(signed, &text, &self.key) => {
                    self.seen = size;
                    return Ok(());
                }
                200 => return Err("its answer is not signed with its key".to_owned()),
                409 => {
                    let seen: u64 =
                        text.trim().parse().map_err(|_| "it says no size".to_owned())?;
                    if seen == self.seen || seen > size {
                        return Err(format!(
                            "it has seen another history of this log, with {seen} leaves; this one has {size}"
                        ));
                    }
                    self.seen = seen;
                }
                status => return Err(format!("it says {status}")),
            }
        }
        Err("it says one size, and then another".to_owned())
    }
}

fn address(url: &Url) -> String {
    let address = format!("{}://{}{}", url.scheme(), url.authority(), url.path());
    address.trim_end_matches('/').to_owned()
}
