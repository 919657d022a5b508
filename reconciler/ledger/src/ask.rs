//! Questions: from a name to the part of the graph that answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Instant,
};

use sitewright_model::{
    lineage::{
        Edge, EntityId, EntityKind, Fact, Gap, Grade, Graph, Node, Record, Relation, Statement,
        claim,
    },
    suggest,
};

use crate::{
    Error, Held, Index, Reading,
    index::{Row, Tie},
};

/// Things in one answer; a larger one is cut, and says so.
const MOST: usize = 20_000;

/// Names that may have been meant, which an error lists.
const NEAR: usize = 3;

/// Names that an error lists.
const NAMED: u32 = 8;

/// Things that are looked at in one go; between two goes it is seen whether the time is over.
const STRIDE: usize = 512;

/// Things that are looked at to find out whether a reader may know of a piece of content.
const MOST_TO_SEE: usize = 5_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What made it: everything that a thing came from.
    Of(String),
    /// What came of it.
    Impact(String),
    /// What ran while a commit was in force.
    During(String),
    /// Under which configuration a run was.
    Config(String),
    /// One thing and what is said of it, with every source.
    Explain(String),
    /// The intervals in which something may have been missed.
    Gaps,
}

/// A question, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The question.
    pub question: Question,
    /// The worst grade of a tie that is followed.
    pub limit: Grade,
    /// The namespaces that the reader may see; none for all.
    pub namespaces: Option<BTreeSet<String>>,
    /// Until when there has to be an answer; none for whenever.
    pub until: Option<Instant>,
}

impl Ask {
    /// Makes a question of somebody who may see everything and has time.
    pub fn new(question: Question) -> Self {
        Self { question, limit: Grade::Unknown, namespaces: None, until: None }
    }

    fn has_time(&self) -> Result<(), Error> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(Error::Slow);
        }
        Ok(())
    }
}

/// Where answers are read from.
pub(crate) trait Store {
    fn size(&self) -> Result<u64, Error>;
    fn find(&self, id: &str) -> Result<Option<i64>, Error>;
    fn begin_with(&self, start: &str, most: u32) -> Result<Vec<EntityId>, Error>;
    fn named(&self, value: &str) -> Result<Vec<EntityId>, Error>;
    /// Returns names that begin as `name` does, with the namespaces of what is called so; none where that is not kept.
    fn similar(&self, _name: &str) -> Result<Vec<(String, Option<String>)>, Error> {
        Ok(Vec::new())
    }
    fn things(&self, numbers: &[i64]) -> Result<Vec<(i64, EntityId, Option<String>)>, Error>;
    fn facts(&self, numbers: &[i64]) -> Result<Vec<(i64, Row)>, Error>;
    fn up(&self, numbers: &[i64]) -> Result<Vec<Tie>, Error>;
    fn down(&self, numbers: &[i64]) -> Result<Vec<Tie>, Error>;
    fn blind(&self) -> Result<Vec<(u64, String, String, String)>, Error>;
    fn records(&self, positions: &BTreeSet<u64>) -> Result<HashMap<u64, Record>, Error>;
    /// The namespaces of records, of those whose body is there.
    fn spaces(&self, positions: &BTreeSet<u64>) -> Result<HashMap<u64, Option<String>>, Error> {
        let records = self.records(positions)?;
        Ok(records.into_iter().map(|(position, record)| (position, record.namespace)).collect())
    }
    /// Every namespace that something is recorded of, in order, some at most.
    fn namespaces(&self, most: usize) -> Result<Vec<String>, Error>;
}

/// A log and its index, open to questions.
#[derive(Debug)]
pub struct Reader {
    log: Held,
    index: Index,
    /// Whether somebody else folds the index.
    is_beside: bool,
}

impl Reader {
    /// Opens the log in a folder, with its index: that of a writer, or an export.
    ///
    /// # Errors
    /// There is no log, or its index cannot be made.
    pub fn open(dir: &std::path::Path) -> Result<Self, Error> {
        let log = Held::open(dir)?;
        // beside a writer the folder has an index; elsewhere it may be read-only, and one in memory does
        let index = match &log {
            Held::Database(reading) => {
                Index::open(dir, reading).or_else(|_| Index::in_memory(reading))?
            }
            Held::Files(_) => Index::in_memory_of(&log)?,
        };
        Ok(Self { log, index, is_beside: false })
    }

