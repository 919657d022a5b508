//! The resolver: a thread that looks up what runs and services name, once it is recorded that they do.
//!
//! Comes in: the log, read from behind the recorder. Goes out: what was found, as items for the recorder. Never: a wait
//! of the recorder for it; a statement about the run that named something, so that a claim stays a claim; anybody
//! asked whom the settings do not allow.
//!
//! It has no state of its own on the disk: what has no `resolution` in the log is looked up when it starts.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sitewright_ledger::{Ask, Error, Index, Question, Reader};
use sitewright_model::{
    format::lineage::Models,
    lineage::{EntityId, EntityKind, Grade, Record, Relation, Source, Statement, policy},
    terminal,
};
use sitewright_source::resolve::{
    self, Resolving, Unresolved,
    tree::{self, Gently, TreeError},
};
use tokio::sync::mpsc;

use crate::agent::{Looked, RecordMeasure};

use super::{
    queue::{Queue, Task, What},
    recorder::Item,
    settings::Lookups,
};

/// How often the log is looked at where nobody says that something was written.
const PAUSE: Duration = Duration::from_secs(2);

/// How soon a log that cannot be opened is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How long one look may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// For how long what was looked up is not looked up again, though another run names it: content, and names.
const STANDS: Duration = Duration::from_secs(24 * 3600);
const LEADS: Duration = Duration::from_secs(60);

/// Things that are remembered as looked up.
const REMEMBERED: usize = 100_000;

/// Places of one thing that are tried.
const PLACES: usize = 8;

/// Records that are read at a time, and things that are found again at a time.
const STRIDE: u64 = 256;
const BACKLOG: usize = 1_000;

/// How often live services are judged.
const JUDGE: Duration = Duration::from_secs(15);

/// Threads that read one model.
const THREADS: usize = 4;

/// Looks things up.
pub(super) struct Resolver {
    pub(super) dir: PathBuf,
    pub(super) lookups: Lookups,
    pub(super) found: mpsc::Sender<Item>,
    pub(super) is_over: Arc<AtomicBool>,
    pub(super) measure: RecordMeasure,
}

/// The resolver at work.
struct Desk {
    lookups: Lookups,
    found: mpsc::Sender<Item>,
    is_over: Arc<AtomicBool>,
    measure: RecordMeasure,
    reader: Reader,
    queue: Queue,
    /// The first leaf that was not looked at.
    next: u64,
    /// The last thing of those that were there at the start, while there are more.
    backlog: Option<i64>,
    looked: HashMap<(EntityId, What), Instant>,
    /// When live services were judged last, and how many leaves there were.
    judged: Option<(Instant, u64)>,
    /// Those that did not meet what is demanded.
    unmet: BTreeSet<String>,
}

impl Resolver {
    /// Works until it is over.
    pub(super) fn run(self) {
        let mut told = false;
        while !self.is_over.load(Ordering::Relaxed) {
            match self.open().and_then(|mut desk| desk.work()) {
                Ok(()) => return,
                // the log is made by the recorder, which says what is wrong with it
                Err(error) if !told => tracing::debug!("lineage: nothing is looked up: {error}"),
                Err(_) => {}
            }
            told = true;
            std::thread::park_timeout(AGAIN);
        }
    }

    fn open(&self) -> Result<Desk, Error> {
        let reader = Reader::open(&self.dir)?;
        Ok(Desk {
            lookups: self.lookups.clone(),
            found: self.found.clone(),
            is_over: Arc::clone(&self.is_over),
            measure: self.measure.clone(),
            next: reader.log().leaves()?,
            reader,
            queue: Queue::default(),
            backlog: Some(0),
            looked: HashMap::new(),
            judged: None,
            unmet: BTreeSet::new(),
        })
    }
}

