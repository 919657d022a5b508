//! The courier: tells what is recorded to a server that takes OpenLineage.
//!
//! Comes in: the log, read from behind the recorder. Goes out: of each run its start, how far it is and its end, once
//! each and in order; of what it made, what becomes known later. Never: a wait of the recorder for it; an event of a run
//! after its end; a token that is shown.
//!
//! A server may get an event twice, where its answer was lost: the id of a run is always the same. The end of a run that
//! made something waits until its content is known, or for so long, since nothing may be sent of a run after its end.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use sitewright_ledger::{Error, Mark, Reader, Sent};
use sitewright_model::{
    digest::Digest,
    lineage::{
        EntityId, EntityKind, Grade, Graph, Record, Relation, Statement,
        export::{
            names,
            openlineage::{self, End, Event, EventType, Options},
        },
    },
};

use super::wire::{Answer, Wire};

/// Who writes events of OpenLineage.
const PRODUCER: &str = "https://sitewright.dev/lineage";

/// Records that are read at a time.
const STRIDE: u64 = 128;

/// How often the log is looked at where nothing is new.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a server that takes nothing is left alone, at first and at most; each time twice as long.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(300);

/// Where events go, and how they are written.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) wire: Wire,
    pub(crate) names: openlineage::Names,
    /// Whether each attempt is told as a run below its run.
    pub(crate) attempts: bool,
    /// How long the end of a run waits for the content of what it made.
    pub(crate) hold: Duration,
}

/// Tells what is recorded.
pub(super) struct Courier {
    pub(super) dir: PathBuf,
    pub(super) to: Destination,
    pub(super) is_over: Arc<AtomicBool>,
}

/// The courier at work.
pub(crate) struct Rounds {
    reader: Reader,
    sent: Sent,
    options: Options,
    hold: Duration,
    wire: Wire,
    told: u64,
    refused: u64,
}

/// How a round went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// There is nothing to tell.
    Idle,
    /// All that was there was told.
    Told,
    /// The server took less: to be tried again.
    Away(String),
}

/// What is new of one run.
struct News {
    events: Vec<Event>,
    /// What is so once all of them are taken.
    then: Option<Mark>,
}

/// How far a run was told.
fn stage(event: EventType) -> u8 {
    match event {
        EventType::Start => 1,
        EventType::Running => 2,
        EventType::Complete | EventType::Fail | EventType::Abort => 3,
    }
}

// === impl Courier ===

impl Courier {
    /// Works until it is over.
    pub(super) fn run(self) {
        let mut wait = FIRST;
        let mut said = String::new();
        let mut rounds = None;
        while !self.is_over.load(Ordering::Relaxed) {
            let done = match &mut rounds {
                None => self.open().map(|opened| {
                    rounds = Some(opened);
                    Round::Told
                }),
                Some(rounds) => rounds.go(Timestamp::now()),
            };
            let trouble = match done {
                Ok(Round::Told) => {
                    (wait, said) = (FIRST, String::new());
                    continue;
                }
                Ok(Round::Idle) => {
                    std::thread::park_timeout(PAUSE);
                    continue;
                }
                Ok(Round::Away(why)) => why,
                Err(error) => {
                    rounds = None;
                    error.to_string()
                }
            };
            if said != trouble {
                tracing::warn!(code = "SW1040", "lineage: events wait: {trouble}");
                said = trouble;
            }
            let jitter = wait.mul_f64(rand::random_range(0.0..0.25));
            std::thread::park_timeout(wait + jitter);
            wait = (wait * 2).min(LAST);
        }
    }

    fn open(&self) -> Result<Rounds, Error> {
        let reader = Reader::open(&self.dir)?;
        // another server has got nothing yet
        let address = Digest::of(self.to.wire.address()).hex();
        let name = format!("openlineage-{}", address.get(..12).unwrap_or_default());
        let sent = Sent::open(&self.dir, &name, reader.log().leaves()?)?;
        Ok(Rounds::new(reader, sent, &self.to))
    }
}

// === impl Rounds ===