    /// Opens the log in a folder whose writer is this program, and writes nothing: what the writer has just appended may
    /// not be in the answers for a moment.
    ///
    /// # Errors
    /// There is no log yet, or no index.
    pub fn beside(dir: &std::path::Path) -> Result<Self, Error> {
        let log = Held::Database(Reading::open(dir)?);
        let index = Index::beside(dir)?.ok_or_else(|| Error::NotALog {
            place: dir.to_owned(),
            why: "its index is not made yet".to_owned(),
        })?;
        Ok(Self { log, index, is_beside: true })
    }

    /// Takes an index and its log.
    pub fn new(log: Reading, index: Index) -> Self {
        Self { log: Held::Database(log), index, is_beside: false }
    }

    /// Folds in what the log has by now.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn refresh(&mut self) -> Result<(), Error> {
        if self.is_beside {
            return Ok(());
        }
        self.index.fold_of(&self.log).map(drop)
    }

    /// Returns the log.
    pub fn log(&self) -> &Held {
        &self.log
    }

    /// Returns the index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Returns every namespace that something is recorded of, in order, `most` at most.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn namespaces(&self, most: usize) -> Result<Vec<String>, Error> {
        Store::namespaces(self, most)
    }

    /// Answers a question.
    ///
    /// # Errors
    /// Nothing is called so, or several things are; the database cannot be read; the time is over.
    pub fn ask(&self, ask: &Ask) -> Result<Graph, Error> {
        answer(self, ask)
    }

    /// Answers what made something, as [`Question::Of`], and where it is a run, with what the run made.
    ///
    /// # Errors
    /// Nothing is called so, or several things are; the database cannot be read.
    pub fn with_outputs(&self, asked: &str, limit: Grade) -> Result<Graph, Error> {
        let ask = Ask { limit, ..Ask::new(Question::Of(asked.to_owned())) };
        let cause = |tie: &Tie| tie.relation.is_cause() && tie.grade.reaches(limit);
        let mut focus = things(self, asked, &ask, &[EntityKind::Service, EntityKind::Run])?;
        for run in focus.clone().iter().filter(|id| id.kind() == EntityKind::Run) {
            focus.extend(self.index.ties_to(run, Relation::GeneratedBy)?);
        }
        grown(self, &ask, focus, |start| walk(self, &ask, start, Way::Up, &cause, MOST))
    }

    /// Returns everything that `id` came from, or everything that came of it: how many things.
    ///
    /// # Errors
    /// Nothing is called so, or the database cannot be read.
    pub fn reach(&self, id: &EntityId, upwards: bool) -> Result<usize, Error> {
        let start = self.index.find(id.as_str())?;
        let start = start.ok_or_else(|| nothing(id.as_str()))?;
        let way = if upwards { Way::Up } else { Way::Down };
        let follow = |tie: &Tie| tie.relation.is_cause();
        let ask = Ask::new(Question::Gaps);
        Ok(walk(self, &ask, &[start], way, &follow, usize::MAX)?.0.len())
    }
}

impl Store for Reader {
    fn size(&self) -> Result<u64, Error> {
        self.index.upto()
    }

    fn find(&self, id: &str) -> Result<Option<i64>, Error> {
        self.index.find(id)
    }

    fn begin_with(&self, start: &str, most: u32) -> Result<Vec<EntityId>, Error> {
        self.index.begin_with(start, most)
    }

    fn named(&self, value: &str) -> Result<Vec<EntityId>, Error> {
        self.index.named(value)
    }

    fn similar(&self, name: &str) -> Result<Vec<(String, Option<String>)>, Error> {
        self.index.similar(name)
    }

    fn things(&self, numbers: &[i64]) -> Result<Vec<(i64, EntityId, Option<String>)>, Error> {
        let mut things = Vec::with_capacity(numbers.len());
        for number in numbers {
            let thing = self.index.thing(*number)?;
            things.extend(thing.map(|(id, namespace)| (*number, id, namespace)));
        }
        Ok(things)
    }

