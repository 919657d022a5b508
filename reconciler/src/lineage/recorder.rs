//! The recorder: a thread that turns what is seen and done into records, each once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use sitewright_cluster::{
    CancellationToken, Cluster,
    sightings::{Object, Sighting},
};
use sitewright_ledger::{Error, Index, Log, Reading, Writer};
use sitewright_model::{
    lineage::{
        self, ClusterId, EntityId, EntityKind, Grade, Record, RecordKind, Relation, Seen, Source,
        Statement, epoch::Began, node,
    },
    object::GroupKind,
};
use tokio::sync::mpsc;

use crate::agent::RecordMeasure;

use super::{
    chronicle::{Chronicle, Entry},
    courier::{Courier, Destination},
    resolver::Resolver,
    settings::Lookups,
};

/// Items that wait for the recorder. Watches wait when it is full; the agent does not, and loses what has no room.
const QUEUE: usize = 1_024;

/// Statements that are remembered as said; the index knows of all others.
const REMEMBERED: usize = 200_000;

/// How soon a log that cannot be opened is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// How long the last records may take when the agent stops.
const LAST: Duration = Duration::from_secs(5);

/// Something to record.
pub(super) enum Item {
    /// What was seen on the cluster.
    Sighting(Sighting),
    /// What the agent did.
    Entry(Box<Entry>),
    /// What was found out about an artifact.
    Found { id: EntityId, said: Vec<Statement> },
    /// It is over.
    End,
}

/// How to record.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The folder of the log.
    pub(crate) dir: PathBuf,
    /// The file of the key that signs it.
    pub(crate) key: PathBuf,
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// What may be looked up; nothing where there is none.
    pub(crate) lookups: Option<Lookups>,
    /// What is measured.
    pub(crate) measure: RecordMeasure,
    /// Who is told in OpenLineage; nobody where there is none.
    pub(crate) destination: Option<Destination>,
}

/// The recorder of one cluster.
#[derive(Debug)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<Item>,
    chronicle: Chronicle,
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Recorder {
    /// Begins to record. What stands in the way of the log stands in the way of nothing else: it is tried again, and what
    /// was missed is recorded.
    pub(crate) fn new(setup: Setup) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let chronicle = Chronicle::new(sender.clone(), Arc::clone(&lost));
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        if let Some(lookups) = setup.lookups.clone() {
            let (dir, found, is_over) = (setup.dir.clone(), sender.clone(), Arc::clone(&is_over));
            let measure = setup.measure.clone();
            let resolver = Resolver { dir, lookups, found, is_over, measure };
            // nobody waits for its end: what it was at is begun again
            let thread = std::thread::Builder::new().name("resolver".into());
            let thread = thread.spawn(move || resolver.run());
            drop(thread.inspect_err(|error| tracing::warn!(%error, "lineage: no thread")));
        }
        if let Some(to) = setup.destination.clone() {
            let courier = Courier { dir: setup.dir.clone(), to, is_over: Arc::clone(&is_over) };
            // nobody waits for its end either: what was not told is told by the next one
            let thread = std::thread::Builder::new().name("courier".into());
            let thread = thread.spawn(move || courier.run());
            drop(thread.inspect_err(|error| tracing::warn!(%error, "lineage: no thread")));
        }
        let run = move || {
            if let Some(desk) = open(&setup, &lost, &over) {
                desk.run(receiver);
            }
        };
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(run);
        let thread = thread.inspect_err(|error| tracing::warn!(%error, "lineage: no thread")).ok();
        Self { sender, chronicle, is_over, thread }
    }

    /// Returns where the agent tells what it does.
    pub(crate) fn chronicle(&self) -> Chronicle {
        self.chronicle.clone()
    }

    /// Records what is seen on `cluster` until it is stopped; returns once everything is on the disk.
    pub(crate) async fn run(self, cluster: &Cluster, stop: &CancellationToken) {
        let mut sightings = cluster.sightings();
        let Self { sender, thread, is_over, .. } = self;
        let forward = async {
            while let Some(sighting) = sightings.next().await {
                if sender.send(Item::Sighting(sighting)).await.is_err() {
                    return;
                }
            }
        };
        stop.run_until_cancelled(forward).await;
        drop(sightings);
        is_over.store(true, Ordering::Relaxed);
        // what the agent told until here is in the queue before it
        let _ = tokio::time::timeout(LAST, sender.send(Item::End)).await;
        let joined = tokio::task::spawn_blocking(move || thread.map(std::thread::JoinHandle::join));
        let _ = tokio::time::timeout(LAST, joined).await;
    }
}