impl Rounds {
    pub(crate) fn new(reader: Reader, sent: Sent, to: &Destination) -> Self {
        let producer = format!("{PRODUCER}/v{}", crate::VERSION);
        let options = Options { producer, names: to.names, attempts: to.attempts };
        Self { reader, sent, options, hold: to.hold, wire: to.wire.clone(), told: 0, refused: 0 }
    }

    /// Returns how many events were taken, and how many the server will never take.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.told, self.refused)
    }

    /// Tells what some further records, or the time, make new.
    ///
    /// # Errors
    /// The log, or what was sent of it, cannot be read or written.
    pub(crate) fn go(&mut self, now: Timestamp) -> Result<Round, Error> {
        self.reader.refresh()?;
        let from = self.sent.next()?;
        let count = STRIDE.min(self.reader.log().leaves()?.saturating_sub(from));
        let mut touched = self.touched(from, count)?;
        let hold = i64::try_from(self.hold.as_secs()).unwrap_or(i64::MAX / 2);
        let since = Timestamp::from_second(now.as_second().saturating_sub(hold));
        touched.extend(self.sent.waiting_since(since.unwrap_or(Timestamp::MIN))?);
        if count == 0 && touched.is_empty() {
            return Ok(Round::Idle);
        }
        let mut stories = Vec::new();
        for run in touched {
            stories.push(self.news(run, now)?);
        }
        let (marks, away) = self.send(&stories);
        // what was taken is never told again, though the rest is
        let next = if away.is_some() { from } else { from + count };
        self.sent.keep(next, &marks)?;
        Ok(away.map_or(Round::Told, Round::Away))
    }

    /// Returns the runs about which records say something.
    fn touched(&self, from: u64, count: u64) -> Result<BTreeSet<EntityId>, Error> {
        let mut touched = BTreeSet::new();
        let bodies = self.reader.log().bodies(from, count)?;
        for body in bodies.into_iter().flatten() {
            let Ok(record) = serde_json::from_slice::<Record>(&body) else { continue };
            for statement in &record.statements {
                let (of, to) = match statement {
                    Statement::Fact { of, .. } => (of, None),
                    Statement::Edge { from, to, .. } => (from, Some(to)),
                };
                for id in [Some(of), to].into_iter().flatten() {
                    match id.kind() {
                        EntityKind::Run => drop(touched.insert(id.clone())),
                        EntityKind::Attempt => {
                            touched.extend(self.reader.index().ties_to(id, Relation::Tried)?);
                        }
                        // of what is only read many runs may have read it, and nothing is new of them
                        EntityKind::Tree
                        | EntityKind::Data
                        | EntityKind::Image
                        | EntityKind::Ref => {
                            touched.extend(self.makers(id)?);
                        }
                        _ => {}
                    }
                }
            }
        }
        touched.retain(|id| id.kind() == EntityKind::Run);
        Ok(touched)
    }

    fn makers(&self, id: &EntityId) -> Result<Vec<EntityId>, Error> {
        let index = self.reader.index();
        let mut makers = index.ties_from(id, Relation::GeneratedBy)?;
        for name in index.ties_to(id, Relation::LedTo)? {
            makers.extend(index.ties_from(&name, Relation::GeneratedBy)?);
        }
        Ok(makers)
    }

    /// Returns what is new of a run.
    fn news(&self, run: EntityId, now: Timestamp) -> Result<News, Error> {
        let graph = self.reader.with_outputs(run.as_str(), Grade::Unknown)?;
        let name = names::run_id(&run).to_string();
        if self.sent.stage(&name)? >= stage(EventType::Complete) {
            let from = self.sent.told(&run)?.unwrap_or_default();
            let events = openlineage::later(&graph, &run, from, &self.options);
            return Ok(News { events, then: Some(Mark::Told(run, graph.log_size)) });
        }
        let end = self.end(&graph, &run, now)?;
        let mut events = Vec::new();
        let mut ends = false;
        for event in openlineage::run_events(&graph, &run, &self.options, end) {
            if let Event::Run(one) = &event
                && self.sent.stage(&one.run.run_id)? < stage(one.event_type)
            {
                ends |= one.run.run_id == name && stage(one.event_type) == 3;
                events.push(event);
            }
        }
        let then = match (ends, end) {
            (true, _) => Some(Mark::Told(run, graph.log_size)),
            (false, End::Held) => Some(Mark::Waits(run, now)),
            (false, _) => None,
        };
        Ok(News { events, then })
    }

    /// Returns whether the end of a run may be told.
    fn end(&self, graph: &Graph, run: &EntityId, now: Timestamp) -> Result<End, Error> {
        let has_ended = graph.node(run).is_some_and(|node| node.value("outcome").is_some());
        if !has_ended || openlineage::knows_outputs(graph, run) {
            return Ok(End::Known);
        }
        let since = self.sent.waits_since(run)?.unwrap_or(now);
        let waited = now.duration_since(since).unsigned_abs();
        Ok(if waited >= self.hold { End::GivenUp } else { End::Held })
    }

    /// Sends news in order; returns what was taken, and why the rest was not.
    fn send(&mut self, stories: &[News]) -> (Vec<Mark>, Option<String>) {
        let events: Vec<&Event> = stories.iter().flat_map(|news| &news.events).collect();
        let mut answers = self.wire.send(&events).into_iter();
        let mut marks = Vec::new();
        for news in stories {
            for event in &news.events {
                match answers.next() {
                    Some(Answer::Taken) => self.told += 1,
                    // it would be refused tomorrow too, and everything behind it would wait
                    Some(Answer::Refused(why)) => {
                        self.refused += 1;
                        tracing::warn!(
                            code = "SW1040",
                            "lineage: an event is refused for good: {why}"
                        );
                    }
                    Some(Answer::Later(why)) => return (marks, Some(why)),
                    None => return (marks, Some("the server took no more".to_owned())),
                }
                if let Event::Run(one) = event {
                    marks.push(Mark::Stage(one.run.run_id.clone(), stage(one.event_type)));
                }
            }
            marks.extend(news.then.clone());
        }
        (marks, None)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::Mutex,
    };

    use serde_json::Value;
    use sitewright_ledger::{Log, SecretKey};
    use sitewright_model::lineage::{ClusterId, RecordKind, Source};
    use sitewright_source::{Secret, Url};

    use super::*;

    /// What a server does with one message.
    #[derive(Clone, Copy)]
    enum Does {
        Answers(u16, &'static str),
        /// Reads it, and dies without an answer.
        Dies,
    }

    /// A server of OpenLineage with its moods, and what it took.
    struct Server {
        address: String,
        moods: Arc<Mutex<VecDeque<Does>>>,
        taken: Arc<Mutex<Vec<Value>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let moods: Arc<Mutex<VecDeque<Does>>> = Arc::default();
            let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
            let asked: Arc<Mutex<Vec<String>>> = Arc::default();
            let (its_moods, its_taken, its_asked) =
                (Arc::clone(&moods), Arc::clone(&taken), Arc::clone(&asked));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
                    let body = loop {
                        let count = stream.read(&mut buffer).unwrap();
                        bytes.extend_from_slice(&buffer[..count]);
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = head.lines().find_map(|line| {
                            let (name, value) = line.split_once(": ")?;
                            name.eq_ignore_ascii_case("content-length")
                                .then(|| value.parse().ok())?
                        });
                        if body.len() >= length.unwrap_or(0) {
                            its_asked.lock().unwrap().push(head.to_owned());
                            break body.to_owned();
                        }
                    };
                    let mood = its_moods.lock().unwrap().pop_front();
                    let (status, said) = match mood.unwrap_or(Does::Answers(200, "{}")) {
                        Does::Answers(status, said) => (status, said),
                        Does::Dies => continue,
                    };
                    if status == 200 {
                        let body: Value = serde_json::from_str(&body).unwrap();
                        let events = body.as_array().cloned().unwrap_or_else(|| vec![body]);
                        let failed: Value = serde_json::from_str(said).unwrap();
                        let failed: Vec<u64> = failed["failed_events"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .map(|one| one["index"].as_u64().unwrap())
                            .collect();
                        let good = events.into_iter().enumerate();
                        let good = good.filter(|(at, _)| !failed.contains(&(*at as u64)));
                        its_taken.lock().unwrap().extend(good.map(|(_, event)| event));
                    }
                    let length = said.len();
                    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{said}")
                        .unwrap();
                }
            });
            Self { address: format!("http://{address}/api/v1/lineage"), moods, taken, asked }
        }

        fn next(&self, moods: &[Does]) {
            self.moods.lock().unwrap().extend(moods);
        }

        /// Returns the kinds of the events that it took.
        fn took(&self) -> Vec<String> {
            let kind = |event: &Value| event["eventType"].as_str().unwrap_or("dataset").to_owned();
            self.taken.lock().unwrap().iter().map(kind).collect()
        }
    }

    struct Recorded {
        folder: tempfile::TempDir,
        log: Log,
        run: EntityId,
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    impl Recorded {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let log =
                Log::open(folder.path(), SecretKey::generate("x.example.org").unwrap()).unwrap();
            Self { folder, log, run: EntityId::run(&ClusterId::new("c"), "u") }
        }

        fn say(&mut self, second: i64, said: Vec<Statement>) {
            let record = Record::new(RecordKind::Run, at(second), self.run.clone(), said);
            self.log.append(&[record.within(Some("vision"))]).unwrap();
        }

        fn fact(&self, of: &EntityId, field: &str, value: &str) -> Statement {
            Statement::fact(of, field, value, Grade::Observed, &Source::rule("test"))
        }

        fn edge(
            &self,
            from: &EntityId,
            relation: Relation,
            to: &EntityId,
            grade: Grade,
        ) -> Statement {
            Statement::edge(from, relation, to, grade, &Source::rule("test"))
        }

        fn starts(&mut self) {
            let run = self.run.clone();
            let said = vec![
                self.fact(&run, "name", "train"),
                self.fact(&run, "kind", "Job.batch"),
                self.fact(&run, "startedAt", &at(0).to_string()),
                self.edge(&model(), Relation::GeneratedBy, &run, Grade::Claimed),
            ];
            self.say(1, said);
        }

        fn ends(&mut self) {
            let run = self.run.clone();
            let said = vec![
                self.fact(&run, "outcome", "succeeded"),
                self.fact(&run, "finishedAt", &at(9).to_string()),
            ];
            self.say(10, said);
        }

        fn is_hashed(&mut self) {
            let tree: EntityId = format!("tree:sha256:{}", "a".repeat(64)).parse().unwrap();
            let said = vec![
                self.edge(&model(), Relation::LedTo, &tree, Grade::Resolved),
                self.fact(&tree, "files", "3"),
            ];
            let record = Record::new(RecordKind::Artifact, at(20), tree, said);
            self.log.append(&[record]).unwrap();
        }

        fn rounds(&self, server: &Server) -> Rounds {
            let to = Destination {
                wire: Wire::new(Url::parse(&server.address).unwrap(), None),
                names: openlineage::Names::ByStore,
                attempts: false,
                hold: Duration::from_secs(3600),
            };
            let courier =
                Courier { dir: self.folder.path().to_owned(), to, is_over: Arc::default() };
            courier.open().unwrap()
        }
    }

    fn model() -> EntityId {
        "ref:s3://models/x".parse().unwrap()
    }

    /// Goes until there is nothing to tell; returns how often the server took less.
    fn all(rounds: &mut Rounds, now: i64) -> usize {
        let mut away = 0;
        for _ in 0..20 {
            match rounds.go(at(now)).unwrap() {
                Round::Idle => return away,
                Round::Told => {}
                Round::Away(_) => away += 1,
            }
        }
        panic!("it never rests");
    }

    #[test]
    fn each_event_is_taken_once_by_a_server_that_fails_half_accepts_and_dies() {
        let (server, mut record) = (Server::start(), Recorded::new());
        record.starts();
        server.next(&[
            Does::Answers(503, "busy"),
            Does::Dies,
            Does::Answers(200, r#"{ "status": "partial_success", "failed_events": [{ "index": 1, "retriable": true, "reason": "later" }] }"#),
        ]);
        let mut rounds = record.rounds(&server);
        assert_eq!(all(&mut rounds, 2), 3);
        assert_eq!(server.took(), ["START", "RUNNING"]);
        // the model is not known yet, and the agent is started again meanwhile
        record.ends();
        assert_eq!(all(&mut rounds, 11), 0);
        let mut rounds = record.rounds(&server);
        assert_eq!(all(&mut rounds, 12), 0);
        assert_eq!(server.took(), ["START", "RUNNING"]);
        record.is_hashed();
        all(&mut rounds, 21);
        assert_eq!(server.took(), ["START", "RUNNING", "COMPLETE"]);
        let last = server.taken.lock().unwrap().last().unwrap().clone();
        assert!(last["outputs"].to_string().contains(&"a".repeat(64)), "{last:#}");
        all(&mut record.rounds(&server), 30);
        assert_eq!(server.took().len(), 3);
    }

    #[test]
    fn what_is_known_too_late_is_told_of_the_dataset_and_of_the_run_nothing_more() {
        let (server, mut record) = (Server::start(), Recorded::new());
        record.starts();
        record.ends();
        let mut rounds = record.rounds(&server);
        all(&mut rounds, 11);
        assert_eq!(server.took(), ["START", "RUNNING"]);
        all(&mut rounds, 11 + 3600);
        assert_eq!(server.took(), ["START", "RUNNING", "COMPLETE"]);
        record.is_hashed();
        all(&mut rounds, 8000);
        assert_eq!(server.took()[3..], ["dataset"]);
        all(&mut rounds, 9000);
        assert_eq!(server.took().len(), 4);
    }

    #[test]
    fn one_bad_event_keeps_no_other_back_and_a_server_without_batches_gets_one_by_one() {
        let (server, mut record) = (Server::start(), Recorded::new());
        record.starts();
        // many at once are refused, so is the first by itself
        server.next(&[Does::Answers(422, "bad"), Does::Answers(422, "bad")]);
        let mut rounds = record.rounds(&server);
        assert_eq!(all(&mut rounds, 2), 0);
        assert_eq!((server.took(), rounds.counts()), (vec!["RUNNING".to_owned()], (1, 1)));
        let (server, mut record) = (Server::start(), Recorded::new());
        record.starts();
        server.next(&[Does::Answers(404, "")]);
        all(&mut record.rounds(&server), 2);
        assert_eq!(server.took(), ["START", "RUNNING"]);
        let asked = server.asked.lock().unwrap().clone();
        let paths: Vec<&str> = asked.iter().filter_map(|head| head.split(' ').nth(1)).collect();
        assert_eq!(paths, ["/api/v1/lineage/batch", "/api/v1/lineage", "/api/v1/lineage"]);
    }

    #[test]
    fn a_wrong_token_loses_nothing_and_is_never_sent_in_the_clear() {
        let (server, mut record) = (Server::start(), Recorded::new());
        record.starts();
        server.next(&[Does::Answers(401, "who?")]);
        let mut rounds = record.rounds(&server);
        assert!(matches!(rounds.go(at(2)).unwrap(), Round::Away(why) if why.contains("401")));
        all(&mut rounds, 3);
        assert_eq!(server.took(), ["START", "RUNNING"]);
        let url = Url::parse("http://marquez.example.org/api/v1/lineage").unwrap();
        let mut wire = Wire::new(url, Some(Secret::new("canary")));
        assert!(!format!("{wire:?}").contains("canary"));
        let event = openlineage::run_events(
            &rounds.reader.with_outputs(record.run.as_str(), Grade::Unknown).unwrap(),
            &record.run,
            &rounds.options,
            End::Known,
        );
        let answers = wire.send(&[&event[0]]);
        assert!(
            matches!(&answers[0], Answer::Later(why) if why.contains("without encryption")),
            "{answers:?}"
        );
    }
}