    fn facts(&self, numbers: &[i64]) -> Result<Vec<(i64, Row)>, Error> {
        let mut facts = Vec::new();
        for number in numbers {
            facts.extend(self.index.facts(*number)?.into_iter().map(|row| (*number, row)));
        }
        Ok(facts)
    }

    fn up(&self, numbers: &[i64]) -> Result<Vec<Tie>, Error> {
        let mut ties = Vec::new();
        for number in numbers {
            ties.extend(self.index.up(*number)?);
        }
        Ok(ties)
    }

    fn down(&self, numbers: &[i64]) -> Result<Vec<Tie>, Error> {
        let mut ties = Vec::new();
        for number in numbers {
            ties.extend(self.index.down(*number)?);
        }
        Ok(ties)
    }

    fn blind(&self) -> Result<Vec<(u64, String, String, String)>, Error> {
        self.index.blind()
    }

    fn records(&self, positions: &BTreeSet<u64>) -> Result<HashMap<u64, Record>, Error> {
        let mut records = HashMap::with_capacity(positions.len());
        for position in positions {
            records.extend(self.log.record(*position)?.map(|record| (*position, record)));
        }
        Ok(records)
    }

    fn namespaces(&self, most: usize) -> Result<Vec<String>, Error> {
        self.index.namespaces(most)
    }
}

/// Which way ties are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To what a thing came from.
    Up,
    /// To what came of it.
    Down,
}

/// What was walked over.
type Walked = (HashSet<i64>, Vec<Tie>, bool);

/// Walks from `start` over ties that `follow` lets pass, level by level; says whether it was cut.
fn walk(
    store: &impl Store,
    ask: &Ask,
    start: &[i64],
    way: Way,
    follow: &dyn Fn(&Tie) -> bool,
    most: usize,
) -> Result<Walked, Error> {
    let mut seen: HashSet<i64> = start.iter().copied().collect();
    let (mut ties, mut next, mut is_cut) = (Vec::new(), start.to_vec(), false);
    while !next.is_empty() {
        let level = std::mem::take(&mut next);
        for some in level.chunks(STRIDE) {
            ask.has_time()?;
            let found = match way {
                Way::Up => store.up(some)?,
                Way::Down => store.down(some)?,
            };
            for tie in found.into_iter().filter(|tie| follow(tie)) {
                let to = if way == Way::Up { tie.up } else { tie.down };
                if !seen.contains(&to) {
                    if seen.len() >= most {
                        is_cut = true;
                        continue;
                    }
                    seen.insert(to);
                    next.push(to);
                }
                ties.push(tie);
            }
        }
    }
    Ok((seen, ties, is_cut))
}

fn nothing(asked: &str) -> Error {
    Error::Nothing { asked: asked.to_owned(), near: Vec::new() }
}

/// Answers a question from any store.
pub(crate) fn answer(store: &impl Store, ask: &Ask) -> Result<Graph, Error> {
    let cause = |tie: &Tie| tie.relation.is_cause() && tie.grade.reaches(ask.limit);
    match &ask.question {
        Question::Of(asked) => {
            let focus = things(store, asked, ask, &[EntityKind::Service, EntityKind::Run])?;
            grown(store, ask, focus, |start| walk(store, ask, start, Way::Up, &cause, MOST))
        }
        Question::Impact(asked) => {
            let focus = things(store, asked, ask, &[EntityKind::Node])?;
            // what is another thing's state is no reason that what ran elsewhere in that state is reached
            let follow = |tie: &Tie| cause(tie) && tie.relation != Relation::StateOf;
            grown(store, ask, focus, |start| walk(store, ask, start, Way::Down, &follow, MOST))
        }
        Question::During(asked) => {
            let focus = things(store, asked, ask, &[EntityKind::Commit])?;
            let follow = |tie: &Tie| {
                matches!(tie.relation, Relation::PutInForce | Relation::ConfiguredBy)
                    && tie.grade.reaches(ask.limit)
            };
            grown(store, ask, focus, |start| walk(store, ask, start, Way::Down, &follow, MOST))
        }
        Question::Config(asked) => {
            let focus = things(store, asked, ask, &[EntityKind::Run])?;
            let follow = |tie: &Tie| {
                let is_of_it = matches!(
                    tie.relation,
                    Relation::ConfiguredBy
                        | Relation::PutInForce
                        | Relation::Tried
                        | Relation::RanOn
                );
                is_of_it && tie.grade.reaches(ask.limit)
            };
            grown(store, ask, focus, |start| walk(store, ask, start, Way::Up, &follow, MOST))
        }
        Question::Explain(asked) => {
            let focus = things(store, asked, ask, &[EntityKind::Service, EntityKind::Run])?;
            grown(store, ask, focus, |start| {
                let mut ties = store.up(start)?;
                ties.extend(store.down(start)?);
                let ends = ties.iter().flat_map(|tie| [tie.up, tie.down]);
                let seen: HashSet<i64> = start.iter().copied().chain(ends).collect();
                let is_cut = seen.len() > MOST;
                Ok((seen.into_iter().take(MOST).collect(), ties, is_cut))
            })
        }
        Question::Gaps => {
            let mut graph = Graph::new(Vec::new(), store.size()?);
            graph.gaps = gaps(store)?;
            Ok(graph)
        }
    }
}