/// Opens the log, as soon as that can be; none where it is over before.
fn open(setup: &Setup, lost: &Arc<AtomicU64>, is_over: &AtomicBool) -> Option<Desk> {
    let mut told = String::new();
    while !is_over.load(Ordering::Relaxed) {
        match Desk::open(setup, lost) {
            Ok(desk) => return Some(desk),
            Err(error) if told != error.to_string() => {
                tracing::warn!(code = %error.code(), "lineage is not recorded: {error}");
                told = error.to_string();
            }
            Err(_) => {}
        }
        let until = Instant::now() + AGAIN;
        while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    None
}

/// An attempt that has not ended.
struct Attempt {
    run: EntityId,
    node: Option<String>,
    namespace: Option<String>,
}

/// What the recorder knows.
struct Desk {
    writer: Writer,
    known: Index,
    cluster: ClusterId,
    salt: Vec<u8>,
    subject: EntityId,
    lost: Arc<AtomicU64>,
    /// By name, each node and the state it was seen in last.
    nodes: BTreeMap<String, (EntityId, EntityId)>,
    attempts: HashMap<EntityId, Attempt>,
    /// By cluster and site, what is in force.
    epochs: BTreeMap<(ClusterId, String), EntityId>,
    said: HashSet<u64>,
    /// By kind, since when something may have been missed, and why.
    missed: BTreeMap<GroupKind, (Timestamp, String)>,
    /// Since when nobody recorded, where the log was written before.
    since: Option<Timestamp>,
    is_complete: bool,
    measure: RecordMeasure,
}

impl Desk {
    fn open(setup: &Setup, lost: &Arc<AtomicU64>) -> Result<Self, Error> {
        let Setup { dir, key, cluster, .. } = setup;
        let key = super::read_key(key)?;
        let salt = key.secret_for("person").to_vec();
        let log = Log::open(dir, key)?;
        let leaves = log.reading().leaves()?;
        let is_new = leaves == 0;
        let alive = log.reading().last_alive()?.max(log.reading().last_leaf()?);
        let index = Index::open(dir, log.reading())?;
        let known = Index::open(dir, &Reading::open(dir)?)?;
        let subject = EntityId::node(cluster, "cluster");
        let writer = Writer::new(log, index, subject.clone())?;
        let mut desk = Self {
            writer,
            known,
            cluster: cluster.clone(),
            salt,
            subject,
            lost: Arc::clone(lost),
            nodes: BTreeMap::new(),
            attempts: HashMap::new(),
            epochs: BTreeMap::new(),
            said: HashSet::new(),
            missed: BTreeMap::new(),
            since: if is_new { None } else { alive },
            is_complete: false,
            measure: setup.measure.clone(),
        };
        desk.begin(is_new)?;
        Ok(desk)
    }

    /// Takes up what the log says is not over.
    fn begin(&mut self, is_new: bool) -> Result<(), Error> {
        if is_new {
            let source = Source::rule("recorder");
            let fact = |field: &str, value: &str| {
                Statement::fact(&self.subject, field, value, Grade::Observed, &source)
            };
            let said =
                vec![fact("cluster", self.cluster.as_str()), fact("recorder", crate::VERSION)];
            self.write(RecordKind::Began, &self.subject.clone(), None, said);
        }
        for (epoch, _) in self.known.open_things(EntityKind::Epoch)? {
            let mut parts = epoch.rest().split('/');
            if let (Some(cluster), Some(site)) = (parts.next(), parts.next()) {
                let key = (ClusterId::new(cluster), site.to_owned());
                self.epochs.insert(key, epoch);
            }
        }
        Ok(())
    }

    fn run(mut self, mut items: mpsc::Receiver<Item>) {
        while let Some(item) = items.blocking_recv() {
            self.note_losses();
            let done = match item {
                Item::Entry(entry) => self.enter(*entry),
                Item::Sighting(sighting) => self.see(sighting),
                Item::Found { id, said } => self.find(&id, said),
                Item::End => return,
            };
            if let Err(error) = done {
                tracing::warn!(code = %error.code(), "lineage: {error}");
            }
        }
    }

    /// Records what the agent had no room to tell.
    fn note_losses(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.measure.lost(lost);
            let now = Timestamp::now();
            self.blind(
                now,
                now,
                &format!("{lost} doings of the agent found no room in the recorder's queue"),
            );
        }
    }

    fn blind(&mut self, since: Timestamp, until: Timestamp, why: &str) {
        let source = Source::rule("recorder");
        let fact = |field: &str, value: String| {
            Statement::fact(&self.subject, field, value, Grade::Observed, &source)
        };
        let said = vec![
            fact("since", since.to_string()),
            fact("until", until.to_string()),
            fact("why", why.to_owned()),
        ];
        self.write(RecordKind::Blind, &self.subject.clone(), None, said);
    }

    /// Writes statements, all of them.
    fn write(
        &mut self,
        kind: RecordKind,
        subject: &EntityId,
        namespace: Option<&str>,
        said: Vec<Statement>,
    ) {
        if said.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let record = Record::new(kind, now, subject.clone(), said).within(namespace);
        self.measure.recorded();
        self.writer.record(vec![record], now);
    }

    /// Writes statements that the log does not hold.
    fn write_new(
        &mut self,
        kind: RecordKind,
        subject: &EntityId,
        namespace: Option<&str>,
        said: Vec<Statement>,
    ) -> Result<(), Error> {
        let mut new = Vec::new();
        for statement in said {
            if self.said.contains(&sign(&statement)) || new.contains(&statement) {
                continue;
            }
            if !self.known.has(&statement)? {
                new.push(statement.clone());
            }
            if self.said.len() >= REMEMBERED {
                self.said.clear();
            }
            self.said.insert(sign(&statement));
        }
        self.write(kind, subject, namespace, new);
        Ok(())
    }

    /// Records what was found out about an artifact, as far as it is another word than the last.
    fn find(&mut self, id: &EntityId, said: Vec<Statement>) -> Result<(), Error> {
        let mut news = Vec::new();
        for statement in said {
            let is_known = match &statement {
                Statement::Fact { of, field, value, .. } => {
                    self.known.last_word(of, field)?.as_ref() == Some(value)
                }
                // a name may lead back to where it led before
                Statement::Edge { from, relation: Relation::LedTo, to, grade, .. } => {
                    self.known.led_to(from, *grade, to.kind())?.as_ref() == Some(to)
                }
                Statement::Edge { .. } => self.known.has(&statement)?,
            };
            if !is_known {
                news.push(statement);
            }
        }
        self.write(RecordKind::Artifact, id, None, news);
        Ok(())
    }

    // === what is seen ===

    fn see(&mut self, sighting: Sighting) -> Result<(), Error> {
        match sighting {
            Sighting::Is(object) => self.is(&object, false),
            Sighting::Gone(object) => self.is(&object, true),
            Sighting::Missed { kind, since, why } => {
                self.writer.sees(false);
                self.measure.sees(false);
                self.missed.entry(kind).or_insert((since, why));
                Ok(())
            }
            Sighting::Listed { kind, uids } => self.listed(&kind, &uids),
            Sighting::Complete => {
                let now = Timestamp::now();
                if let Some(since) = self.since.take() {
                    self.blind(since, now, "nobody recorded");
                }
                self.is_complete = true;
                self.sees();
                Ok(())
            }
        }
    }

    fn sees(&self) {
        let sees = self.is_complete && self.missed.is_empty();
        self.measure.sees(sees);
        self.writer.sees(sees);
    }

    fn is(&mut self, object: &Object, is_gone: bool) -> Result<(), Error> {
        let Object { kind, body, owners } = object;
        if kind.group.is_empty() && kind.kind == "Node" {
            return if is_gone { Ok(()) } else { self.node(body) };
        }
        let (cluster, salt) = (self.cluster.clone(), self.salt.clone());
        let seen = Seen { cluster: &cluster, body, kind, owners, salt: &salt };
        let namespace = body.pointer("/metadata/namespace").and_then(Value::as_str);
        if kind.group.is_empty() && kind.kind == "Pod" {
            return self.pod(&seen, namespace, is_gone);
        }
        if let Some((run, mut said)) = lineage::work(&seen) {
            let uid = body.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
            if is_gone && run == EntityId::run(&cluster, uid) {
                said.push(gone(&run));
            }
            self.write_new(RecordKind::Run, &run, namespace, said)?;
        }
        let Some((service, mut said)) = lineage::serving(&seen) else { return Ok(()) };
        if is_gone {
            said.push(gone(&service));
        }
        self.write_new(RecordKind::Service, &service, namespace, said)
    }

    fn pod(
        &mut self,
        seen: &Seen<'_>,
        namespace: Option<&str>,
        is_gone: bool,
    ) -> Result<(), Error> {
        let Some((run, attempt, mut said)) = lineage::attempt(seen) else { return Ok(()) };
        let text = |pointer: &str| seen.body.pointer(pointer).and_then(Value::as_str);
        let node = text("/spec/nodeName").filter(|node| !node.is_empty());
        let has_ended = matches!(text("/status/phase"), Some("Succeeded" | "Failed"));
        if let Some((node, state)) = node.and_then(|node| self.nodes.get(node)) {
            said.extend(lineage::ran_on(&attempt, node, state));
        }
        let is_known = self.attempts.contains_key(&attempt);
        if !is_known {
            // what has ended already was under what was in force then, and that is found by its times
            let epochs = self.epochs_here();
            let grade = if has_ended || is_gone { Grade::Inferred } else { Grade::Observed };
            said.extend(epochs.iter().map(|epoch| configured(&run, epoch, grade)));
        }
        if is_gone {
            said.push(gone(&attempt));
        }
        if has_ended || is_gone {
            self.attempts.remove(&attempt);
        } else {
            let node = node.map(str::to_owned);
            let namespace = namespace.map(str::to_owned);
            self.attempts.insert(attempt, Attempt { run: run.clone(), node, namespace });
        }
        self.write_new(RecordKind::Run, &run, namespace, said)
    }

    fn node(&mut self, body: &Value) -> Result<(), Error> {
        let state = node::state(body);
        let Some((id, said)) = node::statements(&self.cluster, body, &state) else { return Ok(()) };
        let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let now = (id.clone(), node::id(&state));
        match self.nodes.insert(name.to_owned(), now.clone()) {
            Some(before) if before == now => return Ok(()),
            // it may go back to a state that it was in before, and that is news
            Some(_) => self.write(RecordKind::Node, &id, None, said),
            None => self.write_new(RecordKind::Node, &id, None, said)?,
        }
        let there: Vec<(EntityId, EntityId, Option<String>)> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.node.as_deref() == Some(name))
            .map(|(id, attempt)| (id.clone(), attempt.run.clone(), attempt.namespace.clone()))
            .collect();
        for (attempt, run, namespace) in there {
            let said = lineage::ran_on(&attempt, &now.0, &now.1).to_vec();
            self.write_new(RecordKind::Run, &run, namespace.as_deref(), said)?;
        }
        Ok(())
    }

    /// All objects of a kind are known: of what is not among them, nobody saw the end.
    fn listed(&mut self, kind: &GroupKind, uids: &BTreeSet<String>) -> Result<(), Error> {
        let now = Timestamp::now();
        let missed = self.missed.remove(kind);
        let since = missed.as_ref().map(|(since, _)| *since).or(self.since);
        if let Some((since, why)) = missed {
            self.blind(since, now, &format!("{kind}: {why}"));
        }
        self.sees();
        let is_pod = kind.group.is_empty() && kind.kind == "Pod";
        let kinds: &[EntityKind] = if is_pod {
            &[EntityKind::Attempt, EntityKind::Run]
        } else {
            &[EntityKind::Run, EntityKind::Service]
        };
        for of in kinds {
            for (id, namespace) in self.known.open_things(*of)? {
                let is_of_kind = *of == EntityKind::Attempt
                    || self.known.last_word(&id, "kind")?.as_deref() == Some(&kind.to_string());
                let uid = id.rest().rsplit('/').next().unwrap_or_default();
                let is_of_cluster = id.rest().starts_with(self.cluster.as_str());
                if !is_of_kind || !is_of_cluster || uids.contains(uid) {
                    continue;
                }
                self.attempts.remove(&id);
                let since = since.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string());
                let source = Source::rule("it is not among those that were listed");
                let value = format!("it ended unseen between {since} and {now}");
                let said =
                    vec![Statement::fact(&id, "incomplete", value, Grade::Observed, &source)];
                let kind =
                    if *of == EntityKind::Service { RecordKind::Service } else { RecordKind::Run };
                self.write_new(kind, &id, namespace.as_deref(), said)?;
            }
        }
        Ok(())
    }

    // === what the agent did ===

    fn epochs_here(&self) -> Vec<EntityId> {
        let here = self.epochs.iter().filter(|((cluster, _), _)| *cluster == self.cluster);
        here.map(|(_, epoch)| epoch.clone()).collect()
    }

    fn enter(&mut self, entry: Entry) -> Result<(), Error> {
        match entry {
            Entry::Began { cluster, site, revision, rendered } => {
                let key = (cluster.clone(), site.to_string());
                let before = self.epochs.get(&key).cloned();
                let nonce = Timestamp::now().to_string();
                let began = Began {
                    cluster: &cluster,
                    site: &site,
                    revision: &revision,
                    rendered,
                    agent: crate::VERSION,
                    before: before.as_ref(),
                    nonce: &nonce,
                };
                if let Some(before) = &before {
                    if self.is_same(before, &began)? {
                        // the agent was started again, or a commit came that does not touch the site
                        let said = began.puts_in_force(before);
                        return self.write_new(RecordKind::Epoch, before, None, said);
                    }
                    let source = Source::rule("agent");
                    let ended =
                        Statement::fact(before, "endedAt", nonce.clone(), Grade::Observed, &source);
                    self.write(RecordKind::Epoch, before, None, vec![ended]);
                }
                let (id, mut said) = (began.id(), began.statements());
                let source = Source::rule("agent");
                said.push(Statement::fact(
                    &id,
                    "startedAt",
                    nonce.clone(),
                    Grade::Observed,
                    &source,
                ));
                self.write(RecordKind::Epoch, &id, None, said);
                let is_here = cluster == self.cluster;
                self.epochs.insert(key, id.clone());
                if is_here {
                    let under_way: BTreeMap<EntityId, Option<String>> = self
                        .attempts
                        .values()
                        .map(|attempt| (attempt.run.clone(), attempt.namespace.clone()))
                        .collect();
                    for (run, namespace) in under_way {
                        let said = vec![configured(&run, &id, Grade::Observed)];
                        self.write_new(RecordKind::Run, &run, namespace.as_deref(), said)?;
                    }
                }
                Ok(())
            }
            Entry::Happened { cluster, site, happened } => {
                let Some(epoch) = self.epochs.get(&(cluster, site.to_string())).cloned() else {
                    return Ok(());
                };
                self.write(RecordKind::Epoch, &epoch, None, happened.statements(&epoch));
                Ok(())
            }
        }
    }

    /// Returns whether an epoch that the log holds is the one that begins.
    fn is_same(&self, before: &EntityId, began: &Began<'_>) -> Result<bool, Error> {
        let says = |field: &str, value: &str| {
            self.known.last_word(before, field).map(|word| word.as_deref() == Some(value))
        };
        Ok(says("inputs", &began.revision.inputs.to_string())?
            && says("rendered", &began.rendered.to_string())?)
    }
}

fn gone(id: &EntityId) -> Statement {
    let now = Timestamp::now().to_string();
    Statement::fact(id, "goneAt", now, Grade::Observed, &Source::rule("it was deleted"))
}

fn configured(run: &EntityId, epoch: &EntityId, grade: Grade) -> Statement {
    let source = Source::rule("the epoch was in force while an attempt of the run had not ended");
    Statement::edge(run, Relation::ConfiguredBy, epoch, grade, &source)
}

/// Returns a sign of what is said, and of where, but not of which version of an object says it.
fn sign(statement: &Statement) -> u64 {
    let mut hasher = DefaultHasher::new();
    match statement {
        Statement::Fact { of, field, value, grade, source } => {
            (0, of, field, value, grade, &source.uid, &source.field).hash(&mut hasher);
        }
        Statement::Edge { from, relation, to, grade, source } => {
            (1, from, relation, to, grade, &source.uid, &source.field).hash(&mut hasher);
        }
    }
    hasher.finish()
}
