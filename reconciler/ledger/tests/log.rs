//! The log as its users meet it: what is acknowledged stays, what is changed is found, what is asked is answered.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{collections::BTreeSet, fs, path::Path};

use sitewright_ledger::{
    Ask, Error, Index, Log, Question, Reader, Reading, SecretKey, export, import, verify,
    witness::{self, Unsigned, Witness},
};
use sitewright_model::{
    digest::Digest,
    lineage::{ClusterId, EntityId, Grade, Record, RecordKind, Relation, Source, Statement},
};

fn cluster() -> ClusterId {
    ClusterId::new("c1")
}

fn commit(digit: char) -> EntityId {
    EntityId::commit(&digit.to_string().repeat(40)).unwrap()
}

fn edge(from: &EntityId, relation: Relation, to: &EntityId, grade: Grade) -> Statement {
    Statement::edge(from, relation, to, grade, &Source::rule("test"))
}

fn name(of: &EntityId, name: &str) -> Statement {
    Statement::fact(of, "name", name, Grade::Observed, &Source::rule("test"))
}

fn record(
    kind: RecordKind,
    subject: &EntityId,
    namespace: Option<&str>,
    said: Vec<Statement>,
) -> Record {
    let at = "2026-11-26T08:00:00Z".parse().unwrap();
    Record::new(kind, at, subject.clone(), said).within(namespace)
}

/// A run of each of two namespaces over the same data; one model is served.
fn world() -> Vec<Record> {
    let data = EntityId::data("dvc", "md5:d41d8cd98f00b204e9800998ecf8427e.dir").unwrap();
    let mut records = Vec::new();
    for (number, namespace) in ["vision", "nlp"].into_iter().enumerate() {
        let run = EntityId::run(&cluster(), &format!("run-{number}"));
        let attempt = EntityId::attempt(&cluster(), &format!("pod-{number}"));
        let model = EntityId::reference(&format!("s3://models/{namespace}")).unwrap();
        let node = EntityId::node(&cluster(), &format!("node-{number}"));
        let state = EntityId::state(Digest::of("one state of two nodes"));
        let driver = EntityId::part("nvidia-driver", "580.95.05").unwrap();
        records.push(record(
            RecordKind::Node,
            &node,
            None,
            vec![
                name(&node, &format!("gpu-{number}")),
                edge(&state, Relation::StateOf, &node, Grade::Observed),
                edge(&state, Relation::Holds, &driver, Grade::Observed),
            ],
        ));
        records.push(record(
            RecordKind::Run,
            &run,
            Some(namespace),
            vec![
                name(&run, "train"),
                edge(&run, Relation::Tried, &attempt, Grade::Observed),
                edge(&attempt, Relation::RanOn, &state, Grade::Observed),
                edge(&attempt, Relation::RanOn, &node, Grade::Observed),
                edge(&run, Relation::RanCode, &commit('a'), Grade::Claimed),
                edge(&run, Relation::Used, &data, Grade::Claimed),
                edge(&model, Relation::GeneratedBy, &run, Grade::Claimed),
            ],
        ));
        let service = EntityId::service(&cluster(), &format!("service-{number}"));
        records.push(record(
            RecordKind::Service,
            &service,
            Some(namespace),
            vec![name(&service, "live"), edge(&service, Relation::Serves, &model, Grade::Claimed)],
        ));
    }
    records
}

fn log(dir: &Path) -> Log {
    let key = match fs::read_to_string(dir.join("key")) {
        Ok(text) => SecretKey::parse(&text).unwrap(),
        Err(_) => {
            let key = SecretKey::generate("c1.example.org").unwrap();
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("key"), key.to_text()).unwrap();
            key
        }
    };
    Log::open(dir, key).unwrap()
}

fn asked(reader: &Reader, question: Question, namespaces: Option<&[&str]>) -> Vec<String> {
    let namespaces =
        namespaces.map(|all| all.iter().map(|one| (*one).to_owned()).collect::<BTreeSet<_>>());
    let graph = reader.ask(&Ask { namespaces, ..Ask::new(question) }).unwrap();
    graph.nodes.iter().map(|node| node.id.to_string()).collect()
}