/// Returns the things that somebody may call `asked`. Of several, those of the first kind of `rather` that is among them.
fn things(
    store: &impl Store,
    asked: &str,
    ask: &Ask,
    rather: &[EntityKind],
) -> Result<Vec<EntityId>, Error> {
    let asked = asked.trim();
    let mut candidates: Vec<String> = vec![asked.to_owned()];
    if asked.starts_with("sha256:") {
        candidates.extend(["image", "tree", "state"].map(|kind| format!("{kind}:{asked}")));
        candidates.push(format!("data:{asked}"));
    }
    candidates.extend(["part", "data", "ref"].map(|kind| format!("{kind}:{asked}")));
    candidates.extend(claim::named(asked).map(|named| named.id.to_string()));
    candidates.extend(claim::named(&format!("oci://{asked}")).map(|named| named.id.to_string()));
    let ids = candidates.iter().filter_map(|candidate| candidate.parse::<EntityId>().ok());
    // each step looks further only where the reader sees nothing: what is hidden must change no answer
    let mut visible = seen_of(store, ask, ids.collect())?;
    let is_hex = (7..=64).contains(&asked.len()) && asked.bytes().all(|b| b.is_ascii_hexdigit());
    if visible.is_empty() && is_hex {
        let mut found = BTreeSet::new();
        for kind in ["commit:", "image:sha256:", "tree:sha256:", "state:sha256:"] {
            let start = format!("{kind}{}", asked.to_ascii_lowercase());
            found.extend(store.begin_with(&start, NAMED)?);
        }
        visible = seen_of(store, ask, found)?;
    }
    if visible.is_empty() {
        let (namespace, name) = match asked.split_once('/') {
            Some((namespace, name)) if !name.contains('/') => (Some(namespace), name),
            _ => (None, asked),
        };
        let mut by_name = store.named(name)?;
        by_name.extend(store.named(asked)?);
        let mut found = BTreeSet::new();
        for id in by_name {
            let number = store.find(id.as_str())?.unwrap_or_default();
            let of = store.things(&[number])?.into_iter().next().and_then(|(_, _, of)| of);
            if namespace.is_none_or(|wanted| of.as_deref() == Some(wanted) || name == asked) {
                found.insert(id);
            }
        }
        visible = seen_of(store, ask, found)?;
    }
    for kind in rather {
        if visible.iter().any(|id| id.kind() == *kind) {
            visible.retain(|id| id.kind() == *kind);
            break;
        }
    }
    // attempts are parts of runs, and are asked for by their own identity alone
    if visible.iter().any(|id| id.kind() != EntityKind::Attempt) {
        visible.retain(|id| id.kind() != EntityKind::Attempt);
    }
    match visible.as_slice() {
        [] => Err(Error::Nothing { asked: asked.to_owned(), near: near(store, asked, ask)? }),
        [_] => Ok(visible),
        // what a name led to, and the name, are one question
        _ if visible.iter().all(|id| is_content(id.kind())) => Ok(visible),
        several => Err(Error::Several {
            asked: asked.to_owned(),
            found: several.iter().take(NAMED as usize).map(ToString::to_string).collect(),
        }),
    }
}