impl Desk {
    fn index(&self) -> &Index {
        self.reader.index()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn work(&mut self) -> Result<(), Error> {
        while !self.is_over() {
            self.follow()?;
            match self.queue.next(Instant::now()) {
                Some(task) => self.carry_out(task)?,
                // what was there before comes after what is new
                None if self.backlog.is_some() => self.take_up()?,
                None => {
                    self.judge()?;
                    std::thread::park_timeout(PAUSE);
                }
            }
        }
        Ok(())
    }

    // === what is to be looked up ===

    /// Reads what was recorded since.
    fn follow(&mut self) -> Result<(), Error> {
        let leaves = self.reader.log().leaves()?;
        if self.next >= leaves {
            return Ok(());
        }
        self.reader.refresh()?;
        while self.next < leaves && !self.is_over() {
            let bodies = self.reader.log().bodies(self.next, STRIDE.min(leaves - self.next))?;
            self.next += bodies.len() as u64;
            for body in bodies.into_iter().flatten() {
                if let Ok(record) = serde_json::from_slice::<Record>(&body) {
                    self.consider(&record)?;
                }
            }
        }
        Ok(())
    }

    fn consider(&mut self, record: &Record) -> Result<(), Error> {
        let namespace = record.namespace.as_ref();
        for statement in &record.statements {
            match statement {
                Statement::Edge { from, relation: Relation::GeneratedBy, to, .. } => {
                    if self.has_ended(to)? {
                        self.want_made(from, to, namespace);
                    }
                }
                Statement::Edge { from, relation: Relation::Serves, to, .. } => {
                    self.want_made(to, from, namespace);
                }
                Statement::Edge { relation, to, .. } if names(*relation) => {
                    self.want(to, What::Look, namespace);
                }
                Statement::Fact { of, field, .. }
                    if of.kind() == EntityKind::Run && ends(field) =>
                {
                    for made in self.index().ties_to(of, Relation::GeneratedBy)? {
                        self.want_made(&made, of, namespace);
                    }
                    for used in self.index().ties_from(of, Relation::Used)? {
                        if is_folder(&used) {
                            self.want(&used, What::Compare(of.clone()), namespace);
                        }
                    }
                }
                // another place of the same thing: what somebody else named wrongly hides it from nobody
                Statement::Fact { of, field, .. }
                    if field == "uri" && of.kind() != EntityKind::Ref =>
                {
                    self.looked.remove(&(of.clone(), What::Look));
                    self.want(of, What::Look, namespace);
                }
                Statement::Edge { .. } | Statement::Fact { .. } => {}
            }
        }
        Ok(())
    }

    fn has_ended(&self, run: &EntityId) -> Result<bool, Error> {
        for field in ["outcome", "incomplete", "goneAt"] {
            if self.index().last_word(run, field)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wants what `by` has made, or serves, to be read or else looked up.
    fn want_made(&mut self, id: &EntityId, by: &EntityId, namespace: Option<&String>) {
        let is_model = id.kind() == EntityKind::Ref && self.lookups.models_of(id.rest()).is_some();
        let what = if is_model { What::Read(by.clone()) } else { What::Look };
        self.want(id, what, namespace);
    }

    fn want(&mut self, id: &EntityId, what: What, namespace: Option<&String>) {
        let is_asked_for = matches!(
            id.kind(),
            EntityKind::Commit | EntityKind::Image | EntityKind::Data | EntityKind::Ref
        );
        if !is_asked_for || (!self.lookups.asks && !matches!(what, What::Read(_))) {
            return;
        }
        let stands = if id.kind() == EntityKind::Ref { LEADS } else { STANDS };
        let key = (id.clone(), what.clone());
        // what is read is read each time that something was made there
        let is_known =
            what == What::Look && self.looked.get(&key).is_some_and(|when| when.elapsed() < stands);
        if !is_known {
            self.queue.add(Task::new(id.clone(), what, namespace.cloned()));
        }
    }

    /// Takes up what was there before, some at a time.
    fn take_up(&mut self) -> Result<(), Error> {
        let Some(after) = self.backlog else { return Ok(()) };
        let found = self.index().unresolved(after, BACKLOG)?;
        self.backlog = found.last().map(|(number, _)| *number);
        for (_, id) in found {
            let made_by = self.index().ties_from(&id, Relation::GeneratedBy)?;
            let mut is_made = !self.index().ties_to(&id, Relation::Serves)?.is_empty();
            for run in &made_by {
                is_made |= self.has_ended(run)?;
            }
            if is_made {
                // what is there by now may not be what was there then: it is tied to nobody
                self.want_made(&id, &id, None);
            } else if made_by.is_empty() {
                self.want(&id, What::Look, None);
            }
        }
        Ok(())
    }

    // === looking up ===

    fn carry_out(&mut self, mut task: Task) -> Result<(), Error> {
        if self.looked.len() >= REMEMBERED {
            self.looked.clear();
        }
        self.looked.insert((task.id.clone(), task.what.clone()), Instant::now());
        let done = match &task.what {
            What::Read(by) => self.read(&task.id, by),
            What::Look => self.look(&mut task)?,
            What::Compare(run) => self.compare(&task.id, run)?,
        };
        let result = match &done {
            Ok(_) => Looked::Found,
            Err((Unresolved::Gone(_), _)) => Looked::Gone,
            Err((Unresolved::Away(_), _)) => Looked::Away,
            Err(_) => Looked::Refused,
        };
        self.measure.looked_up(result, self.queue.len());
        let said = match done {
            Ok(said) => said,
            Err((unresolved, _)) if unresolved.is_temporary() => {
                tracing::debug!("lineage: {}: {unresolved}", task.id);
                let id = task.id.clone();
                if self.queue.again(task, Instant::now()) {
                    return Ok(());
                }
                let why = terminal::clean(&unresolved.to_string());
                let source = Source::rule("given up after many tries");
                let fact = |field: &str, value: String| {
                    Statement::fact(&id, field, value, Grade::Unknown, &source)
                };
                let said = vec![fact("resolution", "away".into()), fact("resolutionNote", why)];
                self.tell(id, said);
                return Ok(());
            }
            Err((_, said)) => said,
        };
        self.tell(task.id, said);
        Ok(())
    }

    /// Tells the recorder, which may be waited for from here.
    fn tell(&self, id: EntityId, said: Vec<Statement>) {
        if !said.is_empty() {
            // nobody listens once it is over
            let _ = self.found.blocking_send(Item::Found { id, said });
        }
    }

    fn resolving(&self) -> Resolving<'_> {
        let Lookups { settings, reach, keys, stores, .. } = &self.lookups;
        let (reach, now) = (reach.clone(), Timestamp::now());
        Resolving { settings, reach, now, deadline: DEADLINE, keys, stores }
    }

    /// Judges the live services, now and then and if anything was recorded since.
    fn judge(&mut self) -> Result<(), Error> {
        let leaves = self.reader.log().leaves()?;
        let is_due =
            self.judged.is_none_or(|(when, before)| before != leaves && when.elapsed() >= JUDGE);
        if !is_due || self.lookups.policy.serving.is_empty() {
            return Ok(());
        }
        self.judged = Some((Instant::now(), leaves));
        let mut unmet = BTreeSet::new();
        for (service, namespace) in self.index().open_things(EntityKind::Service)? {
            let rule = namespace.as_deref().and_then(|name| self.lookups.policy.of(name));
            let Some(rule) = rule else { continue };
            if self.is_over() {
                return Ok(());
            }
            let verdict = policy::judge(&self.reader.ask(&of(&service))?, &rule.demand());
            if verdict.is_met() {
                continue;
            }
            let name = terminal::clean(&verdict.name);
            if !self.unmet.contains(&name) {
                let why = terminal::clean(&verdict.reasons.join("; "));
                tracing::warn!(
                    "lineage: {name} serves a model that does not meet the site's policy: {why}"
                );
            }
            unmet.insert(name);
        }
        self.measure.unmet(unmet.len());
        self.unmet = unmet;
        Ok(())
    }

    /// Looks up what something is, at the places where it is said to be.
    fn look(&self, task: &mut Task) -> Result<Answer, Error> {
        let id = &task.id;
        let mut places: Vec<Option<String>> = match id.kind() {
            EntityKind::Ref => vec![Some(id.rest().to_owned())],
            _ => self.index().words(id, "uri", PLACES)?.into_iter().map(Some).collect(),
        };
        if places.is_empty() {
            places.push(None);
        }
        task.host = places.iter().flatten().find_map(|place| host(place));
        let (mut said, mut worst): (Vec<Statement>, Option<Unresolved>) = (Vec::new(), None);
        for place in places {
            match resolve::resolve(id, place.as_deref(), &self.resolving()) {
                Ok(found) => return Ok(Ok(found)),
                Err(unresolved) => {
                    said.extend(unresolved.statements(id, place.as_deref().unwrap_or_default()));
                    let is_worse = worst.as_ref().is_none_or(|worst| !worst.is_temporary());
                    worst = if is_worse { Some(unresolved) } else { worst };
                }
            }
        }
        Ok(worst.map_or(Ok(Vec::new()), |worst| Err((worst, said))))
    }

    /// Sees whether a folder of a bucket is what it was when the run began.
    fn compare(&self, id: &EntityId, run: &EntityId) -> Result<Answer, Error> {
        let before = self.index().led_to(id, Grade::Inferred, EntityKind::Data)?;
        let found = match resolve::resolve(id, Some(id.rest()), &self.resolving()) {
            Ok(found) => found,
            Err(unresolved) => return Ok(Err((unresolved, Vec::new()))),
        };
        let now = found.iter().find_map(|one| match one {
            Statement::Edge { from, relation: Relation::LedTo, to, .. } if from == id => Some(to),
            _ => None,
        });
        let mut said = found.clone();
        if let (Some(before), Some(now)) = (before, now)
            && before != *now
        {
            // another run may have had it listed since, so that this is no observation of the run
            let rule =
                "its list was another one when the run ended than when it was listed last before";
            let source = Source::rule(rule);
            let uri = terminal::clean(id.rest());
            said.push(Statement::fact(run, "changedDuringRun", uri, Grade::Inferred, &source));
        }
        Ok(Ok(said))
    }

    /// Reads the bytes of a model, for who has made it or serves it.
    fn read(&self, id: &EntityId, by: &EntityId) -> Answer {
        let unknown = || Unresolved::Unknown("no model of the settings".to_owned());
        let Some((models, rest)) = self.lookups.models_of(id.rest()) else {
            return Err((unknown(), Vec::new()));
        };
        let pace = Pace::new(models.bytes_per_second, &self.is_over);
        let measure = &self.measure;
        let wait = |bytes: usize| {
            measure.hashed(bytes);
            pace.wait(bytes);
        };
        let threads = available_parallelism().map_or(1, usize::from).min(THREADS);
        let gently = Gently { threads, pace: &wait, ..Gently::new(&self.is_over) };
        let now = Timestamp::now();
        let hashed = match &models.path {
            Some(path) => hash_folder(models, path, rest, &gently),
            None => match resolve::hash_prefix(id.rest(), &gently, &self.resolving()) {
                // it is no folder: a model of one file
                Err(Unresolved::Gone(_)) => {
                    return resolve::resolve(id, Some(id.rest()), &self.resolving())
                        .map_err(|unresolved| with_statements(unresolved, id));
                }
                hashed => hashed,
            },
        };
        match hashed {
            Ok(hashed) => {
                let mut said = hashed.statements(id, now);
                said.extend(tied(by, &hashed.id()));
                Ok(said)
            }
            Err(unresolved) => Err(with_statements(unresolved, id)),
        }
    }
}

/// Asks what a thing came from.
pub(super) fn of(id: &EntityId) -> Ask {
    Ask::new(Question::Of(id.to_string()))
}

/// What was found, or why nothing was and what is to be recorded of that.
type Answer = Result<Vec<Statement>, (Unresolved, Vec<Statement>)>;

/// Says that bytes were there once a run had ended, or when a service began: of several runs that wrote to one place, that
/// tells whose they are.
fn tied(by: &EntityId, tree: &EntityId) -> Option<Statement> {
    let (from, relation, to, rule) = match by.kind() {
        EntityKind::Run => {
            let rule = "it was where the run says that it wrote, once the run had ended";
            (tree, Relation::GeneratedBy, by, rule)
        }
        EntityKind::Service => {
            let rule = "it was where the service reads its model, when the service was seen";
            (by, Relation::Serves, tree, rule)
        }
        _ => return None,
    };
    Some(Statement::edge(from, relation, to, Grade::Inferred, &Source::rule(rule)))
}

fn with_statements(unresolved: Unresolved, id: &EntityId) -> (Unresolved, Vec<Statement>) {
    let said = unresolved.statements(id, id.rest());
    (unresolved, said)
}

/// Hashes the folder, or the file, that a model is at.
fn hash_folder(
    models: &Models,
    path: &Path,
    rest: &str,
    gently: &Gently<'_>,
) -> Result<tree::Hashed, Unresolved> {
    let is_inside = Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inside {
        return Err(Unresolved::Unknown("it leads out of the folder of models".to_owned()));
    }
    if !path.is_dir() {
        // a mount that is not there says nothing of what it would hold
        return Err(Unresolved::Away(format!("the folder of `{}` is not there", models.uri)));
    }
    tree::hash_within(path, rest, gently).map_err(|error| match error {
        TreeError::Stopped | TreeError::Changed(_) => Unresolved::Away(error.to_string()),
        TreeError::Link(_) | TreeError::Special(_) | TreeError::Name(_) => {
            Unresolved::Broken(error.to_string())
        }
        TreeError::TooLarge(_) => Unresolved::TooLarge(error.to_string()),
        TreeError::Unreadable { ref source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => Unresolved::Gone(error.to_string()),
            std::io::ErrorKind::PermissionDenied => Unresolved::Refused(error.to_string()),
            _ => Unresolved::Away(error.to_string()),
        },
    })
}

/// Returns whether a tie names something that is to be looked up.
fn names(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::RanCode
            | Relation::Used
            | Relation::MayHaveRead
            | Relation::ExecutedIn
            | Relation::DerivedFrom
            | Relation::LedTo
    )
}

/// Returns whether a run is over once this is said of it.
fn ends(field: &str) -> bool {
    matches!(field, "outcome" | "incomplete" | "goneAt")
}

/// Returns whether it is a folder of a bucket.
fn is_folder(id: &EntityId) -> bool {
    id.kind() == EntityKind::Ref && id.rest().starts_with("s3://") && id.rest().ends_with('/')
}

/// Returns who is asked about a place.
fn host(place: &str) -> Option<String> {
    let (_, rest) = place.split_once("://")?;
    let host = rest.split('/').next()?;
    Some(host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned())
}

/// Holds a rate over all threads.
struct Pace<'s> {
    began: Instant,
    bytes: AtomicU64,
    rate: u64,
    stop: &'s AtomicBool,
}