#[test]
fn from_a_live_service_back_to_its_data_and_from_the_data_forward_to_it() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(&world()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let of = asked(&reader, Question::Of("vision/live".into()), None);
    assert!(of.contains(&"data:dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir".into()), "{of:?}");
    assert!(
        of.contains(&"part:nvidia-driver/580.95.05".into()) && !of.contains(&"run:c1/run-1".into()),
        "{of:?}"
    );
    let impact = asked(
        &reader,
        Question::Impact("dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir".into()),
        None,
    );
    assert!(
        impact.contains(&"service:c1/service-0".into())
            && impact.contains(&"service:c1/service-1".into()),
        "{impact:?}"
    );
    let by_driver = asked(&reader, Question::Impact("nvidia-driver/580.95.05".into()), None);
    assert!(by_driver.contains(&"service:c1/service-0".into()), "{by_driver:?}");
    // two nodes in one state: what ran on one does not come of the other
    let by_node = asked(&reader, Question::Impact("gpu-0".into()), None);
    assert!(
        by_node.contains(&"service:c1/service-0".into())
            && !by_node.contains(&"service:c1/service-1".into()),
        "{by_node:?}"
    );
}

#[test]
fn a_reader_of_one_namespace_sees_nothing_of_another() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(&world()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let namespaces = Some([String::from("nlp")].into());
    let question = Question::Impact(commit('a').to_string());
    let graph = reader.ask(&Ask { namespaces: namespaces.clone(), ..Ask::new(question) }).unwrap();
    let text = serde_json::to_string(&graph).unwrap();
    assert!(
        text.contains("run-1") && !text.contains("run-0") && !text.contains("vision"),
        "{text}"
    );
    assert!(graph.hidden > 0);
    let question = Question::Of("vision/live".into());
    assert!(reader.ask(&Ask { namespaces, ..Ask::new(question) }).is_err());
}

/// Two namespaces that call the same bytes by names of their own, as a resolver found out, and a model that one of them says
/// was derived from the other's.
fn names() -> Vec<Record> {
    let tree = EntityId::tree(Digest::of("the same bytes"));
    let mut records = Vec::new();
    for (number, namespace) in ["vision", "nlp"].into_iter().enumerate() {
        let run = EntityId::run(&cluster(), &format!("run-{number}"));
        let model = EntityId::reference(&format!("s3://{namespace}/model")).unwrap();
        let said =
            vec![name(&run, "train"), edge(&model, Relation::GeneratedBy, &run, Grade::Claimed)];
        records.push(record(RecordKind::Run, &run, Some(namespace), said));
        let said = vec![edge(&model, Relation::LedTo, &tree, Grade::Resolved)];
        records.push(record(RecordKind::Artifact, &model, None, said));
    }
    let (run, derived) =
        (EntityId::run(&cluster(), "run-2"), EntityId::reference("s3://nlp/derived").unwrap());
    let base = EntityId::reference("s3://vision/model").unwrap();
    let said = vec![edge(&derived, Relation::DerivedFrom, &base, Grade::Claimed)];
    records.push(record(RecordKind::Run, &run, Some("nlp"), said));
    records
}

#[test]
fn content_is_known_to_who_sees_something_that_leads_to_it_and_to_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(&names()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let tree = EntityId::tree(Digest::of("the same bytes")).to_string();
    let namespaces = || Some(BTreeSet::from(["vision".to_owned()]));
    let is_there = |asked: &str| {
        let question = Question::Explain(asked.into());
        match reader.ask(&Ask { namespaces: namespaces(), ..Ask::new(question) }) {
            Ok(graph) => Some(serde_json::to_string(&graph).unwrap()),
            Err(Error::Nothing { .. }) => None,
            Err(error) => panic!("{asked}: {error}"),
        }
    };
    for theirs in
        ["s3://nlp/model", "ref:s3://nlp/model", "s3://nlp/derived", "run:c1/run-1", "nlp/train"]
    {
        assert_eq!(is_there(theirs), None, "{theirs}");
    }
    for ours in ["s3://vision/model", tree.as_str(), "vision/train", "train"] {
        let told = is_there(ours).unwrap_or_else(|| panic!("{ours}"));
        assert!(!told.contains("nlp"), "{ours}: {told}");
    }
    for question in [Question::Impact(tree.clone()), Question::Impact("s3://vision/model".into())] {
        let seen = asked(&reader, question.clone(), Some(&["vision"]));
        assert!(seen.contains(&"ref:s3://vision/model".into()), "{question:?} {seen:?}");
        assert!(!seen.iter().any(|id| id.contains("nlp")), "{question:?} {seen:?}");
    }
    let all = asked(&reader, Question::Impact("s3://vision/model".into()), None);
    assert!(all.contains(&"ref:s3://nlp/derived".into()), "{all:?}");
    assert_eq!(reader.namespaces(10).unwrap(), ["nlp", "vision"]);
    assert_eq!(reader.namespaces(1).unwrap(), ["nlp"]);
}