/// Returns what may have been meant, the nearest first, among what the reader may see.
fn near(store: &impl Store, asked: &str, ask: &Ask) -> Result<Vec<String>, Error> {
    let name = asked.rsplit('/').next().unwrap_or(asked);
    let known = store.similar(name)?.into_iter();
    let visible = known.filter(|(_, namespace)| may_see(ask, namespace.as_deref()));
    let mut known: Vec<String> = visible
        .map(|(name, namespace)| match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        })
        .collect();
    let mut near = Vec::new();
    while near.len() < NEAR {
        let found = suggest::nearest(asked, known.iter().map(String::as_str)).map(str::to_owned);
        let Some(found) = found else { break };
        known.retain(|other| *other != found);
        near.push(found);
    }
    Ok(near)
}

fn is_content(kind: EntityKind) -> bool {
    matches!(kind, EntityKind::Ref | EntityKind::Tree | EntityKind::Data | EntityKind::Image)
}

/// Returns those of `ids` that something is recorded of and that the reader may know of, in order.
fn seen_of(store: &impl Store, ask: &Ask, ids: BTreeSet<EntityId>) -> Result<Vec<EntityId>, Error> {
    let mut seen = Vec::new();
    for id in ids {
        let Some(number) = store.find(id.as_str())? else { continue };
        let of = store.things(&[number])?.into_iter().next().and_then(|(_, _, of)| of);
        let is_seen = match sort(ask, id.kind(), of.as_deref()) {
            Sort::Seen => true,
            Sort::Hidden => false,
            Sort::Content => is_content_seen(store, ask, number)?,
        };
        if is_seen {
            seen.push(id);
        }
    }
    Ok(seen)
}

/// Whether a reader may know of a thing, as far as it tells by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// It is of a namespace of the reader, or of the cluster.
    Seen,
    /// It is of another namespace.
    Hidden,
    /// It is of nobody: who may see something that leads to it may know of it.
    Content,
}

fn sort(ask: &Ask, kind: EntityKind, namespace: Option<&str>) -> Sort {
    match namespace {
        _ if ask.namespaces.is_none() => Sort::Seen,
        Some(_) if may_see(ask, namespace) => Sort::Seen,
        Some(_) => Sort::Hidden,
        None => match kind {
            EntityKind::Epoch | EntityKind::Node | EntityKind::State | EntityKind::Part => {
                Sort::Seen
            }
            _ => Sort::Content,
        },
    }
}

/// Returns whether who knows of the content at one end of a tie learns of the content at its other end.
///
/// A name leads to what it names, and not back: another namespace may call the same bytes by a name that tells more.
fn discloses(tie: &Tie, from: i64, is_image: bool) -> bool {
    match tie.relation {
        Relation::PartOf => is_image || tie.up == from,
        _ => tie.down == from,
    }
}

/// Returns whether something that the reader sees leads to a piece of content.
fn is_content_seen(store: &impl Store, ask: &Ask, content: i64) -> Result<bool, Error> {
    let mut known = HashSet::from([content]);
    let mut next = vec![content];
    while let Some(one) = next.pop() {
        ask.has_time()?;
        let mut ties = store.up(&[one])?;
        ties.extend(store.down(&[one])?);
        for some in ties.chunks(STRIDE) {
            ask.has_time()?;
            let some = said_to(store, ask, some)?;
            let other = |tie: &Tie| if tie.up == one { tie.down } else { tie.up };
            let others: BTreeSet<i64> = some.iter().map(other).collect();
            let others: Vec<i64> = others.into_iter().collect();
            let mut contents = HashMap::new();
            for (number, id, namespace) in store.things(&others)? {
                match sort(ask, id.kind(), namespace.as_deref()) {
                    Sort::Seen => return Ok(true),
                    Sort::Hidden => {}
                    Sort::Content => {
                        contents.insert(number, id.kind() == EntityKind::Image);
                    }
                }
            }
            for tie in &some {
                let from = other(tie);
                let Some(is_image) = contents.get(&from) else { continue };
                if discloses(tie, from, *is_image)
                    && known.len() < MOST_TO_SEE
                    && known.insert(from)
                {
                    next.push(from);
                }
            }
        }
    }
    Ok(false)
}