impl<'s> Pace<'s> {
    fn new(rate: u64, stop: &'s AtomicBool) -> Self {
        Self { began: Instant::now(), bytes: AtomicU64::new(0), rate: rate.max(1), stop }
    }

    /// Waits until `bytes` more may have been read.
    fn wait(&self, bytes: usize) {
        let read =
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed).saturating_add(bytes as u64);
        let due = self.began + Duration::from_secs_f64(read as f64 / self.rate as f64);
        while let Some(pause) = due.checked_duration_since(Instant::now()) {
            if self.stop.load(Ordering::Relaxed) || pause.is_zero() {
                return;
            }
            std::thread::sleep(pause.min(Duration::from_millis(200)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_held_by_all_threads_together() {
        let stop = AtomicBool::new(false);
        let pace = Pace::new(1_000_000, &stop);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| pace.wait(50_000));
            }
        });
        assert!(began.elapsed() >= Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        pace.wait(1 << 40);
    }

    #[test]
    fn who_is_asked_is_the_host() {
        for (place, expected) in [
            ("git+https://git.example.org/r", "git.example.org"),
            ("oci://registry.example.org:5000/r", "registry.example.org:5000"),
            ("git+ssh://git@host/r", "host"),
        ] {
            assert_eq!(host(place).as_deref(), Some(expected));
        }
        assert_eq!(host("dvc:md5:1"), None);
    }
}