#[test]
fn a_question_has_its_time() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(&world()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let until = Some(std::time::Instant::now());
    let question = Question::Of("vision/live".into());
    let late = reader.ask(&Ask { until, ..Ask::new(question) });
    assert!(matches!(late, Err(Error::Slow)), "{late:?}");
}

#[test]
fn who_reads_beside_a_writer_writes_nothing_and_an_export_answers_as_the_log_does() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Reader::beside(dir.path()).is_err());
    let mut log = log(dir.path());
    log.append(&world()).unwrap();
    assert!(Reader::beside(dir.path()).is_err(), "there is no index yet");
    let mut index = Index::open(dir.path(), log.reading()).unwrap();
    let reader = Reader::beside(dir.path()).unwrap();
    log.append(&names()).unwrap();
    let question = || Question::Impact("s3://vision/model".into());
    let behind = reader.ask(&Ask::new(question()));
    assert!(matches!(behind, Err(Error::Nothing { .. })), "{behind:?}");
    index.fold(log.reading()).unwrap();
    let there = reader.ask(&Ask::new(question())).unwrap();
    let to = tempfile::tempdir().unwrap();
    export(log.reading(), to.path()).unwrap();
    let exported = Reader::open(to.path()).unwrap();
    assert_eq!(exported.ask(&Ask::new(question())).unwrap(), there);
    let (end, of_export) = (reader.log().end().unwrap(), exported.log().end().unwrap());
    assert!(end.fits && of_export.fits);
    assert_eq!(end.checkpoint, of_export.checkpoint);
}

#[test]
fn what_may_have_been_meant_is_named_as_far_as_the_reader_may_see_it() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(&world()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let near = |asked: &str, namespaces: Option<BTreeSet<String>>| {
        let question = Question::Of(asked.into());
        match reader.ask(&Ask { namespaces, ..Ask::new(question) }) {
            Err(Error::Nothing { near, .. }) => near,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(near("vision/trian", None)[0], "vision/train");
    let nlp = Some([String::from("nlp")].into());
    let seen = near("vision/trian", nlp);
    assert!(seen.iter().all(|name| !name.contains("vision")), "{seen:?}");
    assert_eq!(near("gqu-0", None), ["gpu-0", "gpu-1"]);
    assert!(near("nothing/like/it", None).is_empty());
}

#[test]
fn a_log_is_whole_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path());
    log.append(&world()).unwrap();
    let mut index = Index::open(dir.path(), log.reading()).unwrap();
    let public = log.key().public().clone();
    let (stop, is_over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            while is_over.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                log.append(&world()).unwrap();
                index.fold(log.reading()).unwrap();
            }
            log.reading().leaves().unwrap()
        });
        for _ in 0..20 {
            let verified = verify(dir.path(), &public, &[]).unwrap();
            assert!(verified.is_whole() && verified.has_index, "{verified:?}");
        }
        drop(stop);
        assert!(writer.join().unwrap() > world().len() as u64, "nothing was written meanwhile");
    });
}

#[test]
fn a_question_can_ask_for_a_lowest_grade() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(&world()).unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let question = Question::Of("run:c1/run-0".into());
    let graph = reader.ask(&Ask { limit: Grade::Observed, ..Ask::new(question) }).unwrap();
    assert!(
        graph.edges.iter().all(|edge| edge.grade == Grade::Observed) && !graph.edges.is_empty()
    );
}