/// Returns those of `ties` that are said in records which the reader may see.
fn said_to(store: &impl Store, ask: &Ask, ties: &[Tie]) -> Result<Vec<Tie>, Error> {
    if ask.namespaces.is_none() {
        return Ok(ties.to_vec());
    }
    let positions: BTreeSet<u64> = ties.iter().map(|tie| tie.position).collect();
    let spaces = store.spaces(&positions)?;
    let is_said = |tie: &&Tie| {
        let said = spaces.get(&tie.position);
        said.is_some_and(|namespace| may_see(ask, namespace.as_deref()))
    };
    Ok(ties.iter().filter(is_said).copied().collect())
}

fn may_see(ask: &Ask, namespace: Option<&str>) -> bool {
    match (&ask.namespaces, namespace) {
        (None, _) | (_, None) => true,
        (Some(allowed), Some(namespace)) => allowed.contains(namespace),
    }
}

/// Returns the graph that grows from `focus`.
fn grown(
    store: &impl Store,
    ask: &Ask,
    focus: Vec<EntityId>,
    grow: impl FnOnce(&[i64]) -> Result<Walked, Error>,
) -> Result<Graph, Error> {
    let mut start = Vec::new();
    for id in &focus {
        start.extend(store.find(id.as_str())?);
    }
    let (seen, ties, is_cut) = grow(&start)?;
    let numbers: Vec<i64> = seen.into_iter().collect();
    let (mut all, mut said) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(ties.len()));
    for some in numbers.chunks(STRIDE) {
        ask.has_time()?;
        all.extend(store.things(some)?);
    }
    for some in ties.chunks(STRIDE) {
        ask.has_time()?;
        said.extend(said_to(store, ask, some)?);
    }
    let hidden =
        all.iter().filter(|(_, id, of)| sort(ask, id.kind(), of.as_deref()) == Sort::Hidden);
    let hidden = hidden.count();
    let things = known_to(store, ask, &start, all, &said)?;
    let by_number: BTreeMap<i64, &EntityId> =
        things.iter().map(|(number, id, _)| (*number, id)).collect();
    // what is only reached through something hidden is hidden as well
    let reached = reachable(&start, &said, &by_number);
    let ties: Vec<&Tie> = said
        .iter()
        .filter(|tie| reached.contains(&tie.up) && reached.contains(&tie.down))
        .collect();
    let numbers: Vec<i64> = reached.iter().copied().collect();
    let mut facts = Vec::new();
    for some in numbers.chunks(STRIDE) {
        ask.has_time()?;
        facts.extend(store.facts(some)?);
    }
    let positions: BTreeSet<u64> = facts
        .iter()
        .map(|(_, row)| row.position)
        .chain(ties.iter().map(|tie| tie.position))
        .collect();
    let positions: Vec<u64> = positions.into_iter().collect();
    let mut records = HashMap::with_capacity(positions.len());
    for some in positions.chunks(STRIDE) {
        ask.has_time()?;
        records.extend(store.records(&some.iter().copied().collect())?);
    }

    let mut graph = Graph::new(focus, store.size()?);
    (graph.hidden, graph.is_cut) = (hidden as u64, is_cut);
    let mut by_thing: HashMap<i64, Vec<Fact>> = HashMap::new();
    for (number, row) in facts {
        let Some(record) = records.get(&row.position) else { continue };
        if !may_see(ask, record.namespace.as_deref()) {
            continue;
        }
        let Some(Statement::Fact { source, .. }) = record.statements.get(row.ordinal as usize)
        else {
            continue;
        };
        by_thing.entry(number).or_default().push(Fact {
            field: row.field,
            value: row.value,
            grade: row.grade,
            source: source.clone(),
            position: row.position,
            at: record.at,
        });
    }
    for (number, id, namespace) in &things {
        if reached.contains(number) {
            let facts = by_thing.remove(number).unwrap_or_default();
            let (id, namespace) = (id.clone(), namespace.clone());
            graph.nodes.push(Node { kind: id.kind(), id, namespace, facts });
        }
    }
    for tie in ties {
        let (Some(from), Some(to)) = (by_number.get(&tie.down), by_number.get(&tie.up)) else {
            continue;
        };
        let Some(record) = records.get(&tie.position) else { continue };
        let Some(Statement::Edge { source, .. }) = record.statements.get(tie.ordinal as usize)
        else {
            continue;
        };
        if !may_see(ask, record.namespace.as_deref()) {
            continue;
        }
        graph.edges.push(Edge {
            from: (*from).clone(),
            relation: tie.relation,
            to: (*to).clone(),
            grade: tie.grade,
            source: source.clone(),
            position: tie.position,
            at: record.at,
        });
    }
    graph.gaps = gaps(store)?;
    graph.keep_gaps_of_runs();
    graph.sort();
    Ok(graph)
}

