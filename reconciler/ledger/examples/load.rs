//! Load for the ledger: how fast it appends, answers and proves. `cargo xtask bench lineage` runs it and prints a table.
//!
//! `load DIR EDGES LEAVES` prints one JSON object: figure by name.

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use sitewright_ledger::{Ask, Index, Log, Question, Reader, Reading, SecretKey, Writer, verify};
use sitewright_model::{
    digest::Digest,
    lineage::{ClusterId, EntityId, Grade, Record, RecordKind, Relation, Source, Statement},
};

/// Checkpoints in a row that each go on from the one before.
const DEEP: usize = 100;

/// Data that each run uses, out of a pool.
const WIDE: usize = 30;
const POOL: usize = 50_000;

/// Records that are appended together: what a busy cluster gives within one write to the disk.
const BATCH: usize = 256;

/// Questions that are asked.
const ASKED: usize = 200;

type Figures = BTreeMap<&'static str, f64>;

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (dir, edges, leaves) = (arguments.next(), arguments.next(), arguments.next());
    let (Some(dir), Some(edges), Some(leaves)) = (dir, edges, leaves) else {
        return Err("load DIR EDGES LEAVES".into());
    };
    let mut figures = Figures::new();
    appends(&Path::new(&dir).join("appends"), &mut figures)?;
    graph(&Path::new(&dir).join("graph"), edges.parse()?, &mut figures)?;
    proofs(&Path::new(&dir).join("proofs"), leaves.parse()?, &mut figures)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn key() -> Result<SecretKey, sitewright_ledger::Error> {
    SecretKey::generate("load.example.org")
}

fn edge(from: &EntityId, relation: Relation, to: &EntityId, grade: Grade) -> Statement {
    let source = Source {
        uid: Some("5c2f1c7e-0f6d-4b0e".into()),
        field: Some("spec".into()),
        ..Source::default()
    };
    Statement::edge(from, relation, to, grade, &source)
}

fn at(number: usize) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_780_000_000 + number as i64)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// What a pod of a run makes: eight statements.
fn small(number: usize) -> Record {
    let cluster = ClusterId::new("2f0c8a41");
    let run = EntityId::run(&cluster, &format!("run-{}", number / 4));
    let attempt = EntityId::attempt(&cluster, &format!("pod-{number}"));
    let source = Source {
        uid: Some(format!("pod-{number}")),
        field: Some("status".into()),
        ..Source::default()
    };
    let fact = |field: &str, value: &str| {
        Statement::fact(&attempt, field, value, Grade::Observed, &source)
    };
    let said = vec![
        edge(&run, Relation::Tried, &attempt, Grade::Observed),
        fact("name", &format!("train-{number}")),
        fact("node", "gpu-17"),
        fact("phase", "Succeeded"),
        fact("train.exitCode", "0"),
        fact("train.startedAt", "2026-11-26T08:00:00Z"),
        fact("train.finishedAt", "2026-11-26T09:00:00Z"),
        edge(
            &attempt,
            Relation::ExecutedIn,
            &EntityId::image(Digest::of((number % 50).to_be_bytes())),
            Grade::Observed,
        ),
    ];
    Record::new(RecordKind::Run, at(number), run, said).within(Some("vision"))
}