#[test]
fn a_log_that_is_opened_again_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let mut log = log(dir.path());
        assert_eq!(log.reading().leaves().unwrap(), round * 6);
        log.append(&world()).unwrap();
    }
    let key = SecretKey::parse(&fs::read_to_string(dir.path().join("key")).unwrap()).unwrap();
    let verified = verify(dir.path(), &key.public(), &[]).unwrap();
    assert!(verified.is_whole() && verified.size == 24, "{verified:?}");
}

#[test]
fn a_log_has_one_writer_and_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let first = log(dir.path());
    let key = || SecretKey::generate("c1.example.org").unwrap();
    assert!(matches!(Log::open(dir.path(), key()), Err(sitewright_ledger::Error::Busy { .. })));
    drop(first);
    let mut again = log(dir.path());
    again.append(&world()).unwrap();
    drop(again);
    assert!(matches!(Log::open(dir.path(), key()), Err(sitewright_ledger::Error::Key { .. })));
}

#[test]
fn an_index_that_is_made_again_has_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path());
    let mut digests = Vec::new();
    for _ in 0..3 {
        log.append(&world()).unwrap();
        digests.push(Index::open(dir.path(), log.reading()).unwrap().digest().unwrap());
    }
    fs::remove_file(dir.path().join("index.db")).unwrap();
    let again = Index::open(dir.path(), log.reading()).unwrap();
    assert_eq!(again.digest().unwrap(), digests[2]);
    assert_ne!(digests[1], digests[2]);
}

#[test]
fn what_is_erased_is_gone_from_the_disk_and_the_log_still_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path());
    let run = EntityId::run(&cluster(), "secret-run");
    log.append(&world()).unwrap();
    let said = vec![name(&run, "patient-4711")];
    let at = log.append(&[record(RecordKind::Run, &run, Some("clinic"), said)]).unwrap().first;
    assert!(log.erase(at).unwrap());
    let public = log.key().public();
    drop(log);
    for file in ["log.db", "log.db-wal"] {
        let bytes = fs::read(dir.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(12).any(|part| part == b"patient-4711"), "{file}");
    }
    let verified = verify(dir.path(), &public, &[]).unwrap();
    assert!(verified.is_whole() && verified.erased == 1, "{verified:?}");
}

/// Every byte of every file of an export, one after another.
#[test]
fn no_byte_of_an_export_can_be_changed_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let (db, out) = (dir.path().join("db"), dir.path().join("out"));
    let mut log = log(&db);
    log.append(&world()[..2]).unwrap();
    assert_eq!(export(log.reading(), &out).unwrap(), 2);
    let public = log.key().public();
    assert!(verify(&out, &public, &[]).unwrap().is_whole());
    let mut files = Vec::new();
    let mut folders = vec![out.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() >= 4, "{files:?}");
    for file in files.iter().filter(|file| !file.ends_with("key.pub")) {
        let bytes = fs::read(file).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(file, &changed).unwrap();
            let whole = verify(&out, &public, &[]).is_ok_and(|verified| verified.is_whole());
            assert!(!whole, "byte {at} of {}", file.display());
        }
        fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(!verify(&out, &public, &[]).is_ok_and(|verified| verified.is_whole()));
        fs::write(file, &bytes).unwrap();
    }
    fs::write(out.join("tile/entries/001.p"), b"").unwrap();
    assert!(!verify(&out, &public, &[]).unwrap().is_whole(), "a file that nobody vouches for");
}