/// A thing: its number, identity and namespace.
type Thing = (i64, EntityId, Option<String>);

/// Returns the things that the reader may know of: what is seen by itself, and content that something seen leads to.
fn known_to(
    store: &impl Store,
    ask: &Ask,
    start: &[i64],
    all: Vec<Thing>,
    said: &[Tie],
) -> Result<Vec<Thing>, Error> {
    if ask.namespaces.is_none() {
        return Ok(all);
    }
    let mut content: HashMap<i64, bool> = HashMap::new();
    // the reader knows of what was asked about
    let mut known: HashSet<i64> = start.iter().copied().collect();
    let mut next = start.to_vec();
    for (number, id, namespace) in &all {
        match sort(ask, id.kind(), namespace.as_deref()) {
            Sort::Seen if known.insert(*number) => next.push(*number),
            Sort::Seen | Sort::Hidden => {}
            Sort::Content => {
                content.insert(*number, id.kind() == EntityKind::Image);
            }
        }
    }
    let mut beside: HashMap<i64, Vec<&Tie>> = HashMap::new();
    for tie in said {
        beside.entry(tie.down).or_default().push(tie);
        beside.entry(tie.up).or_default().push(tie);
    }
    // content beside what is known, which nothing of the graph tells of: perhaps something else does
    let (mut doubts, mut judged) = (Vec::new(), HashSet::new());
    loop {
        let Some(one) = next.pop() else {
            let Some(doubt) = doubts.pop() else { break };
            if !known.contains(&doubt) && is_content_seen(store, ask, doubt)? {
                known.insert(doubt);
                next.push(doubt);
            }
            continue;
        };
        for tie in beside.get(&one).into_iter().flatten() {
            let other = if tie.up == one { tie.down } else { tie.up };
            if known.contains(&other) || !content.contains_key(&other) {
                continue;
            }
            let is_told = match content.get(&one) {
                None => true,
                Some(is_image) => discloses(tie, one, *is_image),
            };
            if is_told {
                known.insert(other);
                next.push(other);
            } else if judged.insert(other) {
                doubts.push(other);
            }
        }
    }
    Ok(all.into_iter().filter(|(number, ..)| known.contains(number)).collect())
}

/// Returns what can be reached from `start` over things that are visible.
fn reachable(start: &[i64], ties: &[Tie], visible: &BTreeMap<i64, &EntityId>) -> HashSet<i64> {
    let mut beside: HashMap<i64, Vec<i64>> = HashMap::new();
    for tie in ties {
        beside.entry(tie.down).or_default().push(tie.up);
        beside.entry(tie.up).or_default().push(tie.down);
    }
    let mut seen: HashSet<i64> =
        start.iter().copied().filter(|one| visible.contains_key(one)).collect();
    let mut next: Vec<i64> = seen.iter().copied().collect();
    while let Some(one) = next.pop() {
        for other in beside.get(&one).into_iter().flatten() {
            if visible.contains_key(other) && seen.insert(*other) {
                next.push(*other);
            }
        }
    }
    seen
}

fn gaps(store: &impl Store) -> Result<Vec<Gap>, Error> {
    let read = |(position, from, to, why): (u64, String, String, String)| {
        Some(Gap { from: from.parse().ok()?, to: to.parse().ok()?, why, position })
    };
    Ok(store.blind()?.into_iter().filter_map(read).collect())
}