/// Records that are on the disk when they are acknowledged: each by itself, many together, and by the writer with its
/// index.
fn appends(dir: &Path, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let mut log = Log::open(dir, key()?)?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        log.append(&[small(count)])?;
        count += 1;
    }
    figures.insert("appends, each by itself", count as f64 / begun.elapsed().as_secs_f64());
    let batches: Vec<Vec<Record>> = (0..40)
        .map(|batch| (0..BATCH).map(|one| small(count + batch * BATCH + one)).collect())
        .collect();
    let begun = Instant::now();
    for batch in &batches {
        log.append(batch)?;
    }
    let total = batches.len() * BATCH;
    figures.insert("appends, together", total as f64 / begun.elapsed().as_secs_f64());
    let index = Index::open(dir, log.reading())?;
    let writer = Writer::new(log, index, EntityId::node(&ClusterId::new("c"), "cluster"))?;
    let begun = Instant::now();
    for (number, batch) in batches.iter().enumerate() {
        let now = at(number);
        if number % 8 == 7 {
            writer.record_and_wait(batch.clone(), now)?;
        } else {
            writer.record(batch.clone(), now);
        }
    }
    drop(writer);
    figures.insert("appends, with the index", total as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

/// A run of a chain: it goes on from the checkpoint before, over wide data.
fn run(number: usize) -> (EntityId, Record) {
    let cluster = ClusterId::new("2f0c8a41");
    let run = EntityId::run(&cluster, &format!("run-{number}"));
    let attempt = EntityId::attempt(&cluster, &format!("pod-{number}"));
    let model = EntityId::tree(Digest::of(number.to_be_bytes()));
    let commit = |number: usize| {
        let hex = Digest::of(number.to_be_bytes()).hex();
        EntityId::commit(hex.get(..40).unwrap_or_default())
    };
    let state = EntityId::state(Digest::of((number / 5_000).to_be_bytes()));
    let node = EntityId::node(&cluster, &format!("gpu-{}", number % 64));
    let epoch = EntityId::epoch(&cluster, "lab", Digest::of((number / 1_000).to_be_bytes()));
    let mut said = vec![
        edge(&run, Relation::Tried, &attempt, Grade::Observed),
        edge(&attempt, Relation::RanOn, &state, Grade::Observed),
        edge(&attempt, Relation::RanOn, &node, Grade::Observed),
        edge(
            &attempt,
            Relation::ExecutedIn,
            &EntityId::image(Digest::of((number % 50).to_be_bytes())),
            Grade::Observed,
        ),
        edge(&run, Relation::ConfiguredBy, &epoch, Grade::Observed),
        edge(&model, Relation::GeneratedBy, &run, Grade::Claimed),
    ];
    said.extend(
        commit(number / 10).map(|commit| edge(&run, Relation::RanCode, &commit, Grade::Claimed)),
    );
    if !number.is_multiple_of(DEEP) {
        let before = EntityId::tree(Digest::of((number - 1).to_be_bytes()));
        said.push(edge(&run, Relation::Used, &before, Grade::Claimed));
    }
    for one in 0..WIDE {
        let file = (number / DEEP * 7 + one * 1_009) % POOL;
        said.extend(
            EntityId::data("dvc", &format!("md5:{file:032x}"))
                .map(|data| edge(&run, Relation::Used, &data, Grade::Claimed)),
        );
    }
    (model, Record::new(RecordKind::Run, at(number), run, said).within(Some("vision")))
}

fn graph(dir: &Path, edges: usize, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let mut log = Log::open(dir, key()?)?;
    let (mut number, mut made) = (0, 0);
    while made < edges {
        let batch: Vec<Record> = (number..number + BATCH).map(|number| run(number).1).collect();
        made += batch.iter().map(|record| record.statements.len()).sum::<usize>();
        number += BATCH;
        log.append(&batch)?;
    }
    drop(log);
    figures.insert("edges", made as f64);
    let begun = Instant::now();
    let index = Index::open(dir, &Reading::open(dir)?)?;
    figures.insert("index, folded anew: edges", made as f64 / begun.elapsed().as_secs_f64());
    let reader = Reader::new(Reading::open(dir)?, index);
    let step = (number / ASKED).max(1);
    let (mut of, mut reached) = (Vec::new(), 0);
    // the deep end of chains: a checkpoint with all that came before it
    for number in
        (0..number).step_by(step).map(|number| (number / DEEP * DEEP + DEEP - 1).min(number.max(1)))
    {
        let model = run(number).0;
        let begun = Instant::now();
        reached = reached.max(reader.reach(&model, true)?);
        of.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    figures.insert("ancestry, p95", percentile(&mut of, 95));
    figures.insert("ancestry, most things", reached as f64);
    let mut answered = Vec::new();
    for number in (0..number).step_by(step * 20) {
        let question = Question::Of(run(number / DEEP * DEEP + DEEP / 2).0.to_string());
        let begun = Instant::now();
        reader.ask(&Ask::new(question))?;
        answered.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    figures.insert("answer with all facts and sources, p95", percentile(&mut answered, 95));
    let data = EntityId::data("dvc", &format!("md5:{:032x}", 1_009)).ok_or("no such data")?;
    let begun = Instant::now();
    figures.insert("impact, things", reader.reach(&data, false)? as f64);
    figures.insert("impact", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn proofs(dir: &Path, leaves: usize, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let mut log = Log::open(dir, key()?)?;
    let mut number = 0;
    while number < leaves {
        let batch: Vec<Record> = (number..leaves.min(number + 4_096)).map(leaf).collect();
        number += batch.len();
        log.append(&batch)?;
    }
    let public = log.key().public();
    let mut proofs = Vec::new();
    for index in (0..leaves as u64).step_by((leaves / 500).max(1)) {
        let begun = Instant::now();
        log.reading().inclusion(index, leaves as u64)?;
        proofs.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    figures.insert("proof of inclusion, p95", percentile(&mut proofs, 95));
    drop(log);
    figures.insert("leaves", leaves as f64);
    let begun = Instant::now();
    let verified = verify(dir, &public, &[])?;
    if !verified.is_whole() {
        return Err(format!("{verified:?}").into());
    }
    figures.insert("verify", begun.elapsed().as_secs_f64());
    Ok(())
}

fn leaf(number: usize) -> Record {
    let cluster = ClusterId::new("2f0c8a41");
    let run = EntityId::run(&cluster, &format!("run-{}", number / 4));
    let said = vec![Statement::fact(
        &run,
        "outcome",
        "succeeded",
        Grade::Observed,
        &Source::rule("status"),
    )];
    Record::new(RecordKind::Run, at(number), run, said).within(Some("vision"))
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