/// Of a database not every byte means something: but one that changes what is read is found.
#[test]
fn no_row_of_the_databases_can_be_changed_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path());
    log.append(&world()).unwrap();
    Index::open(dir.path(), log.reading()).unwrap();
    let public = log.key().public();
    drop(log);
    assert!(verify(dir.path(), &public, &[]).unwrap().is_whole());
    for (file, sql) in [
        ("log.db", "UPDATE leaf SET header = replace(header, 'run', 'ruN') WHERE position = 1"),
        ("log.db", "UPDATE body SET bytes = replace(bytes, 'train', 'trail') WHERE position = 1"),
        (
            "log.db",
            "UPDATE body SET bytes = (SELECT bytes FROM body WHERE position = 4) WHERE position = 1",
        ),
        ("log.db", "UPDATE tile SET hashes = zeroblob(length(hashes))"),
        ("log.db", "INSERT INTO tile VALUES (3, 0, zeroblob(32))"),
        ("log.db", "DELETE FROM tile"),
        ("log.db", "UPDATE subject SET count = count + 1 WHERE id LIKE 'run%'"),
        ("log.db", "INSERT INTO leaf SELECT 6, header FROM leaf WHERE position = 5"),
        ("log.db", "DELETE FROM leaf WHERE position = 5"),
        ("log.db", "UPDATE meta SET value = replace(value, 'c1.', 'c2.') WHERE key = 'checkpoint'"),
        ("index.db", "UPDATE fact SET value = 'other' WHERE field = 'name'"),
        ("index.db", "UPDATE fact SET grade = 0 WHERE rowid > 0"),
        ("index.db", "UPDATE tie SET grade = 0"),
        ("index.db", "DELETE FROM tie WHERE relation = 0"),
        ("index.db", "UPDATE thing SET namespace = 'nlp'"),
        (
            "index.db",
            "INSERT INTO thing (id) VALUES ('commit:0000000000000000000000000000000000000000')",
        ),
        ("index.db", "INSERT INTO blind VALUES (1, 'a', 'b', 'c')"),
    ] {
        if sql.contains("rowid") {
            continue; // tables without rowid have none
        }
        let path = dir.path().join(file);
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let before = fs::read(&path).unwrap();
        assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(db);
        let whole = verify(dir.path(), &public, &[]).is_ok_and(|verified| verified.is_whole());
        assert!(!whole, "{sql}");
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("{file}{end}")));
        }
        fs::write(&path, before).unwrap();
        assert!(verify(dir.path(), &public, &[]).unwrap().is_whole(), "after {sql}");
    }
}

#[test]
fn an_export_is_a_log_that_can_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (db, out) = (dir.path().join("db"), dir.path().join("out"));
    let mut log = log(&db);
    for _ in 0..100 {
        log.append(&world()).unwrap();
    }
    export(log.reading(), &out).unwrap();
    for _ in 0..100 {
        log.append(&world()).unwrap();
    }
    assert_eq!(export(log.reading(), &out).unwrap(), 1200);
    let verified = verify(&out, &log.key().public(), &[]).unwrap();
    assert!(verified.is_whole() && verified.size == 1200, "{verified:?}");
    let mut read = 0;
    import(&out, |position, leaf, body| {
        assert_eq!(log.reading().headers(position, 1).unwrap()[0], leaf);
        assert!(body.is_some());
        read += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(read, 1200);
    let reading = Reading::open(&db).unwrap();
    let leaf = &reading.headers(700, 1).unwrap()[0];
    let proof = reading.inclusion(700, 1200).unwrap();
    let leaves: Vec<_> = reading
        .headers(0, 1200)
        .unwrap()
        .iter()
        .map(|leaf| sitewright_ledger::leaf_hash(leaf))
        .collect();
    let root = sitewright_ledger::root_of(&leaves);
    let hash = sitewright_ledger::leaf_hash(leaf);
    assert!(sitewright_ledger::proves_inclusion(hash, 700, 1200, &root, &proof));
    let old = sitewright_ledger::root_of(&leaves[..600]);
    let proof = reading.consistency(600, 1200).unwrap();
    assert!(sitewright_ledger::proves_consistency((600, &old), (1200, &root), &proof));
}

/// A writer that is killed at any instruction: the test runs itself as the writer, and kills it again and again.
#[test]
fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    use std::io::{BufRead, BufReader, Write};
    const WRITES_HERE: &str = "SITEWRIGHT_TEST_WRITES_HERE";
    if let Some(dir) = std::env::var_os(WRITES_HERE) {
        let mut log = log(Path::new(&dir));
        loop {
            let appended = log.append(&world()).unwrap();
            let mut out = std::io::stdout();
            writeln!(out, "acknowledged {}", appended.first + appended.count).unwrap();
            out.flush().unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    drop(log(dir.path()));
    let mut acknowledged = 0;
    for round in 0..12u64 {
        let mut writer = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_writer_loses_nothing_that_was_acknowledged", "--nocapture"])
            .env(WRITES_HERE, dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut left = 1 + round * 7 % 11;
        for line in lines {
            let Ok(line) = line else { break };
            let Some((_, number)) = line.split_once("acknowledged ") else { continue };
            acknowledged = number.parse::<u64>().unwrap();
            left = left.saturating_sub(1);
            if left == 0 {
                // somewhere within the next write
                std::thread::sleep(std::time::Duration::from_micros(137 * (round + 1)));
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        let log = log(dir.path());
        assert!(log.reading().leaves().unwrap() >= acknowledged, "round {round}");
        let public = log.key().public();
        drop(log);
        let verified = verify(dir.path(), &public, &[]).unwrap();
        assert!(verified.is_whole(), "round {round}: {verified:?}");
    }
    assert!(acknowledged > 50);
}

/// A byte of the files that is flipped is found, or nothing that is read has changed.
#[test]
fn a_flipped_byte_of_the_database_is_found_or_means_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(dir.path());
    log.append(&world()).unwrap();
    Index::open(dir.path(), log.reading()).unwrap();
    let public = log.key().public();
    drop(log);
    let db = rusqlite::Connection::open(dir.path().join("log.db")).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    let path = dir.path().join("log.db");
    let bytes = fs::read(&path).unwrap();
    let whole = |dir: &Path| {
        let reading = Reading::open(dir).ok()?;
        let all = (reading.headers(0, 100).ok()?, reading.bodies(0, 100).ok()?);
        Some((all, reading.checkpoint().ok()??.to_string()))
    };
    let before = whole(dir.path()).unwrap();
    let mut found = 0;
    // every 31st byte: all of them take a minute, and find no more
    for at in (0..bytes.len()).step_by(31) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(dir.path().join(format!("log.db{end}")));
        }
        fs::write(&path, &changed).unwrap();
        if verify(dir.path(), &public, &[]).is_ok_and(|verified| verified.is_whole()) {
            assert_eq!(whole(dir.path()).as_ref(), Some(&before), "byte {at}");
        } else {
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
}

// === witnesses ===

/// A log of its own name, with so many records, and its key.
fn other(name: &str, records: usize) -> (tempfile::TempDir, Log, sitewright_ledger::PublicKey) {
    let dir = tempfile::tempdir().unwrap();
    let key = SecretKey::generate(name).unwrap();
    let public = key.public();
    let mut log = Log::open(dir.path(), key).unwrap();
    grow(&mut log, records, "a");
    (dir, log, public)
}

fn grow(log: &mut Log, records: usize, what: &str) {
    for number in 0..records {
        let node = EntityId::node(&cluster(), &format!("{what}-{number}"));
        log.append(&[record(RecordKind::Node, &node, None, vec![name(&node, what)])]).unwrap();
    }
}

fn ask(log: &Log, old: u64) -> String {
    let note = log.reading().checkpoint().unwrap().unwrap();
    witness::request(log.reading(), old, &note).unwrap()
}

#[test]
fn a_witness_signs_what_only_grew_and_remembers_it() {
    let (dir, mut log, key) = other("a.example.org", 3);
    let home = tempfile::tempdir().unwrap();
    let own = SecretKey::generate("b.example.org").unwrap();
    let (public, text) = (own.public(), own.to_text());
    let mut b = Witness::open(home.path(), own, vec![key.clone()]).unwrap();
    let lines = b.add(ask(&log, 0).as_bytes(), 1_700_000_000).unwrap();
    let mut note = log.reading().checkpoint().unwrap().unwrap();
    assert!(witness::add_signature(&mut note, &lines, &public));
    witness::keep(dir.path(), &key, &note).unwrap();
    // the log grows; the earlier word of the witness still proves what it was about
    grow(&mut log, 300, "b");
    let verified = verify(dir.path(), &key, std::slice::from_ref(&public)).unwrap();
    assert!(verified.is_whole(), "{:?}", verified.faults);
    assert_eq!(verified.witnesses, [("b.example.org".to_owned(), 1_700_000_000)]);
    let to = tempfile::tempdir().unwrap();
    export(log.reading(), to.path()).unwrap();
    assert!(verify(to.path(), &key, std::slice::from_ref(&public)).unwrap().is_whole());

    // whoever comes with another size is told the right one, also by a witness that was opened anew
    drop(b);
    let own = SecretKey::parse(&text).unwrap();
    let mut b = Witness::open(home.path(), own, vec![key.clone()]).unwrap();
    for old in [0, 2, 303] {
        let answer = b.add(ask(&log, old).as_bytes(), 1);
        assert!(matches!(answer, Err(Unsigned::Elsewhere(3))), "{old} {answer:?}");
    }
    b.add(ask(&log, 3).as_bytes(), 1).unwrap();
    // the same once more is the same, and an earlier one is a rollback
    b.add(ask(&log, 303).as_bytes(), 1).unwrap();
}

#[test]
fn a_witness_signs_no_other_history() {
    let (_dir, mut log, key) = other("a.example.org", 5);
    let secret = log.key().to_text();
    let home = tempfile::tempdir().unwrap();
    let own = SecretKey::generate("b.example.org").unwrap();
    let mut b = Witness::open(home.path(), own, vec![key.clone()]).unwrap();
    let first = ask(&log, 0);
    b.add(first.as_bytes(), 1).unwrap();
    grow(&mut log, 5, "b");
    b.add(ask(&log, 5).as_bytes(), 1).unwrap();
    let rolled_back = b.add(first.as_bytes(), 1);
    assert!(matches!(rolled_back, Err(Unsigned::Elsewhere(10))), "{rolled_back:?}");

    // who holds the key begins another history
    let forged = tempfile::tempdir().unwrap();
    let mut fork = Log::open(forged.path(), SecretKey::parse(&secret).unwrap()).unwrap();
    grow(&mut fork, 10, "c");
    let same_size = b.add(ask(&fork, 10).as_bytes(), 1);
    assert!(matches!(same_size, Err(Unsigned::Fork(10))), "{same_size:?}");
    grow(&mut fork, 1, "c");
    let larger = b.add(ask(&fork, 10).as_bytes(), 1);
    assert!(matches!(larger, Err(Unsigned::Unproven)), "{larger:?}");
    // nothing of that was kept
    b.add(ask(&log, 10).as_bytes(), 1).unwrap();

    let (_other, unknown, _) = other("c.example.org", 1);
    assert!(matches!(b.add(ask(&unknown, 0).as_bytes(), 1), Err(Unsigned::UnknownLog)));
    let (_impostor, impostor, _) = other("a.example.org", 1);
    assert!(matches!(b.add(ask(&impostor, 0).as_bytes(), 1), Err(Unsigned::NotSigned)));
    let good = ask(&log, 10);
    for wrong in [
        String::new(),
        good.replace("old 10", "old 010"),
        good.replace("old 10", "old 99"),
        good.replace("old 10\n", "old 10\nAAAA\n"),
        good.replace(
            "old 10\n",
            &format!("old 10\n{}", (STANDARD_HASH.to_owned() + "\n").repeat(64)),
        ),
    ] {
        let answer = b.add(wrong.as_bytes(), 1);
        assert!(matches!(answer, Err(Unsigned::Malformed(_))), "{wrong} {answer:?}");
    }
}

const STANDARD_HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn what_witnesses_signed_of_another_history_is_found() {
    let (dir, log, key) = other("a.example.org", 3);
    let secret = log.key().to_text();
    let forged = tempfile::tempdir().unwrap();
    let mut fork = Log::open(forged.path(), SecretKey::parse(&secret).unwrap()).unwrap();
    grow(&mut fork, 2, "c");
    let note = fork.reading().checkpoint().unwrap().unwrap();
    witness::keep(dir.path(), &key, &note).unwrap();
    let verified = verify(dir.path(), &key, &[]).unwrap();
    assert!(!verified.is_whole());
    assert!(verified.faults[0].to_string().contains("witnesses signed"), "{:?}", verified.faults);
}
